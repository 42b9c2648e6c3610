"""How far each slot has really come: one verdict per step of `life.SHIPPING`, with its reasons.

Each step has its own small question; nothing is inferred from a later step, except that a tag in its owner's hand
(a receipt) has left and arrived.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from datetime import datetime, timedelta

from server.rules.activation import ladder
from server.rules.case import Case, SlotCase
from server.rules.evidence import (
    AGAINST,
    Evidence,
    Verdict,
    of_act,
    of_sightings,
    of_statement,
    together,
    weight,
    worst,
)
from server.rules.facts import GatewayClass, Statement, StatementKind
from server.rules.freshness import Sighting
from server.rules.gone import Answer, judge_gone, left, receipts
from server.rules.life import TABLE, Step
from server.rules.payloads import CarrierScan, ShipmentStatus

_MOVING = frozenset({ShipmentStatus.IN_TRANSIT, ShipmentStatus.OUT_FOR_DELIVERY, ShipmentStatus.AVAILABLE_FOR_PICKUP})
_NOTHING = Answer(Verdict.UNKNOWN, (), "Nothing was said and nothing was heard.")


@dataclass(frozen=True, slots=True)
class StepVerdict:
    """One step of one slot. `at` is the first moment of its evidence, else of its statement."""

    slot: int
    step: Step
    verdict: Verdict
    physical: bool
    said: bool
    at: datetime | None
    evidence: tuple[Evidence, ...]
    why: str


def steps_of(case: Case, unit: SlotCase) -> tuple[StepVerdict, ...]:
    """Every step of a slot in the order of the way; `returned` only if something speaks of it."""
    return tuple(
        StepVerdict(
            slot=unit.slot.number,
            step=step,
            verdict=answer.verdict,
            physical=TABLE[step].physical,
            said=bool(said),
            at=min((e.at for e in answer.evidence), default=said[0].latest if said else None),
            evidence=answer.evidence,
            why=answer.why,
        )
        for step, (question, kinds) in _QUESTIONS.items()
        for said in [unit.of_kind(*kinds)]
        for answer in [question(case, unit)]
        if step is not Step.RETURNED or answer.evidence or said
    )


def _stocked(case: Case, unit: SlotCase) -> Answer:
    first_departure = min(unit.departures, default=None)
    inside = [s for s in unit.inside if first_departure is None or s.at < first_departure]
    return _heard(case, inside, "Heard at our own site.") or _NOTHING


def _bound(case: Case, unit: SlotCase) -> Answer:
    if unit.binding is None:
        return Answer(Verdict.UNKNOWN, (), "No serial is bound to this unit: it has no witness.")
    return _at_the_bench(case, unit, unit.binding, unit.binding)


def _packed(case: Case, unit: SlotCase) -> Answer:
    said = unit.of_kind(StatementKind.PACKED)
    if not said or unit.binding is None:
        return Answer(Verdict.STATED, (), "Our word only: no serial is bound to it.") if said else _NOTHING
    return _at_the_bench(case, unit, unit.binding, said[-1])


def _at_the_bench(case: Case, unit: SlotCase, first: Statement, last: Statement) -> Answer:
    window = timedelta(seconds=case.policy.packing_window_s)
    begin, end = first.latest - window, max(first.latest, last.latest) + window
    heard = _heard(case, [s for s in unit.inside if begin <= s.at <= end], "Heard at our own site while it was packed.")
    return heard or _said_only(case, unit, last, begin)


def _left(case: Case, unit: SlotCase) -> Answer:
    said = unit.gone_said
    evidence = left(case, unit)
    if not said:
        return evidence or _NOTHING
    answers = {s.id: judge_gone(case, unit.slot.number, s) for s in said}
    hardest = worst(answer.verdict for answer in answers.values())
    gone_now = bool(unit.departures) and not (unit.inside and unit.inside[-1].at > unit.departures[-1])
    if evidence and (hardest not in AGAINST or gone_now):
        return evidence
    return next(answer for answer in answers.values() if answer.verdict is hardest)


def _accepted(case: Case, unit: SlotCase) -> Answer:
    scans = unit.physical_scans
    if not scans:
        said = [s for s in unit.scans if _status(s) in _MOVING | {ShipmentStatus.DELIVERED}]
        return Answer(Verdict.STATED, (), "The carrier's electronic word; no scan in hand.") if said else _NOTHING
    return _together(case, unit.away, scans, unit, "The carrier had it in hand")


def _on_the_way(case: Case, unit: SlotCase) -> Answer:
    arrived = min((s.latest for s in unit.delivery_scans), default=None)
    away = tuple(s for s in unit.away if not case.near_ship_to(s) and (arrived is None or s.at < arrived))
    scans = tuple(s for s in unit.physical_scans[1:] if _status(s) in _MOVING)
    if not away and not scans:
        said = [s for s in unit.scans if _status(s) in _MOVING]
        return Answer(Verdict.STATED, (), "The carrier's electronic word.") if said else _NOTHING
    return _together(case, away, scans, None, "On its way")


def _delivered(case: Case, unit: SlotCase) -> Answer:
    scans = unit.delivery_scans
    since = scans[0].latest - timedelta(seconds=case.policy.inside_settle_s) if scans else None
    at_door = tuple(
        s
        for s in unit.away
        if s.row.gateway_class is not GatewayClass.VEHICLE  # the van passes the house before it delivers
        and case.near_ship_to(s)
        and (since is None or s.at >= since)
    )
    sources = (bool(scans), bool(at_door), bool(receipts(unit)))
    if not any(sources):
        said = unit.of_kind(StatementKind.DELIVERED)
        return _said_only(case, unit, said[0], said[0].latest) if said else _NOTHING
    reasons = tuple(of_statement(s, case.zone) for s in scans[:1]) + of_sightings(at_door, case.sites, case.zone)
    reasons += tuple(of_act(a, case.zone) for a in receipts(unit)[:1])
    if sum(sources) >= 2:
        return Answer(Verdict.PROVED, reasons, "Two sources show that it arrived.")
    return Answer(Verdict.SUPPORTED, reasons, "One source shows that it arrived.")


def _activated(case: Case, unit: SlotCase) -> Answer:
    rung = ladder(case, unit)
    return Answer(rung.verdict, rung.evidence, rung.why)


def _returned(case: Case, unit: SlotCase) -> Answer:
    said = [s for s in unit.said if s.kind is StatementKind.RETURNED or _status(s) is ShipmentStatus.RETURN_TO_SENDER]
    back = timedelta(seconds=case.policy.return_min_s)
    away = unit.departures
    inside = [s for s in unit.inside if away and s.at >= away[0] + back and s.at > away[-1]]
    heard = _heard(case, inside, "Heard at our own site again, a day and more after it had left.")
    return heard or (_said_only(case, unit, said[-1], said[-1].latest) if said else _NOTHING)


def _heard(case: Case, sightings: list[Sighting], why: str) -> Answer | None:
    verdict = weight(sightings)
    if verdict is None:
        return None
    if verdict is Verdict.SUPPORTED:
        why += " Its boot has no earlier anchor, so this cannot prove."
    return Answer(verdict, of_sightings(sightings, case.sites, case.zone), why)


def _said_only(case: Case, unit: SlotCase, said: Statement, since: datetime) -> Answer:
    if case.covered(unit, since):
        return Answer(Verdict.STATED, (), "Our word only: nothing heard it.")
    return Answer(Verdict.UNKNOWN, (), f"Said by {said.source}; nobody could have heard it.")


def _together(
    case: Case, away: tuple[Sighting, ...], scans: tuple[Statement, ...], unit: SlotCase | None, what: str
) -> Answer:
    owned = receipts(unit) if unit else ()
    verdict = together(away, scans, owned) or Verdict.UNKNOWN
    reasons = tuple(of_statement(s, case.zone) for s in scans[:1]) + of_sightings(away, case.sites, case.zone)
    ending = "two sources agree." if verdict is Verdict.PROVED else "one source."
    return Answer(verdict, reasons + tuple(of_act(a, case.zone) for a in owned[:1]), f"{what}: {ending}")


def _status(statement: Statement) -> ShipmentStatus | None:
    return statement.payload.status if isinstance(statement.payload, CarrierScan) else None


K = StatementKind
_QUESTIONS: dict[Step, tuple[Callable[[Case, SlotCase], Answer], tuple[StatementKind, ...]]] = {
    Step.STOCKED: (_stocked, ()),
    Step.BOUND: (_bound, (K.SERIAL_BOUND,)),
    Step.PACKED: (_packed, (K.PACKED,)),
    Step.LEFT: (_left, (K.DISPATCHED, K.SHIPPED_NOTICE)),
    Step.ACCEPTED: (_accepted, ()),
    Step.ON_THE_WAY: (_on_the_way, ()),
    Step.DELIVERED: (_delivered, (K.DELIVERED,)),
    Step.CLAIMED: (_activated, ()),
    Step.ACTIVATED: (_activated, ()),
    Step.RETURNED: (_returned, (K.RETURNED,)),
}
