"""What the web process counts for Prometheus about the house as a whole: read from the database by a round of its own.

A scrape only reads what the last round found, so that it answers while the database hangs; how old the figures are is
one of them. With several web processes each tells the same: take the maximum.
"""

from __future__ import annotations

from collections import Counter
from datetime import datetime
from typing import Final

from prometheus_client import Gauge
from sqlalchemy import Connection

from server.service import gateway_health
from server.service.gateway_health import Word
from server.service.ingest_health import Word as Arriving
from server.service.ingest_health import ingest_health
from server.store import notices, weighings

LOOKED_AT: Final = Gauge(
    "hearsight_figures_unixtime_seconds", "When the figures of the house were last read from the database"
)
WAITING: Final = Gauge("hearsight_notices_waiting", "Messages to people that were neither sent nor given up")
OLDEST_S: Final = Gauge("hearsight_notices_oldest_seconds", "Age of the oldest message that waits")
DUE: Final = Gauge("hearsight_orders_due", "Orders whose verdict is to be looked at again by now")
GATEWAYS: Final = Gauge("hearsight_gateways", "Gateways, by how they are", ["state"])
QUEUED: Final = Gauge("hearsight_gateways_queued_batches", "Batches that wait on connected gateways, as they told")
BEHIND_S: Final = Gauge("hearsight_sightings_behind_seconds", "How late sightings arrive, at least, as pages say it")
WORKERS: Final = Gauge("hearsight_ingest_workers", "Workers that told of themselves and are still wanted")
ARRIVING: Final = Gauge("hearsight_sightings_state", "1 for the word that pages have for the ingest", ["state"])
for _state in Word:
    GATEWAYS.labels(_state)
for _arriving in Arriving:
    ARRIVING.labels(_arriving)


def read(tx: Connection, now: datetime) -> None:
    """Reads all of them anew."""
    letters = notices.waiting(tx)
    WAITING.set(letters.count)
    OLDEST_S.set((now - letters.oldest_at).total_seconds() if letters.oldest_at else 0)
    DUE.set(weighings.how_many_due(tx, now))
    _gateways(tx, now)
    ingest = ingest_health(tx)
    BEHIND_S.set(ingest.behind_s or 0)
    WORKERS.set(len(ingest.workers))
    for word in Arriving:
        ARRIVING.labels(word).set(word is ingest.word)
    LOOKED_AT.set(now.timestamp())


def _gateways(tx: Connection, now: datetime) -> None:
    known = gateway_health.every_gateway(tx, now)
    words = Counter(each.word for each in known)
    for word in Word:
        GATEWAYS.labels(word).set(words[word])
    QUEUED.set(sum(each.queued_batches for each in known if each.online))
