"""Has it left? What speaks for a "dispatched" and what against it: the question everything here turns on.

For: a sighting away from our sites, a carrier's physical scan, a receipt. Against: anchored fresh sightings at our own
site after the parcel should have gone with the next pickup, unless it had left and come back meanwhile.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Final

from server.rules import words
from server.rules.case import Case, SlotCase, lay_out
from server.rules.evidence import Evidence, Verdict, of_act, of_sightings, of_statement, together
from server.rules.facts import SAYS_GONE, Act, ActKind, Heard, OrderFacts, Source, Statement
from server.rules.freshness import Sighting
from server.rules.moment import Moment
from server.rules.payloads import CarrierScan, ShipmentStatus
from server.rules.policy import Policy


@dataclass(frozen=True, slots=True)
class Answer:
    """A verdict, the reasons for it and one sentence that names the rule of weighing."""

    verdict: Verdict
    evidence: tuple[Evidence, ...] = ()
    why: str = ""


def pickup_deadlines(facts: OrderFacts, policy: Policy, now: datetime) -> frozenset[datetime]:
    """From when on being heard inside speaks against words that are known at `now`. No heard row may lie across one:
    of its frames only the two ends would be asked on which side they are.
    """
    case = lay_out(facts, policy, Moment(now))
    return frozenset(case.pickup_deadline(said) for said in case.statements if said.kind in SAYS_GONE)


def receipts(unit: SlotCase) -> tuple[Act, ...]:
    """Activations with a valid receipt: the tag was in somebody's hand."""
    return tuple(a for a in unit.acts if a.kind is ActKind.ACTIVATED)


def out_of_our_hands(units: Sequence[SlotCase]) -> datetime | None:
    """The first moment at which any unit of a slot was shown to have left us: a departure, or a receipt."""
    shown = [at for unit in units for at in (*unit.departures, *(act.at for act in receipts(unit)))]
    return min(shown, default=None)


def replaced_at(units: Sequence[SlotCase], unit: SlotCase) -> datetime | None:
    """When a later unit of the same slot was shown to have left us: what was said of this one is made good."""
    later = [each for each in units if each.binding and unit.binding and each.binding.latest > unit.binding.latest]
    return out_of_our_hands(later)


REPLACED: Final = "its replacement left us"


def departures_for(unit: SlotCase, said: Statement) -> tuple[datetime, ...]:
    """Departures of the journey that the statement is about: after it was last heard inside before the words."""
    inside = [s.at for s in unit.inside if s.at <= said.latest]
    return tuple(d for d in unit.departures if not inside or d > inside[-1])


def inside_after(case: Case, unit: SlotCase, said: Statement) -> tuple[Sighting, ...]:
    """Fresh sightings at own sites at which a parcel said to be gone should not be there any more.

    A sighting long enough after a departure is a return, not a lie.
    """
    deadline = case.pickup_deadline(said)
    back = timedelta(seconds=case.policy.return_min_s)
    departed = min(departures_for(unit, said), default=None)
    return tuple(s for s in unit.inside if s.at > deadline and (departed is None or s.at < departed + back))


def proofs_inside(case: Case, unit: SlotCase, said: Statement) -> tuple[Sighting, ...]:
    """Those of `inside_after` that carry full weight, if they are enough to refute; else nothing (R-17)."""
    anchored = tuple(s for s in inside_after(case, unit, said) if s.anchored)
    return anchored if len({s.frame for s in anchored}) >= case.policy.inside_sightings_min else ()


def refuted_at(case: Case, proofs: tuple[Sighting, ...], said: Statement) -> datetime:
    """When the statement became refuted: when it was said, or when the last needed frame was heard."""
    frames: dict[tuple[int, int, int], datetime] = {}
    for sighting in proofs:
        frames.setdefault(sighting.frame, sighting.at)
    return max(said.said_at, sorted(frames.values())[case.policy.inside_sightings_min - 1])


def left(case: Case, unit: SlotCase, since: datetime | None = None) -> Answer | None:
    """What shows that it left (after `since`), or None."""
    away = [s for s in unit.away if since is None or s.at >= since]
    scans = [s for s in unit.physical_scans if since is None or s.latest >= since]
    owned = receipts(unit)
    verdict = together(away, scans, owned)
    if verdict is None:
        return None
    reasons = of_sightings(away, case.sites, case.zone)
    reasons += tuple(of_statement(s, case.zone) for s in scans[:1]) + tuple(of_act(a, case.zone) for a in owned[:1])
    return Answer(verdict, reasons, _why_left(verdict, away, scans))


