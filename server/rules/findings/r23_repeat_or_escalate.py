"""R-23: the customer had to come back while something was wrong, or asked for a supervisor."""

from __future__ import annotations

from collections.abc import Iterable
from datetime import datetime
from typing import Final

from server.rules import words
from server.rules.case import Case
from server.rules.contacts import asks, decided_at
from server.rules.evidence import of_statement
from server.rules.facts import Statement
from server.rules.findings import (
    r02_ship_by_missed,
    r04_label_not_accepted,
    r05_shipped_claim_without_evidence,
    r12_promise_broken,
    r17_heard_inside_after_dispatch,
    r35_dispatched_without_unit,
)
from server.rules.findings.finding import Find, Found, earliest
from server.rules.payloads import Contact, Wants

# What a customer comes back about. Each says since when it held and until when, so that the past can be asked.
_TROUBLE: Final[tuple[Find, ...]] = (
    r02_ship_by_missed.find,
    r04_label_not_accepted.find,
    r05_shipped_claim_without_evidence.find,
    r12_promise_broken.find,
    r17_heard_inside_after_dispatch.find,
    r35_dispatched_without_unit.find,
)


def find(case: Case) -> Iterable[Found]:
    """One per order: from the second message about one trouble, or the first that wants a supervisor."""
    messages = asks(case)
    trouble = [found for find_it in _TROUBLE for found in case.once(find_it)] if messages else []
    asked = [_found(case, s, decided_at(case, s)) for s in messages if _wants_supervisor(s)]
    yield from earliest([*asked, *(again for each in trouble for again in _again(case, messages, each))])


def _again(case: Case, messages: Iterable[Statement], trouble: Found) -> Iterable[Found]:
    until = trouble.cleared_at
    during = [s for s in messages if s.said_at >= trouble.since and (until is None or s.said_at < until)]
    if len(during) >= 2:
        yield _found(case, during[1], until)


def _found(case: Case, message: Statement, closed_at: datetime | None) -> Found:
    wants = " and asked for a supervisor" if _wants_supervisor(message) else ", again"
    return Found(
        slot=message.slot,
        subject="",
        since=message.said_at,
        why=f"The customer came to us{wants} {words.moment(message.said_at, case.zone)}.",
        evidence=(of_statement(message, case.zone),),
        cleared_at=closed_at,
        cleared_because="what it was about is settled" if closed_at else "",
    )


def _wants_supervisor(said: Statement) -> bool:
    return isinstance(said.payload, Contact) and said.payload.wants is Wants.SUPERVISOR
