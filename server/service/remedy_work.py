"""Carrying out a granted remedy exactly once, also when the process is killed between the port and the commit.

Three steps, each safe to be repeated: take the remedy for a while (a try is written down before anything is asked), ask
the port with the remedy's key, write down what came of it. Killed after the first or the second, the remedy's time
comes again, and the port answers the same key with the same thing.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from datetime import datetime
from typing import Any, Final

from sqlalchemy import Connection, Engine

from server.rules.authority import Action, Role
from server.rules.facts import ActKind, OrderFacts, Source, StatementKind
from server.rules.first_sign import calendar_of
from server.rules.payloads import OfferKind, Quote
from server.rules.policy import Policy
from server.rules.remedies import not_faster, remedies_of
from server.rules.remedy_life import ASK_AGAIN, LABELS, MONEY, State, may_follow, pause
from server.rules.remedy_money import amount_words, money_of
from server.rules.remedy_runs import notice_of
from server.service import answers, letters
from server.service.orders import Said, state
from server.service.ports import Bought, PortError, Ports, Refund
from server.service.remedies import add_act, held, quote_of
from server.store import audit, orders, remedy_runs
from server.store import remedies as store
from server.store.audit import Entry
from server.store.db import transaction
from server.store.remedies import StoredRemedy

BY: Final = "remedies"


@dataclass(frozen=True, slots=True)
class Shop:
    """What carrying out needs: the database, the ports, the policy, the clock, and where the customer's page is."""

    engine: Engine
    ports: Ports
    policy: Policy
    clock: Callable[[], datetime]
    base_url: str


@dataclass(frozen=True, slots=True)
class Outcome:
    """What the port gave: when the money went back (None: booked), or the label."""

    paid_at: datetime | None = None
    label: Bought | None = None

    def stored(self) -> dict[str, Any]:
        if self.label is None:
            return {"paid_at": self.paid_at.isoformat()} if self.paid_at else {}
        label = self.label
        return {
            "carrier": label.carrier,
            "number": label.number,
            "service": label.service,
            "eta": label.eta.isoformat(),
        }


def carry_out(shop: Shop, no: int) -> State | None:
    """Try one remedy; its state afterwards, or None if it was not due (somebody else has it, or it is settled)."""
    with transaction(shop.engine) as tx:
        taken = _take(tx, shop, no)
    if taken is None or taken.state in (State.WITHDRAWN, State.FAILED):
        return taken.state if taken else None
    try:
        outcome = _ask(shop, taken)
    except PortError as error:
        with transaction(shop.engine) as tx:
            return _missed(tx, taken.no, error, shop.clock())
    with transaction(shop.engine) as tx:
        return _write_down(tx, shop, taken.no, outcome, shop.clock())


# --- Taking it -----------------------------------------------------------------------------------------------------


def _take(tx: Connection, shop: Shop, no: int) -> StoredRemedy | None:
    """Hold it for one try: until its next time nobody else tries. What is not right any more is withdrawn instead."""
    seen = store.by_no(tx, no)
    if seen is None or not orders.lock(tx, seen.order_number):
        return None
    remedy, now = store.by_no(tx, no, hold=True), shop.clock()
    if remedy is None or remedy.state not in (State.GRANTED, State.BOOKED):
        return None
    if remedy.due_at is None or remedy.due_at > now:
        return None
    if remedy.tries == 0:
        why = _no_longer(tx, remedy, shop.policy, now)
        if why:
            audit.add(
                tx, Entry(now, BY, "remedy_withdrawn", f"order:{remedy.order_number}", {"remedy": no, "why": why})
            )
            return store.change(tx, no, state=str(State.WITHDRAWN), ended_at=now, due_at=None, error=why)
    if remedy.state is State.BOOKED:
        return store.change(tx, no, due_at=now + ASK_AGAIN)
    if remedy.tries and remedy.action in MONEY and not _still_left(tx, remedy, shop.policy, now):
        _missed(
            tx, no, PortError("It went back by another way meanwhile; look before it is tried again.", final=True), now
        )
        return store.by_no(tx, no)
    tries = remedy.tries + 1
    return store.change(tx, no, tries=tries, due_at=now + (pause(tries) or ASK_AGAIN))


