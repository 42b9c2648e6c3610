"""What customer and support read of an order: stated, evidenced, shown – one projection for both.

*Shown* is never ahead of *evidenced*, and nothing that staff say can move it. Until evidence is due the words are calm.
Texts name no person, and no place but our own sites.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import date, datetime, timedelta
from typing import Final

from server.rules import business_days, words
from server.rules.case import Case, SlotCase
from server.rules.contacts import is_answer, reply_clock
from server.rules.evidence import AGAINST, SHOWN_BY_EVIDENCE, Verdict
from server.rules.facts import ActKind, Source, Statement, StatementKind
from server.rules.findings.finding import Finding
from server.rules.life import SHIPPING, Step, far
from server.rules.payloads import CarrierScan, Offer, OfferKind, ShipmentStatus
from server.rules.ship_by import ship_by
from server.rules.steps import StepVerdict

CUSTOMER_WORD: Final[Mapping[Verdict, str]] = {
    Verdict.PROVED: "shown by evidence",
    Verdict.SUPPORTED: "shown by evidence",
    Verdict.STATED: "only stated",
    Verdict.UNKNOWN: "only stated",
    Verdict.CONTRADICTED: "contradicted",
    Verdict.REFUTED: "contradicted",
}

# How long we may take to look into a finding unasked. Longer and the customer asks first; shorter and every night
# breaks it. Who asked is answered by the reply clock instead.
ANSWER_S: Final = 86_400


# Somebody imitating a tag changes nothing about its order, so it changes no sentence either: support reads the finding.
QUIET: Final = frozenset({"R-34"})


@dataclass(frozen=True, slots=True)
class SlotShown:
    """One unit in three columns. None = nothing beyond the order. `word` is the customer's word for what was stated.

    `replacing`: since when a replacement is under way that nothing has shown to leave; None: there is none.
    """

    slot: int
    title: str
    stated: Step | None
    evidenced: Step | None
    shown: Step | None
    word: str
    sentence: str
    reasons: tuple[str, ...]
    next_text: str
    next_by: datetime | None
    replacing: datetime | None = None


@dataclass(frozen=True, slots=True)
class Shown:
    """The answer to "did it ship, is it alive": a sentence, at most two facts why, what happens next and by when."""

    sentence: str
    reasons: tuple[str, ...]
    next_text: str
    next_by: datetime | None
    slots: tuple[SlotShown, ...]


def project(case: Case, steps: Sequence[StepVerdict], findings: Sequence[Finding]) -> Shown:
    """The projection of an order; its sentence is that of the slot that is worst off."""
    slots = [_project_slot(case, unit, steps, findings) for unit in case.slots]
    if not slots:
        return Shown("This order has no units.", (), "", None, ())
    troubled = {f.slot for f in findings if f.rule.id not in QUIET}
    worst = min(slots, key=lambda s: (s.slot not in troubled and None not in troubled, far(s.shown), s.slot))
    sentence = worst.sentence
    if any(s.sentence != worst.sentence for s in slots):
        alike = sum(s.sentence == worst.sentence for s in slots)
        sentence = f"{alike} of {len(slots)} tags: {worst.sentence}"
    return Shown(sentence, worst.reasons, worst.next_text, worst.next_by, tuple(slots))


def _project_slot(case: Case, unit: SlotCase, steps: Sequence[StepVerdict], findings: Sequence[Finding]) -> SlotShown:
    number = unit.slot.number
    mine = {s.step: s for s in steps if s.slot == number}
    evidenced = _evidenced(mine)
    stated = _stated(unit)
    open_rules = {f.rule.id: f for f in findings if f.slot in (number, None) and f.rule.id not in QUIET}
    sentence, telling = _sentence(case, unit, mine, evidenced, open_rules)
    evidence = mine[telling].evidence if telling else ()
    reasons = (evidence[0].text, evidence[-1].text) if len(evidence) > 1 else tuple(e.text for e in evidence)
    replacing = _replacing(case, unit)
    next_text, next_by = _next(case, unit, evidenced, open_rules, replacing)
    verdict = mine[stated].verdict if stated else Verdict.STATED
    return SlotShown(
        slot=number,
        title=unit.slot.title,
        stated=stated,
        evidenced=evidenced,
        shown=evidenced,
        word=CUSTOMER_WORD[verdict],
        sentence=sentence,
        reasons=reasons,
        next_text=next_text,
        next_by=next_by,
        replacing=replacing,
    )


def _evidenced(mine: Mapping[Step, StepVerdict]) -> Step | None:
    """The farthest step that evidence shows. If something speaks against its leaving, or it came back: no farther."""
    reached = [step for step in SHIPPING if mine[step].verdict in SHOWN_BY_EVIDENCE]
    back = Step.RETURNED in mine and mine[Step.RETURNED].verdict in SHOWN_BY_EVIDENCE
    if back or mine[Step.LEFT].verdict in AGAINST:
        reached = [step for step in reached if far(step) <= far(Step.PACKED)]
    return reached[-1] if reached else None


_SAYS: Final[Mapping[StatementKind, Step]] = {
    StatementKind.SERIAL_BOUND: Step.BOUND,
    StatementKind.PACKED: Step.PACKED,
    StatementKind.DISPATCHED: Step.LEFT,
    StatementKind.SHIPPED_NOTICE: Step.LEFT,
    StatementKind.DELIVERED: Step.DELIVERED,
}
_SCAN_SAYS: Final[Mapping[ShipmentStatus, Step]] = {
    ShipmentStatus.IN_TRANSIT: Step.ON_THE_WAY,
    ShipmentStatus.OUT_FOR_DELIVERY: Step.ON_THE_WAY,
    ShipmentStatus.AVAILABLE_FOR_PICKUP: Step.ON_THE_WAY,
    ShipmentStatus.DELIVERED: Step.DELIVERED,
}


def _stated(unit: SlotCase) -> Step | None:
    """The farthest step that anybody said or did."""
    said = [_SAYS[s.kind] for s in unit.said if s.kind in _SAYS]
    statuses = [s.payload.status for s in unit.scans if isinstance(s.payload, CarrierScan)]
    said += [_SCAN_SAYS[status] for status in statuses if status in _SCAN_SAYS]
    if unit.physical_scans:
        said.append(Step.ACCEPTED)
    done = {ActKind.CLAIMED: Step.CLAIMED, ActKind.ACTIVATED: Step.ACTIVATED}
    said += [done[a.kind] for a in unit.acts if a.kind in done]
    return max(said, key=far, default=None)


HAS_LEFT: Final[Mapping[Step, str]] = {
    Step.ACTIVATED: "Your tag arrived and is activated.",
    Step.CLAIMED: "Your tag arrived and is claimed.",
    Step.DELIVERED: "Your parcel was delivered.",
    Step.ON_THE_WAY: "Your parcel is on its way.",
    Step.ACCEPTED: "The carrier has your parcel.",
    Step.LEFT: "Your parcel has left us.",
}


def _sentence(
    case: Case,
    unit: SlotCase,
    mine: Mapping[Step, StepVerdict],
    evidenced: Step | None,
    open_rules: Mapping[str, Finding],
) -> tuple[str, Step | None]:
    """The verdict in one sentence, and the step whose evidence tells it."""
    if unit.ended is not None:
        return (
            "This was cancelled." if unit.ended.kind is StatementKind.ORDER_CANCELLED else "This was refunded."
        ), None
    if mine[Step.LEFT].said and mine[Step.LEFT].verdict is Verdict.REFUTED:
        text = "Our record says dispatched. Nothing shows that it left us: our own receivers still hear it."
        return text, Step.LEFT
    if mine[Step.LEFT].said and mine[Step.LEFT].verdict is Verdict.CONTRADICTED:
        return "Our record says dispatched. Another source says otherwise.", Step.LEFT
    if evidenced is not None and evidenced in HAS_LEFT:
        return HAS_LEFT[evidenced], evidenced
    if Step.RETURNED in mine and mine[Step.RETURNED].verdict in SHOWN_BY_EVIDENCE:
        return "Your parcel came back to us.", Step.RETURNED
    for rule, text in _TROUBLE.items():
        if rule in open_rules:
            return text, None
    return _calm(case, unit, evidenced, open_rules)


_TROUBLE: Final[Mapping[str, str]] = {
    "R-35": "Our record says dispatched. Nothing shows that a tag was packed for you.",
    "R-05": "Our record says dispatched. Nothing shows that it left us.",
}


def _calm(
    case: Case, unit: SlotCase, evidenced: Step | None, open_rules: Mapping[str, Finding]
) -> tuple[str, Step | None]:
    if "R-02" in open_rules:
        day = words.day(_ship_by(case, unit))
        return f"It should have left us by {day}. Nothing shows that it did.", None
    if unit.gone_said:
        due = words.due(case.evidence_due(unit.gone_said[-1]), case.zone)
        return f"Waiting for the carrier; its first scan is expected by {due}.", evidenced
    if unit.labels:
        return "A label is printed; waiting for the carrier.", evidenced
    if evidenced is Step.PACKED:
        return "Your tag is packed.", evidenced
    return ("Your tag is being packed." if evidenced is Step.BOUND else "We have your order."), evidenced


def _ship_by(case: Case, unit: SlotCase) -> date:
    return ship_by(case.calendar, case.facts.order.placed_at, unit.slot, case.policy)


def _replacing(case: Case, unit: SlotCase) -> datetime | None:
    """Since when a replacement is under way, by what the system itself did: nobody's word begins one.

    Over once something shows a unit of the slot out of our hands after that: then evidence speaks.
    """
    if unit.ended is not None:
        return None
    offers = [s for s in unit.of_kind(StatementKind.OFFER) if s.source is Source.SYSTEM and s.slot is not None]
    since = max((s.said_at for s in offers if _is_repair(s)), default=None)
    gone = any(at > since for each in case.units_of(unit.slot.number) for at in each.departures) if since else False
    return None if gone else since


def _is_repair(said: Statement) -> bool:
    return isinstance(said.payload, Offer) and said.payload.what is OfferKind.REPAIR


def _next(
    case: Case,
    unit: SlotCase,
    evidenced: Step | None,
    open_rules: Mapping[str, Finding],
    replacing: datetime | None,
) -> tuple[str, datetime | None]:
    """What happens next and by when; being late changes the words. A replacement under way comes first."""
    if replacing is None:
        return _next_of_itself(case, unit, evidenced, open_rules)
    begun = f"A replacement is under way since {words.moment(replacing, case.zone)}."
    newer = {rule: finding for rule, finding in open_rules.items() if finding.since > replacing}
    if not newer and reply_clock(case) is None:
        return f"{begun} This page says when something shows that it left us.", None
    then, by = _next_of_itself(case, unit, evidenced, newer or open_rules)
    return f"{begun} {then}".rstrip(), by


def _next_of_itself(
    case: Case, unit: SlotCase, evidenced: Step | None, open_rules: Mapping[str, Finding]
) -> tuple[str, datetime | None]:
    if unit.ended is not None:
        return "", None
    if open_rules:
        return _answer_next(case, max(f.since for f in open_rules.values()))
    if evidenced is Step.ACTIVATED:
        return "", None
    if far(evidenced) >= far(Step.DELIVERED):
        return "Claim your tag with the code in the box.", None
    if far(evidenced) >= far(Step.LEFT):
        return "Delivery by the carrier.", None
    if unit.gone_said:
        return "The carrier's first scan.", case.evidence_due(unit.gone_said[-1])
    return "It leaves us.", business_days.end_of_day(case.zone, _ship_by(case, unit))


_CHECKS: Final = "A person checks the tag itself and writes to you."


def _answer_next(case: Case, since: datetime) -> tuple[str, datetime | None]:
    """About a finding open `since` then. Only who waits for an answer is told that we are late with it."""
    clock = reply_clock(case)
    if clock is not None and clock.late:
        late = f"We owed you an answer by {words.due(clock.due, case.zone)} and are late."
        return f"{late} “Ask a person” on your order's page reaches staff who read what you read.", None
    if clock is not None:
        return _CHECKS, clock.due
    told = max((s.said_at for s in case.statements if is_answer(s) and s.said_at >= since), default=None)
    if told is not None:
        return (
            f"You last heard from us {words.moment(told, case.zone)}. A person goes on checking the tag itself.",
            None,
        )
    due = since + timedelta(seconds=ANSWER_S)
    if case.moment.passed(due):
        return "A person has yet to check the tag itself and to write to you.", None
    return _CHECKS, due
