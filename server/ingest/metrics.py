"""Everything that ingest counts; nothing is dropped without a counter that says why.

No label has values from outside: every reason and step is named in the code, so that nobody who sends us bytes can
make Prometheus hold one series more. Those that are known stand at zero from the start, because an alert on a counter
that does not exist yet stays silent.
"""

from __future__ import annotations

from typing import Final

from prometheus_client import Counter, Gauge, Histogram

from server.ingest.verify import Dropped

# --- what came, and what became of it

DELIVERIES: Final = Counter("hearsight_ingest_deliveries_total", "Messages taken from the broker")
BYTES: Final = Counter("hearsight_ingest_bytes_total", "Bytes of messages taken from the broker")
DROPPED: Final = Counter("hearsight_ingest_dropped_total", "Deliveries that got no answer, by reason", ["reason"])
OUTCOMES: Final = Counter(
    "hearsight_ingest_batches_total", "Batches answered, by outcome and reason", ["outcome", "reason"]
)
FRAMES: Final = Counter("hearsight_ingest_frames_total", "Frames in new sets, by what they were", ["verdict"])
SIGHTINGS: Final = Counter("hearsight_ingest_sightings_total", "Rows committed to the table of sightings")
UNRESOLVED: Final = Counter("hearsight_ingest_unresolved_total", "Rows committed to the table of unresolved frames")

# --- what went wrong

RETRIES: Final = Counter("hearsight_ingest_retries_total", "Sets tried again, by error", ["error"])
HALVED: Final = Counter("hearsight_ingest_halved_total", "Sets cut in two to find the batch that broke them")
ISOLATED: Final = Counter("hearsight_ingest_isolated_total", "Batches refused alone because they broke their set")
CONNECTIONS: Final = Counter("hearsight_ingest_connections_total", "Connections to the broker, by outcome", ["outcome"])
LATE_ACKS: Final = Counter(
    "hearsight_ingest_late_acks_total", "Acknowledgements not sent because their connection had ended"
)
RECEIPTS: Final = Counter("hearsight_ingest_receipts_total", "Receipts given to the connection to the broker")
RECEIPTS_LOST: Final = Counter(
    "hearsight_ingest_receipts_lost_total",
    "Receipts that the broker did not confirm, by reason; their gateways ask again",
    ["reason"],
)

# --- how it is now (asked for at each scrape)

WAITING: Final = Gauge("hearsight_ingest_waiting_batches", "Deliveries taken from the broker and not yet in a set")
UNANSWERED: Final = Gauge("hearsight_ingest_unanswered_batches", "Deliveries taken from the broker and not yet stored")
LAG: Final = Gauge("hearsight_ingest_lag_seconds", "How late sightings are stored, at least")
CONNECTED: Final = Gauge("hearsight_ingest_connected", "1 while the broker is connected")
UNHEALTHY: Final = Gauge("hearsight_ingest_unhealthy", "1 while /health is red for this reason", ["reason"])

# --- sizes and times

SET_BATCHES: Final = Histogram(
    "hearsight_ingest_set_batches", "Batches per transaction", buckets=[1, 2, 5, 10, 20, 50, 100, 200, 500]
)
STEP_S: Final = Histogram(
    "hearsight_ingest_step_seconds",
    "Time of one step for one set",
    ["step"],
    buckets=[0.0001, 0.0003, 0.001, 0.003, 0.01, 0.03, 0.1, 0.3, 1, 3, 10],
)
# In the order in which a set goes through them. `private` asks which frames may not be stored, `hooks` are what follows
# from sightings, `commit` waits for the disk.
_NAMES: Final = "verify columns resolve rows private ledger copy settle hooks commit answer"
STEPS: Final = {name: STEP_S.labels(name) for name in _NAMES.split()}

for _reason in (*Dropped, "unstorable"):
    DROPPED.labels(_reason)
for _outcome, _reason in (
    ("stored", ""), ("stored", "given_up"), ("duplicate", ""), ("sequence_conflict", ""), ("refused", "future"),
    ("refused", "records"), ("refused", "malformed"), ("refused", "poison"),
):  # fmt: skip
    OUTCOMES.labels(_outcome, _reason)
for _verdict in ("resolved", "private", "owned_not_stored", "near_owner", "foreign", "unknown_type", "expired"):
    FRAMES.labels(_verdict)
for _error in ("OperationalError", "HookError"):
    RETRIES.labels(_error)
for _reason in ("queue_full", "connection"):
    RECEIPTS_LOST.labels(_reason)
for _outcome in ("made", "refused", "subscription_refused", "unreachable", "not_accepted", "lost"):
    CONNECTIONS.labels(_outcome)
