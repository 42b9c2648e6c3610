"""Remedies of one order: look what there is, ask for one, grant it, take it back. Carrying out is `remedy_work`.

One function for one transaction. Whatever is pressed twice is one remedy: an open one of the same kind for the same
units is given back instead of a second.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import datetime, timedelta
from typing import Any, Final

from sqlalchemy import Connection

from server.rules.authority import GRANTING, Action, Permission, Role, may
from server.rules.facts import ActKind, OrderFacts, Source, StatementKind
from server.rules.first_sign import calendar_of
from server.rules.payload_json import payload_to
from server.rules.payloads import Quote
from server.rules.policy import Policy
from server.rules.remedies import Remedy, not_faster, remedies_of, unasked
from server.rules.remedy_life import LABELS, MONEY, OPEN, State, may_withdraw, undo_time
from server.rules.remedy_money import amount_words
from server.service import answers
from server.service.answers import Looked
from server.service.caller import Caller
from server.service.orders import Said, state
from server.service.ports import PortError, Ports
from server.service.refusals import refuse
from server.store import accounts, acts, audit, orders, weighings
from server.store import remedies as store
from server.store.acts import NewAct
from server.store.audit import Entry
from server.store.remedies import StoredRemedy

SYSTEM: Final = "system"
"""Who asked for and granted what nobody asked for."""


@dataclass(frozen=True, slots=True)
class Ask:
    """What somebody wants done. `slots` empty = every unit for which it may be had; `key` the asker's own name for it.

    `amount_minor` only where the payments do not say how much it is. `although_slow`: buy the label although it would
    not be faster (then with a reason).
    """

    action: Action
    reason: str = ""
    slots: tuple[int, ...] = ()
    amount_minor: int | None = None
    key: str = ""
    although_slow: bool = False


@dataclass(frozen=True, slots=True)
class Offered:
    """The remedies of an order: what there is for whoever looks, and what was asked for."""

    order: str
    as_of: datetime
    remedies: tuple[Remedy, ...]
    taken: tuple[StoredRemedy, ...]


def offered(tx: Connection, looked: Looked, role: Role, policy: Policy) -> Offered:
    """Everything that can be done about an order, and was."""
    facts, weighed = looked
    rows = store.of_order(tx, facts.order.number)
    found = remedies_of(facts, weighed, policy, role, [store.as_taken(each) for each in rows])
    return Offered(facts.order.number, weighed.as_of, found, rows)


def propose(
    tx: Connection, who: Caller, number: str, ask: Ask, ports: Ports, policy: Policy, now: datetime
) -> StoredRemedy:
    """Ask for a remedy; it waits until it is granted.

    Refusals: order_unknown, remedy_not_yours, remedy_not_eligible, remedy_reason, remedy_amount, remedy_conflict,
    replacement_no_faster, port_failed.
    """
    if who.role not in GRANTING:
        raise refuse("remedy_not_yours", why=f"{who.role} grants no remedies.")
    if not orders.lock(tx, number):
        raise refuse("order_unknown", number=number, reference=number)
    ask = _in_one_form(tx, number, ask)
    known = _known(tx, number, ask)
    if known is not None:
        return known
    looked = answers.weighing(tx, number, policy, now)
    facts, there = looked.facts, offered(tx, looked, who.role, policy)
    wanted = _wanted(there.remedies, ask, number)
    if ask.action is Action.OVERRIDE_REFUTED and not ask.reason:
        raise refuse("remedy_reason", reference=number)
    key = ask.key or _key(wanted, there.taken)
    row = proposed(number, wanted, f"{number}:{key}", ask.reason, who.email, now)
    if wanted.action in LABELS:
        row = replace(row, plan=_looked_up(tx, facts, wanted, ask, ports, policy, now))
    made = store.add(tx, row)
    assert made is not None, "the order is held, and nothing of this key was there"
    audit.add(tx, Entry(now, who.email, "remedy_proposed", f"order:{number}", _about(made), who.account_no))
    return made


def proposed(number: str, remedy: Remedy, key: str, reason: str, by: str, now: datetime) -> StoredRemedy:
    """The row of a remedy that is asked for; `key` is its name everywhere, at the ports too."""
    return StoredRemedy(
        no=0,
        order_number=number,
        slots=remedy.slots,
        action=remedy.action,
        amount_minor=remedy.amount_minor,
        currency=remedy.currency,
        key=key,
        rules=remedy.rules,
        reason=reason,
        state=State.PROPOSED,
        asked_by=by,
        asked_at=now,
    )


def _in_one_form(tx: Connection, number: str, ask: Ask) -> Ask:
    """The same units are named in one way, so that the same request is known again."""
    slots = tuple(sorted(set(ask.slots)))
    if ask.action in MONEY and slots:
        order = orders.order(tx, number)
        assert order is not None, "an order that is held cannot go"
        slots = () if set(slots) == {slot.number for slot in order.slots} else slots
    return replace(ask, slots=slots)


def _known(tx: Connection, number: str, ask: Ask) -> StoredRemedy | None:
    """The same, asked for before: by its key, or because one of the kind is open for these units."""
    if ask.key:
        known = store.by_key(tx, f"{number}:{ask.key}")
        other = known is not None and (
            known.action is not ask.action
            or (ask.slots and known.slots != ask.slots)
            or (ask.amount_minor is not None and known.amount_minor != ask.amount_minor)
        )
        if other:
            raise refuse("remedy_conflict", key=ask.key, reference=ask.key)
        return known
    open_ones = [each for each in store.of_order(tx, number) if each.action is ask.action and each.state in OPEN]
    return next((each for each in open_ones if not ask.slots or each.slots == ask.slots), None)


def _wanted(remedies: Sequence[Remedy], ask: Ask, number: str) -> Remedy:
    """The eligible remedy that is meant, cut down to the units that were named."""
    mine = [remedy for remedy in remedies if remedy.action is ask.action]
    meant = next((r for r in mine if r.eligible and (not ask.slots or set(ask.slots) <= set(r.slots))), None)
    meant = meant or next((r for r in mine if r.eligible and not r.slots and not ask.slots), None)
    if meant is None:
        named = next((r for r in mine if set(ask.slots) & set(r.slots)), mine[0] if mine else None)
        why = named.why if named else "There is nothing of the kind to do for this order."
        raise refuse("remedy_not_eligible", why=why, reference=number)
    if ask.slots and ask.slots != meant.slots:
        if meant.amount_minor:
            raise refuse("remedy_not_eligible", why="Money goes back for all of these units or none.", reference=number)
        meant = replace(meant, slots=ask.slots)
    return _with_amount(meant, ask, number)


def _with_amount(remedy: Remedy, ask: Ask, number: str) -> Remedy:
    """A person names the amount where the payments do not, and nowhere else."""
    named = ask.amount_minor
    if remedy.ask_amount:
        if named is None or not 0 < named <= remedy.amount_minor:
            most = amount_words(remedy.amount_minor, remedy.currency)
            raise refuse("remedy_amount", most=most, reference=number)
        return replace(remedy, amount_minor=named)
    if named is not None and named != remedy.amount_minor:
        most = amount_words(remedy.amount_minor, remedy.currency)
        raise refuse("remedy_amount", most=most, reference=number)
    return remedy


def _key(remedy: Remedy, taken: Sequence[StoredRemedy]) -> str:
    """The same kind for the same units is a new remedy only when the one before is settled."""
    settled = sum(each.action is remedy.action and each.slots == remedy.slots for each in taken)
    units = ",".join(map(str, remedy.slots)) or "all"
    return f"{remedy.action}:{units}:{settled + 1}"


def _looked_up(
    tx: Connection, facts: OrderFacts, remedy: Remedy, ask: Ask, ports: Ports, policy: Policy, now: datetime
) -> Mapping[str, Any]:
    """The label that would be bought, judged before the money is spent (R-16), and written down as looked up."""
    try:
        quote = ports.labels.quote(facts.order, calendar_of(facts), now)
    except PortError as error:
        raise refuse("port_failed", why=str(error), reference=facts.order.number) from None
    slow = not_faster(facts, policy, now, remedy.slots, quote)
    if slow and not (ask.although_slow and ask.reason):
        raise refuse("replacement_no_faster", why=slow, reference=facts.order.number)
    said = [
        Said(
            key=f"quote:{now.isoformat()}:{slot}",
            kind=StatementKind.LABEL_QUOTED,
            said_at=now,
            at=now,
            by="remedies",
            source=Source.SYSTEM,
            slot=slot,
            via="api",
            payload=payload_to(quote),
        )
        for slot in remedy.slots
    ]
    state(tx, facts.order.number, said, Role.OPERATOR, now)
    return {**payload_to(quote), "although": slow}


def quote_of(plan: Mapping[str, Any]) -> Quote:
    """The label that was looked up, from a remedy's plan."""
    eta = datetime.fromisoformat(str(plan["eta"]))
    return Quote(str(plan["carrier"]), str(plan["service"]), eta, bool(plan.get("saturday")))


