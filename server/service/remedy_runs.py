"""Runs: one remedy for many orders, previewed, approved, carried out in small pieces, told to each customer once.

The preview decides nothing: each order is weighed again when its turn comes, and gets what was approved or nothing.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field, replace
from datetime import datetime, timedelta
from typing import Final

from sqlalchemy import Connection

from server.rules import phrases
from server.rules.authority import Action, Role
from server.rules.objections import CODES
from server.rules.policy import Policy
from server.rules.remedies import remedies_of
from server.rules.remedy_life import State
from server.rules.remedy_runs import (
    FOR_MANY,
    NEXT,
    Entry,
    Member,
    RunState,
    again,
    approval,
    entry,
    key_of,
    totals,
)
from server.rules.weigh import weigh
from server.service import answers
from server.service.caller import Caller
from server.service.refusals import refuse
from server.service.remedies import granted, proposed
from server.service.remedy_work import Shop, carry_out
from server.store import audit, cohorts, open_lists, orders
from server.store import remedies as remedy_store
from server.store import remedy_runs as store
from server.store.audit import Entry as Logged
from server.store.db import transaction
from server.store.remedies import StoredRemedy
from server.store.remedy_runs import StoredRun

# A preview weighs each of them in one transaction: some ten seconds.
ORDERS_MAX: Final = 1000
RUNS_MAX: Final = 20
PIECE: Final = 20


@dataclass(frozen=True, slots=True)
class RunAsk:
    """Which orders: those named, those of a cohort (its number), or those for which a rule's finding is open."""

    key: str
    action: Action
    cause: str
    customer_text: str
    orders: tuple[str, ...] = ()
    cohort: int | None = None
    rule: str = ""


@dataclass(frozen=True, slots=True)
class Progress:
    """How far a run is: its orders by what became of them. `left`: how many are still to be done."""

    waiting: int
    under_way: int
    booked: int
    done: int
    failed: int
    left_out: int
    withdrawn: int

    @property
    def left(self) -> int:
        """Orders for which something is still to be done by the machine."""
        return self.waiting + self.under_way


@dataclass(frozen=True, slots=True)
class RunAnswer:
    """A run with its orders, how much it is in all, how far it is, and whether whoever asks may approve it."""

    run: StoredRun
    entries: tuple[Entry, ...]
    totals: Mapping[str, int]
    progress: Progress
    may_approve: bool
    people: int
    why: str = field(default="")


def preview(tx: Connection, who: Caller, ask: RunAsk, policy: Policy, now: datetime) -> RunAnswer:
    """Who would get how much, and who would not and why. Nothing is done, and nothing promised.

    Refusals: remedy_not_yours, run_action, run_orders, cohort_unknown, order_unknown, run_conflict, message_stopped.
    """
    if ask.action not in FOR_MANY:
        raise refuse("run_action", allowed=", ".join(FOR_MANY))
    _check_text(who, ask)
    known = store.by_key(tx, ask.key)
    if known is not None:
        if (known.action, known.cause, known.customer_text) != (ask.action, ask.cause, ask.customer_text):
            raise refuse("run_conflict", key=ask.key, reference=ask.key)
        return answer(tx, who.role, known.no, policy)
    numbers = _numbers(tx, ask)
    if not 0 < len(numbers) <= ORDERS_MAX:
        raise refuse("run_orders", count=len(numbers), limit=ORDERS_MAX)
    entries = tuple(_entry(tx, number, ask.action, policy, now) for number in numbers)
    run = StoredRun(0, ask.key, ask.action, ask.cause, ask.customer_text, RunState.PREVIEWED, who.email, now)
    made = store.add(tx, run, entries)
    if made is None:
        raise refuse("run_conflict", key=ask.key, reference=ask.key)
    detail = {"action": str(ask.action), "orders": len(entries), "totals": totals(entries)}
    audit.add(tx, Logged(now, who.email, "run_previewed", f"run:{made.no}", detail, who.account_no))
    return answer(tx, who.role, made.no, policy)