def _no_longer(tx: Connection, remedy: StoredRemedy, policy: Policy, now: datetime) -> str:
    """Why it must not be done any more, although it was granted; nothing if it may. Asked before the first try only."""
    facts, weighed = answers.weighing(tx, remedy.order_number, policy, now)
    others = [store.as_taken(each) for each in store.of_order(tx, remedy.order_number) if each.no != remedy.no]
    mine = [r for r in remedies_of(facts, weighed, policy, Role.FINANCE, others) if r.action is remedy.action]
    for each in mine:
        covered = not each.slots or set(remedy.slots or _every(facts)) <= set(each.slots)
        if each.eligible and covered and remedy.amount_minor <= each.amount_minor:
            return ""
    return mine[0].why if mine else "There is nothing of the kind to do any more."


def _still_left(tx: Connection, remedy: StoredRemedy, policy: Policy, now: datetime) -> bool:
    """Between two tries, hours apart, somebody may have paid it back by hand: the port knows nothing of that."""
    facts = answers.collect(tx, remedy.order_number, policy, now)
    return remedy.amount_minor <= money_of(facts, now, 0).left_minor


def _every(facts: OrderFacts) -> tuple[int, ...]:
    return tuple(slot.number for slot in facts.order.slots)


# --- Asking the port -----------------------------------------------------------------------------------------------


def _ask(shop: Shop, remedy: StoredRemedy) -> Outcome:
    now = shop.clock()
    if remedy.action in MONEY:
        asked = Refund(remedy.key, remedy.order_number, remedy.amount_minor, remedy.currency)
        return Outcome(paid_at=shop.ports.payments.refund(asked, now))
    if remedy.action in LABELS:
        quote = quote_of(remedy.plan) if remedy.plan else _quote(shop, remedy, now)
        return Outcome(label=shop.ports.labels.buy(remedy.key, remedy.order_number, quote, now))
    return Outcome(paid_at=now)


def _quote(shop: Shop, remedy: StoredRemedy, now: datetime) -> Quote:
    """A run looks its labels up only when their turn comes; one that would not help is not bought (R-16)."""
    with transaction(shop.engine) as tx:
        facts = answers.collect(tx, remedy.order_number, shop.policy, now)
    quote = shop.ports.labels.quote(facts.order, calendar_of(facts), now)
    slow = not_faster(facts, shop.policy, now, remedy.slots, quote)
    if slow:
        raise PortError(slow, final=True)
    return quote


def _missed(tx: Connection, no: int, error: PortError, now: datetime) -> State | None:
    """It did not work: later again, or given up, visibly."""
    remedy = store.by_no(tx, no, hold=True)
    if remedy is None or remedy.state not in (State.GRANTED, State.BOOKED):
        return None
    why = str(error)[:300]
    if not error.final and pause(remedy.tries) is not None:
        return store.change(tx, no, error=why).state
    audit.add(tx, Entry(now, BY, "remedy_failed", f"order:{remedy.order_number}", {"remedy": no, "why": why}))
    return store.change(tx, no, state=str(State.FAILED), error=why, due_at=None).state


# --- Writing down --------------------------------------------------------------------------------------------------


def _write_down(tx: Connection, shop: Shop, no: int, outcome: Outcome, now: datetime) -> State | None:
    """What came of it, with everything that follows, in one piece: statements, act, letter, audit."""
    remedy = held(tx, no)
    if remedy.state not in (State.GRANTED, State.BOOKED):
        return remedy.state
    if remedy.action in MONEY and outcome.paid_at is None:
        return store.change(tx, no, state=str(State.BOOKED), due_at=now + ASK_AGAIN, error=None).state
    assert may_follow(remedy.state, State.DONE), "from the table"
    facts = answers.collect(tx, remedy.order_number, shop.policy, now)
    said = _statements(remedy, facts, outcome, now)
    if said:
        state(tx, remedy.order_number, said, Role.OPERATOR, now)
    done = store.change(
        tx, no, state=str(State.DONE), outcome=outcome.stored(), ended_at=now, due_at=None, error=None
    )  # fmt: skip
    add_act(tx, ActKind.REMEDY_DONE, done, BY, now)
    detail = {"remedy": no, **outcome.stored()}
    audit.add(tx, Entry(now, BY, "remedy_done", f"order:{remedy.order_number}", detail))
    text = _letter(tx, done, outcome)
    if text:
        letters.write_customer(tx, remedy.order_number, text, notice_of(remedy.key), shop.base_url, now)
    return done.state


