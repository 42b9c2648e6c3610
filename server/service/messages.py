"""Messages to an order's customer: looked at before they go out, sent once, and written down as what they are.

A letter, what it states and the remedy that goes with it are one transaction. What evidence denies is not sent; a
warning may be answered with a reason, which is kept. Customers read the shop's words and no name of its people.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime
from typing import Any, Final

from sqlalchemy import Connection

from server.rules.authority import Action, may
from server.rules.authority import who as who_may
from server.rules.drafts import Draft, Part, Sender, parts
from server.rules.facts import OrderFacts, Source
from server.rules.inserts import OnFile
from server.rules.objections import Checked, Objection, check
from server.rules.payload_json import payload_to
from server.rules.payloads import PromiseKind
from server.rules.policy import Policy
from server.rules.promise_templates import TEMPLATES, due_of
from server.rules.promises import CONDITIONS
from server.rules.remedy_life import State
from server.rules.weigh import weigh
from server.service import answers, letters, remedies
from server.service import orders as ledger
from server.service.caller import Caller
from server.service.house import House
from server.service.orders import Recorded, Said
from server.service.ports import Ports, house_ports_of
from server.service.refusals import refuse
from server.service.remedies import Ask
from server.store import audit, orders, statements
from server.store.audit import Entry
from server.store.orders import StoredOrder

KEY_MAX: Final = 64
REASON_MAX: Final = 500


@dataclass(frozen=True, slots=True)
class Promised:
    """A promise that the message makes, and what will close it, by itself."""

    what: PromiseKind
    due: datetime | None
    closes: str


@dataclass(frozen=True, slots=True)
class Preview:
    """The letter as it would go out now, and what speaks against it, the graver first.

    `needs_reason`: nothing stops it, but its sender has to say why it is right all the same.
    """

    number: str
    as_of: datetime
    letter: str
    objections: tuple[Objection, ...]
    promises: tuple[Promised, ...]
    stopped: bool
    needs_reason: bool


@dataclass(frozen=True, slots=True)
class Out:
    """By what a message leaves: the address in its link, and the ports of a remedy that goes with it."""

    base_url: str
    ports: Ports


def out_of(house: House) -> Out:
    """Those of this process."""
    return Out(house.settings.base_url, house_ports_of(house.engine, house.settings))


@dataclass(frozen=True, slots=True)
class Sent:
    """A message that went out; `new` False: it went before. `statements` are its statements' names in the ledger."""

    number: str
    key: str
    new: bool
    statements: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class Offered:
    """A promise ready to be made, as it would stand if it were made now."""

    template: str
    title: str
    what: PromiseKind
    text: str
    due: datetime
    closes: str


def preview(tx: Connection, who: Caller, number: str, draft: Draft, policy: Policy, now: datetime) -> Preview:
    """Look at a message before it goes out. Refusals: order_unknown, slot_unknown, not_yours."""
    checked = _checked(tx, who, number, draft, policy, now)
    return Preview(
        number=number,
        as_of=now,
        letter=checked.letter,
        objections=checked.objections,
        promises=tuple(Promised(p.what, p.due, CONDITIONS[p.what].words) for p in draft.promises),
        stopped=bool(checked.stopped),
        needs_reason=bool(checked.objections) and not checked.stopped,
    )


def send(
    tx: Connection,
    who: Caller,
    number: str,
    draft: Draft,
    key: str,
    reason: str,
    policy: Policy,
    out: Out,
    now: datetime,
    via: str = "api",
) -> Sent:
    """Send a message once: the same key with the same contents is one message.

    Refusals: order_unknown, slot_unknown, not_yours, promise_repeated, promise_without_due, message_stopped,
    message_needs_reason, statement_conflict, and those of `remedies.take` for the remedy that goes with it.
    """
    if not orders.lock(tx, number):
        raise refuse("order_unknown", number=number, reference=number)
    known = statements.by_key(tx, number, _key(key, "letter"))
    if known is not None:
        said = _said(draft, key, who, known.via, known.said_at, known.zone)
        return Sent(number, key, False, _again(tx, who, number, key, said, now))
    checked = _checked(tx, who, number, draft, policy, now)
    _let_go(checked, reason, number)
    given = ledger.state(tx, number, _said(draft, key, who, via, now, who.zone), who.role, now)
    if draft.remedy is not None:
        ask = Ask(draft.remedy, reason=reason, key=_key(key, "remedy"))
        taken = remedies.take(tx, who, number, ask, out.ports, policy, now)
        if taken.state is State.PROPOSED:  # above their limit with what they granted before: no letter tells of it
            raise refuse("remedy_not_yours", why="It waits for somebody who may.", reference=number)
    letters.write_customer(tx, number, checked.letter, f"message:{number}:{key}", out.base_url, now)
    detail: dict[str, Any] = {"key": key, "statements": [each.id for each in given]}
    if checked.objections:
        detail |= {"objections": sorted({each.code for each in checked.objections}), "reason": reason.strip()}
    audit.add(tx, Entry(now, who.email, "wrote", f"order:{number}", detail, who.account_no))
    answers.weighing(tx, number, policy, now)
    return Sent(number, key, True, tuple(each.id for each in given))


