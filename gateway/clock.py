"""The gateway's clocks: one that only runs forward, one that says what time it is, and how far to trust the second.

Adverts are stamped with the *steady* clock and turned into wall time when their window is closed. So a clock that is
set while a window is open (a Raspberry Pi without a battery clock that hears from NTP after a minute) stamps the
whole window right, and a clock that is set back cannot make a sighting end before it began.
"""

from __future__ import annotations

import ctypes
import ctypes.util
import sys
import time
from collections.abc import Callable
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Final, NamedTuple

from gateway.config import ClockSetting
from wire.batch import Clock

# A wall clock before this (2025-01-01) was never set: no gateway of ours ran then.
RELEASED_MS: Final = 1_735_689_600_000
# NTP slews smaller errors and steps larger ones; a second is also what a person setting a watch is off by.
STEP_MS: Final = 1_000
# Written by systemd-timesyncd when it has heard from a server since boot.
TIMESYNC_FLAG: Final = Path("/run/systemd/timesync/synchronized")
_LINUX: Final[bool] = sys.platform.startswith("linux")
_TIME_ERROR: Final = 5
_STA_UNSYNC: Final = 0x0040


class _Timex(ctypes.Structure):
    """struct timex of adjtimex(2); only `status` is read."""

    _fields_ = (
        ("modes", ctypes.c_uint),
        ("offset", ctypes.c_long),
        ("freq", ctypes.c_long),
        ("maxerror", ctypes.c_long),
        ("esterror", ctypes.c_long),
        ("status", ctypes.c_int),
        ("constant", ctypes.c_long),
        ("rest", ctypes.c_byte * 256),  # more than any libc writes
    )


def kernel_synchronised() -> bool | None:
    """Whether the kernel says that somebody keeps its clock right; None where it cannot be asked (macOS, some
    containers).
    """
    if not _LINUX:
        return None
    if TIMESYNC_FLAG.exists():
        return True
    library = ctypes.CDLL(ctypes.util.find_library("c") or "libc.so.6", use_errno=True)
    status = _Timex()
    state = library.adjtimex(ctypes.byref(status))
    if state < 0:
        return None
    return bool(state != _TIME_ERROR and not status.status & _STA_UNSYNC)


def steady_clock() -> Callable[[], int]:
    """Nanoseconds that only grow and go on through a suspended laptop. A C call without a Python frame, because
    every advert asks.
    """
    if _LINUX:
        return partial(time.clock_gettime_ns, time.CLOCK_BOOTTIME)
    return partial(time.clock_gettime_ns, time.CLOCK_MONOTONIC)


class Judgement(NamedTuple):
    """What a batch says of its clock, why, and what to add to steady milliseconds to get wall time."""

    quality: Clock
    reason: str
    offset_ms: int


@dataclass(slots=True)
class WallClock:
    """The wall clock and how far to trust it now. `synchronised` asks the kernel (tests ask something else)."""

    steady_ns: Callable[[], int]
    wall_ms: Callable[[], int]
    setting: ClockSetting
    synchronised: Callable[[], bool | None] = kernel_synchronised
    _offset_ms: int | None = None

    def judge(self, not_before_ms: int = 0) -> Judgement:
        """The clock now. `not_before_ms` is a moment that is known to have passed, such as that of the last batch."""
        wall_ms = self.wall_ms()
        offset_ms = wall_ms - self.steady_ns() // 1_000_000
        stepped = self._offset_ms is not None and abs(offset_ms - self._offset_ms) > STEP_MS
        self._offset_ms = offset_ms
        if wall_ms < max(RELEASED_MS, not_before_ms):
            return Judgement(Clock.BAD, "behind a moment that has passed", offset_ms)
        synchronised = self.synchronised()
        quality, reason = self._quality(synchronised)
        if stepped and not synchronised:
            # Nobody vouches for the new time, and the old one was not true either.
            return Judgement(min(quality, Clock.UNSURE), "set by more than a second just now", offset_ms)
        return Judgement(quality, reason, offset_ms)

    def _quality(self, synchronised: bool | None) -> tuple[Clock, str]:
        if self.setting.quality is not None:
            return self.setting.quality, f"set by hand: {self.setting.reason}"
        if synchronised is None:
            return Clock.UNSURE, "the kernel cannot be asked"
        if synchronised:
            return Clock.GOOD, "synchronised"
        return Clock.UNSURE, "not synchronised"


def wall_clock_ms() -> int:
    """Milliseconds since 1970."""
    return time.time_ns() // 1_000_000
