"""What can be done about an order: each remedy with its amount, whether it may be had and why, and who may grant it.

Eligibility comes from evidence, never from words: a unit "left" if a source outside showed it, and a reship is one
click only while no unit of the slot did. *Repair* gives the thing, *compensation* money; the one does not replace the
other while the promise can still be kept.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, replace
from datetime import datetime
from typing import Final

from server.rules import words
from server.rules.authority import UNASKED, Action, Role, may, who
from server.rules.case import Case, SlotCase, lay_out
from server.rules.facts import OrderFacts, Source, Statement, StatementKind
from server.rules.findings.finding import Finding, Severity
from server.rules.findings.registry import CATALOGUE
from server.rules.gone import out_of_our_hands
from server.rules.moment import Moment
from server.rules.payloads import CarrierScan, Label, OfferKind, PromiseKind, Quote
from server.rules.policy import Policy
from server.rules.promises import PromiseState
from server.rules.remedy_life import MONEY, OPEN, State
from server.rules.remedy_money import Money, money_of
from server.rules.services import is_below
from server.rules.weigh import Weighing, weigh

TITLES: Final = {
    Action.EXPRESS_RESHIP: "Express reship, at no cost",
    Action.FULL_REFUND: "Refund what did not ship",
    Action.REFUND_SERVICE_FEE: "Refund the fee of the service that was not used",
    Action.REPLACE_LEFT_UNIT: "Replacement for one that left us",
    Action.OVERRIDE_REFUTED: "Override the refuted finding",
}
"""In the order in which they are shown: what gives the customer the thing comes first."""

# What speaks for sending a unit (again): every rule whose default remedy gives the thing or the money, and those that
# leave it to a person although the unit may be lost.
SPEAKS: Final = frozenset(
    {r.id for r in CATALOGUE.values() if r.remedy in (Action.EXPRESS_RESHIP, Action.FULL_REFUND)}
    | {"R-01", "R-15", "R-30", "R-31"}
) - {"R-28"}  # that a charge may be disputed says nothing of the unit
REFUTED: Final = "R-17"
COMING: Final = (PromiseKind.ARRIVE, PromiseKind.SHIP, PromiseKind.RESHIP)


@dataclass(frozen=True, slots=True)
class Taken:
    """A remedy that was asked for. `slots` empty = the whole order; `at`: when it was settled, else asked for."""

    action: Action
    slots: tuple[int, ...]
    state: State
    asked_at: datetime
    at: datetime
    amount_minor: int = 0

    def about(self, slot: int) -> bool:
        """True if this unit is one of those it is for."""
        return not self.slots or slot in self.slots


@dataclass(frozen=True, slots=True)
class Remedy:
    """One thing that could be done. `slots` empty = the whole order; `amount_minor` in the currency's smallest unit.

    `ask_amount`: the payments do not say how much it is; a person names it, at most `amount_minor`. `unasked`: the
    system does it by itself. `people`: how many must agree to it; 0 where the asking role may not grant it.
    `one_click`: whoever asks may settle it alone and now, without a form to fill in.
    """

    action: Action
    title: str
    what: OfferKind | None
    slots: tuple[int, ...]
    amount_minor: int
    currency: str
    eligible: bool
    why: str
    rules: tuple[str, ...]
    who: str
    people: int = 0
    ask_amount: bool = False
    unasked: bool = False
    one_click: bool = False


def remedies_of(
    facts: OrderFacts, weighing: Weighing, policy: Policy, role: Role, taken: Sequence[Taken] = ()
) -> tuple[Remedy, ...]:
    """Every remedy for an order, eligible ones first, in the order in which they are shown."""
    moment = Moment(weighing.as_of)
    case = lay_out(facts, policy, moment)
    look = _Look(
        case=case,
        disputed=lay_out(facts, policy, moment, with_disputed=True) if case.disputed else case,
        weighing=weighing,
        taken=tuple(taken),
        money=money_of(facts, weighing.as_of, sum(t.amount_minor for t in taken if t.state in OPEN)),
    )
    found = [*_sent_again(look), *_refund(look), *_fee(look), *_override(look)]
    order = list(TITLES)
    found = [_for(each, role, policy) for each in found]
    return tuple(sorted(found, key=lambda r: (not r.eligible, order.index(r.action), r.slots)))


def not_faster(facts: OrderFacts, policy: Policy, now: datetime, slots: Iterable[int], quote: Quote) -> str:
    """Why a replacement by this label would not help (R-16), before it is bought; nothing if it would."""
    wanted = tuple(slots) or tuple(slot.number for slot in facts.order.slots)
    said = tuple(_quoted(facts, slot, quote, now) for slot in wanted)
    weighed = weigh(replace(facts, statements=(*facts.statements, *said)), policy, now)
    return next((f.why for f in weighed.findings if f.rule.id == "R-16" and f.slot in wanted), "")


def _quoted(facts: OrderFacts, slot: int, quote: Quote, now: datetime) -> Statement:
    return Statement(
        id=f"quote-{slot}", kind=StatementKind.LABEL_QUOTED, order=facts.order.number, slot=slot, said_at=now,
        earliest=now, latest=now, by="remedies", source=Source.SYSTEM, learnt_at=now, payload=quote,
    )  # fmt: skip


# --- One question for each kind -----------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class _Look:
    """Everything the questions below ask of."""

    case: Case
    disputed: Case
    weighing: Weighing
    taken: tuple[Taken, ...]
    money: Money

    @property
    def slots(self) -> tuple[int, ...]:
        return tuple(unit.slot.number for unit in self.case.slots)

    def unit(self, slot: int) -> SlotCase:
        return self.case.units_of(slot)[-1]

    def left_at(self, slot: int) -> datetime | None:
        """When any unit of a slot was shown to be out of our hands; what is disputed counts as well."""
        shown = (out_of_our_hands(case.units_of(slot)) for case in (self.case, self.disputed))
        return min((at for at in shown if at is not None), default=None)

    def findings(self, slot: int) -> list[Finding]:
        """Open ones that speak for sending a unit, without a refutation that two people set aside."""
        aside = [t.at for t in self.of(Action.OVERRIDE_REFUTED, slot) if t.state is State.DONE]
        return [
            f
            for f in self.weighing.findings
            if f.rule.id in SPEAKS and f.slot in (None, slot) and not (f.rule.id == REFUTED and aside)
        ]

    def of(self, action: Action, slot: int) -> list[Taken]:
        return [t for t in self.taken if t.action is action and t.about(slot)]

    def day(self, at: datetime) -> str:
        return words.moment(at, self.case.zone)


def _sent_again(look: _Look) -> Iterable[Remedy]:
    """For each unit either the reship (nothing left us) or the replacement (something did); never both."""
    answers: dict[tuple[Action, bool, str], list[int]] = {}
    for slot in look.slots:
        gone = look.left_at(slot)
        action = Action.EXPRESS_RESHIP if gone is None else Action.REPLACE_LEFT_UNIT
        no = _why_not_again(look, slot)
        answers.setdefault((action, not no, no), []).append(slot)
        if gone is not None:
            why = f"It left us, as shown {look.day(gone)}: what went cannot be sent instead of itself."
            answers.setdefault((Action.EXPRESS_RESHIP, False, why), []).append(slot)
    for (action, eligible, no), slots in answers.items():
        rules = _ids(f for slot in slots for f in look.findings(slot))
        yield _remedy(look, action, tuple(slots), 0, eligible, no or _why_again(look, action, slots, rules), rules)


def _why_again(look: _Look, action: Action, slots: Sequence[int], rules: Sequence[str]) -> str:
    if action is Action.EXPRESS_RESHIP:
        return f"Nothing shows that it left us, and {', '.join(rules)} {'are' if len(rules) > 1 else 'is'} open."
    gone = min(at for slot in slots if (at := look.left_at(slot)) is not None)
    return f"It left us ({look.day(gone)}), and {', '.join(rules)} {'are' if len(rules) > 1 else 'is'} open."


def _why_not_again(look: _Look, slot: int) -> str:
    unit = look.unit(slot)
    if unit.ended is not None:
        return "It was cancelled or refunded: nothing is owed on it."
    mine = [t for action in (Action.EXPRESS_RESHIP, Action.REPLACE_LEFT_UNIT) for t in look.of(action, slot)]
    if under_way := next((t for t in mine if t.state in OPEN), None):
        return f"It is asked for already ({under_way.state})."
    paid_back = [t for t in look.of(Action.FULL_REFUND, slot) if t.state in OPEN - {State.PROPOSED}]
    if paid_back:
        return "Its refund is granted; withdraw that first."
    since = max((t.at for t in mine if t.state is State.DONE), default=None)
    speaking = [f for f in look.findings(slot) if since is None or f.since > since]
    if not speaking:
        done = f" since the last one was sent ({look.day(since)})" if since else ""
        return f"Nothing is open that speaks for a second unit{done}."
    return ""


def _refund(look: _Look) -> Iterable[Remedy]:
    """Of what did not ship: the whole order, or the equal share of its units where they cost the same."""
    here = [slot for slot in look.slots if look.unit(slot).ended is None and look.left_at(slot) is None]
    whole = len(here) == len(look.slots)
    amount = look.money.left_minor if whole else look.money.share(here, look.case.facts.order)
    rules = _ids(f for f in look.weighing.findings if f.rule.remedy is Action.FULL_REFUND)
    no = _why_no_refund(look, here, amount)
    why = no or f"{'Nothing of it' if whole else 'A part of it'} left us, and {look.money.said(amount)} can go back."
    why = why if no else why + _sending(look, here)
    yield _remedy(look, Action.FULL_REFUND, () if whole else tuple(here), 0 if no else amount, not no, why, rules)


def _sending(look: _Look, here: Sequence[int]) -> str:
    """Whoever pays back what is being sent again gives both: it stands beside the button."""
    shown = {each.slot: each.replacing for each in look.weighing.shown.slots}
    since = max((at for slot in here if (at := shown.get(slot)) is not None), default=None)
    return f" A replacement was already started {look.day(since)}: refund only if it is not sent." if since else ""


def _why_no_refund(look: _Look, here: Sequence[int], amount: int) -> str:
    if not here:
        return "Every unit left us or is settled: this is for what did not ship."
    if any(t.action is Action.FULL_REFUND and t.state in OPEN for t in look.taken):
        return "It is asked for already."
    sending = [t for slot in here for t in look.of(Action.EXPRESS_RESHIP, slot)]
    if any(t.state in OPEN - {State.PROPOSED} for t in sending):
        return "A reship is granted; withdraw that first, or wait for it."
    if look.money.mixed:
        return "It was paid in several currencies; refund it by hand and state it."
    if not look.money.paid_minor:
        return "No payment is known; state it first."
    if amount <= 0:
        return "Nothing is left to give back, or the price of a single unit is not known."
    return ""


def _fee(look: _Look) -> Iterable[Remedy]:
    """Only what was paid for the service; the parcel itself stays owed."""
    paid, money = look.case.facts.order.paid_service, look.money
    if not paid:
        return
    open_ones = [f for f in look.weighing.findings if f.rule.remedy is Action.REFUND_SERVICE_FEE]
    used = any(is_below(service, paid) for unit in look.case.slots for service in _used(unit))
    amount = min(money.fee_minor or money.left_minor, money.left_minor)
    no = ""
    if money.fee_back:
        no = "The fee is back already."
    elif any(t.action is Action.REFUND_SERVICE_FEE and t.state in OPEN | {State.DONE} for t in look.taken):
        no = "It is asked for already."
    elif not any(f.rule.id == "R-09" for f in open_ones):
        no = f"Nothing shows a service below the one that was paid for ({paid})."
    elif amount <= 0 or money.mixed:
        no = "Nothing is left to give back."
    why = no or f"Paid for: {paid}. A slower service is shown." + _beside(look)
    yield replace(
        _remedy(look, Action.REFUND_SERVICE_FEE, (), 0 if no else amount, not no, why, _ids(open_ones)),
        ask_amount=not no and not money.fee_minor,
        # Who paid how much is staff's to state: by itself the system gives no more than one of them may.
        unasked=not no
        and used
        and bool(money.fee_minor)
        and may(Role.AGENT, Action.REFUND_SERVICE_FEE, amount).allowed,
    )


def _used(unit: SlotCase) -> Iterable[str]:
    """The services by label and carrier: what somebody's screen shows is no use of a service yet."""
    for said in (*unit.labels[-1:], *unit.scans):
        if isinstance(said.payload, Label | CarrierScan):
            yield said.payload.service


