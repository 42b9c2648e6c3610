"""Webhooks as they came: a replay is one row, and what no order knew yet waits there."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from sqlalchemy import Connection, select, update
from sqlalchemy.dialects.postgresql import insert as upsert

from server.store.tables import trackers, webhook_inbox

# Of one number: a tracker's history comes whole with every event, so the newest ones hold it all.
WAITING_MAX = 50
NUMBERS_MAX = 100


@dataclass(frozen=True, slots=True)
class Arrived:
    """A webhook. `body` is encrypted; `waiting` is what it tells, as long as no order follows `number`."""

    vendor: str
    event: str
    received_at: datetime
    body: bytes
    number: str | None = None
    waiting: Sequence[Any] | None = None


def put(tx: Connection, arrived: Arrived) -> int | None:
    """Keep it and give its number; None if this event is here already."""
    row = {
        "vendor": arrived.vendor,
        "event": arrived.event,
        "received_at": arrived.received_at,
        "body": arrived.body,
        "number": arrived.number,
        "waiting": None if arrived.waiting is None else list(arrived.waiting),
    }
    stored = upsert(webhook_inbox).values(row).on_conflict_do_nothing(index_elements=["vendor", "event"])
    return tx.execute(stored.returning(webhook_inbox.c.no)).scalar_one_or_none()


def waiting_and_followed(tx: Connection, since: datetime) -> tuple[str, ...]:
    """Numbers that something waits for although an order follows them."""
    query = (
        select(webhook_inbox.c.number)
        .join(trackers, trackers.c.number == webhook_inbox.c.number)
        .where(webhook_inbox.c.waiting.is_not(None), webhook_inbox.c.received_at >= since)
    )
    return tuple(tx.execute(query.distinct().order_by(webhook_inbox.c.number).limit(NUMBERS_MAX)).scalars())


def take_waiting(tx: Connection, number: str, since: datetime) -> tuple[tuple[str, Any], ...]:
    """(vendor, what it tells) of every webhook that waited for this number, the oldest first; they wait no longer."""
    waits = (webhook_inbox.c.number == number) & webhook_inbox.c.waiting.is_not(None)
    newest = select(webhook_inbox.c.no, webhook_inbox.c.vendor, webhook_inbox.c.waiting).where(
        waits, webhook_inbox.c.received_at >= since
    )
    rows = tx.execute(newest.order_by(webhook_inbox.c.no.desc()).limit(WAITING_MAX).with_for_update()).all()
    tx.execute(update(webhook_inbox).where(webhook_inbox.c.no.in_([row.no for row in rows])).values(waiting=None))
    return tuple((row.vendor, row.waiting) for row in reversed(rows))
