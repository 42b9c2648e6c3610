"""The ledger of what was said about orders: rows are added, a correction is a new row that names the old one."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any

from sqlalchemy import Connection, Row, select
from sqlalchemy.dialects.postgresql import insert as upsert

from server.store.tables import statements
from server.store.tables.columns import utc


@dataclass(frozen=True, slots=True)
class StoredStatement:
    """One thing somebody said. `slots` empty = the whole order; `key` is what makes saying it twice one statement."""

    order_number: str
    key: str
    slots: tuple[str, ...]
    kind: str
    said_at: datetime
    earliest: datetime | None
    latest: datetime
    zone: str
    by: str
    source: str
    via: str
    payload: Mapping[str, Any]
    learnt_at: datetime
    corrects: int | None = None
    correction: str | None = None
    no: int = 0  # given by the store


def add(tx: Connection, said: StoredStatement) -> int | None:
    """Write it down and return its number; None if the order has a statement of this key already."""
    row = {
        "order_number": said.order_number,
        "natural_key": _natural(said.order_number, said.key),
        "slots": list(said.slots),
        "kind": said.kind,
        "said_at": said.said_at,
        "earliest": said.earliest,
        "latest": said.latest,
        "zone": said.zone,
        "by": said.by,
        "source": said.source,
        "via": said.via,
        "payload": dict(said.payload),
        "learnt_at": said.learnt_at,
        "corrects": said.corrects,
        "correction": said.correction,
    }
    put = upsert(statements).values(row).on_conflict_do_nothing(index_elements=["natural_key"])
    return tx.execute(put.returning(statements.c.no)).scalar_one_or_none()


def by_key(tx: Connection, order_number: str, key: str) -> StoredStatement | None:
    """The statement of this order with this key."""
    row = tx.execute(select(statements).where(statements.c.natural_key == _natural(order_number, key))).first()
    return _stored(row) if row else None


def order_of_promise(tx: Connection, no: int) -> str | None:
    """The order about which the promise of this number was made, open or not."""
    made = (statements.c.no == no) & (statements.c.kind == "promise")
    return tx.execute(select(statements.c.order_number).where(made)).scalar_one_or_none()


def of_order(tx: Connection, order_number: str) -> tuple[StoredStatement, ...]:
    """Everything said about an order, in the order in which it was said."""
    query = select(statements).where(statements.c.order_number == order_number)
    return tuple(_stored(row) for row in tx.execute(query.order_by(statements.c.said_at, statements.c.no)))


def _natural(order_number: str, key: str) -> str:
    # The key is the sender's: two orders may use the same one.
    return f"{order_number}|{key}"


def _stored(row: Row[Any]) -> StoredStatement:
    return StoredStatement(
        order_number=row.order_number,
        key=row.natural_key.removeprefix(f"{row.order_number}|"),
        slots=tuple(row.slots),
        kind=row.kind,
        said_at=row.said_at.astimezone(UTC),
        earliest=utc(row.earliest),
        latest=row.latest.astimezone(UTC),
        zone=row.zone,
        by=row.by,
        source=row.source,
        via=row.via,
        payload=row.payload,
        learnt_at=row.learnt_at.astimezone(UTC),
        corrects=row.corrects,
        correction=row.correction,
        no=row.no,
    )
