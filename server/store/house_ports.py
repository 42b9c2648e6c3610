"""What the house's own payment and label ports keep: a ledger to be paid by hand, and labels of our own range.

A row is unique by its key: however often a port is asked, it books once.
"""

from __future__ import annotations

from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any

from sqlalchemy import Connection, Row, select, update
from sqlalchemy.dialects.postgresql import insert as upsert

from server.store.tables import house_labels, house_payments
from server.store.tables.columns import utc


@dataclass(frozen=True, slots=True)
class LedgerEntry:
    """Money that is to go back to a customer; `paid_at` once somebody said that they paid it."""

    key: str
    order_number: str
    amount_minor: int
    currency: str
    booked_at: datetime
    paid_at: datetime | None
    paid_by: str | None


@dataclass(frozen=True, slots=True)
class HouseLabel:
    """A label of our own; `no` counts them."""

    no: int
    key: str
    order_number: str
    service: str
    made_at: datetime
    eta: datetime


def book(tx: Connection, entry: LedgerEntry) -> LedgerEntry:
    """Write it into the ledger, once for each key; gives the entry as it stands."""
    row = {
        "key": entry.key,
        "order_number": entry.order_number,
        "amount_minor": entry.amount_minor,
        "currency": entry.currency,
        "booked_at": entry.booked_at,
        "paid_at": entry.paid_at,
        "paid_by": entry.paid_by,
    }
    tx.execute(upsert(house_payments).values(row).on_conflict_do_nothing(index_elements=["key"]))
    return _entry(tx.execute(select(house_payments).where(house_payments.c.key == entry.key)).one())


def unpaid(tx: Connection, limit: int) -> tuple[LedgerEntry, ...]:
    """What is still to be paid by hand, the oldest first."""
    query = select(house_payments).where(house_payments.c.paid_at.is_(None)).order_by(house_payments.c.booked_at)
    return tuple(_entry(row) for row in tx.execute(query.limit(limit)))


def pay(tx: Connection, key: str, by: str, now: datetime) -> bool:
    """Somebody paid it. Said twice, the first time counts: False if it was paid before, or is no entry."""
    unpaid = (house_payments.c.key == key) & house_payments.c.paid_at.is_(None)
    return tx.execute(update(house_payments).where(unpaid).values(paid_at=now, paid_by=by)).rowcount > 0


def entry(tx: Connection, key: str) -> LedgerEntry | None:
    """The entry of this key."""
    row = tx.execute(select(house_payments).where(house_payments.c.key == key)).first()
    return _entry(row) if row else None


def make_label(tx: Connection, label: HouseLabel) -> HouseLabel:
    """Make a label, once for each key; gives it as it was made first."""
    row = {
        "key": label.key,
        "order_number": label.order_number,
        "service": label.service,
        "made_at": label.made_at,
        "eta": label.eta,
    }
    tx.execute(upsert(house_labels).values(row).on_conflict_do_nothing(index_elements=["key"]))
    made = tx.execute(select(house_labels).where(house_labels.c.key == label.key)).one()
    return HouseLabel(
        made.no, made.key, made.order_number, made.service, made.made_at.astimezone(UTC), made.eta.astimezone(UTC)
    )


def _entry(row: Row[Any]) -> LedgerEntry:
    return LedgerEntry(
        key=row.key,
        order_number=row.order_number,
        amount_minor=row.amount_minor,
        currency=row.currency,
        booked_at=row.booked_at.astimezone(UTC),
        paid_at=utc(row.paid_at),
        paid_by=row.paid_by,
    )
