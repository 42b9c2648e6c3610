"""The queue of notices from its reading end: take what is due, and write down what became of it."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime
from typing import Any

from sqlalchemy import Connection, and_, func, or_, select, update

from server.store.tables import accounts, channels, notices, orders
from server.store.tables.columns import utc


@dataclass(frozen=True, slots=True)
class DueNotice:
    """One notice with its reader. Without a channel it goes to the account's, or the order's, own e-mail address."""

    no: int
    kind: str
    payload: dict[str, Any]
    tries: int
    email: str
    zone: str
    account_no: int | None
    channel_no: int | None
    channel_kind: str | None
    address: bytes | None  # encrypted
    secret: bytes | None  # encrypted


def due(tx: Connection, now: datetime, limit: int) -> tuple[DueNotice, ...]:
    """Up to `limit` notices whose time has come, locked for this transaction; another worker skips them.

    A notice whose channel was removed, or whose account is disabled, is not due: `end_orphans` gives it up.
    """
    query = (
        select(
            notices.c.no,
            notices.c.kind,
            notices.c.payload,
            notices.c.tries,
            func.coalesce(accounts.c.email, orders.c.email),
            func.coalesce(accounts.c.zone, orders.c.ship_to["zone"].astext, orders.c.zone),
            notices.c.account_no,
            notices.c.channel_no,
            channels.c.kind.label("channel_kind"),
            channels.c.address,
            channels.c.secret,
        )
        .outerjoin(accounts, accounts.c.no == notices.c.account_no)
        .outerjoin(orders, orders.c.number == notices.c.order_number)
        .outerjoin(channels, channels.c.no == notices.c.channel_no)
        .where(
            notices.c.due_at <= now,
            notices.c.sent_at.is_(None),
            notices.c.given_up_at.is_(None),
            accounts.c.disabled_at.is_(None),
            channels.c.removed_at.is_(None),
        )
        .order_by(notices.c.due_at, notices.c.no)
        .limit(limit)
        .with_for_update(of=notices, skip_locked=True)
    )
    return tuple(DueNotice(*row) for row in tx.execute(query))


def sent(tx: Connection, no: int, now: datetime) -> None:
    """It went out."""
    tx.execute(update(notices).where(notices.c.no == no).values(sent_at=now, last_error=None))


def try_again(tx: Connection, no: int, error: str, due_at: datetime) -> None:
    """It did not go out; the next attempt is at `due_at`."""
    again = {"tries": notices.c.tries + 1, "last_error": error, "due_at": due_at}
    tx.execute(update(notices).where(notices.c.no == no).values(again))


def give_up(tx: Connection, no: int, error: str, now: datetime) -> None:
    """It will never go out; the row stays, with the reason."""
    values = {"tries": notices.c.tries + 1, "last_error": error, "given_up_at": now}
    tx.execute(update(notices).where(notices.c.no == no).values(values))


@dataclass(frozen=True, slots=True)
class Waiting:
    """How many notices were neither sent nor given up, and when the oldest of them was made."""

    count: int
    oldest_at: datetime | None


def waiting(tx: Connection) -> Waiting:
    """The queue as a whole, for whoever looks after it."""
    open_ones = notices.c.sent_at.is_(None) & notices.c.given_up_at.is_(None)
    row = tx.execute(select(func.count(), func.min(notices.c.made_at)).where(open_ones)).one()
    return Waiting(row[0], utc(row[1]))


def end_orphans(tx: Connection, now: datetime) -> int:
    """Give up what nobody can receive any more (channel removed, account disabled); how many those were."""
    gone = and_(
        or_(
            notices.c.channel_no.in_(select(channels.c.no).where(channels.c.removed_at.is_not(None))),
            notices.c.account_no.in_(select(accounts.c.no).where(accounts.c.disabled_at.is_not(None))),
        ),
        notices.c.sent_at.is_(None),
        notices.c.given_up_at.is_(None),
    )
    return tx.execute(update(notices).where(gone).values(given_up_at=now, last_error="nobody to tell")).rowcount
