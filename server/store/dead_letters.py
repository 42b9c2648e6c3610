"""Refused batches, kept whole: how many there are and why, and each one out again when it can be stored after all."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Final

from sqlalchemy import Connection, delete, func, select, text

from server.store.tables import batches, dead_letters


@dataclass(frozen=True, slots=True)
class Pile:
    """The letters of one reason."""

    reason: str
    letters: int
    first_at: datetime
    last_at: datetime


@dataclass(frozen=True, slots=True)
class Letter:
    """One of them: its number in the ledger, whose it is, what was signed, and when it first came."""

    no: int
    gateway: str
    payload: bytes
    received_at: datetime


def piles(tx: Connection) -> tuple[Pile, ...]:
    """Every reason with its letters, the most first."""
    came = batches.c.received_at
    query = (
        select(dead_letters.c.reason, func.count(), func.min(came), func.max(came))
        .join(batches, batches.c.no == dead_letters.c.batch_no)
        .group_by(dead_letters.c.reason)
        .order_by(func.count().desc(), dead_letters.c.reason)
    )
    return tuple(
        Pile(reason, count, first.astimezone(UTC), last.astimezone(UTC))
        for reason, count, first, last in tx.execute(query)
    )


def numbers(tx: Connection, reason: str) -> tuple[int, ...]:
    """The letters of a reason, the oldest first."""
    query = select(dead_letters.c.batch_no).where(dead_letters.c.reason == reason).order_by(dead_letters.c.batch_no)
    return tuple(tx.execute(query).scalars())


def letter(tx: Connection, no: int) -> Letter | None:
    """One letter, locked for this transaction; None if somebody else stored it meanwhile."""
    row = tx.execute(_LETTER, {"no": no}).first()
    return Letter(row.no, row.gateway, bytes(row.payload), row.received_at.astimezone(UTC)) if row else None


def remove(tx: Connection, no: int) -> None:
    """The letter and its row of the ledger, because the batch is stored anew in the same transaction."""
    tx.execute(delete(dead_letters).where(dead_letters.c.batch_no == no))
    tx.execute(delete(batches).where(batches.c.no == no))


_LETTER: Final = text("""
    select b.no, g.gateway, d.payload, b.received_at
    from dead_letters d join batches b on b.no = d.batch_no join gateways g on g.no = b.gateway_no
    where d.batch_no = :no for update of d
""")
