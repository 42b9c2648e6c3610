"""Households: a tag's secret, sealed by its owner to a member's own key. The server keeps it and cannot open it."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import UTC, datetime

from sqlalchemy import Connection, delete, func, select, update
from sqlalchemy.dialects.postgresql import insert as upsert

from server.store.tables import accounts, handovers, ownership


@dataclass(frozen=True, slots=True)
class Handover:
    """What was sealed to an account: of which tag, what its owner calls it, and by whom."""

    ownership_no: int
    serial: int
    name: str
    sealed: bytes
    from_email: str
    made_at: datetime


@dataclass(frozen=True, slots=True)
class Member:
    """With whom a tag is shared, and since when."""

    email: str
    made_at: datetime


def key_of(tx: Connection, email: str) -> tuple[int, bytes] | None:
    """The account of this address that may own tags, and its household key; None without either."""
    mine = (accounts.c.email == email.strip().lower()) & (accounts.c.role == "owner") & accounts.c.disabled_at.is_(None)
    query = select(accounts.c.no, accounts.c.household_key).where(mine, accounts.c.household_key.is_not(None))
    row = tx.execute(query).first()
    return (row.no, row.household_key) if row else None


def keep_key(tx: Connection, account_no: int, public_key: bytes) -> None:
    """This is the account's household key from now on."""
    tx.execute(update(accounts).where(accounts.c.no == account_no).values(household_key=public_key))


def put(tx: Connection, ownership_no: int, to_account_no: int, sealed: bytes, now: datetime) -> None:
    """Keep a sealed secret for a member, over an earlier one for the same."""
    row = {"ownership_no": ownership_no, "to_account_no": to_account_no, "sealed": sealed, "made_at": now}
    new = {"sealed": sealed, "made_at": now}
    keys = ["ownership_no", "to_account_no"]
    tx.execute(upsert(handovers).values(row).on_conflict_do_update(index_elements=keys, set_=new))


def members(tx: Connection, ownership_no: int) -> tuple[Member, ...]:
    """With whom a tag is shared, by address."""
    query = (
        select(accounts.c.email, handovers.c.made_at)
        .join(accounts, accounts.c.no == handovers.c.to_account_no)
        .where(handovers.c.ownership_no == ownership_no)
        .order_by(accounts.c.email)
    )
    return tuple(Member(row.email, row.made_at.astimezone(UTC)) for row in tx.execute(query))


def remove(tx: Connection, ownership_no: int, email: str) -> bool:
    """List it for this member no more; False if it was not."""
    member = select(accounts.c.no).where(accounts.c.email == email.strip().lower()).scalar_subquery()
    mine = (handovers.c.ownership_no == ownership_no) & (handovers.c.to_account_no == member)
    return tx.execute(delete(handovers).where(mine)).rowcount > 0


def of_member(tx: Connection, account_no: int) -> tuple[Handover, ...]:
    """What is sealed to an account, of tags whose owner still is the one who shared them."""
    query = (
        select(handovers, ownership.c.serial, ownership.c.name, accounts.c.email)
        .join(ownership, ownership.c.no == handovers.c.ownership_no)
        .join(accounts, accounts.c.no == ownership.c.account_no)
        .where(handovers.c.to_account_no == account_no, ownership.c.until.is_(None))
        .order_by(ownership.c.name, ownership.c.serial)
    )
    return tuple(
        Handover(row.ownership_no, row.serial, row.name, row.sealed, row.email, row.made_at.astimezone(UTC))
        for row in tx.execute(query)
    )


def count_to(tx: Connection, account_no: int) -> int:
    """How much is sealed to an account, by whomever; what ended is shown to nobody and takes nobody's room."""
    listed = (handovers.c.to_account_no == account_no) & ownership.c.until.is_(None)
    query = select(func.count()).select_from(handovers).join(ownership, ownership.c.no == handovers.c.ownership_no)
    return int(tx.execute(query.where(listed)).scalar_one())
