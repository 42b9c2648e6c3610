"""Frames that nobody could open when they came: a lot imported later makes sightings of them."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Final

import numpy as np
from sqlalchemy import Connection

from server.ingest.resolve import LotKey, Resolver, Verdict
from server.store import unresolved
from wire.frames import FRAME_LEN

# Frames looked at in one go: bounds the memory, not the work.
_AT_ONCE: Final = 50_000


def reresolve(tx: Connection, k_factory: bytes, lots: Iterable[LotKey], network_id: int) -> int:
    """Moves every kept frame that these lots open into `sightings`; returns how many rows that made.

    Calling it twice changes nothing. What it moves keeps its batch, its times and its counts.
    """
    resolver = Resolver(k_factory, lots, network_id)
    moved = 0
    for frames in unresolved.distinct_frames(tx, _AT_ONCE):
        found = resolver.resolve(np.frombuffer(b"".join(frames), np.uint8).reshape(-1, FRAME_LEN))
        which = np.flatnonzero(found.verdict == Verdict.RESOLVED)
        moved += unresolved.move_to_sightings(
            tx,
            [frames[n] for n in which],
            serials=found.serial[which].tolist(),
            uptimes_s=found.uptime_s[which].tolist(),
            boots=found.boot[which].tolist(),
            statuses=found.status[which].tolist(),
        )
    return moved