def _check_text(who: Caller, ask: RunAsk) -> None:
    """One text for many, whose orders nobody looks at one by one, says of none where it is, and names nobody of us."""
    claim = next(iter(phrases.claims(ask.customer_text)), None)
    if claim is not None:
        detail = f"{claim.sentence}: where a parcel is, its own page says by evidence"
        raise refuse("message_stopped", detail=detail, reference=ask.key)
    name = phrases.named((who.email, who.name), ask.customer_text)
    if name:
        raise refuse("message_stopped", detail=f"{name}: {CODES['names_staff'].means}".rstrip("."), reference=ask.key)


def _numbers(tx: Connection, ask: RunAsk) -> tuple[str, ...]:
    if ask.cohort is not None:
        found = next((each for each in cohorts.living(tx) if each.no == ask.cohort), None)
        if found is None:
            raise refuse("cohort_unknown", cohort=ask.cohort, reference=str(ask.cohort))
        return found.cohort.orders
    if ask.rule:
        return open_lists.orders_with(tx, ask.rule, ORDERS_MAX + 1)
    return tuple(dict.fromkeys(ask.orders))


def _entry(tx: Connection, number: str, action: Action, policy: Policy, now: datetime) -> Entry:
    facts = answers.collect(tx, number, policy, now)
    weighed = weigh(facts, policy, now)
    return entry(number, remedies_of(facts, weighed, policy, Role.FINANCE, answers.taken(tx, number)), action)


def answer(tx: Connection, role: Role, no: int, policy: Policy) -> RunAnswer:
    """A run as whoever asks may see it. Refusals: run_unknown."""
    run = store.by_no(tx, no)
    if run is None:
        raise refuse("run_unknown", no=no, reference=str(no))
    entries = store.entries(tx, no)
    permission = approval(role, entries, policy)
    return RunAnswer(
        run, entries, totals(entries), progress(tx, no), permission.allowed, permission.people, permission.why
    )


def newest(tx: Connection) -> tuple[StoredRun, ...]:
    """The runs made last."""
    return store.newest(tx, RUNS_MAX)


def progress(tx: Connection, no: int) -> Progress:
    """How far a run is: counted by the database, for it is asked after each of its orders."""
    members = store.how_many(tx, no)
    made = remedy_store.how_many(tx, no)
    return Progress(
        waiting=members.get(Member.WAITING, 0),
        under_way=made.get(State.GRANTED, 0),
        booked=made.get(State.BOOKED, 0),
        done=made.get(State.DONE, 0),
        failed=made.get(State.FAILED, 0),
        left_out=members.get(Member.LEFT_OUT, 0),
        withdrawn=made.get(State.WITHDRAWN, 0),
    )


# --- Approving, and taking back ------------------------------------------------------------------------------------


def approve(tx: Connection, who: Caller, no: int, policy: Policy, now: datetime) -> StoredRun:
    """Let it run, after the undo window. Approved twice is approved once.

    Refusals: run_unknown, remedy_not_yours, second_person, second_look_early, run_settled.
    """
    run = _held(tx, no)
    if run.state in (RunState.APPROVED, RunState.DONE):
        return run
    if RunState.APPROVED not in NEXT[run.state]:
        raise refuse("run_settled", state=run.state, reference=str(no))
    permission = approval(who.role, store.entries(tx, no), policy)
    if not permission.allowed:
        raise refuse("remedy_not_yours", why=permission.why, reference=str(no))
    if permission.people > 1 and who.email == run.made_by:
        raise refuse("second_person", reference=str(no))
    if permission.code == "allowed_after_delay" and who.email == run.made_by:
        if run.look_again_at is None:
            _log(tx, who, "run_first_look", no, now)
            again_at = now + timedelta(seconds=policy.second_look_s)
            return store.change(tx, no, looked_by=[who.email], look_again_at=again_at)
        if now < run.look_again_at:
            raise refuse("second_look_early", until=f"{run.look_again_at:%Y-%m-%d %H:%M} UTC", reference=str(no))
    _log(tx, who, "run_approved", no, now)
    start = now + timedelta(seconds=policy.undo_s)
    by = [*run.looked_by, who.email]
    return store.change(tx, no, state=str(RunState.APPROVED), looked_by=by, approved_at=now, not_before=start)


