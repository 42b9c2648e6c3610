"""Which orders follow which carrier's number, and when its carrier is asked next."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any

from sqlalchemy import Connection, Row, func, select, update
from sqlalchemy.dialects.postgresql import insert as upsert

from server.store.tables import trackers

# More orders than this under one number are a mistake of whoever states them; the newest ones are followed.
OF_NUMBER_MAX = 50


@dataclass(frozen=True, slots=True)
class Tracker:
    """An order follows a number since its label. `slot` 0 = the whole order; `carrier` empty = nobody named one."""

    order_number: str
    number: str
    carrier: str
    slot: int
    spelled: str
    labelled_at: datetime


@dataclass(frozen=True, slots=True)
class Due:
    """A number whose carrier is asked now. `tries` counts the answers that failed in a row."""

    number: str
    carrier: str
    labelled_at: datetime
    vendor_id: str | None
    tries: int


def follow(tx: Connection, tracker: Tracker, now: datetime, *, asked: bool) -> None:
    """Let an order follow a number; the label that was stated first stays. `asked`: whether its carrier is asked."""
    row = {
        "order_number": tracker.order_number,
        "number": tracker.number,
        "carrier": tracker.carrier,
        "slot": tracker.slot,
        "spelled": tracker.spelled,
        "labelled_at": tracker.labelled_at,
        "next_poll_at": now,
        "ended_at": None if asked else now,
    }
    tx.execute(upsert(trackers).values(row).on_conflict_do_nothing())


def of_number(tx: Connection, number: str) -> tuple[Tracker, ...]:
    """Whoever follows a number, the newest label first."""
    query = select(trackers).where(trackers.c.number == number)
    newest = query.order_by(trackers.c.labelled_at.desc(), trackers.c.order_number, trackers.c.slot)
    return tuple(_tracker(row) for row in tx.execute(newest.limit(OF_NUMBER_MAX)))


def take_due(tx: Connection, now: datetime, until: datetime) -> Due | None:
    """The number that waits longest; nobody else asks it before `until`, whatever becomes of us."""
    due = (trackers.c.ended_at.is_(None)) & (trackers.c.next_poll_at <= now)
    query = select(trackers).where(due).order_by(trackers.c.next_poll_at).limit(1).with_for_update(skip_locked=True)
    row = tx.execute(query).first()
    if row is None:
        return None
    _set(tx, row.number, row.carrier, next_poll_at=until)
    return Due(row.number, row.carrier, row.labelled_at.astimezone(UTC), row.vendor_id, row.tries)


def answered(
    tx: Connection, due: Due, vendor_id: str | None, next_poll_at: datetime, ended_at: datetime | None
) -> None:
    """The vendor answered; `vendor_id` None: by number again next time."""
    changes = {"vendor_id": vendor_id, "next_poll_at": next_poll_at, "ended_at": ended_at, "tries": 0, "error": None}
    _set(tx, due.number, due.carrier, **changes)


def failed(tx: Connection, due: Due, error: str, next_poll_at: datetime, ended_at: datetime | None = None) -> None:
    """The vendor did not answer, or (`ended_at`) never will."""
    tries = min(due.tries + 1, 1000)
    _set(tx, due.number, due.carrier, error=error[:200], tries=tries, next_poll_at=next_poll_at, ended_at=ended_at)


def end_old(tx: Connection, labelled_before: datetime, now: datetime) -> int:
    """Numbers that nobody has to ask about any more; how many."""
    old = (
        (trackers.c.ended_at.is_(None)) & (trackers.c.labelled_at < labelled_before) & (trackers.c.next_poll_at <= now)
    )
    return tx.execute(update(trackers).where(old).values(ended_at=now)).rowcount


def how_many_due(tx: Connection, now: datetime) -> int:
    """How many numbers wait to be asked."""
    due = (trackers.c.ended_at.is_(None)) & (trackers.c.next_poll_at <= now)
    return int(tx.execute(select(func.count()).select_from(trackers).where(due)).scalar_one())


def _set(tx: Connection, number: str, carrier: str, **changes: Any) -> None:
    same = (trackers.c.number == number) & (trackers.c.carrier == carrier) & trackers.c.ended_at.is_(None)
    tx.execute(update(trackers).where(same).values(changes))


def _tracker(row: Row[Any]) -> Tracker:
    return Tracker(row.order_number, row.number, row.carrier, row.slot, row.spelled, row.labelled_at.astimezone(UTC))