def _statements(remedy: StoredRemedy, facts: OrderFacts, outcome: Outcome, now: datetime) -> list[Said]:
    """What is true now, in the words that rules read."""
    if remedy.action in MONEY:
        return list(_of_money(remedy, facts, outcome.paid_at or now, now))
    if outcome.label is not None:
        return list(_of_label(remedy, facts, outcome.label, now))
    note = {"text": f"A refuted finding is overridden by {' and '.join(remedy.granted_by)}: {remedy.reason}"}
    return [_said(remedy, "note", StatementKind.NOTE, Source.STAFF, now, slot, note) for slot in remedy.slots]


def _of_money(remedy: StoredRemedy, facts: OrderFacts, paid_at: datetime, now: datetime) -> list[Said]:
    fee = remedy.action is Action.REFUND_SERVICE_FEE
    service = facts.order.paid_service if fee else ""
    said = []
    slots = remedy.slots or (None,)
    for index, slot in enumerate(slots):
        # Shares of one sum: cents that do not divide go to the first units.
        whole, rest = divmod(remedy.amount_minor, len(slots))
        amount = {"amount_minor": whole + (index < rest), "currency": remedy.currency}
        payload = {**amount, "service": service}
        said.append(
            _said(remedy, "refunded", StatementKind.REFUNDED, Source.SYSTEM, now, slot, payload, at=min(paid_at, now))
        )
    if fee:
        offer = {"what": OfferKind.COMPENSATION.value, "amount_minor": remedy.amount_minor, "currency": remedy.currency}
        said.append(_said(remedy, "offer", StatementKind.OFFER, Source.SYSTEM, now, None, offer))
    return said


def _of_label(remedy: StoredRemedy, facts: OrderFacts, label: Bought, now: datetime) -> list[Said]:
    ship_to = facts.order.ship_to
    payload = {
        "carrier": label.carrier,
        "number": label.number,
        "service": label.service,
        "eta": label.eta.isoformat(),
        "destination_postcode": ship_to.postcode if ship_to else "",
    }
    said = []
    for slot in remedy.slots or _every(facts):
        said.append(_said(remedy, "label", StatementKind.LABEL_PRINTED, Source.WAREHOUSE, now, slot, payload, at=now))
        offer = {"what": OfferKind.REPAIR.value, "text": "Another one is sent, at no cost."}
        said.append(_said(remedy, "offer", StatementKind.OFFER, Source.SYSTEM, now, slot, offer))
    return said


def _said(
    remedy: StoredRemedy,
    what: str,
    kind: StatementKind,
    source: Source,
    now: datetime,
    slot: int | None,
    payload: Mapping[str, Any],
    at: datetime | None = None,
) -> Said:
    key = f"remedy:{remedy.no}:{what}" + (f":{slot}" if slot is not None else "")
    return Said(key, kind, now, BY, source, slot=slot, at=at, via="api", payload=payload)


def _letter(tx: Connection, remedy: StoredRemedy, outcome: Outcome) -> str:
    """The one letter. It says what was done and no more: a label is not a shipment."""
    amount = amount_words(remedy.amount_minor, remedy.currency)
    if remedy.run_no is not None:
        run = remedy_runs.by_no(tx, remedy.run_no)
        assert run is not None, "its row refers to it"
        return f"{run.customer_text}\n\n{_in_words(remedy, amount, outcome)}"
    return _in_words(remedy, amount, outcome)


def _in_words(remedy: StoredRemedy, amount: str, outcome: Outcome) -> str:
    if remedy.action is Action.FULL_REFUND:
        return f"We gave back {amount}. Nothing needs to be done. Your bank may take a few days to show it."
    if remedy.action is Action.REFUND_SERVICE_FEE:
        return f"You paid for a faster service than was used. We gave back {amount}; what you ordered stays ordered."
    if outcome.label is not None:
        label = outcome.label
        return (
            f"We are sending you another one by {label.service}. It costs you nothing. The label's number is "
            f"{label.number}; the page below says when the parcel was seen to leave."
        )
    return ""
