"""Cohorts kept: the rows they are made from, those that live now, and the orders they concern."""

from __future__ import annotations

from collections.abc import Collection, Iterable
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any, Final

from sqlalchemy import Connection, Row, select, text, update
from sqlalchemy.dialects.postgresql import insert

from server.rules.causes import CauseKind
from server.rules.cohorts import Cohort, OrderRow
from server.rules.facts import CohortMark
from server.store.tables import cohorts
from server.store.tables.columns import utc


@dataclass(frozen=True, slots=True)
class StoredCohort:
    """A cohort with its number and its life; `ended_at` None: it still holds."""

    no: int
    cohort: Cohort
    ended_at: datetime | None


def order_rows(tx: Connection, placed_since: datetime) -> list[OrderRow]:
    """A row for each order placed since a moment: its open findings and everything it may share with others."""
    since: dict[str, dict[str, datetime]] = {}
    for order, rule, moment in tx.execute(_FINDINGS, {"since": placed_since}):
        known = since.setdefault(order, {})
        known[rule] = min(moment.astimezone(UTC), known.get(rule, moment.astimezone(UTC)))
    causes: dict[str, set[tuple[CauseKind, str]]] = {}
    for order, kind, cause in tx.execute(_CAUSES, {"since": placed_since}):
        causes.setdefault(order, set()).add((CauseKind(kind), cause))
    return [OrderRow(order, since.get(order, {}), frozenset(shared)) for order, shared in causes.items()]


def living(tx: Connection) -> tuple[StoredCohort, ...]:
    """Those that hold now, the oldest first."""
    query = select(cohorts).where(cohorts.c.ended_at.is_(None)).order_by(cohorts.c.since, cohorts.c.no)
    return tuple(_stored(row) for row in tx.execute(query))


def marks_of(tx: Connection, order: str) -> tuple[CohortMark, ...]:
    """The cohorts that an order belongs or belonged to, as a rule reads them."""
    query = select(cohorts).where(cohorts.c.orders.contains([order])).order_by(cohorts.c.no)
    return tuple(
        CohortMark(
            rule=each.cohort.rule,
            kind=each.cohort.kind,
            cause=each.cohort.cause,
            orders=len(each.cohort.orders),
            since=each.cohort.since,
            ended_at=each.ended_at,
        )
        for each in map(_stored, tx.execute(query))
    )


def keep(tx: Connection, found: Iterable[Cohort], now: datetime) -> frozenset[str]:
    """Makes these the living ones; returns the orders for which something changed.

    Two sweeps at once may find the same: the row of whoever commits first is the cohort.
    """
    before = {_key(each.cohort): each for each in living(tx)}
    wanted = {_key(each): each for each in found}
    changed: set[str] = set()
    for key, was in before.items():
        if key not in wanted:
            tx.execute(update(cohorts).where(cohorts.c.no == was.no).values(ended_at=now))
            changed.update(was.cohort.orders)
    for key, cohort in wanted.items():
        known = before.get(key)
        if known is None:
            tx.execute(insert(cohorts).values(_row(cohort)).on_conflict_do_nothing())
            changed.update(cohort.orders)
        elif known.cohort.orders != cohort.orders:
            tx.execute(update(cohorts).where(cohorts.c.no == known.no).values(_row(cohort)))
            changed.update(set(known.cohort.orders) ^ set(cohort.orders))
    return frozenset(changed)


def _key(cohort: Cohort) -> tuple[str, str, str]:
    return cohort.rule, cohort.kind, cohort.cause


def _row(cohort: Cohort) -> dict[str, Any]:
    return {
        "rule": cohort.rule,
        "cause_kind": cohort.kind,
        "cause": cohort.cause,
        "orders": list(cohort.orders),
        "share_percent": round(100 * cohort.share),
        "usual_percent": round(100 * cohort.usual),
        "since": cohort.since,
    }


def _stored(row: Row[Any]) -> StoredCohort:
    cohort = Cohort(
        rule=row.rule,
        kind=CauseKind(row.cause_kind),
        cause=row.cause,
        orders=_orders(row.orders),
        share=row.share_percent / 100,
        usual=row.usual_percent / 100,
        since=row.since.astimezone(UTC),
    )
    return StoredCohort(row.no, cohort, utc(row.ended_at))


def _orders(stored: Collection[str]) -> tuple[str, ...]:
    return tuple(sorted(stored))


_FINDINGS: Final = text("""
    select w.order_number, f->'rule'->>'id', min((f->>'since')::timestamptz)
    from weighings w join orders o on o.number = w.order_number
        cross join lateral jsonb_array_elements(w.weighing->'findings') f
    where o.placed_at >= :since and f->'rule'->>'id' <> 'R-26'
    group by 1, 2
""")

# What orders have in common: the lot of a tag, the day of a label, who packed it and on which day. Days are UTC: two
# sides of midnight are one shift too many, not one too few.
_CAUSES: Final = text("""
    select s.order_number, 'lot' as kind, u.lot as cause
    from statements s join orders o on o.number = s.order_number
        join units u on u.serial = (s.payload->>'serial')::bigint
    where o.placed_at >= :since and s.kind = 'serial_bound'
    union
    select s.order_number, 'label_day', (s.latest at time zone 'UTC')::date::text
    from statements s join orders o on o.number = s.order_number
    where o.placed_at >= :since and s.kind = 'label_printed'
    union
    select s.order_number, x.kind, x.cause
    from statements s join orders o on o.number = s.order_number
        cross join lateral (
            values ('packed_by', s.by), ('packed_on', (s.latest at time zone 'UTC')::date::text)
        ) x(kind, cause)
    where o.placed_at >= :since and s.kind = 'packed'
""")
