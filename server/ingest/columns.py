"""The records of many batches as arrays: one row per frame heard, no Python object for any of them.

Checks what `wire.batch.decode_batch` leaves to whoever reads the records: that the two runs of a batch belong
together, and that nothing was heard in a future in which nobody can check it.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, fields
from typing import Any, Final, NamedTuple

import numpy as np
from numpy.typing import NDArray

from server.ingest.resolve import Frames
from wire.batch import FRAME, MAX_AHEAD_MS, MAX_FRAMES_PER_SIGHTING, SIGHTING
from wire.frames import FRAME_LEN

_SIGHTING: Final = np.dtype(
    [
        ("first_ms", ">u8"),
        ("last_ms", ">u8"),
        ("adverts", ">u4"),
        ("rssi_max_dbm", "i1"),
        ("rssi_mean_dbm", "i1"),
        ("frames", "u1"),
        ("frames_lost", ">u2"),
    ]
)
_FRAME: Final = np.dtype([("heard_ms", ">u8"), ("frame", "u1", (FRAME_LEN,))])
# What the columns hold. So many adverts in one window, or a window of 24 days, tell nobody more than fewer would.
_MAX_INT16: Final = 2**15 - 1
_MAX_INT32: Final = 2**31 - 1

Records = NDArray[Any]


class Refusal(NamedTuple):
    """Why a batch is kept as a dead letter instead of being stored: a code, and words for whoever looks at it."""

    reason: str
    detail: str


RECORDS: Final = Refusal("records", "the batch's sightings and frames do not belong together")
FUTURE: Final = Refusal("future", f"something was heard more than {MAX_AHEAD_MS // 60_000} minutes in the future")


class Runs(NamedTuple):
    """The two runs of records of one batch, as they came."""

    sightings: bytes
    frames: bytes


@dataclass(frozen=True, slots=True)
class Columns:
    """One row per frame; `batch` says to which batch of the set (its index) a row belongs, in ascending order.

    `window_ms` is how long before `heard_ms` its address was first heard; below 0 if the gateway's clock was set back.
    """

    batch: NDArray[np.int64]
    frames: Frames
    heard_ms: NDArray[np.int64]
    window_ms: NDArray[np.int32]
    adverts: NDArray[np.int16]
    rssi_max_dbm: NDArray[np.int16]
    rssi_mean_dbm: NDArray[np.int16]

    def __len__(self) -> int:
        return len(self.batch)

    def since(self, horizon_ms: int) -> Columns:
        """The rows heard at that moment or later."""
        keep = self.heard_ms >= horizon_ms
        if keep.all():
            return self
        return Columns(**{each.name: getattr(self, each.name)[keep] for each in fields(self)})


def columns(batches: Sequence[Runs], now_ms: int) -> tuple[Columns, dict[int, Refusal]]:
    """The rows of all sound batches, and why the others are not: index in the set → refusal."""
    sightings = np.frombuffer(b"".join(batch.sightings for batch in batches), _SIGHTING)
    frames = np.frombuffer(b"".join(batch.frames for batch in batches), _FRAME)
    sightings_of = np.repeat(np.arange(len(batches)), [len(batch.sightings) // SIGHTING.size for batch in batches])
    frames_of = np.repeat(np.arange(len(batches)), [len(batch.frames) // FRAME.size for batch in batches])
    refused = _refusals(sightings, frames, sightings_of, frames_of, len(batches), now_ms)
    if refused:
        bad = np.array(sorted(refused))
        keep_sightings, keep_frames = ~np.isin(sightings_of, bad), ~np.isin(frames_of, bad)
        sightings, frames, frames_of = sightings[keep_sightings], frames[keep_frames], frames_of[keep_frames]
    owner = np.repeat(np.arange(len(sightings)), sightings["frames"])
    heard_ms = frames["heard_ms"].astype(np.int64)
    window_ms = heard_ms - sightings["first_ms"].astype(np.int64)[owner]
    return (
        Columns(
            batch=frames_of,
            frames=np.ascontiguousarray(frames["frame"]),
            heard_ms=heard_ms,
            window_ms=np.clip(window_ms, -_MAX_INT32, _MAX_INT32).astype(np.int32),
            adverts=np.minimum(sightings["adverts"], _MAX_INT16).astype(np.int16)[owner],
            rssi_max_dbm=sightings["rssi_max_dbm"].astype(np.int16)[owner],
            rssi_mean_dbm=sightings["rssi_mean_dbm"].astype(np.int16)[owner],
        ),
        refused,
    )


def _refusals(
    sightings: Records,
    frames: Records,
    sightings_of: NDArray[np.int64],
    frames_of: NDArray[np.int64],
    batches: int,
    now_ms: int,
) -> dict[int, Refusal]:
    """Index → why, for every batch whose records are unsound."""
    latest = now_ms + MAX_AHEAD_MS
    held = sightings["frames"]
    named = np.bincount(sightings_of, weights=held, minlength=batches)
    apart = named != np.bincount(frames_of, minlength=batches)
    apart[sightings_of[(held < 1) | (held > MAX_FRAMES_PER_SIGHTING)]] = True
    ahead = np.zeros(batches, np.bool_)
    ahead[sightings_of[(sightings["first_ms"] > latest) | (sightings["last_ms"] > latest)]] = True
    ahead[frames_of[frames["heard_ms"] > latest]] = True
    refused = dict.fromkeys(np.flatnonzero(ahead).tolist(), FUTURE)
    return refused | dict.fromkeys(np.flatnonzero(apart).tolist(), RECORDS)


assert SIGHTING.size == _SIGHTING.itemsize, "the array's view of a sighting is wire's own record"
assert FRAME.size == _FRAME.itemsize, "the array's view of a frame is wire's own record"
