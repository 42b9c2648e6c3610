"""Did the tag send this frame, and when? The last four bytes of an O frame, checked around the time of a report.

They change with the tag's tick, every 15 minutes. The first byte gives the tick modulo 256, so that a year of ticks is
searched with some hundred MACs: enough to say of a wrong tail whether it is a recording or an invention.
"""

from __future__ import annotations

from enum import Enum, auto
from typing import Final

from owner.keys import TICK_S
from wire.frames import OFrame, Status, encode_o, verify_o

# A tail of this many ticks around the report's is right for its time: a recording is refused from 45 minutes on.
# Smaller: a tag whose crystal drifted half an hour in a year is lost. Larger: a recording works for longer.
AROUND_TICKS: Final = 2
# How far back a recording is looked for: the year and a day of one list of identifiers.
BACK_TICKS: Final = 366 * 96
_MASK_AT: Final = 20


class Tail(Enum):
    """What a tail says about the time of its report."""

    RIGHT = auto()
    OLD = auto()
    NEW = auto()
    FORGED = auto()


class Tails:
    """One tag's judge of tails. `tick_zero_s`: when its tick was 0; `latest_s`: later than that no frame can be."""

    def __init__(self, own_key: bytes, tick_zero_s: int, latest_s: int) -> None:
        self._own_key, self._zero_s = own_key, tick_zero_s
        self._latest = self._tick(latest_s) + AROUND_TICKS
        self._masks: dict[bytes, int] = {}

    def judge(self, eid: bytes, tail: bytes, status: int, unix_s: int) -> tuple[Tail, int]:
        """What the tail of a report says, and by how many seconds (whole ticks) its frame is older or newer.

        A tag that lost its clock is behind: an old tail of such a frame is right, as far as anybody can tell.
        """
        expected = self._tick(unix_s)
        frame = OFrame(status, eid, tail)
        # The tick with this low byte that is nearest to the expected one; the right one, if there is no foul play.
        nearest = expected + ((tail[0] ^ self._mask(eid)) - expected + 128) % 256 - 128
        if abs(nearest - expected) <= AROUND_TICKS and self._sent(frame, nearest):
            return Tail.RIGHT, 0
        found = self._search(frame, nearest, expected)
        if found is None:
            return Tail.FORGED, 0
        if found > expected:
            return Tail.NEW, (found - expected) * TICK_S
        lost = Status.from_byte(status).clock_lost
        return (Tail.RIGHT if lost else Tail.OLD), (expected - found) * TICK_S

    def _search(self, frame: OFrame, nearest: int, expected: int) -> int | None:
        """The tick at which the tag sent this frame, the one nearest to now first; None if it never did."""
        top = nearest + (self._latest - nearest) // 256 * 256
        for tick in range(top, max(0, expected - BACK_TICKS) - 1, -256):
            if self._sent(frame, tick):
                return tick
        return None

    def _sent(self, frame: OFrame, tick: int) -> bool:
        return tick >= 0 and verify_o(frame, self._own_key, tick)

    def _tick(self, unix_s: int) -> int:
        return (unix_s - self._zero_s) // TICK_S

    def _mask(self, eid: bytes) -> int:
        if eid not in self._masks:
            self._masks[eid] = encode_o(self._own_key, eid, tick=0, status=0)[_MASK_AT]
        return self._masks[eid]
