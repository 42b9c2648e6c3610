"""Everything that ingest counts; nothing is dropped without a counter that says why."""

from __future__ import annotations

from typing import Final

from prometheus_client import Counter, Gauge, Histogram

DROPPED: Final = Counter("hearsight_ingest_dropped_total", "Deliveries that got no answer, by reason", ["reason"])
OUTCOMES: Final = Counter(
    "hearsight_ingest_batches_total", "Batches answered, by outcome and reason", ["outcome", "reason"]
)
FRAMES: Final = Counter("hearsight_ingest_frames_total", "Frames in new sets, by what they were", ["verdict"])
SIGHTINGS: Final = Counter("hearsight_ingest_sightings_total", "Rows committed to the table of sightings")
UNRESOLVED: Final = Counter("hearsight_ingest_unresolved_total", "Rows committed to the table of unresolved frames")
RETRIES: Final = Counter("hearsight_ingest_retries_total", "Sets tried again, by error", ["error"])
ISOLATED: Final = Counter("hearsight_ingest_isolated_total", "Batches refused alone because they broke their set")
CONNECTIONS: Final = Counter("hearsight_ingest_connections_total", "Connections to the broker, by outcome", ["outcome"])
LATE_ACKS: Final = Counter(
    "hearsight_ingest_late_acks_total", "Acknowledgements not sent because their connection had ended"
)
RECEIPTS_LOST: Final = Counter(
    "hearsight_ingest_receipts_lost_total", "Receipts that could not be sent; the gateway will ask again"
)
WAITING: Final = Gauge("hearsight_ingest_waiting_batches", "Deliveries taken from the broker and not yet in a set")
LAG: Final = Gauge("hearsight_ingest_lag_seconds", "From delivery to commit, for the oldest batch of the last set")
CONNECTED: Final = Gauge("hearsight_ingest_connected", "1 while the broker is connected")
SET_BATCHES: Final = Histogram(
    "hearsight_ingest_set_batches", "Batches per transaction", buckets=[1, 2, 5, 10, 20, 50, 100, 200, 500]
)
STEP_S: Final = Histogram(
    "hearsight_ingest_step_seconds",
    "Time of one step for one set",
    ["step"],
    buckets=[0.001, 0.003, 0.01, 0.03, 0.1, 0.3, 1, 3, 10],
)