# --- Granting, and taking back ---------------------------------------------------------------------------------------


def grant(tx: Connection, who: Caller, no: int, policy: Policy, now: datetime) -> StoredRemedy:
    """Agree to a remedy. It is granted when enough people did; granted twice is granted once.

    Where two people are needed, in profile *solo* the same person agrees twice: the second look comes after
    `second_look_s`. Refusals: remedy_unknown, remedy_not_yours, second_person, second_look_early, remedy_settled.
    """
    remedy = held(tx, no)
    if remedy.state in (State.GRANTED, State.BOOKED, State.DONE):
        return remedy
    if remedy.state is not State.PROPOSED:
        raise refuse("remedy_settled", state=remedy.state, reference=str(no))
    permission = _may(tx, who, remedy, policy)
    if not permission.allowed:
        raise refuse("remedy_not_yours", why=permission.why, reference=str(no))
    agreed = (*remedy.granted_by, who.email) if who.email not in remedy.granted_by else remedy.granted_by
    if permission.code == "allowed_after_delay" and len(agreed) == 1:
        # Two different people need no delay in any profile.
        if remedy.look_again_at is None:
            again_at = now + timedelta(seconds=policy.second_look_s)
            _log(tx, who, "remedy_first_look", remedy, now)
            return store.change(tx, no, granted_by=list(agreed), look_again_at=again_at)
        if now < remedy.look_again_at:
            raise refuse("second_look_early", until=f"{remedy.look_again_at:%Y-%m-%d %H:%M} UTC", reference=str(no))
        _log(tx, who, "remedy_second_look", remedy, now)
    elif len(agreed) < permission.people:
        if agreed == remedy.granted_by:
            raise refuse("second_person", reference=str(no))
        _log(tx, who, "remedy_first_of_two", remedy, now)
        return store.change(tx, no, granted_by=list(agreed))
    return granted(tx, remedy, agreed, policy, now)


