"""Verdicts kept beside the facts: computed at a moment, stale as soon as a fact comes in, never a fact themselves."""

from __future__ import annotations

from collections.abc import Collection, Mapping
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any

from sqlalchemy import ColumnElement, Connection, func, or_, select, union_all, update
from sqlalchemy.dialects.postgresql import insert as upsert

from server.store.tables import weighings
from server.store.tables.columns import utc


@dataclass(frozen=True, slots=True)
class StoredWeighing:
    """`weighing` is the JSON form of what `rules.weigh` said at `as_of`; look again at `next_look_at` at the latest."""

    order_number: str
    as_of: datetime
    policy: str
    next_look_at: datetime | None
    weighing: Mapping[str, Any]
    waits_since: datetime | None = None  # what lists of waiting customers are ordered by; the rest is in `weighing`
    unasked: bool = False  # a remedy is to be made without being asked


def hold(tx: Connection, number: str) -> None:
    """Before the facts are read: whoever marks this order stale meanwhile waits, and marks what we shall have put."""
    tx.execute(select(weighings.c.order_number).where(weighings.c.order_number == number).with_for_update())


def put(tx: Connection, weighing: StoredWeighing) -> None:
    """Keep the newest weighing of an order."""
    row = {
        "order_number": weighing.order_number,
        "as_of": weighing.as_of,
        "policy": weighing.policy,
        "next_look_at": weighing.next_look_at,
        "weighing": dict(weighing.weighing),
        "stale": False,
        "waits_since": weighing.waits_since,
        "unasked": weighing.unasked,
    }
    stated = upsert(weighings).values(row)
    renew = {name: stated.excluded[name] for name in row if name != "order_number"}
    tx.execute(stated.on_conflict_do_update(index_elements=["order_number"], set_=renew))


def current(tx: Connection, number: str, policy: str, now: datetime) -> StoredWeighing | None:
    """The kept weighing, if it still holds: no fact since, same policy, and nothing falls due up to now."""
    query = select(weighings).where(
        weighings.c.order_number == number,
        weighings.c.policy == policy,
        weighings.c.stale.is_(False),
        weighings.c.as_of <= now,
        or_(weighings.c.next_look_at.is_(None), weighings.c.next_look_at > now),
    )
    row = tx.execute(query).first()
    if row is None:
        return None
    next_look_at = utc(row.next_look_at)
    return StoredWeighing(number, row.as_of.astimezone(UTC), row.policy, next_look_at, row.weighing)


def expect(tx: Connection, number: str, now: datetime) -> None:
    """A new order: nothing was weighed yet, so it is due at once."""
    row = {"order_number": number, "as_of": now, "policy": "", "next_look_at": None, "weighing": {}, "stale": True}
    tx.execute(upsert(weighings).values(row).on_conflict_do_nothing(index_elements=["order_number"]))


def mark_stale(tx: Connection, numbers: Collection[str], weighed_before: datetime | None = None) -> None:
    """A fact about these orders came in: what was computed before (that moment) holds no longer."""
    if not numbers:
        return
    theirs = weighings.c.order_number.in_(sorted(numbers))
    stale = update(weighings).where(theirs, weighings.c.stale.is_(False))
    if weighed_before is None:
        _hold_all(tx, theirs)  # those that are stale too: they may be weighed just now, without this fact
    else:
        stale = stale.where(weighings.c.as_of < weighed_before)
    tx.execute(stale.values(stale=True))


def _hold_all(tx: Connection, which: ColumnElement[bool]) -> None:
    """In order of their numbers, as everybody holds several: two who meet wait for one another one after the other."""
    query = select(weighings.c.order_number).where(which).order_by(weighings.c.order_number.collate("C"))
    tx.execute(query.with_for_update())


def waiting(tx: Connection, limit: int) -> tuple[str, ...]:
    """The orders whose customers wait for a person's answer, the longest wait first."""
    query = select(weighings.c.order_number).where(weighings.c.waits_since.is_not(None))
    return tuple(tx.execute(query.order_by(weighings.c.waits_since).limit(limit)).scalars())


def how_many_wait(tx: Connection) -> int:
    """How many orders `waiting` would give without a limit."""
    query = select(func.count()).select_from(weighings).where(weighings.c.waits_since.is_not(None))
    return int(tx.execute(query).scalar_one())


def mark_waiting_stale(tx: Connection, besides: str = "") -> None:
    """Something was said of the house, which concerns everybody who waits, and this order besides."""
    waits = weighings.c.waits_since.is_not(None) | (weighings.c.order_number == besides)
    _hold_all(tx, waits)
    tx.execute(update(weighings).where(waits, weighings.c.stale.is_(False)).values(stale=True))


def due(tx: Connection, now: datetime, limit: int) -> tuple[str, ...]:
    """Orders whose verdict may have changed: stale ones, and those whose next moment to look has come.

    Those that nobody knows a moment for come first, then the earliest. Each branch reads its part of an index in order
    and stops at the limit: what is due is paid for, not what exists.
    """
    look = weighings.c.next_look_at
    new = select(weighings.c.order_number, look).where(weighings.c.stale, look.is_(None)).limit(limit)
    changed = select(weighings.c.order_number, look).where(weighings.c.stale, look.is_not(None))
    come = select(weighings.c.order_number, look).where(weighings.c.stale.is_(False), look <= now)
    branches = (new, *(branch.order_by(look).limit(limit) for branch in (changed, come)))
    every = union_all(*(branch.subquery().select() for branch in branches)).subquery()
    query = select(every.c.order_number).order_by(every.c.next_look_at.asc().nulls_first()).limit(limit)
    return tuple(tx.execute(query).scalars())


def how_many_due(tx: Connection, now: datetime) -> int:
    """How many orders `due` would give without a limit."""
    return int(tx.execute(select(func.count()).select_from(weighings).where(_is_due(now))).scalar_one())


def _is_due(now: datetime) -> ColumnElement[bool]:
    return or_(weighings.c.stale, weighings.c.next_look_at <= now)


def unasked(tx: Connection, limit: int) -> tuple[str, ...]:
    """Orders for which a remedy is to be made without being asked."""
    query = select(weighings.c.order_number).where(weighings.c.unasked).order_by(weighings.c.order_number)
    return tuple(tx.execute(query.limit(limit)).scalars())
