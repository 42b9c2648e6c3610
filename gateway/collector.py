"""Many adverts in, few sightings out: one per device address and window, in a bounded table. Pure.

`hear` is the whole truth about one advert. The scanner calls what `ear` makes: a shortcut for the common case (an
address of this window repeats its frame) that costs one lookup, one comparison and three stores, and `hear` otherwise.
Whatever is refused is counted with a reason, before anything is allocated for it: strangers may not cost memory.

    always:  adverts heard  =  the adverts of all sightings  +  those of owned tags  +  all that was dropped

Times are steady nanoseconds (clock.py); `take` turns them into wall time.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Final, Protocol

from gateway.owned import OwnedHeard, OwnedTable, Present
from wire.batch import MAX_FRAMES_PER_SIGHTING, HeardFrame, Sighting
from wire.frames import FRAME_LEN, SERVICE_UUID, FrameType

NS: Final = 1_000_000_000
# What bleak says when BlueZ has no RSSI (the device was lost, or a field changed without a packet).
NO_RSSI_DBM: Final = -127
# Radios hear nothing above this; 127 is Bluetooth's own "not available".
RSSI_MAX_DBM: Final = 20
# A new tag is told after this: long enough for its neighbours in the same parcel to join, short for who waits.
SETTLE_NS: Final = 2 * NS
# ... but not more often than this, so that a flood of invented addresses makes no flood of batches.
EARLY_GAP_NS: Final = 5 * NS
# An address unheard for so long is new when it comes back: several beacons of a slow tag.
FORGET_NS: Final = 120 * NS
# Counts without any sighting wait this long: they are health, not evidence.
QUIET_NS: Final = 600 * NS
# Whoever was heard within this can probably be connected to.
PRESENT_NS: Final = 60 * NS
_LOST_MAX: Final = 0xFFFF
# Plain numbers: every new frame is compared with them, and an enumeration's member costs ten times as much to look up.
_PROVENANCE, _NEAR_OWNER = int(FrameType.PROVENANCE), int(FrameType.NEAR_OWNER)
_OTHERS: Final = frozenset(map(int, FrameType)) - {_PROVENANCE}
# The first two and the last two distinct frames are kept: neither end can be pushed out by a flood in between.
_FIRST_KEPT: Final = MAX_FRAMES_PER_SIGHTING // 2


@dataclass(frozen=True, slots=True)
class Window:
    """What was heard since the last window: sightings in wall time, what was dropped, by reason, and the frames of
    owned tags, which travel apart from sightings, with the number of their adverts.
    """

    sightings: tuple[Sighting, ...]
    dropped: Mapping[str, int]
    owned: tuple[OwnedHeard, ...] = ()
    owned_adverts: int = 0


@dataclass(frozen=True, slots=True)
class Candidate:
    """A tag that is probably still there: its address and newest frame."""

    address: str
    frame: bytes
    rssi_dbm: int
    heard_ns: int


class _Heard:
    """One address in one window. `frame` is the newest, its time is `last_ns`; `times` holds those of the others."""

    __slots__ = ("adverts", "at", "first_ns", "frame", "frames", "last_ns", "lost", "rssi_max", "rssi_sum", "times")

    def __init__(self, frame: bytes, rssi_dbm: int, now_ns: int) -> None:
        self.frame = frame
        self.adverts = 1
        self.first_ns = self.last_ns = now_ns
        self.rssi_max = self.rssi_sum = rssi_dbm
        self.frames = [frame]
        self.times = [now_ns]
        self.at = 0
        self.lost = 0

    def again(self, frame: bytes, rssi_dbm: int, now_ns: int) -> None:
        """Another advert of this address."""
        if frame != self.frame:
            self._turn_to(frame)
        self.adverts += 1
        self.last_ns = now_ns
        self.rssi_sum += rssi_dbm
        self.rssi_max = max(self.rssi_max, rssi_dbm)

    def _turn_to(self, frame: bytes) -> None:
        """Another frame than the newest. At most four are kept, the rest counted in `lost`."""
        self.times[self.at] = self.last_ns
        self.frame = frame
        if frame in self.frames:
            self.at = self.frames.index(frame)
            return
        if len(self.frames) == MAX_FRAMES_PER_SIGHTING:
            del self.frames[_FIRST_KEPT], self.times[_FIRST_KEPT]
            self.lost = min(self.lost + 1, _LOST_MAX)
        self.frames.append(frame)
        self.times.append(0)
        self.at = len(self.frames) - 1

    def sighting(self, offset_ms: int) -> Sighting:
        self.times[self.at] = self.last_ns
        return Sighting(
            first_ms=_wall(self.first_ns, offset_ms),
            last_ms=_wall(self.last_ns, offset_ms),
            adverts=self.adverts,
            rssi_max_dbm=self.rssi_max,
            rssi_mean_dbm=round(self.rssi_sum / self.adverts),
            frames=tuple(
                HeardFrame(_wall(time_ns, offset_ms), frame)
                for time_ns, frame in zip(self.times, self.frames, strict=True)
            ),
            frames_lost=self.lost,
        )


def _wall(steady_ns: int, offset_ms: int) -> int:
    """A clock that says 1969 is marked bad elsewhere; here it must only fit its field."""
    return max(0, steady_ns // 1_000_000 + offset_ms)


class Sender(Protocol):
    """Whoever sent an advert, as a scanner shows it."""

    @property
    def address(self) -> str: ...


class Advert(Protocol):
    """What was sent, as a scanner shows it."""

    @property
    def service_data(self) -> Mapping[str, bytes]: ...

    @property
    def rssi(self) -> int: ...


class Collector:
    """The table of one gateway."""

    def __init__(self, *, network_id: int, now_ns: int, window_s: float = 60.0, addresses_max: int = 4_096) -> None:
        self._foreign = 0
        self._network_id = network_id
        self._window_ns = int(window_s * NS)
        self._addresses_max = addresses_max
        self._window: dict[str, _Heard] = {}
        self._recent: dict[str, Candidate] = {}
        self._owned = OwnedTable(addresses_max)
        self._present = Present(addresses_max)
        self._owned_before = 0
        self._dropped: Counter[str] = Counter()
        self._dropped_before: Counter[str] = Counter()
        self._sighted_before = 0
        self._opened_ns: int | None = None
        self._new_ns: int | None = None
        self._early_ns = now_ns - EARLY_GAP_NS
        self._taken_ns = now_ns

    def ear(self, now_ns: Callable[[], int]) -> Callable[[Sender, Advert], None]:
        """The scanner's callback."""
        find = self._window.get  # the window is emptied, never exchanged
        uuid, no_rssi_dbm = SERVICE_UUID, NO_RSSI_DBM

        def heard_one(sender: Sender, advert: Advert) -> None:
            frame = advert.service_data.get(uuid)
            if frame is None:
                self._foreign += 1
                return
            heard = find(sender.address)
            rssi_dbm = advert.rssi
            if heard is None or heard.frame != frame or rssi_dbm > heard.rssi_max or rssi_dbm <= no_rssi_dbm:
                self.hear(sender.address, frame, rssi_dbm, now_ns())
                return
            heard.adverts += 1
            heard.last_ns = now_ns()
            heard.rssi_sum += rssi_dbm

        return heard_one

    def hear(self, address: str, frame: bytes | None, rssi_dbm: int, now_ns: int) -> None:
        """One advert; `frame` is what it carries for our service, None for nothing."""
        if frame is None:
            self._foreign += 1
            return
        reason = self._refusal(frame, rssi_dbm)
        if reason is None and frame[2] != _PROVENANCE:
            reason = self._pass_by(address, frame, rssi_dbm, now_ns)
        elif reason is None:
            heard = self._window.get(address)
            if heard is None:
                reason = self._admit(address, frame, rssi_dbm, now_ns)
            else:
                heard.again(frame, rssi_dbm, now_ns)
        if reason is not None:
            self._dropped[reason] += 1

    def _refusal(self, frame: bytes, rssi_dbm: int) -> str | None:
        """Why this advert is none of ours, cheapest check first; None if it is."""
        if len(frame) != FRAME_LEN:
            return "frame_length"
        if frame[0] != self._network_id:
            return "foreign_network"
        if frame[2] != _PROVENANCE and frame[2] not in _OTHERS:
            return "frame_type"
        if not NO_RSSI_DBM < rssi_dbm <= RSSI_MAX_DBM:
            return "no_rssi"
        return None

    def _pass_by(self, address: str, frame: bytes, rssi_dbm: int, now_ns: int) -> str | None:
        """An owned tag's advert: somebody to connect to. Near its owner it is nobody's business beyond that."""
        self._present.hear(address, frame, rssi_dbm, now_ns)
        if frame[2] == _NEAR_OWNER:
            return "near_owner"
        reason = self._owned.hear(frame, rssi_dbm, now_ns)
        if reason is None and self._opened_ns is None:
            self._opened_ns = now_ns
        return reason

    def _admit(self, address: str, frame: bytes, rssi_dbm: int, now_ns: int) -> str | None:
        """A first advert of this address in this window; a reason if the table has no room for it."""
        if len(self._window) >= self._addresses_max:
            return "table_full"
        if self._opened_ns is None:
            self._opened_ns = now_ns
        before = self._recent.get(address)
        if (before is None or now_ns - before.heard_ns > FORGET_NS) and self._new_ns is None:
            self._new_ns = now_ns
        self._window[address] = _Heard(frame, rssi_dbm, now_ns)
        return None

    def due(self, now_ns: int) -> bool:
        """Whether the window should be taken now: it is over, it holds somebody new, or counts have waited long."""
        if self._opened_ns is None:
            return now_ns - self._taken_ns >= QUIET_NS and bool(self._foreign or self._dropped)
        if now_ns - self._opened_ns >= self._window_ns:
            return True
        return self._new_ns is not None and now_ns >= max(self._new_ns + SETTLE_NS, self._early_ns + EARLY_GAP_NS)

    def take(self, now_ns: int, offset_ms: int) -> Window:
        """The window as it is, and a new one begins. `offset_ms` turns steady milliseconds into wall time."""
        if self._new_ns is not None:
            self._early_ns = now_ns
        self._remember(self._window, now_ns)
        sightings = tuple(heard.sighting(offset_ms) for heard in self._window.values())
        self._window.clear()
        dropped = self._dropped
        if self._foreign:
            dropped["foreign"] = self._foreign
        self._dropped, self._foreign = Counter(), 0
        self._dropped_before += dropped
        self._sighted_before += sum(seen.adverts for seen in sightings)
        owned_adverts = self._owned.adverts
        self._owned_before += owned_adverts
        self._opened_ns = self._new_ns = None
        self._taken_ns = now_ns
        return Window(sightings, dict(dropped), self._owned.take(offset_ms), owned_adverts)

    def _remember(self, window: Mapping[str, _Heard], now_ns: int) -> None:
        kept = {a: c for a, c in self._recent.items() if now_ns - c.heard_ns <= FORGET_NS and a not in window}
        kept.update(_newest(window))
        excess = len(kept) - self._addresses_max
        if excess > 0:
            for candidate in sorted(kept.values(), key=lambda c: c.heard_ns)[:excess]:
                del kept[candidate.address]
        self._recent = kept

    def candidates(self, now_ns: int) -> list[Candidate]:
        """Tags heard within the last minute, whatever their frames, strongest first."""
        others = {a: Candidate(a, *last) for a, last in self._present.since(now_ns - PRESENT_NS).items()}
        present = {**others, **self._recent, **_newest(self._window)}
        for address, other in others.items():  # a tag that was just claimed: its newest frame counts
            if other.heard_ns > present[address].heard_ns:
                present[address] = other
        near = [c for c in present.values() if now_ns - c.heard_ns <= PRESENT_NS]
        return sorted(near, key=lambda c: c.rssi_dbm, reverse=True)

    def heard_at(self, address: str) -> int | None:
        """When this address was last heard; None if it is long ago."""
        heard, before = self._window.get(address), self._recent.get(address)
        moments = [
            None if heard is None else heard.last_ns,
            None if before is None else before.heard_ns,
            self._present.heard_at(address),
        ]
        return max((moment for moment in moments if moment is not None), default=None)

    def dropped_total(self) -> Counter[str]:
        """What was dropped since this collector began, by reason."""
        total = self._dropped_before + self._dropped
        total["foreign"] += self._foreign
        return +total

    def adverts_total(self) -> int:
        """Every advert since this collector began, whoever sent it."""
        sighted = self._sighted_before + sum(heard.adverts for heard in self._window.values())
        owned = self._owned_before + self._owned.adverts
        return sighted + owned + sum(self.dropped_total().values())


def _newest(window: Mapping[str, _Heard]) -> dict[str, Candidate]:
    return {a: Candidate(a, h.frame, h.rssi_max, h.last_ns) for a, h in window.items()}