def _may(tx: Connection, who: Caller, remedy: StoredRemedy, policy: Policy) -> Permission:
    """Whether they may grant it: money in parts is one sum, so what they granted for the order before counts too."""
    before = [
        each.amount_minor
        for each in store.of_order(tx, remedy.order_number)
        if who.email in each.granted_by and each.no != remedy.no and each.state is not State.WITHDRAWN
    ]
    return may(who.role, remedy.action, remedy.amount_minor + sum(before), policy.profile)


def take(
    tx: Connection,
    who: Caller,
    number: str,
    ask: Ask,
    ports: Ports,
    policy: Policy,
    now: datetime,
    *,
    grant_it: bool = True,
) -> StoredRemedy:
    """Ask for a remedy and grant it at once if the role may; else it waits. Refusals: those of `propose`."""
    asked = propose(tx, who, number, ask, ports, policy, now)
    permission = _may(tx, who, asked, policy)
    waits = who.email in asked.granted_by and asked.state is State.PROPOSED
    if not grant_it or not permission.allowed or waits or asked.state is not State.PROPOSED:
        return asked
    return grant(tx, who, asked.no, policy, now)


def granted(
    tx: Connection, remedy: StoredRemedy, by: Sequence[str], policy: Policy, now: datetime, *, at_once: bool = False
) -> StoredRemedy:
    """Write down that it is granted: the act, the audit, and when it is tried first. `at_once`: it waited already."""
    wait = timedelta(0) if at_once else undo_time(remedy.action, policy)
    done = store.change(
        tx, remedy.no, state=str(State.GRANTED), granted_by=list(by), due_at=now + wait, look_again_at=None
    )  # fmt: skip
    account = accounts.by_email(tx, by[-1])
    audit.add(
        tx,
        Entry(
            now, by[-1], "remedy_granted", f"order:{remedy.order_number}", _about(done), account.no if account else None
        ),
    )
    add_act(tx, ActKind.REMEDY_AUTHORISED, done, by[-1], now)
    return done


