"""R-04: a label without a physical scan. A warning after one business day, high after two, critical after five."""

from __future__ import annotations

from collections.abc import Iterable, Sequence

from server.rules import business_days, words
from server.rules.case import Case, SlotCase
from server.rules.evidence import of_statement
from server.rules.facts import Statement
from server.rules.findings.finding import Found, Severity, earliest, ended, until
from server.rules.gone import REPLACED, out_of_our_hands, replaced_at
from server.rules.payloads import Label


def find(case: Case) -> Iterable[Found]:
    """One per slot and number, until the carrier has the parcel in hand or it is heard away from our sites."""
    for units in case.units:
        by_number: dict[str, list[Found]] = {}
        for unit in units:
            for label in _first_of_each_number(unit):
                for found in _of_label(case, units, unit, label):
                    by_number.setdefault(found.subject, []).append(found)
        for of_number in by_number.values():
            yield from earliest(of_number)


def _first_of_each_number(unit: SlotCase) -> Iterable[Statement]:
    numbers: dict[str, Statement] = {}
    for label in unit.labels:
        assert isinstance(label.payload, Label), "not a label"
        numbers.setdefault(label.payload.number, label)
    return numbers.values()


def _of_label(case: Case, units: Sequence[SlotCase], unit: SlotCase, label: Statement) -> Iterable[Found]:
    assert isinstance(label.payload, Label), "not a label"
    policy = case.policy
    steps = (
        (policy.label_warn_bd, Severity.WARNING),
        (policy.label_high_bd, Severity.HIGH),
        (policy.label_critical_bd, Severity.CRITICAL),
    )
    due = [(business_days.business_days_end(case.calendar, label.latest, count), severity) for count, severity in steps]
    departed = out_of_our_hands([unit])
    if departed is not None and departed <= due[0][0]:
        return
    reached = [severity for deadline, severity in due if case.moment.passed(deadline)]
    if not reached:
        return
    printed = words.moment(label.latest, case.zone)
    found = Found(
        slot=unit.slot.number,
        subject=label.payload.number,
        since=due[0][0],
        why=f"Number {label.payload.number} was given {printed}; {label.payload.carrier} has not had it in hand.",
        evidence=(of_statement(label, case.zone),),
        severity=reached[-1],
    )
    ends = [(departed, "the parcel was seen on its way"), (replaced_at(units, unit), REPLACED)]
    yield ended(unit, until(found, ends))
