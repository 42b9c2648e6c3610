"""Letters from customers: each is known by its hash, and those that fit no order wait, encrypted, for a person."""

from __future__ import annotations

from collections.abc import Collection
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import Any

from sqlalchemy import Connection, Row, func, select, update
from sqlalchemy.dialects.postgresql import insert as upsert

from server.store.tables import mail_in, notices, orders
from server.store.tables.columns import utc

WAITS = "waits"


@dataclass(frozen=True, slots=True)
class StoredMail:
    """One letter and what became of it. `letter` (encrypted) only while it waits; `candidates`: orders it may mean."""

    message_hash: bytes
    received_at: datetime
    outcome: str
    order_number: str | None
    letter: bytes | None
    why: str | None
    candidates: tuple[str, ...]
    attachments: int
    no: int = 0  # given by the store


def add(tx: Connection, mail: StoredMail) -> int | None:
    """Write a letter down and return its number; None if it came before."""
    row = {
        "message_hash": mail.message_hash,
        "received_at": mail.received_at,
        "outcome": mail.outcome,
        "order_number": mail.order_number,
        "letter": mail.letter,
        "why": mail.why,
        "candidates": list(mail.candidates),
        "attachments": mail.attachments,
    }
    put = upsert(mail_in).values(row).on_conflict_do_nothing(index_elements=["message_hash"])
    return tx.execute(put.returning(mail_in.c.no)).scalar_one_or_none()


def by_hash(tx: Connection, message_hash: bytes) -> StoredMail | None:
    """The letter with this hash, if it came before."""
    row = tx.execute(select(mail_in).where(mail_in.c.message_hash == message_hash)).first()
    return _mail(row) if row else None


def hold(tx: Connection, no: int) -> StoredMail | None:
    """A letter, held until the transaction ends: two people settle it once."""
    row = tx.execute(select(mail_in).where(mail_in.c.no == no).with_for_update()).first()
    return _mail(row) if row else None


def settle(tx: Connection, no: int, outcome: str, order_number: str | None, now: datetime) -> None:
    """A person said where it belongs, or that it belongs nowhere; what it said is kept here no longer."""
    values = {"outcome": outcome, "order_number": order_number, "letter": None, "settled_at": now}
    tx.execute(update(mail_in).where(mail_in.c.no == no).values(values))


def waiting(tx: Connection, limit: int) -> tuple[StoredMail, ...]:
    """Letters that wait for a person, the oldest first."""
    query = select(mail_in).where(mail_in.c.outcome == WAITS).order_by(mail_in.c.received_at).limit(limit)
    return tuple(_mail(row) for row in tx.execute(query))


def how_many_wait(tx: Connection) -> tuple[int, datetime | None]:
    """How many wait, and since when the oldest does."""
    query = select(func.count(), func.min(mail_in.c.received_at)).where(mail_in.c.outcome == WAITS)
    count, oldest = tx.execute(query).one()
    return count, utc(oldest)


def lately(tx: Connection, number: str, now: datetime, outcomes: Collection[str], span: timedelta) -> int:
    """How many letters of these outcomes came about an order within a span."""
    query = select(func.count()).select_from(mail_in)
    about = (mail_in.c.order_number == number) & (mail_in.c.received_at > now - span)
    return int(tx.execute(query.where(about, mail_in.c.outcome.in_(sorted(outcomes)))).scalar_one())


# --- Which order a letter means --------------------------------------------------------------------------------


def existing(tx: Connection, numbers: Collection[str]) -> dict[str, str]:
    """Of these words those that are order numbers, each with the order's e-mail address."""
    query = select(orders.c.number, orders.c.email).where(orders.c.number.in_(sorted(set(numbers))))
    return {row.number: row.email for row in tx.execute(query)}


def orders_of_notices(tx: Connection, notice_numbers: Collection[int]) -> tuple[str, ...]:
    """The orders whose customers these letters of ours went to."""
    query = (
        select(notices.c.order_number)
        .where(notices.c.no.in_(sorted(set(notice_numbers))), notices.c.order_number.is_not(None))
        .distinct()
        .order_by(notices.c.order_number)
    )
    return tuple(tx.execute(query).scalars())


def _mail(row: Row[Any]) -> StoredMail:
    return StoredMail(
        message_hash=row.message_hash,
        received_at=row.received_at.astimezone(UTC),
        outcome=row.outcome,
        order_number=row.order_number,
        letter=row.letter,
        why=row.why,
        candidates=tuple(row.candidates),
        attachments=row.attachments,
        no=row.no,
    )
