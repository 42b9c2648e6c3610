"""From frames of owned tags to reports that only their owners read: which of them, and what stands inside.

Sealed is what stands in the directory and nothing else: whoever is not in it is nobody's here (no free riding). What is
not sealed is counted with a reason.
"""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Callable, Iterable, Sequence
from typing import Final, NamedTuple

from gateway.owned import OwnedHeard
from wire.batch import Clock, GatewayClass, Place
from wire.errors import WireError
from wire.sealed import Report, seal

DAY_S: Final = 86_400
# Its own day first; then those beside it, for tags and gateways whose clocks differ around midnight.
_DAYS: Final = (0, -1, 1)
# One degree of a great circle, in metres.
_DEGREE_M: Final = 111_320.0
# Identifiers whose last report is remembered: beyond, the longest ago are forgotten, and reported once too often.
_REMEMBERED_MAX: Final = 65_536


class _Last(NamedTuple):
    """When and where an identifier was last reported."""

    unix_s: int
    place: Place


class Sealed(NamedTuple):
    """Reports of 89 bytes, and what got none, by reason."""

    reports: tuple[bytes, ...]
    dropped: Counter[str]


class Sealer:
    """`key(day, eid)` is the directory. At most one window of an identifier is reported in `gap_s`, unless the gateway
    stands elsewhere: whoever stands still all day says nothing new, and a vehicle does.
    """

    def __init__(self, key: Callable[[int, bytes], bytes | None], gateway_class: GatewayClass, *, gap_s: float) -> None:
        self._key, self._class, self._gap_s = key, gateway_class, gap_s
        self._last: dict[bytes, _Last] = {}

    def seal(self, owned: Sequence[OwnedHeard], place: Place | None, clock: Clock) -> Sealed:
        """The reports of one window. Reasons: `clock_bad`, `no_place`, `too_soon`, `not_in_directory`, `key_refused`
        (one to which nothing can be sealed).
        """
        if clock is Clock.BAD or place is None:
            reason = "clock_bad" if clock is Clock.BAD else "no_place"
            return Sealed((), Counter({reason: len(owned)} if owned else {}))
        reports: list[bytes] = []
        dropped: Counter[str] = Counter()
        for eid, heard in _by_identifier(owned).items():
            sealed = self._seal_one(eid, heard, place)
            if isinstance(sealed, str):
                dropped[sealed] += len(heard)
            else:
                reports += sealed
        return Sealed(tuple(reports), dropped)

    def _seal_one(self, eid: bytes, heard: Sequence[OwnedHeard], place: Place) -> list[bytes] | str:
        """The reports of one identifier, or why there are none."""
        unix_s = max(one.heard_ms for one in heard) // 1_000
        if self._too_soon(eid, unix_s, place):
            return "too_soon"
        key = self._find(eid, unix_s // DAY_S)
        if key is None:
            return "not_in_directory"
        try:
            reports = [seal(self._report(one, place), key) for one in heard]
        except WireError:  # a key that its owner spoiled
            return "key_refused"
        self._remember(eid, _Last(unix_s, place))
        return reports

    def _find(self, eid: bytes, day: int) -> bytes | None:
        found = (self._key(day + beside, eid) for beside in _DAYS)
        return next((key for key in found if key is not None), None)

    def _too_soon(self, eid: bytes, unix_s: int, place: Place) -> bool:
        last = self._last.get(eid)
        return last is not None and abs(unix_s - last.unix_s) < self._gap_s and not moved(last.place, place)

    def _remember(self, eid: bytes, last: _Last) -> None:
        self._last.pop(eid, None)
        if len(self._last) >= _REMEMBERED_MAX:
            del self._last[next(iter(self._last))]
        self._last[eid] = last

    def _report(self, heard: OwnedHeard, place: Place) -> Report:
        return Report(
            lat_e7=place.lat_e7,
            lon_e7=place.lon_e7,
            unix_s=heard.heard_ms // 1_000,
            accuracy_m=place.accuracy_m,
            rssi_dbm=heard.rssi_dbm,
            status=heard.frame[3],
            tail=heard.frame[20:],
            gateway_class=int(self._class),
        )


def moved(before: Place, now: Place) -> bool:
    """Whether a gateway stands elsewhere: farther than its places are exact, for a receiver of satellites that stands
    still wanders within that.
    """
    north_m = (now.lat_e7 - before.lat_e7) * 1e-7 * _DEGREE_M
    east = (now.lon_e7 - before.lon_e7 + 1_800_000_000) % 3_600_000_000 - 1_800_000_000
    east_m = east * 1e-7 * _DEGREE_M * math.cos(math.radians(now.lat_e7 * 1e-7))
    return math.hypot(north_m, east_m) > max(before.accuracy_m, now.accuracy_m)


def _by_identifier(owned: Iterable[OwnedHeard]) -> dict[bytes, list[OwnedHeard]]:
    found: dict[bytes, list[OwnedHeard]] = {}
    for one in owned:
        found.setdefault(one.eid, []).append(one)
    return found
