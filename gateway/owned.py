"""Frames that carry no provenance: those of owned tags, of which reports are sealed, and who was there at all. Pure.

Both tables are bounded, and neither keeps an address longer than a minute: an owned tag is told by its identifier of
the day, and only to whoever holds the key of that day.
"""

from __future__ import annotations

from typing import Final, NamedTuple

_EID: Final = slice(4, 20)


class OwnedHeard(NamedTuple):
    """One frame of an owned tag in one window: when it was last heard (ms since 1970) and how strong at best (dBm)."""

    heard_ms: int
    frame: bytes
    rssi_dbm: int

    @property
    def eid(self) -> bytes:
        return self.frame[_EID]


class _Heard:
    """One frame so far."""

    __slots__ = ("frame", "last_ns", "rssi_max")

    def __init__(self, frame: bytes, rssi_dbm: int, now_ns: int) -> None:
        self.frame, self.rssi_max, self.last_ns = frame, rssi_dbm, now_ns

    def again(self, rssi_dbm: int, now_ns: int) -> None:
        self.rssi_max = max(self.rssi_max, rssi_dbm)
        self.last_ns = now_ns

    def told(self, offset_ms: int) -> OwnedHeard:
        return OwnedHeard(max(0, self.last_ns // 1_000_000 + offset_ms), self.frame, self.rssi_max)


class OwnedTable:
    """What one window heard of owned tags: of each identifier its first frame and the newest other one.

    Usually there is no other one. Two, so that a recording that is played, however loud and often, does not push out
    what the tag itself says.
    """

    def __init__(self, identifiers_max: int) -> None:
        self._max = identifiers_max
        self._first: dict[bytes, _Heard] = {}
        self._other: dict[bytes, _Heard] = {}
        self.adverts = 0

    def __len__(self) -> int:
        return len(self._first)

    def hear(self, frame: bytes, rssi_dbm: int, now_ns: int) -> str | None:
        """One advert of an O frame; a reason if there is no room for its identifier."""
        eid = frame[_EID]
        first, other = self._first.get(eid), self._other.get(eid)
        if first is None:
            if len(self._first) >= self._max:
                return "table_full"
            self._first[eid] = _Heard(frame, rssi_dbm, now_ns)
        elif first.frame == frame:
            first.again(rssi_dbm, now_ns)
        elif other is not None and other.frame == frame:
            other.again(rssi_dbm, now_ns)
        else:
            self._other[eid] = _Heard(frame, rssi_dbm, now_ns)
        self.adverts += 1
        return None

    def take(self, offset_ms: int) -> tuple[OwnedHeard, ...]:
        """What was heard, in wall time; the table is empty afterwards."""
        found = tuple(heard.told(offset_ms) for heard in (*self._first.values(), *self._other.values()))
        self._first.clear()
        self._other.clear()
        self.adverts = 0
        return found


class Around(NamedTuple):
    """The last advert of an address: newest frame, its strength (dBm), when (steady ns)."""

    frame: bytes
    rssi_dbm: int
    heard_ns: int


class Present:
    """Addresses that sent an O or N frame lately, for whoever wants to connect; the longest unheard make room."""

    def __init__(self, addresses_max: int) -> None:
        self._max = addresses_max
        self._around: dict[str, Around] = {}

    def hear(self, address: str, frame: bytes, rssi_dbm: int, now_ns: int) -> None:
        around = self._around
        around.pop(address, None)
        if len(around) >= self._max:
            del around[next(iter(around))]
        around[address] = Around(frame, rssi_dbm, now_ns)

    def since(self, then_ns: int) -> dict[str, Around]:
        """Whoever was heard since then; forgets everybody else."""
        self._around = {address: last for address, last in self._around.items() if last.heard_ns >= then_ns}
        return dict(self._around)

    def heard_at(self, address: str) -> int | None:
        last = self._around.get(address)
        return None if last is None else last.heard_ns