def _beside(look: _Look) -> str:
    coming = any(p.what in COMING and p.state is PromiseState.OPEN for p in look.weighing.promises)
    return " Money alone does not settle it: what was promised can still be done." if coming else ""


def _override(look: _Look) -> Iterable[Remedy]:
    """Two people say that they act against a refutation, and why. No verdict changes by it."""
    refuted = {f.slot for f in look.weighing.findings if f.rule.id == REFUTED and f.slot is not None}
    again = {s for s in refuted if any(t.state in OPEN | {State.DONE} for t in look.of(Action.OVERRIDE_REFUTED, s))}
    if refuted - again:
        why = "Our own receivers refute what was said. Acting against it takes a reason; no verdict changes by it."
        yield _remedy(look, Action.OVERRIDE_REFUTED, tuple(sorted(refuted - again)), 0, True, why, (REFUTED,))


def _remedy(
    look: _Look, action: Action, slots: tuple[int, ...], amount: int, eligible: bool, why: str, rules: Sequence[str]
) -> Remedy:
    money = action in MONEY
    what = OfferKind.COMPENSATION if money else OfferKind.REPAIR
    return Remedy(
        action=action,
        title=TITLES[action],
        what=None if action is Action.OVERRIDE_REFUTED else what,
        slots=slots if len(slots) < len(look.slots) or not money else (),
        amount_minor=amount,
        currency=look.money.currency if money else "",
        eligible=eligible,
        why=why,
        rules=tuple(rules),
        who=who(action),
    )


