"""Lost marks, the channels by which an owner wants to be told, and the notices waiting to be sent."""

from __future__ import annotations

from collections.abc import Collection, Mapping
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any

from sqlalchemy import Connection, Row, func, insert, select, update
from sqlalchemy.dialects.postgresql import insert as upsert

from server.store.among import among
from server.store.tables import channels, lost_marks, notices
from server.store.tables.columns import utc


@dataclass(frozen=True, slots=True)
class LostMark:
    """An owner misses a tag since `since`; `message` and `contact` are what a finder reads."""

    no: int
    serial: int
    account_no: int
    message: str
    contact: str
    since: datetime
    until: datetime | None


@dataclass(frozen=True, slots=True)
class Channel:
    """Where an account wants its messages: `kind` email or webhook; address and secret are encrypted."""

    no: int
    account_no: int
    kind: str
    address: bytes
    secret: bytes | None
    made_at: datetime


@dataclass(frozen=True, slots=True)
class NewNotice:
    """News for an account, or for an order's customer. `once` names it: the second of one name is not written. No
    channel: to their e-mail address.
    """

    account_no: int | None
    channel_no: int | None
    kind: str
    once: str
    payload: Mapping[str, object]
    order_number: str | None = None


# --- Marks -------------------------------------------------------------------------------------------------


def living(tx: Connection, serial: int) -> LostMark | None:
    """The mark of a tag that is missed now."""
    row = tx.execute(select(lost_marks).where(lost_marks.c.serial == serial, lost_marks.c.until.is_(None))).first()
    return _mark(row) if row else None


def living_among(tx: Connection, serials: Collection[int]) -> tuple[LostMark, ...]:
    """The marks of those of these tags that are missed now."""
    query = select(lost_marks).where(lost_marks.c.until.is_(None), among(lost_marks.c.serial, serials))
    return tuple(_mark(row) for row in tx.execute(query.order_by(lost_marks.c.serial)))


def add(tx: Connection, serial: int, account_no: int, message: str, contact: str, now: datetime) -> None:
    """Mark a tag lost; it must not be marked already."""
    row = {"serial": serial, "account_no": account_no, "message": message, "contact": contact, "since": now}
    tx.execute(insert(lost_marks).values(row))


def reword(tx: Connection, no: int, message: str, contact: str) -> None:
    """Change what a finder reads."""
    tx.execute(update(lost_marks).where(lost_marks.c.no == no).values(message=message, contact=contact))


def end(tx: Connection, serial: int, now: datetime) -> bool:
    """The tag is missed no more; False if it was not."""
    done = update(lost_marks).where(lost_marks.c.serial == serial, lost_marks.c.until.is_(None)).values(until=now)
    return tx.execute(done).rowcount > 0


# --- Notices -----------------------------------------------------------------------------------------------


def add_notice(tx: Connection, notice: NewNotice, now: datetime) -> bool:
    """Put a notice into the queue; False if the same news is there already."""
    row = {
        "account_no": notice.account_no,
        "order_number": notice.order_number,
        "channel_no": notice.channel_no,
        "kind": notice.kind,
        "once": notice.once,
        "payload": dict(notice.payload),
        "made_at": now,
        "due_at": now,
    }
    put = upsert(notices).values(row).on_conflict_do_nothing(index_elements=["once"]).returning(notices.c.no)
    return tx.execute(put).first() is not None


def count_notices(tx: Connection, account_no: int, kind: str, since: datetime) -> int:
    """How many notices of a kind an account got since a moment."""
    of = (notices.c.account_no == account_no) & (notices.c.kind == kind) & (notices.c.made_at >= since)
    return int(tx.execute(select(func.count()).select_from(notices).where(of)).scalar_one())


# --- Channels ----------------------------------------------------------------------------------------------


def channels_of(tx: Connection, account_no: int) -> tuple[Channel, ...]:
    """The channels of an account that were not removed."""
    query = select(channels).where(channels.c.account_no == account_no, channels.c.removed_at.is_(None))
    return tuple(_channel(row) for row in tx.execute(query.order_by(channels.c.no)))


def add_channel(
    tx: Connection, account_no: int, kind: str, address: bytes, secret: bytes | None, now: datetime
) -> int:  # fmt: skip
    """Add a channel; returns its number."""
    row = {"account_no": account_no, "kind": kind, "address": address, "secret": secret, "made_at": now}
    return int(tx.execute(insert(channels).values(row).returning(channels.c.no)).scalar_one())


def remove_channel(tx: Connection, account_no: int, no: int, now: datetime) -> bool:
    """Remove a channel of this account; False if there is none."""
    its = (channels.c.no == no) & (channels.c.account_no == account_no) & channels.c.removed_at.is_(None)
    return tx.execute(update(channels).where(its).values(removed_at=now)).rowcount > 0


def _mark(row: Row[Any]) -> LostMark:
    return LostMark(
        no=row.no,
        serial=row.serial,
        account_no=row.account_no,
        message=row.message,
        contact=row.contact,
        since=row.since.astimezone(UTC),
        until=utc(row.until),
    )


def _channel(row: Row[Any]) -> Channel:
    return Channel(row.no, row.account_no, row.kind, row.address, row.secret, row.made_at.astimezone(UTC))
