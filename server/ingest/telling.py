"""What follows from sightings: in the same transaction the house is told of tags that somebody waits for.

Messages about lost tags are written with the sightings or not at all. Whoever watches a tag is told by the commit
itself, and only if there is somebody: most sets are news to nobody and say nothing.
"""

from __future__ import annotations

from datetime import UTC, datetime

import numpy as np
from numpy.typing import NDArray
from sqlalchemy import Connection

from server.ingest.storing import OnStored
from server.service import heard
from server.store import interest, live


def told(base_url: str) -> OnStored:
    """For `store` and after `reresolve`; links in messages begin with `base_url`."""

    def on_stored(tx: Connection, serials: NDArray[np.int64], newest_ms: NDArray[np.int64], now: datetime) -> None:
        news = interest.among(tx, serials.tolist())
        if news.awaited:
            newest = dict(zip(serials.tolist(), newest_ms.tolist(), strict=True))
            moments = {serial: datetime.fromtimestamp(newest[serial] / 1000, UTC) for serial in news.awaited}
            heard.stored(tx, moments, now, base_url)
        if news.watched:
            live.tell(tx, news.watched)

    return on_stored
