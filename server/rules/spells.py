"""Stretches in which something held, from observations one after another: a number is shown, then none, then it.

A rule that reads a changing view (a carrier's estimate, the service shown) opens with the first bad observation of a
stretch and clears with the first good one after it.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from datetime import datetime

from server.rules.facts import Statement


@dataclass(frozen=True, slots=True)
class Observed:
    """At a moment something held or did not; `by`: the statement that showed it, if one did."""

    at: datetime
    holds: bool
    by: Statement | None = None


@dataclass(frozen=True, slots=True)
class Spell:
    """It held from the observation `first` until `until` (None: still), as the observation `last` still showed."""

    first: Observed
    last: Observed
    until: datetime | None

    @property
    def since(self) -> datetime:
        return self.first.at


def spells(observed: Iterable[Observed]) -> tuple[Spell, ...]:
    """The stretches in order of time. Of two observations of one moment the good one counts last."""
    found: list[Spell] = []
    for each in sorted(observed, key=lambda o: (o.at, not o.holds, o.by.id if o.by else "")):
        going = bool(found) and found[-1].until is None
        if each.holds:
            if going:
                found[-1] = Spell(found[-1].first, each, None)
            else:
                found.append(Spell(each, each, None))
        elif going:
            found[-1] = Spell(found[-1].first, found[-1].last, each.at)
    return tuple(found)
