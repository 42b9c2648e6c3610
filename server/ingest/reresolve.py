"""Frames that nobody could open when they came: a lot imported later makes sightings of them."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from datetime import datetime
from typing import Final

import numpy as np
from numpy.typing import NDArray
from sqlalchemy import Connection

from server.ingest.resolve import LotKey, Resolver, Verdict
from server.store import partitions, private_stretches, unresolved
from wire.frames import FRAME_LEN

# Frames looked at in one go: bounds the memory, not the work.
_AT_ONCE: Final = 50_000


@dataclass(frozen=True, slots=True)
class Late:
    """How many rows became sightings; each serial among them once, ascending, and when it was last heard.

    `private` rows became none: their tag was private when it was heard.
    """

    rows: int
    private: int
    serials: NDArray[np.int64]
    newest_ms: NDArray[np.int64]


def reresolve(tx: Connection, k_factory: bytes, lots: Iterable[LotKey], network_id: int, now: datetime) -> Late:
    """Moves every kept frame that these lots open into `sightings`; what was heard of a tag while it was private is
    removed instead. The first thing in its transaction.

    Calling it twice changes nothing. What it moves keeps its batch, its times and its counts.
    """
    days = unresolved.days(tx)
    partitions.hold(tx, days, now)
    private_stretches.hold(tx)
    partitions.cover(tx, days, now)
    resolver = Resolver(k_factory, lots, network_id)
    rows, private, newest = 0, 0, dict[int, int]()
    for frames in unresolved.distinct_frames(tx, _AT_ONCE):
        found = resolver.resolve(np.frombuffer(b"".join(frames), np.uint8).reshape(-1, FRAME_LEN))
        which = np.flatnonzero(found.verdict == Verdict.RESOLVED)
        moved = unresolved.move_to_sightings(
            tx,
            [frames[n] for n in which],
            serials=found.serial[which].tolist(),
            uptimes_s=found.uptime_s[which].tolist(),
            boots=found.boot[which].tolist(),
            statuses=found.status[which].tolist(),
        )
        for serial, heard_at, count, left_out in moved:
            rows += count
            private += left_out
            if heard_at is not None:
                newest[serial] = max(int(heard_at.timestamp() * 1000), newest.get(serial, 0))
    serials = sorted(newest)
    newest_ms = np.array([newest[serial] for serial in serials], np.int64)
    return Late(rows, private, np.array(serials, np.int64), newest_ms)