def withdraw(tx: Connection, who: Caller, no: int, policy: Policy, now: datetime) -> StoredRun:
    """Take a run back before its undo window is over. Refusals: run_unknown, remedy_not_yours, run_settled."""
    run = _held(tx, no)
    if run.state is RunState.WITHDRAWN:
        return run
    permission = approval(who.role, store.entries(tx, no), policy)
    if who.email != run.made_by and not permission.allowed:
        raise refuse("remedy_not_yours", why=permission.why, reference=str(no))
    begun = run.not_before is not None and now >= run.not_before
    if RunState.WITHDRAWN not in NEXT[run.state] or begun:
        raise refuse("run_settled", state="under way" if begun else run.state, reference=str(no))
    _log(tx, who, "run_withdrawn", no, now)
    return store.change(tx, no, state=str(RunState.WITHDRAWN), ended_at=now)


def _held(tx: Connection, no: int) -> StoredRun:
    run = store.by_no(tx, no, hold=True)
    if run is None:
        raise refuse("run_unknown", no=no, reference=str(no))
    return run


def _log(tx: Connection, who: Caller, what: str, no: int, now: datetime) -> None:
    audit.add(tx, Logged(now, who.email, what, f"run:{no}", None, who.account_no))


# --- Running -------------------------------------------------------------------------------------------------------


def run_on(shop: Shop, no: int) -> Iterator[Progress]:
    """Go on with an approved run, order by order, from wherever it was; yields how far it is after each.

    It may be killed at any moment and gone on with by anybody, also by two at once.
    Refusals: run_unknown, run_not_yet, run_settled.
    """
    with transaction(shop.engine) as tx:
        run = store.by_no(tx, no)
        if run is None:
            raise refuse("run_unknown", no=no, reference=str(no))
        if run.state is RunState.WITHDRAWN:
            raise refuse("run_settled", state=run.state, reference=str(no))
        if run.not_before is None or run.not_before > shop.clock():
            until = f"{run.not_before:%Y-%m-%d %H:%M} UTC" if run.not_before else "it is approved"
            raise refuse("run_not_yet", until=until, reference=str(no))
    while True:
        with transaction(shop.engine) as tx:
            waiting = store.waiting(tx, no, PIECE)
            due = remedy_store.due(tx, shop.clock(), PIECE, no)
        if not waiting and not due:
            break
        for remedy_no in due:
            carry_out(shop, remedy_no)
            yield _now(shop, no)
        for number in waiting:
            with transaction(shop.engine) as tx:
                made = _turn(tx, run, number, shop.policy, shop.clock())
            if made is not None:
                carry_out(shop, made.no)
            yield _now(shop, no)
    with transaction(shop.engine) as tx:
        _end(tx, no, shop.clock())
    yield _now(shop, no)


def _now(shop: Shop, no: int) -> Progress:
    with transaction(shop.engine) as tx:
        return progress(tx, no)


def _turn(tx: Connection, run: StoredRun, number: str, policy: Policy, now: datetime) -> StoredRemedy | None:
    """An order's turn: its remedy, or why it gets none. Held by its order, so that two cannot take it at once."""
    orders.lock(tx, number)
    planned = store.entry(tx, run.no, number)
    if planned is None or planned.state is not Member.WAITING:
        return None
    facts, weighed = answers.weighing(tx, number, policy, now)
    found = remedies_of(facts, weighed, policy, Role.FINANCE, answers.taken(tx, number))
    still = again(planned, found, run.action)
    if still.state is Member.LEFT_OUT:
        store.settle(tx, run.no, number, Member.LEFT_OUT, still.why)
        return None
    remedy = next(r for r in found if r.action is run.action and r.eligible)
    row = proposed(number, remedy, key_of(str(run.no), number), run.cause, run.made_by, now)
    made = remedy_store.add(tx, replace(row, run_no=run.no))
    assert made is not None, "its member waited, so there was none of this key"
    store.settle(tx, run.no, number, Member.TAKEN, still.why)
    return granted(tx, made, run.looked_by, policy, now, at_once=True)


def _end(tx: Connection, no: int, now: datetime) -> None:
    """Done when no order waits and nothing is under way; what failed or is booked has its own life."""
    run = _held(tx, no)
    if run.state is RunState.APPROVED and progress(tx, no).left == 0:
        store.change(tx, no, state=str(RunState.DONE), ended_at=now)
        audit.add(tx, Logged(now, "remedies", "run_done", f"run:{no}", None))
