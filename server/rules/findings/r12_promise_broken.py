"""R-12: a promise's due moment and grace are past without the condition that proves it."""

from __future__ import annotations

from collections.abc import Iterable

from server.rules import words
from server.rules.case import Case
from server.rules.findings.finding import Found
from server.rules.promises import PromiseState, promises_of


def find(case: Case) -> Iterable[Found]:
    """One per broken promise; it clears when the promise is kept after all, the promise stays broken."""
    for promise in promises_of(case):
        if promise.state is PromiseState.BROKEN:
            due, lapse = words.due(promise.due, case.zone), f" Its lapse: {promise.lapse}." if promise.lapse else ""
            yield Found(
                slot=promise.slot,
                subject=promise.id,
                since=promise.breaks_at,
                why=f"Promised: {promise.what.replace('_', ' ')} by {due}. Not met: {promise.condition}{lapse}",
                cleared_at=promise.met_at,
                cleared_because="it was kept, late" if promise.met_at else "",
            )
