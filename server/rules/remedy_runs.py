"""One remedy for many orders: who gets it and how much, who must approve, and what is left to do after a kill.

A run is a list of orders, each with a state of its own; it has no position. Whoever goes on with it asks what still
waits, and an order's key makes sure that nothing is done or told twice.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from enum import StrEnum
from typing import Final

from server.rules.authority import TABLE, Action, Permission, Role, may
from server.rules.policy import Policy
from server.rules.remedies import Remedy

# What can be done for many at once without looking at each.
FOR_MANY: Final = (Action.FULL_REFUND, Action.REFUND_SERVICE_FEE, Action.EXPRESS_RESHIP)

# More orders than this, or more money than one lead may pay back, and a second person approves. Smaller: two people
# for every dozen. Larger: one wrong click pays a day's takings.
ORDERS_BY_ONE: Final = 25
MINOR_BY_ONE: Final = TABLE[Action.FULL_REFUND][Role.LEAD].limit_minor or 0


class RunState(StrEnum):
    """`approved` runs as soon as its undo window is over."""

    PREVIEWED = "previewed"
    APPROVED = "approved"
    DONE = "done"
    WITHDRAWN = "withdrawn"


NEXT: Final[Mapping[RunState, frozenset[RunState]]] = {
    RunState.PREVIEWED: frozenset({RunState.APPROVED, RunState.WITHDRAWN}),
    RunState.APPROVED: frozenset({RunState.DONE, RunState.WITHDRAWN}),
    RunState.DONE: frozenset(),
    RunState.WITHDRAWN: frozenset(),
}


class Member(StrEnum):
    """An order of a run: it waits, its remedy exists (with a life of its own), or it is left out, with the reason."""

    WAITING = "waiting"
    TAKEN = "taken"
    LEFT_OUT = "left_out"


@dataclass(frozen=True, slots=True)
class Entry:
    """One order of a run. `why`: the reason, also of what is eligible."""

    order: str
    amount_minor: int
    currency: str
    state: Member
    why: str


def entry(order: str, remedies: Iterable[Remedy], action: Action) -> Entry:
    """What the run would do for this order, by its remedies."""
    mine = [remedy for remedy in remedies if remedy.action is action]
    for remedy in mine:
        if remedy.eligible and not remedy.ask_amount:
            return Entry(order, remedy.amount_minor, remedy.currency, Member.WAITING, remedy.why)
        if remedy.eligible:
            return Entry(order, 0, "", Member.LEFT_OUT, "The payments do not say how much it is; a person names it.")
    return Entry(order, 0, "", Member.LEFT_OUT, mine[0].why if mine else "There is nothing of the kind to do.")


def again(planned: Entry, remedies: Iterable[Remedy], action: Action) -> Entry:
    """The same, looked at when its turn comes: what was approved, or nothing. More than approved is never paid."""
    now = entry(planned.order, remedies, action)
    if now.state is Member.WAITING and (now.amount_minor, now.currency) != (planned.amount_minor, planned.currency):
        return Entry(planned.order, 0, "", Member.LEFT_OUT, "The amount is another one than was approved.")
    return now


def totals(entries: Iterable[Entry]) -> dict[str, int]:
    """How much it is in all, by currency."""
    sums: dict[str, int] = {}
    for each in entries:
        if each.state is not Member.LEFT_OUT and each.amount_minor:
            sums[each.currency] = sums.get(each.currency, 0) + each.amount_minor
    return sums


def approval(role: Role, entries: Sequence[Entry], policy: Policy) -> Permission:
    """Whether this role may approve the run, and how many people must, whoever made the preview being one of them.

    In profile *solo* the second person is the same one after a delay (`people` 1, code `allowed_after_delay`).
    """
    minor = sum(totals(entries).values())
    allowed = may(role, Action.COHORT_REMEDY, minor, policy.profile)
    many = sum(each.state is not Member.LEFT_OUT for each in entries) > ORDERS_BY_ONE or minor > MINOR_BY_ONE
    if not allowed.allowed or not many:
        return allowed
    if policy.profile == "solo":
        return Permission(True, 1, "allowed_after_delay", "One person, after a delay and a second look; it is logged.")
    return Permission(True, 2, "allowed", "Somebody other than whoever made the preview.")


def key_of(run: str, order: str) -> str:
    """The name of an order's remedy within a run, at the ports too: however often it is asked for, it is one."""
    return f"run:{run}:{order}"


def notice_of(key: str) -> str:
    """The name of the one letter about a remedy."""
    return f"remedy:{key}"
