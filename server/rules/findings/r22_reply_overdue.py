"""R-22: a customer has waited for a person's answer for longer than 24 calendar hours."""

from __future__ import annotations

from collections.abc import Iterable

from server.rules import words
from server.rules.case import Case
from server.rules.contacts import reply_due, waits
from server.rules.evidence import of_statement
from server.rules.findings.finding import Found


def find(case: Case) -> Iterable[Found]:
    """One per wait, from the deadline until a person answers."""
    for wait in case.once(waits):
        deadline = reply_due(case, wait)
        answered_at = wait.answered.said_at if wait.answered else None
        if (answered_at is not None and answered_at <= deadline) or not case.moment.passed(deadline):
            continue
        yield Found(
            slot=wait.asked.slot,
            subject=wait.asked.id,
            since=deadline,
            why=f"Asked {words.moment(wait.asked.said_at, case.zone)}; no person had answered a day later.",
            evidence=(of_statement(wait.asked, case.zone),),
            cleared_at=answered_at,
            cleared_because="a person answered, late" if answered_at else "",
        )
