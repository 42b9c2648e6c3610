"""Orders as they were placed: who ordered, where to, and the slots, one per physical unit."""

from __future__ import annotations

from collections.abc import Collection, Mapping
from dataclasses import dataclass
from datetime import UTC, date, datetime
from typing import Any

from sqlalchemy import ColumnElement, Connection, Row, Text, func, insert, literal_column, select
from sqlalchemy.dialects.postgresql import insert as upsert

from server.store.among import among
from server.store.tables import order_links, orders, slots, statements


@dataclass(frozen=True, slots=True)
class StoredSlot:
    """One physical unit. `number` runs through the whole order from 1; `personalisation` is encrypted."""

    number: int
    line: int
    unit: int
    sku: str
    title: str
    personalisation: bytes | None = None
    lead_time_bd: int | None = None
    ship_by: date | None = None


@dataclass(frozen=True, slots=True)
class StoredOrder:
    """An order with its slots, by number. `ship_to` is an address with at least `country` and `postcode`."""

    number: str
    email: str
    customer_name: str
    phone: str | None
    ship_to: Mapping[str, Any]
    placed_at: datetime
    zone: str
    site: str | None
    profile: str
    source: str
    learnt_at: datetime
    slots: tuple[StoredSlot, ...]


def slot_id(number: str, line: int, unit: int) -> str:
    """The name of a slot in the tables."""
    return f"{number}/{line}/{unit}"


def add(tx: Connection, order: StoredOrder) -> bool:
    """Write an order down; False if its number is taken (the first one stays as it is)."""
    row = {
        "number": order.number,
        "email": order.email,
        "customer_name": order.customer_name,
        "phone": order.phone,
        "ship_to": dict(order.ship_to),
        "placed_at": order.placed_at,
        "zone": order.zone,
        "site": order.site,
        "profile": order.profile,
        "source": order.source,
        "learnt_at": order.learnt_at,
    }
    put = upsert(orders).values(row).on_conflict_do_nothing(index_elements=["number"]).returning(orders.c.number)
    if tx.execute(put).first() is None:
        return False
    for slot in order.slots:
        tx.execute(
            insert(slots).values(
                slot=slot_id(order.number, slot.line, slot.unit),
                order_number=order.number,
                line=slot.line,
                unit=slot.unit,
                sku=slot.sku,
                title=slot.title,
                personalisation=slot.personalisation,
                lead_time_bd=slot.lead_time_bd,
                ship_by=slot.ship_by,
            )
        )
    return True


def order(tx: Connection, number: str) -> StoredOrder | None:
    """The order with this number."""
    row = tx.execute(select(orders).where(orders.c.number == number)).first()
    return _order(row, _slots(tx, number)) if row else None


def as_typed(tx: Connection, typed: str) -> StoredOrder | None:
    """The order that a person means: the number as it stands, else in capitals, as nearly every shop writes it. Blanks
    around it and a # before it do not count.
    """
    number = typed.strip().removeprefix("#").strip()
    return order(tx, number) or (order(tx, number.upper()) if number != number.upper() else None)


def lock(tx: Connection, number: str) -> bool:
    """Hold an order until the transaction ends; False if there is none.

    Rows that name it may be added meanwhile: a weighing adds some, and whoever holds the order may wait for its end.
    """
    query = select(orders.c.number).where(orders.c.number == number).with_for_update(key_share=True)
    return tx.execute(query).first() is not None


def numbers_of_email(tx: Connection, email: str, limit: int) -> tuple[str, ...]:
    """The orders of a customer, newest first."""
    query = select(orders.c.number).where(orders.c.email == email).order_by(orders.c.placed_at.desc()).limit(limit)
    return tuple(tx.execute(query).scalars())


def numbers_of_phone(tx: Connection, digits: str, limit: int) -> tuple[str, ...]:
    """The orders with this telephone number, however it was written, newest first."""
    # To the letter as in the index: with parameters in it a prepared query would not find that.
    plain: ColumnElement[str] = literal_column(r"regexp_replace(phone, '\D', '', 'g')", Text)
    query = select(orders.c.number).where(plain == digits).order_by(orders.c.placed_at.desc()).limit(limit)
    return tuple(tx.execute(query).scalars())


