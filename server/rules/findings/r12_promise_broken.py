"""R-12: a promise's due moment and grace are past without the condition that proves it."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Final

from server.rules import words
from server.rules.case import Case
from server.rules.findings.finding import OVER, Found, over_at, until
from server.rules.payloads import PromiseKind
from server.rules.promises import PromiseState, promises_of

# A word to the customer is owed also when the order is over, and a refund until it is booked.
_SPOKEN: Final = frozenset({PromiseKind.REPLY, PromiseKind.CALL_BACK, PromiseKind.REFUND})


def find(case: Case) -> Iterable[Found]:
    """One per broken promise; it clears when kept after all, or nothing is owed any more; the promise stays broken."""
    for promise in promises_of(case):
        if promise.state is PromiseState.BROKEN:
            due, lapse = words.due(promise.due, case.zone), f" Its lapse: {promise.lapse}." if promise.lapse else ""
            found = Found(
                slot=promise.slot,
                subject=promise.id,
                since=promise.breaks_at,
                why=f"Promised: {promise.what.replace('_', ' ')} by {due}. Not met: {promise.condition}{lapse}",
            )
            ends = [(promise.met_at, "it was kept, late"), (promise.let_go_at, "it was let go, late")]
            ends += [(over_at(case, promise.slot), OVER)] if promise.what not in _SPOKEN else []
            yield until(found, ends)