def _why_left(verdict: Verdict, away: list[Sighting], scans: list[Statement]) -> str:
    if verdict is Verdict.PROVED:
        return "Heard away from our sites" + (" and scanned by the carrier." if scans and away else " or in hand.")
    return "One physical source away from our sites; a second one would prove it."


@dataclass(frozen=True, slots=True)
class Unshown:
    """Words that it has left, and when a sign was `due`, nothing showed it. `ends`: what settles them, and why."""

    unit: SlotCase
    due: datetime
    ends: tuple[tuple[datetime | None, str], ...]


def unshown(case: Case, units: Sequence[SlotCase], said: Statement) -> Unshown | None:
    """Judge the words for one slot, whoever said them and in which form; None: it was shown in time, or is not due."""
    unit = case.witness(units[0].slot.number, said.said_at)
    due = max(said.said_at, case.evidence_due(said))
    shown = min([*departures_for(unit, said), *(act.at for act in receipts(unit))], default=None)
    if (shown is not None and shown <= due) or not case.moment.passed(due):
        return None
    return Unshown(unit, due, ((shown, "it was seen out of our hands"), (replaced_at(units, unit), REPLACED)))


def judge_gone(case: Case, slot: int, said: Statement) -> Answer:
    """The verdict on a "dispatched" (or shipping notice) for one slot."""
    unit = case.witness(slot, said.said_at)
    proofs = proofs_inside(case, unit, said)
    inside = inside_after(case, unit, said)
    journey = departures_for(unit, said)
    evidence_for = left(case, unit, journey[0]) if journey else left(case, unit) if receipts(unit) else None
    if proofs:
        if evidence_for and evidence_for.verdict is Verdict.PROVED and journey and journey[0] <= proofs[0].at:
            return _both(case, evidence_for, proofs)
        frames = words.times(_frames(proofs), "frame", "frames")
        why = f"Our own receivers heard it inside after the pickup it should have left with ({frames})."
        return Answer(Verdict.REFUTED, of_sightings(proofs, case.sites, case.zone), why)
    if inside and evidence_for:
        return _both(case, evidence_for, inside)
    if inside:
        why = "Heard inside after the pickup, but too little to refute it."
        return Answer(Verdict.CONTRADICTED, of_sightings(inside, case.sites, case.zone), why)
    return evidence_for or _by_word(case, unit, said)


def _frames(proofs: tuple[Sighting, ...]) -> int:
    """How many frames these sightings stand for: a row counts whole if both its ends do."""
    ends: dict[Heard, int] = {}
    for sighting in proofs:
        ends[sighting.row] = ends.get(sighting.row, 0) + 1
    return sum(row.count if number == 2 else 1 for row, number in ends.items())


def _both(case: Case, evidence_for: Answer, inside: tuple[Sighting, ...]) -> Answer:
    reasons = evidence_for.evidence[:2] + of_sightings(inside, case.sites, case.zone)[:3]
    return Answer(Verdict.CONTRADICTED, reasons, "It was out of our hands, and heard inside again within a day.")


def _by_word(case: Case, unit: SlotCase, said: Statement) -> Answer:
    """Nothing physical: does the carrier disagree, could somebody have seen, or is it our word only?"""
    due = case.evidence_due(said)
    denial = carrier_denial(unit, due)
    if denial is not None:
        why = "The carrier was asked after a first scan was due and shows no parcel in hand."
        return Answer(Verdict.CONTRADICTED, (of_statement(denial, case.zone),), why)
    if not case.moment.passed(due):
        by = words.due(due, case.zone)
        why = f"Nothing physical shows it yet, there is only our own word. The first physical sign is due by {by}."
        return Answer(Verdict.STATED, (), why)
    if case.covered(unit, case.pickup_deadline(said)):
        return Answer(Verdict.STATED, (), "Our word only: no carrier had it in hand and nothing heard it leave.")
    return Answer(
        Verdict.UNKNOWN, (), "Nobody could have seen: no carrier's number, and no beacon or no healthy gateway."
    )


def carrier_denial(unit: SlotCase, due: datetime) -> Statement | None:
    """The first carrier's word after `due` that it has no parcel in hand, while none of its scans says otherwise."""
    if unit.physical_scans:
        return None
    for statement in unit.scans:
        scan = statement.payload
        assert isinstance(scan, CarrierScan), "not a carrier's event"
        without_parcel = not scan.found or scan.status is ShipmentStatus.PRE_TRANSIT
        if statement.source is Source.CARRIER and statement.latest >= due and without_parcel:
            return statement
    return None