def numbers_of_name(tx: Connection, name: str, limit: int) -> tuple[str, ...]:
    """The orders of customers of this name, in capitals or not, newest first."""
    theirs = func.lower(orders.c.customer_name) == name.lower()
    query = select(orders.c.number).where(theirs).order_by(orders.c.placed_at.desc()).limit(limit)
    return tuple(tx.execute(query).scalars())


def numbers_of_serials(tx: Connection, serials: list[int]) -> dict[int, tuple[str, ...]]:
    """The orders to which each of these serials was ever bound; serials that never were are left out."""
    serial = statements.c.payload["serial"].astext.cast(statements.c.no.type)
    query = (
        select(serial, statements.c.order_number)
        .where(statements.c.kind == "serial_bound", among(serial, serials))
        .distinct()
        .order_by(serial, statements.c.order_number)
    )
    found: dict[int, tuple[str, ...]] = {}
    for bound, number in tx.execute(query):
        found[bound] = (*found.get(bound, ()), number)
    return found


def numbers_of_tracking(tx: Connection, spellings: Collection[str], limit: int) -> tuple[str, ...]:
    """The orders in whose labels, scans or promises this carrier's number stands, however it was written."""
    number = statements.c.payload["number"].astext
    query = (
        select(statements.c.order_number)
        .where(statements.c.payload.has_key("number"), number.in_(sorted(set(spellings))))
        .group_by(statements.c.order_number)
        .order_by(func.max(statements.c.no).desc())
        .limit(limit)
    )
    return tuple(tx.execute(query).scalars())


def numbers_after(tx: Connection, after: str, placed_since: datetime | None, limit: int) -> tuple[str, ...]:
    """The next orders by number, of those placed since a moment: a cursor through all of them."""
    query = select(orders.c.number).where(orders.c.number > after).order_by(orders.c.number).limit(limit)
    if placed_since is not None:
        query = query.where(orders.c.placed_at >= placed_since)
    return tuple(tx.execute(query).scalars())


def newest(tx: Connection, limit: int) -> tuple[str, ...]:
    """The orders placed last."""
    return tuple(tx.execute(select(orders.c.number).order_by(orders.c.placed_at.desc()).limit(limit)).scalars())


# --- Links by which a customer reads an order ----------------------------------------------------------------


def add_link(tx: Connection, token_hash: bytes, number: str, made_at: datetime, expires_at: datetime) -> None:
    """Let whoever shows this token read the order until it ends."""
    tx.execute(
        insert(order_links).values(token_hash=token_hash, order_number=number, made_at=made_at, expires_at=expires_at)
    )


def number_of_link(tx: Connection, token_hash: bytes, now: datetime) -> str | None:
    """The order that this token opens just now."""
    living = (order_links.c.token_hash == token_hash) & (order_links.c.expires_at > now)
    return tx.execute(select(order_links.c.order_number).where(living)).scalar_one_or_none()


def _slots(tx: Connection, number: str) -> tuple[StoredSlot, ...]:
    query = select(slots).where(slots.c.order_number == number).order_by(slots.c.line, slots.c.unit)
    return tuple(
        StoredSlot(
            number=count,
            line=row.line,
            unit=row.unit,
            sku=row.sku,
            title=row.title,
            personalisation=row.personalisation,
            lead_time_bd=row.lead_time_bd,
            ship_by=row.ship_by,
        )
        for count, row in enumerate(tx.execute(query), 1)
    )


def _order(row: Row[Any], its_slots: tuple[StoredSlot, ...]) -> StoredOrder:
    return StoredOrder(
        number=row.number,
        email=row.email,
        customer_name=row.customer_name,
        phone=row.phone,
        ship_to=row.ship_to,
        placed_at=row.placed_at.astimezone(UTC),
        zone=row.zone,
        site=row.site,
        profile=row.profile,
        source=row.source,
        learnt_at=row.learnt_at.astimezone(UTC),
        slots=its_slots,
    )
