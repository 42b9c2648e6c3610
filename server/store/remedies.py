"""Remedies as they were asked for and what became of them: one row for each key, whoever asks and however often."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any

from sqlalchemy import Connection, Row, func, select, update
from sqlalchemy.dialects.postgresql import insert as upsert

from server.rules.authority import Action
from server.rules.remedies import Taken
from server.rules.remedy_life import State
from server.store.tables import remedies
from server.store.tables.columns import utc


@dataclass(frozen=True, slots=True)
class StoredRemedy:
    """One remedy. `slots` empty = the whole order; `due_at` its next try; `outcome` what a port gave back."""

    no: int
    order_number: str
    slots: tuple[int, ...]
    action: Action
    amount_minor: int
    currency: str
    key: str
    rules: tuple[str, ...]
    reason: str
    state: State
    asked_by: str
    asked_at: datetime
    granted_by: tuple[str, ...] = ()
    look_again_at: datetime | None = None
    due_at: datetime | None = None
    tries: int = 0
    error: str | None = None
    plan: Mapping[str, Any] | None = None
    outcome: Mapping[str, Any] | None = None
    ended_at: datetime | None = None
    run_no: int | None = None


def as_taken(remedy: StoredRemedy) -> Taken:
    """The remedy as rules read it."""
    at = remedy.ended_at or remedy.asked_at
    return Taken(remedy.action, remedy.slots, remedy.state, remedy.asked_at, at, remedy.amount_minor)


def add(tx: Connection, remedy: StoredRemedy) -> StoredRemedy | None:
    """Write it down; None if there is one of this key."""
    row = {
        "order_number": remedy.order_number,
        "slots": list(remedy.slots),
        "action": str(remedy.action),
        "amount_minor": remedy.amount_minor,
        "currency": remedy.currency,
        "key": remedy.key,
        "rules": list(remedy.rules),
        "reason": remedy.reason,
        "plan": dict(remedy.plan) if remedy.plan else None,
        "state": str(remedy.state),
        "asked_by": remedy.asked_by,
        "asked_at": remedy.asked_at,
        "granted_by": list(remedy.granted_by),
        "due_at": remedy.due_at,
        "run_no": remedy.run_no,
    }
    put = upsert(remedies).values(row).on_conflict_do_nothing(index_elements=["key"]).returning(remedies)
    made = tx.execute(put).first()
    return _stored(made) if made else None


def by_no(tx: Connection, no: int, *, hold: bool = False) -> StoredRemedy | None:
    """The remedy of this number; `hold`: until the transaction ends nobody else changes it."""
    query = select(remedies).where(remedies.c.no == no)
    row = tx.execute(query.with_for_update() if hold else query).first()
    return _stored(row) if row else None


def by_key(tx: Connection, key: str) -> StoredRemedy | None:
    """The remedy of this key."""
    row = tx.execute(select(remedies).where(remedies.c.key == key)).first()
    return _stored(row) if row else None


def of_order(tx: Connection, number: str) -> tuple[StoredRemedy, ...]:
    """Every remedy of an order, in the order in which they were asked for."""
    query = select(remedies).where(remedies.c.order_number == number).order_by(remedies.c.no)
    return tuple(_stored(row) for row in tx.execute(query))


def open_ones(tx: Connection, limit: int) -> tuple[StoredRemedy, ...]:
    """Those that are not settled, the oldest first."""
    query = select(remedies).where(remedies.c.state.not_in(("done", "withdrawn")))
    return tuple(_stored(row) for row in tx.execute(query.order_by(remedies.c.asked_at, remedies.c.no).limit(limit)))


def due(tx: Connection, now: datetime, limit: int, run_no: int | None = None) -> tuple[int, ...]:
    """The numbers of those whose next try has come, of one run or of all."""
    query = select(remedies.c.no).where(remedies.c.state.in_(("granted", "booked")), remedies.c.due_at <= now)
    if run_no is not None:
        query = query.where(remedies.c.run_no == run_no)
    return tuple(tx.execute(query.order_by(remedies.c.due_at, remedies.c.no).limit(limit)).scalars())


def change(tx: Connection, no: int, **values: Any) -> StoredRemedy:
    """Change its row, and read it as it is now."""
    row = tx.execute(update(remedies).where(remedies.c.no == no).values(values).returning(remedies)).one()
    return _stored(row)


def how_many(tx: Connection, run_no: int) -> dict[State, int]:
    """The remedies of a run, counted by state."""
    query = select(remedies.c.state, func.count()).where(remedies.c.run_no == run_no).group_by(remedies.c.state)
    return {State(state): count for state, count in tx.execute(query)}


def _stored(row: Row[Any]) -> StoredRemedy:
    return StoredRemedy(
        no=row.no,
        order_number=row.order_number,
        slots=tuple(row.slots),
        action=Action(row.action),
        amount_minor=row.amount_minor,
        currency=row.currency,
        key=row.key,
        rules=tuple(row.rules),
        reason=row.reason,
        state=State(row.state),
        asked_by=row.asked_by,
        asked_at=row.asked_at.astimezone(UTC),
        granted_by=tuple(row.granted_by),
        look_again_at=utc(row.look_again_at),
        due_at=utc(row.due_at),
        tries=row.tries,
        error=row.error,
        plan=row.plan,
        outcome=row.outcome,
        ended_at=utc(row.ended_at),
        run_no=row.run_no,
    )
