"""Runs of one remedy over many orders: the run, and a row for each of its orders."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any

from sqlalchemy import Connection, Row, func, insert, select, update
from sqlalchemy.dialects.postgresql import insert as upsert

from server.rules.authority import Action
from server.rules.remedy_runs import Entry, Member, RunState
from server.store.tables import remedy_run_orders, remedy_runs
from server.store.tables.columns import utc


@dataclass(frozen=True, slots=True)
class StoredRun:
    """A run. `looked_by`: who approved it so far; `not_before`: until then it can be taken back as a whole."""

    no: int
    key: str
    action: Action
    cause: str
    customer_text: str
    state: RunState
    made_by: str
    made_at: datetime
    looked_by: tuple[str, ...] = ()
    look_again_at: datetime | None = None
    approved_at: datetime | None = None
    not_before: datetime | None = None
    ended_at: datetime | None = None


def add(tx: Connection, run: StoredRun, entries: Iterable[Entry]) -> StoredRun | None:
    """Write a run down with its orders; None if there is one of this key."""
    row = {
        "key": run.key,
        "action": str(run.action),
        "cause": run.cause,
        "customer_text": run.customer_text,
        "state": str(run.state),
        "made_by": run.made_by,
        "made_at": run.made_at,
    }
    put = upsert(remedy_runs).values(row).on_conflict_do_nothing(index_elements=["key"]).returning(remedy_runs)
    made = tx.execute(put).first()
    if made is None:
        return None
    rows = [
        {
            "run_no": made.no,
            "order_number": each.order,
            "amount_minor": each.amount_minor,
            "currency": each.currency,
            "state": str(each.state),
            "why": each.why,
        }
        for each in entries
    ]
    tx.execute(insert(remedy_run_orders), rows)
    return _run(made)


def by_key(tx: Connection, key: str) -> StoredRun | None:
    """The run of this key."""
    row = tx.execute(select(remedy_runs).where(remedy_runs.c.key == key)).first()
    return _run(row) if row else None


def by_no(tx: Connection, no: int, *, hold: bool = False) -> StoredRun | None:
    """The run of this number; `hold`: until the transaction ends nobody else changes it."""
    query = select(remedy_runs).where(remedy_runs.c.no == no)
    row = tx.execute(query.with_for_update() if hold else query).first()
    return _run(row) if row else None


def newest(tx: Connection, limit: int) -> tuple[StoredRun, ...]:
    """The runs made last."""
    return tuple(_run(row) for row in tx.execute(select(remedy_runs).order_by(remedy_runs.c.no.desc()).limit(limit)))


def ready(tx: Connection, now: datetime) -> tuple[int, ...]:
    """The numbers of approved runs whose undo window is over."""
    due = (remedy_runs.c.state == "approved") & (remedy_runs.c.not_before <= now)
    return tuple(tx.execute(select(remedy_runs.c.no).where(due).order_by(remedy_runs.c.no)).scalars())


def change(tx: Connection, no: int, **values: Any) -> StoredRun:
    """Change its row, and read it as it is now."""
    return _run(
        tx.execute(update(remedy_runs).where(remedy_runs.c.no == no).values(values).returning(remedy_runs)).one()
    )


def entries(tx: Connection, no: int) -> tuple[Entry, ...]:
    """Every order of a run."""
    query = select(remedy_run_orders).where(remedy_run_orders.c.run_no == no).order_by(remedy_run_orders.c.order_number)
    return tuple(_entry(row) for row in tx.execute(query))


def entry(tx: Connection, no: int, order: str) -> Entry | None:
    """One order of a run."""
    mine = (remedy_run_orders.c.run_no == no) & (remedy_run_orders.c.order_number == order)
    row = tx.execute(select(remedy_run_orders).where(mine)).first()
    return _entry(row) if row else None


def waiting(tx: Connection, no: int, limit: int) -> tuple[str, ...]:
    """Its orders whose turn has not come yet."""
    mine = (remedy_run_orders.c.run_no == no) & (remedy_run_orders.c.state == "waiting")
    query = select(remedy_run_orders.c.order_number).where(mine).order_by(remedy_run_orders.c.order_number)
    return tuple(tx.execute(query.limit(limit)).scalars())


def how_many(tx: Connection, no: int) -> dict[Member, int]:
    """The orders of a run, counted by state."""
    mine = remedy_run_orders.c.run_no == no
    query = select(remedy_run_orders.c.state, func.count()).where(mine).group_by(remedy_run_orders.c.state)
    return {Member(state): count for state, count in tx.execute(query)}


def settle(tx: Connection, no: int, order: str, state: Member, why: str) -> None:
    """Its turn came: it has a remedy, or is left out."""
    mine = (remedy_run_orders.c.run_no == no) & (remedy_run_orders.c.order_number == order)
    tx.execute(update(remedy_run_orders).where(mine).values(state=str(state), why=why))


def _entry(row: Row[Any]) -> Entry:
    return Entry(row.order_number, row.amount_minor, row.currency, Member(row.state), row.why)


def _run(row: Row[Any]) -> StoredRun:
    return StoredRun(
        no=row.no,
        key=row.key,
        action=Action(row.action),
        cause=row.cause,
        customer_text=row.customer_text,
        state=RunState(row.state),
        made_by=row.made_by,
        made_at=row.made_at.astimezone(UTC),
        looked_by=tuple(row.looked_by),
        look_again_at=utc(row.look_again_at),
        approved_at=utc(row.approved_at),
        not_before=utc(row.not_before),
        ended_at=utc(row.ended_at),
    )
