"""How long a customer waits: each stretch from a message that nobody has answered to a person's word.

The clock runs in calendar hours: a target of one business day would hide two of the four waits of story T.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Final

from server.rules.case import Case
from server.rules.facts import ActKind, Source, Statement, StatementKind
from server.rules.payloads import Contact, Wants

# What one of us says to a customer is an answer, in whichever form it was written down.
_TOLD: Final = frozenset(
    {
        StatementKind.ASSERTION,
        StatementKind.DISPATCHED,
        StatementKind.LABEL_PRINTED,
        StatementKind.NUMBER_GIVEN,
        StatementKind.OFFER,
        StatementKind.PROMISE,
    }
)


@dataclass(frozen=True, slots=True)
class Wait:
    """From a customer's first unanswered message to the answer; None: still waiting."""

    asked: Statement
    answered: Statement | None


@dataclass(frozen=True, slots=True)
class ReplyClock:
    """The wait that runs now: since the first unanswered message; what the messages of it ask for, the first first.

    `late`: at the moment of judging the answer was due already.
    """

    since: datetime
    due: datetime
    late: bool
    channel: str
    wants: tuple[Wants, ...]
    messages: int


def is_answer(said: Statement) -> bool:
    """True if a person of ours said something to the customer; a robot's receipt is no answer."""
    if isinstance(said.payload, Contact):
        return not said.payload.inbound and said.payload.person
    return said.source is Source.STAFF and said.kind in _TOLD


def asks(case: Case) -> tuple[Statement, ...]:
    """Every message of the customer, in order of time; what their mailbox sent by itself asks for nothing."""
    return asks_of(case.statements)


def asks_of(said: Iterable[Statement]) -> tuple[Statement, ...]:
    """Those among statements that stand."""
    inbound = [s for s in said if isinstance(s.payload, Contact) and s.payload.inbound and s.payload.person]
    return tuple(sorted(inbound, key=lambda s: (s.said_at, s.id)))


def decided_at(case: Case, asked: Statement) -> datetime | None:
    """When somebody with authority did something about a message."""
    done = (ActKind.REMEDY_AUTHORISED, ActKind.REMEDY_DONE)
    return min((act.at for act in case.acts if act.kind in done and act.at >= asked.said_at), default=None)


def waits(case: Case) -> tuple[Wait, ...]:
    """Every stretch of waiting, in order; messages sent meanwhile belong to the stretch that runs."""
    return waits_of(case.statements)


def waits_of(said: Sequence[Statement]) -> tuple[Wait, ...]:
    """Those among statements that stand."""
    answers = sorted((s for s in said if is_answer(s)), key=lambda s: (s.said_at, s.id))
    found: list[Wait] = []
    for asked in asks_of(said):
        if found and (found[-1].answered is None or found[-1].answered.said_at > asked.said_at):
            continue
        found.append(Wait(asked, next((a for a in answers if a.said_at > asked.said_at), None)))
    return tuple(found)


def reply_due(case: Case, wait: Wait) -> datetime:
    """Until when a person answers: calendar hours from the first message of the wait."""
    return wait.asked.said_at + timedelta(seconds=case.policy.reply_s)


def reply_clock(case: Case) -> ReplyClock | None:
    """The wait that runs, if one does: at most the last one is unanswered."""
    wait = next((each for each in case.once(waits) if each.answered is None), None)
    if wait is None:
        return None
    meanwhile = [s for s in asks(case) if (s.said_at, s.id) >= (wait.asked.said_at, wait.asked.id)]
    contacts = [s.payload for s in meanwhile if isinstance(s.payload, Contact)]
    due = reply_due(case, wait)
    return ReplyClock(
        since=wait.asked.said_at,
        due=due,
        late=case.moment.passed(due),
        channel=contacts[0].channel,
        wants=tuple(dict.fromkeys(each.wants for each in contacts)),
        messages=len(contacts),
    )
