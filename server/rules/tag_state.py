"""In which state of its life a tag is, and how it came there: the table of `life`, walked with what is known.

A state is entered by evidence, or by our own record where the table asks for no more; a step that may not follow the
present one is left out, not forced in.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from datetime import datetime

from server.rules.evidence import SHOWN_BY_EVIDENCE, Verdict, weight
from server.rules.facts import Act, ActKind, GatewayClass, Heard, Unit
from server.rules.freshness import Freshness, judge
from server.rules.life import TABLE, Step, may_follow
from server.rules.moment import Moment
from server.rules.policy import Policy
from server.rules.steps import StepVerdict

_BY_ACT = {
    ActKind.CLAIMED: Step.CLAIMED,
    ActKind.ACTIVATED: Step.ACTIVATED,
    ActKind.RELEASED: Step.RELEASED,
    ActKind.REFURBISHED: Step.REFURBISHED,
    ActKind.RETIRED: Step.RETIRED,
}


@dataclass(frozen=True, slots=True)
class Entered:
    """A state entered: when, and what its evidence is worth."""

    step: Step
    at: datetime
    verdict: Verdict


def states_of(
    unit: Unit, rows: Iterable[Heard], acts: Iterable[Act], steps: Sequence[StepVerdict], policy: Policy, now: datetime
) -> tuple[Entered, ...]:
    """The states that a tag has gone through, oldest first; the last one is its present state.

    `rows` and `acts` are the tag's own; `steps` those of the slot it is bound to (none if it never was).
    """
    known = [e for e in _entries(unit, rows, acts, steps, policy, now) if e.at <= now]
    gone_through: list[Entered] = []
    for entry in sorted(known, key=lambda e: (e.at, list(Step).index(e.step))):
        if may_follow(gone_through[-1].step if gone_through else None, entry.step):
            gone_through.append(entry)
    return tuple(gone_through)


def _entries(
    unit: Unit, rows: Iterable[Heard], acts: Iterable[Act], steps: Sequence[StepVerdict], policy: Policy, now: datetime
) -> Iterable[Entered]:
    if unit.manufactured_at is not None:
        yield Entered(Step.MANUFACTURED, unit.manufactured_at, Verdict.STATED)
    if unit.keyed_at is not None:
        yield Entered(Step.KEYED, unit.keyed_at, Verdict.STATED)
    heard = [s for s in judge(rows, policy, Moment(now)) if s.freshness is Freshness.FRESH]
    inside = [s for s in heard if s.row.gateway_class is GatewayClass.OWN_SITE]
    in_stock = weight(inside)
    if in_stock is not None:
        yield Entered(Step.STOCKED, inside[0].at, in_stock)
    for one in steps:
        entered = one.verdict in SHOWN_BY_EVIDENCE or (one.said and not TABLE[one.step].physical)
        if entered and one.at is not None and one.step not in (Step.STOCKED, Step.CLAIMED, Step.ACTIVATED):
            yield Entered(one.step, one.at, one.verdict)
    yield from _by_acts(acts)


def _by_acts(acts: Iterable[Act]) -> Iterable[Entered]:
    for act in acts:
        if act.kind in _BY_ACT:
            if act.kind is ActKind.ACTIVATED:  # a receipt needs no code before it
                yield Entered(Step.CLAIMED, act.at, Verdict.PROVED)
            yield Entered(_BY_ACT[act.kind], act.at, Verdict.PROVED if act.receipt else Verdict.STATED)
