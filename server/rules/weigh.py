"""The one question: facts and the moment in, a weighing out.

`weigh` reads no clock and changes nothing. Order and repetition of facts never change its answer, late facts give the
answer they would have given in time, and until `next_look_at` only new facts can change it.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable
from dataclasses import dataclass, replace
from datetime import datetime
from typing import TypeVar

from server.rules.activation import Activation, ladder
from server.rules.case import Case, lay_out
from server.rules.contacts import ReplyClock, reply_clock
from server.rules.evidence import Verdict
from server.rules.facts import OrderFacts
from server.rules.findings.finding import Finding
from server.rules.findings.registry import findings_of
from server.rules.moment import Moment
from server.rules.policy import Policy
from server.rules.promises import Promise, promises_of
from server.rules.shown import Shown, project
from server.rules.steps import StepVerdict, steps_of
from server.rules.verdicts import StatementVerdict, verdicts_of


@dataclass(frozen=True, slots=True)
class Weighing:
    """Everything that may be said of an order at `as_of`. It holds no place but our own sites' names.

    `reply`: the customer waits for a person's answer; None: nobody waits.
    `findings` are open ones, worst and oldest first; `cleared` held once. `next_look_at` None: only facts change it.
    """

    order: str
    as_of: datetime
    policy_version: str
    verdicts: tuple[StatementVerdict, ...]
    findings: tuple[Finding, ...]
    cleared: tuple[Finding, ...]
    steps: tuple[StepVerdict, ...]
    activations: tuple[Activation, ...]
    promises: tuple[Promise, ...]
    shown: Shown
    next_look_at: datetime | None
    reply: ReplyClock | None = None


def weigh(facts: OrderFacts, policy: Policy, now: datetime) -> Weighing:
    """Judge an order as it was known at `now` (UTC). Facts learnt later are ignored, so history can be replayed."""
    moment = Moment(now)
    case = lay_out(facts, policy, moment)
    steps, verdicts = _judge(case)
    if case.disputed:
        steps, verdicts = _lower_disputed(steps, verdicts, _judge(lay_out(facts, policy, moment, with_disputed=True)))
    found, cleared = findings_of(case)
    reply = reply_clock(case)
    return Weighing(
        order=facts.order.number,
        as_of=now,
        policy_version=policy.version,
        verdicts=verdicts,
        findings=found,
        cleared=cleared,
        steps=steps,
        activations=tuple(ladder(case, unit) for unit in case.slots),
        promises=promises_of(case),
        shown=project(case, steps, found),
        next_look_at=moment.next_look_at,
        reply=reply,
    )


Judged = tuple[tuple[StepVerdict, ...], tuple[StatementVerdict, ...]]


def _judge(case: Case) -> Judged:
    steps = tuple(step for unit in case.slots for step in steps_of(case, unit))
    return steps, verdicts_of(case, steps)


_DISPUTED = "Rests on sightings that contradict one another (R-34), so nobody can say."
J = TypeVar("J", StepVerdict, StatementVerdict)


def _lower_disputed(steps: Iterable[StepVerdict], verdicts: Iterable[StatementVerdict], other: Judged) -> Judged:
    """Whatever the disputed sightings would change is unknown."""
    return (
        _lower(steps, other[0], lambda s: (s.slot, s.step)),
        _lower(verdicts, other[1], lambda v: (v.statement, v.slot)),
    )


def _lower(without: Iterable[J], counting: Iterable[J], key: Callable[[J], object]) -> tuple[J, ...]:
    otherwise = {key(one): one.verdict for one in counting}
    return tuple(
        one
        if otherwise.get(key(one), one.verdict) is one.verdict
        else replace(one, verdict=Verdict.UNKNOWN, evidence=(), why=_DISPUTED)
        for one in without
    )