def _for(remedy: Remedy, role: Role, policy: Policy) -> Remedy:
    # How much it is going to be is not known before a person names it.
    granted = may(role, remedy.action, 0 if remedy.ask_amount else remedy.amount_minor, policy.profile)
    alone = granted.allowed and granted.code == "allowed" and granted.people == 1
    return replace(
        remedy,
        people=granted.people if granted.allowed else 0,
        one_click=remedy.eligible and alone and not remedy.ask_amount,
    )


def _ids(findings: Iterable[Finding]) -> tuple[str, ...]:
    return tuple(sorted({f.rule.id for f in findings}))


# --- What the system does or queues by itself -----------------------------------------------------------------------


def unasked(
    facts: OrderFacts, weighing: Weighing, policy: Policy, taken: Sequence[Taken]
) -> tuple[tuple[Remedy, datetime], ...]:
    """The remedies to do (`Remedy.unasked`) or to queue for a person without being asked, and since when.

    Once for each time that a finding opens: what people withdrew stays withdrawn until it opens anew.
    """
    if not anything_owed(weighing):
        return ()
    found = []
    for remedy in remedies_of(facts, weighing, policy, Role.FINANCE, taken):
        since = max((f.since for f in weighing.findings if _owed(remedy.action, f)), default=None)
        if since is None or not remedy.eligible or (UNASKED[remedy.action].done and not remedy.unasked):
            continue
        if not any(t.action is remedy.action and t.asked_at >= since for t in taken):
            found.append((remedy, since))
    return tuple(found)


def anything_owed(weighing: Weighing) -> bool:
    """True if `unasked` may find something: asked of every order, so it looks at the findings alone."""
    return any(_owed(action, finding) for finding in weighing.findings for action in UNASKED)


def refund_owed(finding: Finding) -> bool:
    """The limit is over, or the condition of a keep lapsed."""
    return _owed(Action.FULL_REFUND, finding)


def _owed(action: Action, finding: Finding) -> bool:
    """True if this finding is one for which nobody has to ask for the remedy."""
    row = UNASKED.get(action)
    grave = row is not None and (finding.severity is Severity.CRITICAL or not row.critical)
    return row is not None and grave and finding.rule.id in row.rules
