"""One mistake, many orders: a finding that the orders of one cause share far more often than the others do (R-26).

A cause is what orders have in common: their lot, the day of their label, who packed them, where they were packed. Pure:
one row per order in, cohorts out; whoever asks gathers the rows of the orders that are open.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from datetime import datetime

from server.rules.causes import CauseKind
from server.rules.facts import require_utc
from server.rules.policy import Policy


@dataclass(frozen=True, slots=True)
class OrderRow:
    """An order, since when each rule holds for it, and its causes by kind (an order of two lots has both)."""

    order: str
    since: Mapping[str, datetime]
    causes: frozenset[tuple[CauseKind, str]]


@dataclass(frozen=True, slots=True)
class Cohort:
    """Orders that share a rule's finding and a cause. `share` and `usual`: of this cause and of all others, 0 to 1."""

    rule: str
    kind: CauseKind
    cause: str
    orders: tuple[str, ...]
    share: float
    usual: float
    since: datetime

    def __post_init__(self) -> None:
        require_utc(self.since)


def cohorts(rows: Iterable[OrderRow], policy: Policy) -> tuple[Cohort, ...]:
    """Every cohort: at least `cohort_orders_min` orders, and their share at least `cohort_times_min` the usual one.

    The usual share is that of the orders without this cause; if there are none, nobody can say what is usual, and the
    number alone decides. Order and repetition of the rows mean nothing.
    """
    every = {row.order: row for row in rows}
    by_cause: dict[tuple[CauseKind, str], set[str]] = defaultdict(set)
    by_rule: dict[str, set[str]] = defaultdict(set)
    for order, row in every.items():
        for cause in row.causes:
            by_cause[cause].add(order)
        for rule in row.since:
            by_rule[rule].add(order)
    found = [
        cohort
        for rule, hit in by_rule.items()
        if len(hit) >= policy.cohort_orders_min
        for cause, having in by_cause.items()
        if (cohort := _cohort(rule, cause, hit, having, every, policy)) is not None
    ]
    return tuple(sorted(found, key=lambda c: (c.since, c.rule, c.kind, c.cause)))


def _cohort(
    rule: str,
    cause: tuple[CauseKind, str],
    hit: set[str],
    having: set[str],
    every: Mapping[str, OrderRow],
    policy: Policy,
) -> Cohort | None:
    orders, others_hit, others = hit & having, len(hit - having), len(every) - len(having)
    # In whole numbers: three times a fifth is exactly three fifths.
    often = len(orders) * others >= policy.cohort_times_min * others_hit * len(having)
    if len(orders) < policy.cohort_orders_min or not often:
        return None
    share, usual = len(orders) / len(having), others_hit / others if others else 0.0
    moments = sorted(every[order].since[rule] for order in orders)
    kind, name = cause
    return Cohort(rule, kind, name, tuple(sorted(orders)), share, usual, moments[policy.cohort_orders_min - 1])
