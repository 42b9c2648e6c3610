"""R-26: the order is one of many that share a finding and a cause, far more often than others do."""

from __future__ import annotations

from collections.abc import Iterable

from server.rules.case import Case
from server.rules.causes import shared_words
from server.rules.findings.finding import Found


def find(case: Case) -> Iterable[Found]:
    """One per cohort that the order belongs to; `server.rules.cohorts` finds them across orders."""
    for mark in sorted(set(case.facts.cohorts), key=lambda m: (m.since, m.rule, m.kind, m.cause)):
        if not case.moment.passed(mark.since):
            continue
        over = mark.ended_at is not None and case.moment.passed(mark.ended_at)
        yield Found(
            slot=None,
            subject=f"{mark.rule} {mark.kind} {mark.cause}",
            since=mark.since,
            why=f"{mark.orders} orders {shared_words(mark.kind, mark.cause)} have {mark.rule}, far more than others.",
            cleared_at=mark.ended_at if over else None,
            cleared_because="it was repaired for so many of them that it is no cohort any more" if over else "",
        )
