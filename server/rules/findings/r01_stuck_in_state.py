"""R-01: a unit has been in one state for longer than that state may take: ordered, packed, or on its way."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from datetime import date, datetime

from server.rules import business_days, words
from server.rules.case import Case, SlotCase
from server.rules.facts import Statement, StatementKind
from server.rules.findings.finding import Found, ended, until
from server.rules.gone import out_of_our_hands
from server.rules.payloads import CarrierScan, ShipmentStatus
from server.rules.promises import arrived_at

# Where the parcel waits for its customer, or comes back: no longer "on its way".
_HALTED = frozenset({ShipmentStatus.AVAILABLE_FOR_PICKUP, ShipmentStatus.RETURN_TO_SENDER})


@dataclass(frozen=True, slots=True)
class _Stay:
    """One state: in it since `began` (a local date), too long from `too_long_at` on, until something showed `next`."""

    state: str
    began: date
    too_long_at: datetime
    over_at: datetime | None
    next: str


def find(case: Case) -> Iterable[Found]:
    """One per slot and state, open from the end of the state's last business day until the next state is shown."""
    for units in case.units:
        for stay in _stays(case, units):
            in_time = stay.over_at is not None and stay.over_at <= stay.too_long_at
            if in_time or not case.moment.passed(stay.too_long_at):
                continue
            found = Found(
                slot=units[0].slot.number,
                subject=stay.state,
                since=stay.too_long_at,
                why=f"“{stay.state}” since {words.day(stay.began)}; nothing shows that it {stay.next}.",
            )
            yield ended(units[-1], until(found, [(stay.over_at, f"it {stay.next}")]))


def _stays(case: Case, units: Sequence[SlotCase]) -> Iterable[_Stay]:
    unit, slot = units[-1], units[-1].slot
    left = out_of_our_hands(units)
    boxed = [s.latest for s in unit.of_kind(StatementKind.PACKED)]
    placed = business_days.business_day_of(case.calendar, case.facts.order.placed_at)
    shown_bd = slot.lead_bd if slot.lead_shown else 0
    yield _stay(case, slot.ship_by, "ordered", placed, case.policy.dwell_placed_bd + shown_bd, _first(boxed, left))
    packed = [s for s in unit.of_kind(StatementKind.PACKED) if _of_unit(units, s)]
    if packed:
        began = business_days.local_date(case.zone, packed[0].latest)
        yield _stay(case, slot.ship_by, "packed", began, case.policy.dwell_packed_bd, out_of_our_hands([unit]))
    if unit.departures:
        began = business_days.local_date(case.zone, unit.departures[0])
        here = arrived_at(case, [unit])
        yield _stay(case, None, "on its way", began, case.policy.dwell_on_the_way_bd, _first(_halts(unit), here))


_NEXT = {"ordered": "was packed", "packed": "left us", "on its way": "arrived"}


def _stay(case: Case, ship_by: date | None, state: str, began: date, days: int, over_at: datetime | None) -> _Stay:
    """A day stated for later allows every state before leaving to take until its end."""
    last = business_days.add_business_days(case.calendar, began, days) if days else began
    last = max(last, ship_by) if ship_by else last
    return _Stay(state, began, business_days.end_of_day(case.zone, last), over_at, _NEXT[state])


def _of_unit(units: Sequence[SlotCase], said: Statement) -> bool:
    """True if the box is the present unit's: closed after it was bound, when another one was bound before it."""
    binding = units[-1].binding
    return len(units) == 1 or binding is None or said.latest >= binding.latest


def _halts(unit: SlotCase) -> list[datetime]:
    return [s.latest for s in unit.scans if isinstance(s.payload, CarrierScan) and s.payload.status in _HALTED]


def _first(moments: Iterable[datetime], other: datetime | None) -> datetime | None:
    return min([*moments, *([other] if other else [])], default=None)
