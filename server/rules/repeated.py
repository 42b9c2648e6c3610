"""The same promise again: whoever was let down once is owed a remedy before they are promised anything of the kind.

A kind is R-18's: to a customer "it ships", "the number will work" and "it arrives" are one promise, that it comes.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Final

from server.rules import words
from server.rules.authority import Action
from server.rules.case import Case
from server.rules.facts import ActKind, Source
from server.rules.findings.r18_third_promiser import KINDS
from server.rules.payloads import PromiseKind
from server.rules.promises import Promise, PromiseState
from server.rules.remedy_life import LABELS, MONEY

# What may go with a repeated promise: something that is done, not another word.
REMEDIES: Final = tuple(action for action in Action if action in MONEY | LABELS)


@dataclass(frozen=True, slots=True)
class Repeat:
    """Promising it once more is too much since this moment, and why."""

    since: datetime
    why: str


def repeats(case: Case, made: Sequence[Promise], what: PromiseKind, by: str) -> Repeat | None:
    """Whether another promise of this kind by this person would repeat one that failed, or be a third person's."""
    kind = KINDS[what]
    alike = sorted((p for p in made if KINDS[p.what] == kind), key=lambda p: (p.made_at, p.id))
    met = max((p.met_at for p in alike if p.met_at is not None), default=None)
    # After one that was met the count begins anew.
    alike = [p for p in alike if met is None or p.made_at > met]
    broken = [p for p in alike if p.state is PromiseState.BROKEN]
    if broken:
        last = max(broken, key=lambda p: (p.breaks_at, p.id))
        when = words.due(last.due, case.zone)
        why = f"{kind[0].upper()}{kind[1:]} was promised before, by {when}, and not done."
        return Repeat(last.breaks_at, why)
    staff = {s.id for s in case.statements if s.source is Source.STAFF}
    people: list[str] = []
    for promise in alike:
        if promise.id in staff and promise.by not in people:
            people.append(promise.by)
        if len(people) >= 2 and by not in people:
            return Repeat(promise.made_at, f"Two people promised {kind} before; a third would be one too many.")
    return None


def remedied(case: Case, repeat: Repeat) -> bool:
    """True if a remedy was authorised or done since it became too much."""
    done = (ActKind.REMEDY_AUTHORISED, ActKind.REMEDY_DONE)
    return any(act.kind in done and act.at >= repeat.since for act in case.acts)
