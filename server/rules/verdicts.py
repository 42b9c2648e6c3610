"""The verdict on every statement that says something physical, one per slot that it is about.

Statements about words only (promises, contacts, notes, payments) have no verdict: promises are judged in `promises`.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass

from server.rules.case import Case, SlotCase
from server.rules.evidence import Evidence, Verdict, of_sightings, of_statement, together
from server.rules.facts import Statement, StatementKind
from server.rules.gone import Answer, inside_after, judge_gone, receipts
from server.rules.life import Step
from server.rules.payloads import CarrierScan, Label
from server.rules.steps import StepVerdict


@dataclass(frozen=True, slots=True)
class StatementVerdict:
    """What the evidence says of one statement about one slot."""

    statement: str
    kind: StatementKind
    slot: int
    verdict: Verdict
    evidence: tuple[Evidence, ...]
    why: str


_AS_STEP: Mapping[StatementKind, Step] = {
    StatementKind.SERIAL_BOUND: Step.BOUND,
    StatementKind.PACKED: Step.PACKED,
    StatementKind.DELIVERED: Step.DELIVERED,
    StatementKind.RETURNED: Step.RETURNED,
}


def verdicts_of(case: Case, steps: tuple[StepVerdict, ...]) -> tuple[StatementVerdict, ...]:
    """A verdict for each standing statement and each slot it covers, in order of time."""
    by_step = {(s.slot, s.step): Answer(s.verdict, s.evidence, s.why) for s in steps}
    found: list[StatementVerdict] = []
    for said in case.statements:
        for unit in case.slots:
            if said.covers(unit.slot.number):
                answer = _answer(case, unit, said, by_step)
                if answer is not None:
                    slot = unit.slot.number
                    found.append(
                        StatementVerdict(said.id, said.kind, slot, answer.verdict, answer.evidence, answer.why)
                    )
    return tuple(found)


def _answer(case: Case, unit: SlotCase, said: Statement, by_step: dict[tuple[int, Step], Answer]) -> Answer | None:
    if said.kind in _AS_STEP:
        return by_step.get((unit.slot.number, _AS_STEP[said.kind]))
    judge = _JUDGES.get(said.kind)
    return judge(case, unit, said) if judge else None


def _gone(case: Case, unit: SlotCase, said: Statement) -> Answer:
    return judge_gone(case, unit.slot.number, said)


def _label(case: Case, unit: SlotCase, said: Statement) -> Answer:
    label = said.payload
    assert isinstance(label, Label), "not a label"
    scans = tuple(
        s for s in unit.physical_scans if isinstance(s.payload, CarrierScan) and s.payload.number == label.number
    )
    if scans:
        return Answer(
            together(unit.away, scans, receipts(unit)) or Verdict.SUPPORTED,
            (of_statement(scans[0], case.zone), *of_sightings(unit.away[:1], case.sites, case.zone)),
            "The carrier scanned this number with the parcel in hand.",
        )
    denials = [
        s
        for s in (*unit.scans, *unit.quarantined)
        if isinstance(s.payload, CarrierScan)
        and s.payload.number == label.number
        and not s.payload.found
        and s.latest >= said.latest
    ]
    if denials:
        reasons = (of_statement(denials[-1], case.zone),)
        return Answer(Verdict.CONTRADICTED, reasons, "The carrier has no record of this number.")
    return Answer(Verdict.STATED, (), "A number was given; the carrier has not had the parcel in hand.")


def _scan(case: Case, unit: SlotCase, said: Statement) -> Answer:
    scan = said.payload
    assert isinstance(scan, CarrierScan), "not a carrier's event"
    if said in unit.quarantined:
        return Answer(
            Verdict.UNKNOWN, (), "Older than the label or under another parcel's id: not this parcel's history."
        )
    if not scan.physical:
        return Answer(Verdict.STATED, (), "The carrier's electronic word.")
    inside = tuple(s for s in inside_after(case, unit, said) if s.anchored)
    if inside:
        reasons = of_sightings(inside, case.sites, case.zone)
        return Answer(
            Verdict.CONTRADICTED, reasons, "Our own receivers heard the tag inside within a day of this scan."
        )
    other = together(unit.away, (said,), receipts(unit)) or Verdict.SUPPORTED
    return Answer(other, of_sightings(unit.away[:2], case.sites, case.zone), "The carrier had the parcel in hand.")


_JUDGES: Mapping[StatementKind, Callable[[Case, SlotCase, Statement], Answer]] = {
    StatementKind.DISPATCHED: _gone,
    StatementKind.SHIPPED_NOTICE: _gone,
    StatementKind.LABEL_PRINTED: _label,
    StatementKind.CARRIER_SCAN: _scan,
}
