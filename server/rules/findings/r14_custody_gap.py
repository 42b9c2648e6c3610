"""R-14: one carrier's leg has ended, and the next carrier has not scanned the parcel a business day later."""

from __future__ import annotations

from collections.abc import Iterable
from datetime import datetime

from server.rules import business_days, words
from server.rules.case import Case, SlotCase
from server.rules.evidence import of_statement
from server.rules.facts import Statement, StatementKind
from server.rules.findings.finding import Found, ended, until
from server.rules.payloads import CarrierScan, Label, LegEnded
from server.rules.promises import arrived_at


def find(case: Case) -> Iterable[Found]:
    """One per slot and leg, until the next carrier's first scan or its arrival."""
    for units in case.units:
        for unit in units:
            ends = [s for s in unit.of_kind(StatementKind.LEG_ENDED) if _of_unit(case, unit, s)]
            legs = {s.payload.leg for s in ends if isinstance(s.payload, LegEnded)}
            legs |= {label.leg - 1 for _, label in _labels(unit) if label.leg > 1}
            for leg in sorted(legs):
                yield from _of_leg(case, unit, leg, ends)


def _of_unit(case: Case, unit: SlotCase, said: Statement) -> bool:
    return case.witness(unit.slot.number, said.latest) == unit


def _labels(unit: SlotCase) -> list[tuple[Statement, Label]]:
    return [(s, s.payload) for s in unit.labels if isinstance(s.payload, Label)]


def _of_leg(case: Case, unit: SlotCase, leg: int, ends: list[Statement]) -> Iterable[Found]:
    handed_on = _ended_at(unit, leg, ends)
    due = business_days.business_days_end(case.calendar, handed_on.latest, case.policy.custody_gap_bd)
    seen = [*_next_scans(unit, leg), *_arrivals(case, unit)]
    if any(at <= due for at, _ in seen) or not case.moment.passed(due):
        return
    found = Found(
        slot=unit.slot.number,
        subject=f"leg {leg + 1}",
        since=due,
        why=f"{_since_when(handed_on)} {words.moment(handed_on.latest, case.zone)};"
        " the next carrier has not scanned it.",
        evidence=(of_statement(handed_on, case.zone),),
    )
    yield ended(unit, until(found, seen))


def _since_when(said: Statement) -> str:
    match said.payload:
        case LegEnded(leg=leg):
            return f"Leg {leg} ended"
        case Label(leg=leg):
            return f"The label of leg {leg} is of"
        case _:
            return "The carrier before it last scanned it"


def _ended_at(unit: SlotCase, leg: int, ends: list[Statement]) -> Statement:
    """The word that the leg ended; without one the next leg's label, or the leg's own last scan if that came later."""
    said = [s for s in ends if isinstance(s.payload, LegEnded) and s.payload.leg == leg]
    if said:
        return min(said, key=lambda s: (s.latest, s.id))
    first = min((s for s, label in _labels(unit) if label.leg == leg + 1), key=lambda s: (s.latest, s.id))
    return max([first, *_scans(unit, _numbers(unit, leg))], key=lambda s: (s.latest, s.id))


def _numbers(unit: SlotCase, leg: int) -> set[str]:
    return {label.number for _, label in _labels(unit) if label.leg == leg}


def _scans(unit: SlotCase, numbers: set[str]) -> list[Statement]:
    return [s for s in unit.physical_scans if isinstance(s.payload, CarrierScan) and s.payload.number in numbers]


def _next_scans(unit: SlotCase, leg: int) -> Iterable[tuple[datetime, str]]:
    later = {label.number for _, label in _labels(unit) if label.leg > leg}
    return ((s.latest, "the next carrier scanned it") for s in _scans(unit, later))


def _arrivals(case: Case, unit: SlotCase) -> Iterable[tuple[datetime, str]]:
    arrived = arrived_at(case, [unit])
    return [(arrived, "it arrived")] if arrived else []