def templates(facts: OrderFacts, policy: Policy, now: datetime) -> tuple[Offered, ...]:
    """Every promise that is ready to be made about an order, with its due moment."""
    return tuple(
        Offered(name, each.title, each.what, each.text, due_of(each, facts, policy, now), each.closes)
        for name, each in TEMPLATES.items()
    )


def _checked(tx: Connection, who: Caller, number: str, draft: Draft, policy: Policy, now: datetime) -> Checked:
    for action in (Action.SAY, Action.PROMISE) if draft.promises else (Action.SAY,):
        if not may(who.role, action).allowed:
            raise refuse("not_yours", role=who.role, allowed=who_may(action), reference=number)
    facts: OrderFacts = answers.collect(tx, number, policy, now)
    if draft.slot is not None and draft.slot not in {slot.number for slot in facts.order.slots}:
        raise refuse("slot_unknown", number=number, slot=draft.slot, reference=number)
    stored = orders.order(tx, number)
    assert stored is not None, "collected a moment ago"
    sender = Sender(who.email, who.role, who.name)
    return check(facts, weigh(facts, policy, now), draft, sender, on_file(stored), policy, now)


def on_file(order: StoredOrder) -> OnFile:
    """What the order keeps of its customer; an address needs more than a country."""
    to: Mapping[str, Any] = order.ship_to
    lines = [to.get("street"), " ".join(filter(None, (to.get("postcode"), to.get("city")))), to.get("region")]
    told = [line for line in lines if line]
    address = ", ".join(filter(None, (to.get("name"), *told, to.get("country")))) if told else ""
    return OnFile(order.customer_name, address, order.placed_at)


def _let_go(checked: Checked, reason: str, number: str) -> None:
    """Refusals: whatever stops it, by its own code where it has one; a reason that is missing."""
    for objection in checked.stopped:
        detail = f"{objection.about}: {objection.why}" if objection.about else objection.why
        own = objection.code if objection.code in ("promise_repeated", "promise_without_due") else "message_stopped"
        raise refuse(own, detail=detail.rstrip("."), reference=number)
    if checked.objections and not reason.strip():
        first = checked.objections[0]
        raise refuse("message_needs_reason", detail=f"{first.about}: {first.why}".rstrip("."), reference=number)


def _key(key: str, part: str) -> str:
    return f"message:{key}:{part}"


def _said(draft: Draft, key: str, who: Caller, via: str, at: datetime, zone: str) -> list[Said]:
    return [_one(part, key, who, via, at, zone) for part in parts(draft)]


def _one(part: Part, key: str, who: Caller, via: str, at: datetime, zone: str) -> Said:
    return Said(
        key=_key(key, part.name),
        kind=part.kind,
        said_at=at,
        by=who.email,
        source=Source.STAFF,
        slot=part.slot,
        at_least_ago=part.at_least_ago,
        zone=zone,
        via=via,
        payload=payload_to(part.payload),
    )


def _again(tx: Connection, who: Caller, number: str, key: str, said: list[Said], now: datetime) -> tuple[str, ...]:
    """The statements of a message that went before. Refusals: statement_conflict if it was another one."""
    before = {s.key for s in statements.of_order(tx, number) if s.key.startswith(_key(key, ""))}
    if before != {each.key for each in said}:
        raise refuse("statement_conflict", key=key, reference=key)
    given: tuple[Recorded, ...] = ledger.state(tx, number, said, who.role, now)
    return tuple(each.id for each in given)
