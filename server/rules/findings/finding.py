"""What a rule finds, and what the catalogue makes of it for the people who read it.

A finding is never stored as a status: it opens, updates and clears itself, because each weighing finds it anew.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable
from dataclasses import dataclass, replace
from datetime import datetime
from enum import StrEnum
from typing import Final

from server.rules.authority import Action
from server.rules.case import Case, SlotCase
from server.rules.evidence import Evidence


class Severity(StrEnum):
    """How soon a person must look: today, now, or drop everything."""

    WARNING = "warning"
    HIGH = "high"
    CRITICAL = "critical"


@dataclass(frozen=True, slots=True)
class Found:
    """What a rule itself knows. `since` is the moment at which the rule first held, not when we noticed.

    With `cleared_at` it held and holds no longer, because of `cleared_because`. `severity` None = the catalogue's.
    """

    slot: int | None
    subject: str
    since: datetime
    why: str
    evidence: tuple[Evidence, ...] = ()
    severity: Severity | None = None
    cleared_at: datetime | None = None
    cleared_because: str = ""


Find = Callable[[Case], Iterable[Found]]


@dataclass(frozen=True, slots=True)
class Rule:
    """A row of the catalogue. `true`, `say`, `do` are support's paragraph; `customer` is never ahead of evidence.

    `remedy` is the default one, None where a person must judge first.
    """

    id: str
    name: str
    title: str
    needs_radio: bool
    severity: Severity
    customer: str
    true: str
    say: str
    do: str
    remedy: Action | None = None


@dataclass(frozen=True, slots=True)
class Finding:
    """A rule that holds (or held, with `cleared_at`) for an order, a slot and a subject: that is its key."""

    rule: Rule
    order: str
    slot: int | None
    subject: str
    severity: Severity
    since: datetime
    why: str
    evidence: tuple[Evidence, ...]
    cleared_at: datetime | None
    cleared_because: str

    @property
    def key(self) -> tuple[str, str, str, str]:
        """(order, slot, rule, subject), as text."""
        return self.order, str(self.slot or ""), self.rule.id, self.subject


def ended(unit: SlotCase, found: Found) -> Found:
    """The same, cleared if the slot is over: cancelled or refunded, nothing is owed on it any more."""
    if unit.ended is None or found.cleared_at is not None:
        return found
    return replace(found, cleared_at=unit.ended.latest, cleared_because=OVER)


def over_at(case: Case, slot: int | None) -> datetime | None:
    """When nothing was owed any more on a slot, or (None) on every slot of the order: cancelled or refunded."""
    units = [unit for unit in case.slots if slot in (None, unit.slot.number)]
    ends = [unit.ended.latest for unit in units if unit.ended is not None]
    return max(ends) if ends and len(ends) == len(units) else None


OVER: Final = "the order was cancelled or refunded"


def until(found: Found, ends: Iterable[tuple[datetime | None, str]]) -> Found:
    """The same, cleared by the first of these ends, with its reason. What ended before it began never held."""
    known = [*ends, (found.cleared_at, found.cleared_because)]
    over = min(((max(at, found.since), because) for at, because in known if at is not None), default=None)
    return found if over is None else replace(found, cleared_at=over[0], cleared_because=over[1])


def earliest(found: Iterable[Found]) -> Iterable[Found]:
    """Of one slot's findings the one that speaks: the earliest open one, else the earliest that cleared."""
    held = [f for f in found if f.cleared_at is None or f.cleared_at > f.since]
    ranked = sorted(held, key=lambda f: (f.cleared_at is not None, f.since, f.subject))
    return ranked[:1]
