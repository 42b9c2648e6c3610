"""A story's run of one remedy over many orders, played with a kill half-way: who gets what, once each, one notice each.

The planner, the key and the approval are the server's own (`remedy_runs`); the ports are two dictionaries here.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, replace
from datetime import datetime
from typing import Any

from server.rules.authority import Action, Role
from server.rules.facts import OrderFacts, StatementKind
from server.rules.payloads import Payment
from server.rules.policy import Policy
from server.rules.remedies import Remedy, Taken, remedies_of
from server.rules.remedy_life import State
from server.rules.remedy_runs import Entry, Member, again, approval, entry, key_of, notice_of, totals
from server.rules.weigh import weigh


@dataclass(frozen=True, slots=True)
class StoryRun:
    """A run as the story tells it. `orders`: the facts of each order of it, by number."""

    name: str
    action: Action
    at: datetime
    approved_as: Role
    killed_after: tuple[int, ...]
    orders: Mapping[str, OrderFacts]
    expect: Mapping[str, Any]


@dataclass(frozen=True, slots=True)
class Played:
    """What the run did: its preview, how often each order was paid and its customer told, how often it was killed."""

    preview: tuple[Entry, ...]
    approvals: int
    paid: Mapping[str, int]
    sums: Mapping[str, int]
    told: Mapping[str, int]
    kills: int


def orders_of(like: OrderFacts, others: list[Mapping[str, Any]]) -> dict[str, OrderFacts]:
    """The story's own order, and others to which the same happened; each may have paid another sum, or nothing."""
    found = {like.order.number: like}
    for other in others:
        number: str = other["number"]
        statements = tuple(
            replace(said, order=number, payload=_paid(said.payload, other)) for said in like.statements
            if said.kind not in other.get("without", ())
        )  # fmt: skip
        found[number] = replace(like, order=replace(like.order, number=number), statements=statements)
    return found


def _paid(payload: Any, other: Mapping[str, Any]) -> Any:
    if isinstance(payload, Payment) and "amount_minor" in other:
        return replace(payload, amount_minor=other["amount_minor"])
    return payload


def play(run: StoryRun, policy: Policy) -> Played:
    """One preview, one approval, and the run, killed after so many payments and gone on with each time."""
    preview = tuple(entry(number, _remedies(run, number, policy), run.action) for number in sorted(run.orders))
    allowed = approval(run.approved_as, preview, policy)
    house = _House(run, policy, {each.order: each for each in preview})
    kills = sorted(run.killed_after, reverse=True)
    killed = 0
    if allowed.allowed:
        for _ in range(len(kills) + 1):
            if house.run_until(kills.pop() if kills else None):
                break
            killed += 1
    return Played(
        preview, int(allowed.allowed), Counter(house.asked), dict(house.ledger), Counter(house.letters), killed
    )


class _House:
    """What outlives a kill: the run's rows, the ledger, the letters. What a process remembered does not."""

    def __init__(self, run: StoryRun, policy: Policy, members: dict[str, Entry]) -> None:
        self.run, self.policy, self.members = run, policy, members
        self.done: set[str] = set()
        self.ledger: dict[str, int] = {}
        self.asked: list[str] = []
        self.letters: list[str] = []
        self._names: set[str] = set()

    def run_until(self, payments: int | None) -> bool:
        """Go on with what waits; False if it was killed after so many payments in all, before writing that down."""
        for number, planned in self.members.items():
            if planned.state is not Member.WAITING or number in self.done:
                continue
            key = key_of(self.run.name, number)
            still = again(planned, _remedies(self.run, number, self.policy), self.run.action)
            if key not in self.ledger:
                if still.state is Member.LEFT_OUT:
                    self.members[number] = still
                    continue
                self.ledger[key] = still.amount_minor
                self.asked.append(number)
            if payments is not None and len(self.ledger) == payments:
                return False
            self.done.add(number)
            if notice_of(key) not in self._names:
                self._names.add(notice_of(key))
                self.letters.append(number)
        return True


def _remedies(run: StoryRun, number: str, policy: Policy) -> tuple[Remedy, ...]:
    facts = run.orders[number]
    refunded = [s for s in facts.statements if s.kind is StatementKind.REFUNDED and s.learnt_at <= run.at]
    taken = [Taken(Action.FULL_REFUND, (), State.DONE, s.said_at, s.said_at) for s in refunded]
    return remedies_of(facts, weigh(facts, policy, run.at), policy, Role.FINANCE, taken)


def failures(run: StoryRun, played: Played) -> Iterator[str]:
    """What did not come as the story wants it, in words."""
    wanted = run.expect
    there = [each.order for each in played.preview if each.state is Member.WAITING]
    if played.approvals != 1:
        yield f"the run must be approved once; it was {played.approvals} times"
    if sorted(there) != sorted(wanted["refunded"]):
        yield f"the preview must hold {', '.join(wanted['refunded'])}; it holds {', '.join(there) or 'nobody'}"
    if sum(totals(played.preview).values()) != wanted["total_minor"]:
        yield f"the preview must sum up to {wanted['total_minor']}; it does to {totals(played.preview)}"
    if played.kills != len(run.killed_after):
        yield f"the run must be killed {len(run.killed_after)} times; it was {played.kills} times"
    if sum(played.sums.values()) != wanted["total_minor"]:
        yield f"{wanted['total_minor']} must go back in all; {sum(played.sums.values())} did"
    for number in run.orders:
        times = 1 if number in wanted["refunded"] else 0
        if played.paid.get(number, 0) != times:
            yield f"{number} must be refunded {times} times; it was {played.paid.get(number, 0)} times"
        if played.told.get(number, 0) != times:
            yield f"{number} must get {times} notices; it got {played.told.get(number, 0)}"
