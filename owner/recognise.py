"""Which of the frames in the air is our tag: only the owner can tell, from the identifiers and hashes that change.

Pure: frames, the secret and the moment in, a position out.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import Final

from owner.keys import TICK_S, TagSecret, day_of
from wire import keys
from wire.errors import WireError
from wire.frames import FrameType, Status, decode_o, frame_kind, near_hash
from wire.set_owner import MAX_DAYS

# A tag's clock is believed within two ticks of ours, and N frames are as old as their tick: two hours are plenty. Each
# costs one MAC; a wrong match has a chance of 2^-60.
AROUND_TICKS: Final = 8


def position(secret: TagSecret, frames: Sequence[bytes], now_s: int) -> int | None:
    """Where the first (strongest) frame of this tag stands in the list, None without one.

    O frames by their identifier, of yesterday to tomorrow, in the list or outside of it; after a lost clock of any day
    of the list's year, for there the tag goes on where it was. N frames by the hash of the ticks around now.
    """
    tick = (now_s - secret.tick_zero_s) // TICK_S
    near = {near_hash(secret.own_key, each) for each in range(max(0, tick - AROUND_TICKS), tick + AROUND_TICKS + 1)}
    today = day_of(now_s)
    around = _identifiers(secret, range(max(0, today - 1), today + 2))
    year: set[bytes] | None = None
    for at, frame in enumerate(frames):
        kind = kind_of(frame)
        if kind is FrameType.NEAR_OWNER and frame[4:12] in near:
            return at
        if kind is not FrameType.OWNED:
            continue
        said = decode_o(frame, frame[0])
        if said.eid in around:
            return at
        if Status.from_byte(said.status).clock_lost:
            if year is None:
                year = _identifiers(secret, range(max(0, today - MAX_DAYS), today))
            if said.eid in year:
                return at
    return None


def kind_of(frame: bytes) -> FrameType | None:
    """What a frame is, of whatever network its gateway listens to; None for garbage."""
    try:
        return frame_kind(frame, frame[0] if frame else 0)
    except WireError:
        return None


def _identifiers(secret: TagSecret, days: Iterable[int]) -> set[bytes]:
    listed = {day: keys.eid(keys.day_public_key(secret.seed, day)) for day in days}
    return {*listed.values(), *(keys.unlisted_eid(secret.own_key, day) for day in listed)}
