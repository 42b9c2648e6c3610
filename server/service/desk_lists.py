"""The lists that support works from: what is open everywhere, worst first, and promises by when they fall due.

Rows are written with each weighing of their order, so they close themselves on evidence and nobody ticks them off.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from enum import StrEnum
from typing import Final

from sqlalchemy import Connection

from server.rules.business_days import end_of_day, local_date
from server.rules.findings.finding import Severity
from server.rules.findings.registry import CATALOGUE
from server.rules.payloads import PromiseKind
from server.rules.promises import CONDITIONS, PromiseState
from server.rules.weigh import Weighing
from server.service.refusals import refuse
from server.service.zones import check_zone
from server.store import open_lists
from server.store.open_lists import OpenFinding, OpenPromise

PAGE_ROWS: Final = 50
URGENCY: Final[Mapping[Severity, int]] = {Severity.CRITICAL: 1, Severity.HIGH: 2, Severity.WARNING: 3}
_SEVERITY: Final = {urgency: severity for severity, urgency in URGENCY.items()}


class When(StrEnum):
    """Which promises: past their due moment and not met, due until the reader's midnight, or after it."""

    OVERDUE = "overdue"
    TODAY = "today"
    LATER = "later"


@dataclass(frozen=True, slots=True)
class FindingRow:
    """An open finding in the list."""

    order: str
    customer: str
    rule: str
    title: str
    slot: int | None
    severity: Severity
    since: datetime
    do: str


@dataclass(frozen=True, slots=True)
class PromiseRow:
    """An open promise in the list; `condition`: what closes it, by itself."""

    order: str
    customer: str
    promise: str
    slot: int | None
    what: PromiseKind
    due: datetime
    by: str
    condition: str


@dataclass(frozen=True, slots=True)
class FindingsPage:
    """At most 50 rows, and what to ask with for the next ones (None: these are the last)."""

    rows: tuple[FindingRow, ...]
    next: str | None


@dataclass(frozen=True, slots=True)
class PromisesPage:
    """At most 50 rows, and what to ask with for the next ones (None: these are the last)."""

    rows: tuple[PromiseRow, ...]
    next: str | None


def keep(tx: Connection, weighed: Weighing) -> None:
    """Write down what is open of an order, as it was just weighed."""
    findings = [
        OpenFinding(weighed.order, f.rule.id, f.slot, f.subject, URGENCY[f.severity], f.since) for f in weighed.findings
    ]
    missed = {f.subject for f in weighed.findings if f.rule.id == "R-12"}
    promises = [
        OpenPromise(weighed.order, int(p.id), p.slot, str(p.what), p.due, p.by)
        for p in weighed.promises
        if p.state is PromiseState.OPEN or p.id in missed
    ]
    open_lists.keep(tx, weighed.order, findings, promises)


def findings(tx: Connection, rule: str | None, severity: Severity | None, after: str | None) -> FindingsPage:
    """Open findings, the worst and oldest first. Refusals: bad_request for a rule or a page that is none."""
    if rule is not None and rule not in CATALOGUE:
        raise refuse("bad_request", detail="rule: there is no such rule")
    behind = _place(after, 3) if after else None
    urgency = URGENCY[severity] if severity else None
    place = (behind[0], _moment(behind[1]), behind[2]) if behind else None
    found = open_lists.findings(tx, rule, urgency, place, PAGE_ROWS + 1)
    rows = tuple(
        FindingRow(
            order=each.row.order_number,
            customer=each.customer_name,
            rule=each.row.rule,
            title=CATALOGUE[each.row.rule].title,
            slot=each.row.slot,
            severity=_SEVERITY[each.row.urgency],
            since=each.row.since,
            do=CATALOGUE[each.row.rule].do,
        )
        for each in found[:PAGE_ROWS]
    )
    last = found[PAGE_ROWS - 1] if len(found) > PAGE_ROWS else None
    return FindingsPage(rows, f"{last.row.urgency}-{_micros(last.row.since)}-{last.no}" if last else None)


def promises(tx: Connection, when: When, zone: str, after: str | None, now: datetime) -> PromisesPage:
    """Open promises, the first due first; the day ends at midnight in `zone`. Refusals: bad_request, zone_unknown."""
    check_zone(zone)
    midnight = end_of_day(zone, local_date(zone, now))
    from_at, to_at = {When.OVERDUE: (None, now), When.TODAY: (now, midnight), When.LATER: (midnight, None)}[when]
    behind = _place(after, 2) if after else None
    place = (_moment(behind[0]), behind[1]) if behind else None
    found = open_lists.promises(tx, from_at, to_at, place, PAGE_ROWS + 1)
    rows = tuple(
        PromiseRow(
            order=each.row.order_number,
            customer=each.customer_name,
            promise=str(each.row.promise),
            slot=each.row.slot,
            what=PromiseKind(each.row.what),
            due=each.row.due,
            by=each.row.by,
            condition=CONDITIONS[PromiseKind(each.row.what)].words,
        )
        for each in found[:PAGE_ROWS]
    )
    last = found[PAGE_ROWS - 1] if len(found) > PAGE_ROWS else None
    return PromisesPage(rows, f"{_micros(last.row.due)}-{last.no}" if last else None)


_EPOCH: Final = datetime(1970, 1, 1, tzinfo=UTC)
_MICROSECOND: Final = timedelta(microseconds=1)


def _micros(moment: datetime) -> int:
    """Whole microseconds, as the database keeps them: a float would lose the last ones."""
    return (moment - _EPOCH) // _MICROSECOND


def _moment(micros: int) -> datetime:
    try:
        return _EPOCH + _MICROSECOND * micros
    except OverflowError:
        raise refuse("bad_request", detail="after: not a page of this list") from None


def _place(text: str, numbers: int) -> list[int]:
    parts = text.split("-")
    if len(parts) != numbers or not all(p.isascii() and p.isdecimal() and len(p) <= 18 for p in parts):
        raise refuse("bad_request", detail="after: not a page of this list")
    return [int(part) for part in parts]
