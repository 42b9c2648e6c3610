"""Rows that must not be stored: what was heard of a tag in the time in which only its owner may know where it is."""

from __future__ import annotations

from datetime import UTC, datetime
from typing import Final

import numpy as np
from numpy.typing import NDArray
from sqlalchemy import Connection

from server.ingest.rows import Rows
from server.store import private_stretches
from server.store.copying import PG_EPOCH_MS
from server.store.private_stretches import Stretch

_PG_EPOCH_US: Final = PG_EPOCH_MS * 1000


def heard_in_private(tx: Connection, rows: Rows) -> NDArray[np.bool_]:
    """Which of these rows for `sightings`, in the order of their serials, were heard while their tag was private.

    Early in the transaction, which from now on keeps private claims waiting; one query, whatever there is.
    """
    private_stretches.hold(tx)
    serials = rows["serial"].astype(np.int64)
    starts = np.flatnonzero(np.r_[True, serials[1:] != serials[:-1]])
    heard_us = rows["heard_at"].astype(np.int64) + _PG_EPOCH_US
    oldest = datetime.fromtimestamp(heard_us.min() // 1_000_000, UTC)
    found = private_stretches.among(tx, serials[starts].tolist(), oldest)
    return _within(found, serials, heard_us)


def _within(
    found: list[Stretch], serials: NDArray[np.int64], heard_us: NDArray[np.int64]
) -> NDArray[np.bool_]:  # fmt: skip
    """Both arrays are of the same rows."""
    inside = np.zeros(len(serials), np.bool_)
    for serial, since_us, until_us in found:  # few: a tag that is private sends other frames than these
        low, high = np.searchsorted(serials, (serial, serial + 1)).tolist()
        heard = heard_us[low:high]
        inside[low:high] |= (since_us <= heard) & (heard < until_us)
    return inside
