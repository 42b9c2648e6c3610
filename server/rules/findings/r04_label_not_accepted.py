"""R-04: a label without a physical scan. A warning after one business day, high after two, critical after five."""

from __future__ import annotations

from collections.abc import Iterable

from server.rules import business_days, words
from server.rules.case import Case, SlotCase
from server.rules.evidence import of_statement
from server.rules.facts import Statement
from server.rules.findings.finding import Found, Severity, ended
from server.rules.payloads import Label


def find(case: Case) -> Iterable[Found]:
    """One per slot and number, until the carrier has the parcel in hand or it is heard away from our sites."""
    for units in case.units:
        for unit in units:
            for label in _first_of_each_number(unit):
                yield from _of_label(case, unit, label)


def _first_of_each_number(unit: SlotCase) -> Iterable[Statement]:
    numbers: dict[str, Statement] = {}
    for label in unit.labels:
        assert isinstance(label.payload, Label), "not a label"
        numbers.setdefault(label.payload.number, label)
    return numbers.values()


def _of_label(case: Case, unit: SlotCase, label: Statement) -> Iterable[Found]:
    assert isinstance(label.payload, Label), "not a label"
    policy = case.policy
    steps = (
        (policy.label_warn_bd, Severity.WARNING),
        (policy.label_high_bd, Severity.HIGH),
        (policy.label_critical_bd, Severity.CRITICAL),
    )
    due = [(business_days.business_days_end(case.calendar, label.latest, count), severity) for count, severity in steps]
    departed = min(unit.departures, default=None)
    if departed is not None and departed <= due[0][0]:
        return
    reached = [severity for deadline, severity in due if case.moment.passed(deadline)]
    if not reached:
        return
    printed = words.moment(label.latest, case.zone)
    yield ended(
        unit,
        Found(
            slot=unit.slot.number,
            subject=label.payload.number,
            since=due[0][0],
            why=f"Number {label.payload.number} was given {printed}; {label.payload.carrier} has not had it in hand.",
            evidence=(of_statement(label, case.zone),),
            severity=reached[-1],
            cleared_at=departed,
            cleared_because="the parcel was seen on its way" if departed else "",
        ),
    )