def add_act(tx: Connection, kind: ActKind, remedy: StoredRemedy, by: str, now: datetime) -> None:
    """A remedy in the ledger of what was done."""
    text = f"{remedy.action.replace('_', ' ')} {amount_words(remedy.amount_minor, remedy.currency)}".strip()
    about = {"remedy": remedy.no, "text": text, "slots": list(remedy.slots)}
    acts.add(tx, NewAct(kind, now, None, by, None, remedy.order_number, about), now)


def withdraw(tx: Connection, who: Caller, no: int, reason: str, now: datetime) -> StoredRemedy:
    """Take a remedy back before it is tried. Refusals: remedy_unknown, remedy_not_yours, remedy_too_late."""
    remedy = held(tx, no)
    if remedy.state is State.WITHDRAWN:
        return remedy
    if who.role not in GRANTING:
        raise refuse("remedy_not_yours", why=f"{who.role} takes no remedies back.", reference=str(no))
    if not may_withdraw(remedy.state, remedy.tries):
        raise refuse("remedy_too_late", state=remedy.state, reference=str(no))
    done = store.change(tx, no, state=str(State.WITHDRAWN), ended_at=now, due_at=None, error=reason or None)
    _log(tx, who, "remedy_withdrawn", done, now)
    weighings.mark_stale(tx, [remedy.order_number])  # what is owed unasked may be queued again
    return done


def retry(tx: Connection, who: Caller, no: int, now: datetime) -> StoredRemedy:
    """Try a failed one again; its key makes that safe. Refusals: remedy_unknown, remedy_not_yours, remedy_settled."""
    remedy = held(tx, no)
    if who.role not in GRANTING:
        raise refuse("remedy_not_yours", why=f"{who.role} grants no remedies.", reference=str(no))
    if remedy.state is not State.FAILED:
        raise refuse("remedy_settled", state=remedy.state, reference=str(no))
    # A port was asked before: from the second try on it cannot be withdrawn any more.
    done = store.change(tx, no, state=str(State.GRANTED), due_at=now, tries=1)
    _log(tx, who, "remedy_tried_again", done, now)
    return done


def make_unasked(tx: Connection, number: str, policy: Policy, now: datetime) -> tuple[StoredRemedy, ...]:
    """Do and queue what nobody has to ask for: an unused service's fee goes back, an owed refund waits for a person."""
    if not orders.lock(tx, number):
        return ()
    facts, weighed = answers.weighing(tx, number, policy, now)
    made = []
    for remedy, since in unasked(facts, weighed, policy, answers.taken(tx, number)):
        key = f"{number}:{SYSTEM}:{remedy.action}:{since.isoformat()}"
        added = store.add(tx, proposed(number, remedy, key, remedy.why, SYSTEM, now))
        if added is not None:
            audit.add(tx, Entry(now, SYSTEM, "remedy_proposed", f"order:{number}", _about(added)))
            made.append(granted(tx, added, (SYSTEM,), policy, now) if remedy.unasked else added)
    answers.weighing(tx, number, policy, now)  # nothing is left to be made
    return tuple(made)


def held(tx: Connection, no: int) -> StoredRemedy:
    """The remedy with its order, both held: an order before its rows, always in this way round."""
    seen = store.by_no(tx, no)
    if seen is None:
        raise refuse("remedy_unknown", no=no, reference=str(no))
    orders.lock(tx, seen.order_number)
    remedy = store.by_no(tx, no, hold=True)
    assert remedy is not None, "remedies are never removed"
    return remedy


def _log(tx: Connection, who: Caller, what: str, remedy: StoredRemedy, now: datetime) -> None:
    audit.add(tx, Entry(now, who.email, what, f"order:{remedy.order_number}", _about(remedy), who.account_no))


def _about(remedy: StoredRemedy) -> dict[str, Any]:
    return {
        "remedy": remedy.no,
        "action": str(remedy.action),
        "slots": list(remedy.slots),
        "amount_minor": remedy.amount_minor,
        "currency": remedy.currency,
        "reason": remedy.reason,
    }
