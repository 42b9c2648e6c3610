"""The hidden truth of one seed: where each tag really is when, and what people say about it, true or not.

Two and a half days from four o'clock in the morning. Every parcel waits in the warehouse first; then it leaves with
the pickup it was said to leave with, or with a later one, or never, or it comes back.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import UTC, datetime
from enum import StrEnum
from random import Random
from typing import Final

from server.rules.facts import Source, StatementKind
from tests.world.cast import (
    DEPOT,
    HOME,
    ORDERED,
    PICKUP_GRACE_MS,
    POISON_SERIAL,
    ROAD,
    SERIALS,
    STREET,
    WAREHOUSE,
    Spot,
)
from tests.world.timeline import HOUR_MS, MINUTE_MS

MONDAY: Final = int(datetime(2026, 11, 16, 4, 0, tzinfo=UTC).timestamp() * 1000)
STORY_H: Final = 56
DAY_MS: Final = 24 * HOUR_MS
# 17:00 in Berlin, in winter, counted from the story's first moment at 04:00 UTC.
_FIRST_PICKUP_MS: Final = 12 * HOUR_MS


class Plan(StrEnum):
    """What becomes of a tag."""

    TRUE = "leaves as said"
    LATE = "leaves with a later pickup than said"
    LIE = "never leaves"
    BACK = "leaves as said and comes back"
    STOCK = "lies about"


@dataclass(frozen=True, slots=True)
class Stay:
    """A while in one place; in between it is on its way and nobody hears it."""

    spot: Spot
    from_ms: int
    to_ms: int


@dataclass(frozen=True, slots=True)
class Word:
    """One statement: said at a moment, learnt by the house later."""

    key: str
    kind: StatementKind
    said_ms: int
    learnt_ms: int
    source: Source
    about_ms: int | None = None
    payload: Mapping[str, object] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class Parcel:
    """One tag and, if it was ordered, its order."""

    serial: int
    plan: Plan
    stays: tuple[Stay, ...]
    powered_ms: int
    reboots_ms: tuple[int, ...]
    drift_ppm: float
    order: str | None = None
    words: tuple[Word, ...] = ()

    def spot_at(self, ms: int) -> Spot | None:
        return next((stay.spot for stay in self.stays if stay.from_ms <= ms < stay.to_ms), None)

    def was_at(self, spot: Spot, from_ms: int, to_ms: int) -> bool:
        return any(stay.spot is spot and stay.from_ms < to_ms and from_ms < stay.to_ms for stay in self.stays)

    @property
    def left_ms(self) -> int | None:
        """When it really left the warehouse."""
        return self.stays[0].to_ms if len(self.stays) > 1 else None

    @property
    def back_ms(self) -> int | None:
        """When it really came back."""
        return next((stay.from_ms for stay in self.stays[1:] if stay.spot is WAREHOUSE), None)

    def word(self, kind: StatementKind) -> Word | None:
        return next((word for word in self.words if word.kind is kind), None)


@dataclass(frozen=True, slots=True)
class Truth:
    """A whole story. `moments_ms`: when tags beacon where somebody might hear them."""

    begins_ms: int
    ends_ms: int
    parcels: tuple[Parcel, ...]
    moments_ms: tuple[int, ...]

    def pickup_after(self, ms: int) -> int:
        """The first pickup after a moment: on working days only."""
        pickup = self.begins_ms + _FIRST_PICKUP_MS
        while pickup <= ms or datetime.fromtimestamp(pickup / 1000, UTC).weekday() > 4:
            pickup += DAY_MS
        return pickup

    def gone_by(self, said_ms: int) -> int:
        """From when on a parcel said to be gone has no business inside."""
        return max(said_ms + 30 * MINUTE_MS, self.pickup_after(said_ms) + PICKUP_GRACE_MS)


def draw(dice: Random) -> Truth:
    """A story from the dice."""
    begins_ms = MONDAY + dice.choice((0, 0, 0, 1, 2, 4)) * DAY_MS
    ends_ms = begins_ms + STORY_H * HOUR_MS
    truth = Truth(begins_ms, ends_ms, (), _moments(begins_ms, ends_ms, dice))
    ordered = dice.sample(ORDERED, dice.choice((1, 2, 2, 3)))
    others = [serial for serial in SERIALS if serial not in ORDERED]
    stray = [s for s in others if dice.random() < (0.4 if s == POISON_SERIAL else 0.35)]
    parcels = [_ordered(serial, truth, dice) for serial in ordered] + [_stray(serial, truth, dice) for serial in stray]
    return Truth(begins_ms, ends_ms, tuple(parcels), truth.moments_ms)


def _moments(begins_ms: int, ends_ms: int, dice: Random) -> tuple[int, ...]:
    """Every hour or five, and densely around the pickups, where verdicts change."""
    moments, at_ms = [], begins_ms
    while at_ms < ends_ms:
        moments.append(at_ms)
        at_ms += dice.randint(80, 340) * MINUTE_MS
    for day in range(3):
        pickup_ms = begins_ms + _FIRST_PICKUP_MS + day * DAY_MS
        moments += [pickup_ms + dice.randint(-90, 240) * MINUTE_MS for _ in range(2)]
    return tuple(sorted(moments))


def _stray(serial: int, truth: Truth, dice: Random) -> Parcel:
    spot = dice.choice((WAREHOUSE, WAREHOUSE, DEPOT, HOME))
    stay = Stay(spot, truth.begins_ms, truth.ends_ms)
    if serial == POISON_SERIAL:  # it spoils every batch that it is in, so it does not stay for long
        from_ms = truth.begins_ms + dice.randint(0, STORY_H - 12) * HOUR_MS
        stay = Stay(spot, from_ms, from_ms + dice.randint(6, 12) * HOUR_MS)
    return Parcel(serial, Plan.STOCK, (stay,), _powered(truth, dice), _reboots(truth, dice), dice.uniform(-100, 100))


def _powered(truth: Truth, dice: Random) -> int:
    return truth.begins_ms - dice.randint(1, 20 * 24) * HOUR_MS - dice.randint(0, HOUR_MS)


def _reboots(truth: Truth, dice: Random) -> tuple[int, ...]:
    """Now and then a tag loses its power and starts again."""
    count = dice.choice((0, 0, 0, 0, 1, 2))
    return tuple(sorted(truth.begins_ms + dice.randint(1, STORY_H * 60) * MINUTE_MS for _ in range(count)))


def _ordered(serial: int, truth: Truth, dice: Random) -> Parcel:
    plan = dice.choice((Plan.TRUE, Plan.TRUE, Plan.TRUE, Plan.LIE, Plan.LIE, Plan.LATE, Plan.BACK))
    bound_ms = truth.begins_ms + dice.randint(150, 360) * MINUTE_MS
    said_ms = bound_ms + dice.randint(20, 420) * MINUTE_MS
    pickup_ms = truth.pickup_after(said_ms)
    if plan is Plan.LATE:
        pickup_ms = truth.pickup_after(pickup_ms)
    left_ms = pickup_ms + dice.randint(5, 80) * MINUTE_MS
    stays = _journey(plan, left_ms, truth, dice)
    powered_ms, reboots_ms = _powered(truth, dice), _reboots(truth, dice)
    words = _words(serial, plan, bound_ms, said_ms, stays, truth, dice)
    return Parcel(
        serial, plan, stays, powered_ms, reboots_ms, dice.uniform(-100, 100), f"W-{serial}", words
    )  # fmt: skip


def _journey(plan: Plan, left_ms: int, truth: Truth, dice: Random) -> tuple[Stay, ...]:
    if plan is Plan.LIE or left_ms >= truth.ends_ms:
        return (Stay(WAREHOUSE, truth.begins_ms, truth.ends_ms),)
    legs = [(WAREHOUSE, truth.begins_ms, left_ms)]
    legs.append((ROAD, left_ms + 25 * MINUTE_MS, left_ms + 100 * MINUTE_MS))
    depot_ms = left_ms + 150 * MINUTE_MS
    if plan is Plan.BACK:
        back_ms = left_ms + dice.randint(30, 40) * HOUR_MS
        legs += [(DEPOT, depot_ms, back_ms - 3 * HOUR_MS), (WAREHOUSE, back_ms, truth.ends_ms)]
    else:
        on_ms = depot_ms + dice.randint(3, 12) * HOUR_MS
        legs += [(DEPOT, depot_ms, on_ms), (STREET, on_ms + 3 * HOUR_MS, on_ms + 4 * HOUR_MS)]
        legs.append((HOME, on_ms + 270 * MINUTE_MS, truth.ends_ms))
    return tuple(Stay(spot, a, min(b, truth.ends_ms)) for spot, a, b in legs if a < min(b, truth.ends_ms))


def _words(
    serial: int, plan: Plan, bound_ms: int, said_ms: int, stays: tuple[Stay, ...], truth: Truth, dice: Random
) -> tuple[Word, ...]:
    """What is said: the bench is honest, the desk is not always, and the carrier scans what it has in hand."""

    def learnt(ms: int) -> int:
        return ms + dice.choice((0, 0, 5, 90)) * MINUTE_MS

    words = [
        Word("bound", StatementKind.SERIAL_BOUND, bound_ms, learnt(bound_ms), Source.WAREHOUSE, bound_ms,
             {"serial": serial}),
        Word("packed", StatementKind.PACKED, bound_ms + 5 * MINUTE_MS, learnt(bound_ms + 5 * MINUTE_MS),
             Source.WAREHOUSE, bound_ms + 5 * MINUTE_MS),
    ]  # fmt: skip
    if dice.random() < 0.9:
        about = said_ms if dice.random() < 0.5 else None
        words.append(Word("gone", StatementKind.DISPATCHED, said_ms, learnt(said_ms), Source.STAFF, about))
    number = f"TRACK{serial}"
    if dice.random() < 0.4:
        label = {"carrier": "DHL", "number": number}
        words.append(Word("label", StatementKind.LABEL_PRINTED, said_ms - 10 * MINUTE_MS, learnt(said_ms),
                          Source.WAREHOUSE, said_ms - 10 * MINUTE_MS, label))  # fmt: skip
    for stay in stays[1:]:
        status = {DEPOT.name: "in_transit", HOME.name: "delivered"}.get(stay.spot.name)
        if status and dice.random() < 0.5:
            scan = {"carrier": "DHL", "number": number, "status": status, "physical": True}
            at_ms = stay.from_ms + 10 * MINUTE_MS
            words.append(Word(f"scan-{status}", StatementKind.CARRIER_SCAN, at_ms, learnt(at_ms), Source.CARRIER,
                              at_ms, scan))  # fmt: skip
    if dice.random() < 0.3:
        late_ms = min(said_ms + 20 * HOUR_MS, truth.ends_ms)
        words.append(Word("arrived", StatementKind.DELIVERED, late_ms, learnt(late_ms), Source.STAFF, late_ms))
    return tuple(words)
