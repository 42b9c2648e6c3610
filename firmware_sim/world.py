"""The fast door: the same firmware in virtual time, without D-Bus. Weeks play in seconds.

A world is told again exactly under the same seed. It is played in parts; each part throws dice of its own, made from
the seed and the part's beginning, so that a run cut off between two parts goes on as if it had not been.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from random import Random
from typing import Final

from firmware_sim.air import Advert, merged, rssi_dbm
from firmware_sim.story import Stretch
from firmware_sim.tag import (
    TRANSIT_INTERVAL_S,
    Dice,
    Event,
    Moved,
    PowerOff,
    PowerOn,
    TagState,
    Tick,
    Unit,
    next_beacon_at_s,
    step,
)

_NEVER: Final = float("inf")


@dataclass(frozen=True, slots=True)
class TagLife:
    """One tag: who can hear it when, and what happens to it, in order of time."""

    unit: Unit
    stretches: tuple[Stretch, ...]
    events: tuple[Event, ...]


def life(unit: Unit, stretches: Iterable[Stretch], boots_s: Iterable[float], events: Iterable[Event] = ()) -> TagLife:
    """A tag that is powered up at these moments and feels that it is moved whenever it comes to another place."""
    stretches = tuple(stretches)
    power: list[Event] = []
    for boot_s in boots_s:
        power += [PowerOff(boot_s), PowerOn(boot_s)]
    moves = [Moved(stretch.from_s) for stretch in stretches]
    return TagLife(unit, stretches, tuple(sorted([*power, *moves, *events], key=lambda event: event.now_s)))


class World:
    """A story being played; `states` are the tags as they are now, by serial.

    `thin`: each receiver takes about one frame in every `every_s` of the stretch, as the story says; else every one.
    """

    def __init__(
        self, tags: Iterable[TagLife], seed: int, *, thin: bool = True, states: Mapping[int, TagState] | None = None
    ) -> None:
        self._tags = tuple(tags)
        self._seed, self._thin = seed, thin
        fresh = {tag.unit.serial: TagState(tag.unit) for tag in self._tags}
        self.states: dict[int, TagState] = {**fresh, **(states or {})}

    def adverts(self, from_s: float, to_s: float) -> Iterator[Advert]:
        """What the gateways hear from `from_s` until before `to_s`, in order of time; `states` follow."""
        yield from merged(*(self._play(tag, from_s, to_s) for tag in self._tags))

    def _play(self, tag: TagLife, from_s: float, to_s: float) -> Iterator[Advert]:
        dice = Random(f"{self._seed}:{tag.unit.serial}:{from_s:.3f}").randbytes
        happens = iter([event for event in tag.events if from_s <= event.now_s < to_s])
        event, now_s = next(happens, None), from_s
        ears = [_Ear(stretch, from_s, dice, self._thin) for stretch in tag.stretches]
        while True:
            state = self.states[tag.unit.serial]
            beacon_s = _next_heard_s(state, ears, now_s)
            if event is not None and event.now_s <= beacon_s:
                self.states[tag.unit.serial], _ = step(state, event, dice)
                now_s, event = event.now_s, next(happens, None)
                continue
            if beacon_s >= to_s:
                return
            now_s = beacon_s
            self.states[tag.unit.serial], outputs = step(state, Tick(now_s), dice)
            for output in outputs:
                for gateway, level in _listeners(ears, now_s, dice):
                    yield Advert(int(now_s * 1000), gateway, output.address, output.frame, level)


def simulate(tags: Iterable[TagLife], from_s: float, to_s: float, seed: int, *, thin: bool = True) -> Iterator[Advert]:
    """A whole story in one part."""
    return World(tags, seed, thin=thin).adverts(from_s, to_s)


class _Ear:
    """One stretch, and when its receivers next want a frame. Frames nobody wants are skipped over, unmade."""

    __slots__ = ("stretch", "thin", "wants_at_s")

    def __init__(self, stretch: Stretch, from_s: float, dice: Dice, thin: bool) -> None:
        self.stretch, self.thin = stretch, thin
        late = max(0.0, from_s - stretch.from_s) // stretch.every_s
        begun = stretch.from_s + late * stretch.every_s
        while begun < from_s:  # a part begins in the middle of a stretch
            begun += stretch.every_s
        self.wants_at_s = self._a_little_after(begun, dice) if thin else max(stretch.from_s, from_s)

    def take(self, now_s: float, dice: Dice) -> None:
        if self.thin:
            gone = (now_s - self.stretch.from_s) // self.stretch.every_s + 1
            self.wants_at_s = self._a_little_after(self.stretch.from_s + gone * self.stretch.every_s, dice)

    def _a_little_after(self, moment_s: float, dice: Dice) -> float:
        """A tag beacons when it likes, not on the stroke of the hour."""
        return moment_s + dice(1)[0] / 256 * min(TRANSIT_INTERVAL_S, self.stretch.every_s / 4)


def _next_heard_s(state: TagState, ears: list[_Ear], now_s: float) -> float:
    """When the tag next beacons while somebody wants to hear it."""
    due_s = next_beacon_at_s(state)
    if due_s is None:
        return _NEVER
    moments = ((max(due_s, now_s, ear.wants_at_s), ear.stretch.to_s) for ear in ears)
    return min((at_s for at_s, to_s in moments if at_s < to_s), default=_NEVER)


def _listeners(ears: list[_Ear], now_s: float, dice: Dice) -> Iterator[tuple[str, int]]:
    for ear in ears:
        if ear.stretch.from_s <= now_s < ear.stretch.to_s and ear.wants_at_s <= now_s:
            ear.take(now_s, dice)
            for gateway in ear.stretch.heard_by:
                level = rssi_dbm(ear.stretch.metres, dice)
                if level is not None:
                    yield gateway, level
