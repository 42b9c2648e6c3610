"""R-26: the order is one of many that share a finding and a cause, far more often than others do."""

from __future__ import annotations

from collections.abc import Iterable

from server.rules.case import Case
from server.rules.cohorts import CauseKind
from server.rules.facts import CohortMark
from server.rules.findings.finding import Found


def find(case: Case) -> Iterable[Found]:
    """One per cohort that the order belongs to; `server.rules.cohorts` finds them across orders."""
    for mark in sorted(set(case.facts.cohorts), key=lambda m: (m.since, m.rule, m.cause)):
        if not case.moment.passed(mark.since):
            continue
        over = mark.ended_at is not None and case.moment.passed(mark.ended_at)
        yield Found(
            slot=None,
            subject=f"{mark.rule} {mark.cause}",
            since=mark.since,
            why=f"{mark.orders} orders {_shared(mark)} have {mark.rule}, far more than others.",
            cleared_at=mark.ended_at if over else None,
            cleared_because="it was repaired for so many of them that it is no cohort any more" if over else "",
        )


def _shared(mark: CohortMark) -> str:
    """What they have in common, in words that anybody may read: never who packed them."""
    kind, person = f"{CauseKind.PACKED_BY.replace('_', ' ')} ", "packed by one person"
    return person if mark.cause.startswith(kind) else f"with the same {mark.cause}"
