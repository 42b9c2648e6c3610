"""Our service in figures that anybody may read: promises kept, how long a reply takes, and how long before a customer
wrote we knew. Counted over the last days; below a minimum nothing is told, for it would tell of single people.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from statistics import median
from typing import Final

from server.rules.promises import PromiseState

PERIODS_D: Final = (30, 90)
# Smaller: a figure tells of single customers, and jumps with each. Larger: a small shop never has one.
COUNT_MIN: Final = 20


@dataclass(frozen=True, slots=True)
class Due:
    """A promise: when it fell or falls due, grace included, and what became of it."""

    at: datetime
    state: PromiseState


@dataclass(frozen=True, slots=True)
class Reply:
    """A customer waits for a person's word since a moment; `answered_at` None: still."""

    asked_at: datetime
    answered_at: datetime | None


@dataclass(frozen=True, slots=True)
class Trouble:
    """A finding held from a moment on, until it cleared or still. Findings about the waiting itself are left out."""

    since: datetime
    until: datetime | None


@dataclass(frozen=True, slots=True)
class OrderRecord:
    """What one order adds to the figures; `messages` are the moments at which its customer wrote or called."""

    promises: tuple[Due, ...] = ()
    replies: tuple[Reply, ...] = ()
    troubles: tuple[Trouble, ...] = ()
    messages: tuple[datetime, ...] = ()


@dataclass(frozen=True, slots=True)
class Figure:
    """One figure, from `count` cases; `value` None: too few to tell. `how` says in plain words how it is computed."""

    value: float | None
    count: int
    how: str


@dataclass(frozen=True, slots=True)
class Period:
    """The figures of the last `days` days: a share in percent, and two medians in hours."""

    days: int
    promises_kept_percent: Figure
    reply_median_h: Figure
    lead_median_h: Figure


KEPT: Final = (
    "Of all promises to customers that fell due in this time and that no customer let go, the share that evidence shows"
    " kept in time. A promise that nothing proves kept counts as broken."
)
REPLY: Final = (
    "Half of the customers who wrote or called in this time had a person's answer within so many hours, nights and"
    " weekends included. Whoever still waits counts with the time so far; a robot's receipt is no answer."
)
LEAD: Final = (
    "When a customer wrote about an order in which we had found a fault by ourselves, half of the faults had been found"
    " at least so many hours before. Messages about orders without such a fault do not count."
)


def period(orders: Sequence[OrderRecord], days: int, now: datetime) -> Period:
    """The figures of the days before now. Order of the orders means nothing."""
    since = now - timedelta(days=days)
    over = (PromiseState.KEPT, PromiseState.BROKEN)
    due = [p.state for o in orders for p in o.promises if since < p.at <= now and p.state in over]
    kept = [100 * (state is PromiseState.KEPT) for state in due]
    waits = [
        _hours((r.answered_at or now) - r.asked_at) for o in orders for r in o.replies if since < r.asked_at <= now
    ]
    leads = [lead for o in orders for at in o.messages if since < at <= now for lead in _lead(o.troubles, at)]
    return Period(
        days=days,
        promises_kept_percent=Figure(round(sum(kept) / len(kept), 1) if _enough(kept) else None, len(kept), KEPT),
        reply_median_h=Figure(round(median(waits), 1) if _enough(waits) else None, len(waits), REPLY),
        lead_median_h=Figure(round(median(leads), 1) if _enough(leads) else None, len(leads), LEAD),
    )


def _enough(counted: Sequence[float]) -> bool:
    return len(counted) >= COUNT_MIN


def _lead(troubles: Iterable[Trouble], at: datetime) -> Iterable[float]:
    """How long the oldest fault that held at a message had held by then; nothing if none did."""
    held = [each.since for each in troubles if each.since < at and (each.until is None or each.until > at)]
    return [_hours(at - min(held))] if held else []


def _hours(lasted: timedelta) -> float:
    return lasted.total_seconds() / 3600
