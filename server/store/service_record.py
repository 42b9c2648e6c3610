"""What our service's figures are made from, order by order, and the one row in which they are kept."""

from __future__ import annotations

from collections.abc import Collection, Mapping
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any, Final

from sqlalchemy import Connection, select, text
from sqlalchemy.dialects.postgresql import insert as upsert

from server.store.tables import service_records, weighings

_NAME: Final = "public"


@dataclass(frozen=True, slots=True)
class StoredRecord:
    """The figures as JSON, as they were computed at `as_of`."""

    as_of: datetime
    record: Mapping[str, Any]


def orders_since(tx: Connection, since: datetime) -> tuple[str, ...]:
    """Orders to which a promise was made or whose customer was in contact with us since a moment."""
    return tuple(tx.execute(_ORDERS, {"since": since}).scalars())


def kept_weighings(tx: Connection, numbers: Collection[str]) -> dict[str, Mapping[str, Any]]:
    """The kept verdicts of these orders, those that were never weighed left out."""
    query = select(weighings.c.order_number, weighings.c.weighing).where(weighings.c.order_number.in_(sorted(numbers)))
    return {row.order_number: row.weighing for row in tx.execute(query) if row.weighing}


def put(tx: Connection, record: StoredRecord) -> None:
    """Keep the newest figures."""
    row = {"name": _NAME, "as_of": record.as_of, "record": dict(record.record)}
    stated = upsert(service_records).values(row)
    renew = {"as_of": stated.excluded.as_of, "record": stated.excluded.record}
    tx.execute(stated.on_conflict_do_update(index_elements=["name"], set_=renew))


def newest(tx: Connection) -> StoredRecord | None:
    """The kept figures, if there are any yet."""
    row = tx.execute(select(service_records).where(service_records.c.name == _NAME)).first()
    return StoredRecord(row.as_of.astimezone(UTC), row.record) if row else None


_ORDERS: Final = text("""
    select distinct order_number from statements
    where kind in ('promise', 'contact') and said_at >= :since order by order_number
""")
