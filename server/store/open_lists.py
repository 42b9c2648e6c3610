"""What is open, as lists: rows are written with each weighing of their order, and read a page at a time by an index.

The next page begins behind the last row that was shown, so no page costs more than the rows it shows.
"""

from __future__ import annotations

from collections.abc import Collection, Hashable
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any, Generic, TypeVar

from sqlalchemy import Connection, Table, delete, insert, select, tuple_

from server.store.tables import open_findings, open_promises, orders


@dataclass(frozen=True, slots=True)
class OpenFinding:
    """A finding that holds. `urgency`: 1 critical, 2 high, 3 warning; `slot` None = the whole order."""

    order_number: str
    rule: str
    slot: int | None
    subject: str
    urgency: int
    since: datetime


@dataclass(frozen=True, slots=True)
class OpenPromise:
    """A promise that nothing has met yet; `promise` is the number of its statement."""

    order_number: str
    promise: int
    slot: int | None
    what: str
    due: datetime
    by: str


R = TypeVar("R")


@dataclass(frozen=True, slots=True)
class Listed(Generic[R]):
    """A row of a list with its number, which the next page begins behind, and the customer's name."""

    no: int
    customer_name: str
    row: R


def keep(tx: Connection, number: str, findings: Collection[OpenFinding], promises: Collection[OpenPromise]) -> None:
    """Make these the open ones of an order. What is open as before keeps its row."""
    _keep(tx, open_findings, number, findings, ("order_number", "rule", "slot", "subject", "urgency", "since"))
    _keep(tx, open_promises, number, promises, ("order_number", "promise", "slot", "what", "due", "by"))


def _keep(tx: Connection, table: Table, number: str, wanted: Collection[Any], names: tuple[str, ...]) -> None:
    rows = {tuple(getattr(each, name) for name in names): each for each in wanted}
    gone: list[int] = []
    known: set[Hashable] = set()
    for row in tx.execute(select(table).where(table.c.order_number == number)):
        key = tuple(_plain(getattr(row, name)) for name in names)
        if key in rows and key not in known:
            known.add(key)
        else:
            gone.append(row.no)
    if gone:
        tx.execute(delete(table).where(table.c.no.in_(gone)))
    if new := [dict(zip(names, key, strict=True)) for key in rows if key not in known]:
        tx.execute(insert(table), new)


def _plain(value: Any) -> Any:
    return value.astimezone(UTC) if isinstance(value, datetime) else value


def findings(
    tx: Connection, rule: str | None, urgency: int | None, after: tuple[int, datetime, int] | None, limit: int
) -> tuple[Listed[OpenFinding], ...]:
    """Open findings, the most urgent and oldest first, behind (urgency, since, no); at most `limit`."""
    of = open_findings.c
    query = select(open_findings, orders.c.customer_name).join_from(open_findings, orders)
    if rule is not None:
        query = query.where(of.rule == rule)
    if urgency is not None:
        query = query.where(of.urgency == urgency)
    if after is not None:
        query = query.where(tuple_(of.urgency, of.since, of.no) > tuple_(*after))
    return tuple(
        Listed(
            row.no,
            row.customer_name,
            OpenFinding(row.order_number, row.rule, row.slot, row.subject, row.urgency, row.since.astimezone(UTC)),
        )
        for row in tx.execute(query.order_by(of.urgency, of.since, of.no).limit(limit))
    )


def orders_with(tx: Connection, rule: str, limit: int) -> tuple[str, ...]:
    """The orders for which a finding of this rule is open, by number."""
    of = open_findings.c
    query = select(of.order_number).where(of.rule == rule).distinct().order_by(of.order_number).limit(limit)
    return tuple(tx.execute(query).scalars())


def promises(
    tx: Connection, from_at: datetime | None, to_at: datetime | None, after: tuple[datetime, int] | None, limit: int
) -> tuple[Listed[OpenPromise], ...]:
    """Open promises due after `from_at` and up to `to_at`, the first due first, behind (due, no); at most `limit`."""
    of = open_promises.c
    query = select(open_promises, orders.c.customer_name).join_from(open_promises, orders)
    if from_at is not None:
        query = query.where(of.due > from_at)
    if to_at is not None:
        query = query.where(of.due <= to_at)
    if after is not None:
        query = query.where(tuple_(of.due, of.no) > tuple_(*after))
    return tuple(
        Listed(
            row.no,
            row.customer_name,
            OpenPromise(row.order_number, row.promise, row.slot, row.what, row.due.astimezone(UTC), row.by),
        )
        for row in tx.execute(query.order_by(of.due, of.no).limit(limit))
    )
