"""The life of a remedy as a table: what may follow what, how long it may be undone, how often it is tried again."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import timedelta
from enum import StrEnum
from typing import Final

from server.rules.authority import Action
from server.rules.policy import Policy


class State(StrEnum):
    """`booked`: the port took it and somebody still has to do it, such as the person who pays from the ledger."""

    PROPOSED = "proposed"
    GRANTED = "granted"
    BOOKED = "booked"
    DONE = "done"
    FAILED = "failed"
    WITHDRAWN = "withdrawn"


NEXT: Final[Mapping[State, frozenset[State]]] = {
    State.PROPOSED: frozenset({State.GRANTED, State.WITHDRAWN}),
    State.GRANTED: frozenset({State.BOOKED, State.DONE, State.FAILED, State.WITHDRAWN}),
    State.BOOKED: frozenset({State.DONE, State.FAILED}),
    # The port knows its key: to ask again never does it twice. Taken back it cannot be, for nobody knows what was done.
    State.FAILED: frozenset({State.GRANTED}),
    State.DONE: frozenset(),
    State.WITHDRAWN: frozenset(),
}
"""A granted remedy can be withdrawn only until it is first tried: see `may_withdraw`."""

OPEN: Final = frozenset({State.PROPOSED, State.GRANTED, State.BOOKED, State.FAILED})
"""Not settled: the same must not be asked for a second time. A failed one may have been done for all we know."""

MONEY: Final = frozenset({Action.FULL_REFUND, Action.REFUND_SERVICE_FEE})
"""They go through the payment port."""
LABELS: Final = frozenset({Action.EXPRESS_RESHIP, Action.REPLACE_LEFT_UNIT})
"""They go through the label port; their invoice is zero."""

PAUSES: Final = tuple(timedelta(seconds=s) for s in (60, 300, 1800, 7200, 43_200))
"""How long after each try the next one comes; after the last one it is given up. Shorter first: a provider that
restarts is back in a minute. Longer in all: nobody learns of a refund that fails for days."""

ASK_AGAIN: Final = timedelta(minutes=15)
"""How often a booked remedy is asked about. Whoever marks it paid asks at once."""


def may_follow(before: State, after: State) -> bool:
    """True if a remedy may go from one state to the other."""
    return after in NEXT[before]


def may_withdraw(state: State, tries: int) -> bool:
    """True while nothing can have been done: not once a port may have been asked."""
    return may_follow(state, State.WITHDRAWN) and tries == 0


def undo_time(action: Action, policy: Policy) -> timedelta:
    """How long a granted remedy waits to be taken back.

    Money that left does not come back, so it waits. A label waits for nobody: void it costs little, and the carrier's
    cut-off that would still keep the promise may be minutes away.
    """
    return timedelta(seconds=policy.undo_s) if action in MONEY else timedelta(0)


def pause(tries: int) -> timedelta | None:
    """How long to wait after so many tries; None: give it up."""
    return PAUSES[tries - 1] if tries <= len(PAUSES) else None
