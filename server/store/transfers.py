"""Tags that one account hands over to another: an offer that waits until it is accepted or ends."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any

from sqlalchemy import Connection, Row, Select, insert, select, update

from server.store.tables import accounts, ownership, transfers


@dataclass(frozen=True, slots=True)
class Transfer:
    """An offer of a tag by its present owner."""

    transfer: str
    ownership_no: int
    serial: int
    from_email: str
    to_account_no: int
    made_at: datetime
    expires_at: datetime


def add(tx: Connection, transfer: str, ownership_no: int, to_account_no: int, now: datetime, until: datetime) -> None:
    """Note an offer."""
    row = {"transfer": transfer, "ownership_no": ownership_no, "to_account_no": to_account_no}
    tx.execute(insert(transfers).values(**row, made_at=now, expires_at=until))


def waiting_for(tx: Connection, to_account_no: int, now: datetime) -> tuple[Transfer, ...]:
    """The offers to an account that may still be accepted."""
    return tuple(_transfer(row) for row in tx.execute(_living(now).where(transfers.c.to_account_no == to_account_no)))


def waiting(tx: Connection, transfer: str, now: datetime) -> Transfer | None:
    """The offer with this id, if it may still be accepted."""
    row = tx.execute(_living(now).where(transfers.c.transfer == transfer)).first()
    return _transfer(row) if row else None


def end_all(tx: Connection, ownership_no: int, now: datetime) -> None:
    """No offer of this ownership may be accepted any more."""
    mine = (transfers.c.ownership_no == ownership_no) & transfers.c.accepted_at.is_(None)
    tx.execute(update(transfers).where(mine, transfers.c.expires_at > now).values(expires_at=now))


def accept(tx: Connection, transfer: str, now: datetime) -> None:
    """It was accepted."""
    tx.execute(update(transfers).where(transfers.c.transfer == transfer).values(accepted_at=now))


def _living(now: datetime) -> Select[Any]:
    return (
        select(transfers, ownership.c.serial, accounts.c.email)
        .join_from(transfers, ownership, transfers.c.ownership_no == ownership.c.no)
        .join(accounts, accounts.c.no == ownership.c.account_no)
        .where(transfers.c.accepted_at.is_(None), transfers.c.expires_at > now, ownership.c.until.is_(None))
        .order_by(transfers.c.made_at, transfers.c.transfer)
    )


def _transfer(row: Row[Any]) -> Transfer:
    return Transfer(
        transfer=row.transfer,
        ownership_no=row.ownership_no,
        serial=row.serial,
        from_email=row.email,
        to_account_no=row.to_account_no,
        made_at=row.made_at.astimezone(UTC),
        expires_at=row.expires_at.astimezone(UTC),
    )
