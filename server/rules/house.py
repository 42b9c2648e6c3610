"""What was said of the house as a whole, and when it concerns one order: only while its customer waits for an answer.

A mail server that was down for an hour at night is nothing to ten thousand orders whose customers slept; to the one who
wrote in that hour it is the reason for the silence.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import replace

from server.rules.case import Case
from server.rules.contacts import waits
from server.rules.facts import Statement
from server.rules.findings.finding import Found


def of_house(case: Case) -> tuple[Statement, ...]:
    """What is known of the house by now, in order of time."""
    known = [s for s in dict.fromkeys(case.facts.house) if case.moment.passed(s.learnt_at)]
    return tuple(sorted(known, key=lambda s: (s.said_at, s.id)))


def while_waiting(case: Case, found: Iterable[Found]) -> Iterable[Found]:
    """Of each finding about the house the part in which this order's customer waited; nothing of the others."""
    for each in found:
        over = each.cleared_at
        during = [
            wait
            for wait in case.once(waits)
            if (over is None or wait.asked.said_at < over)
            and (wait.answered is None or wait.answered.said_at > each.since)
        ]
        if not during:
            continue
        since = max(each.since, during[0].asked.said_at)
        answered = during[-1].answered
        if answered is None or (over is not None and over <= answered.said_at):
            yield replace(each, since=since)
        else:
            yield replace(each, since=since, cleared_at=answered.said_at, cleared_because="a person answered")
