"""How each ingest worker is, written down by itself every few seconds: of the moment, and lost in a crash.

All moments are the database's own: clocks of several machines would differ by more than what is asked here.
"""

from __future__ import annotations

from collections.abc import Collection
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta

from sqlalchemy import Connection, delete, func, select
from sqlalchemy.dialects.postgresql import insert

from server.store.tables import ingest_workers


@dataclass(frozen=True, slots=True)
class WorkerRow:
    """A worker as it last wrote. `unseen_s`: since then; `waiting`: batches taken and not yet stored."""

    worker: str
    started_at: datetime
    seen_at: datetime
    unseen_s: float
    lag_s: float
    waiting: int
    connected: bool
    stored: int


def put(
    tx: Connection, worker: str, *, up_s: float, lag_s: float, waiting: int, connected: bool, stored: int
) -> None:  # fmt: skip
    """Writes a worker's row; it has been running for `up_s`."""
    row = {
        "worker": worker,
        "started_at": func.now() - timedelta(seconds=up_s),
        "seen_at": func.now(),
        "lag_s": lag_s,
        "waiting": waiting,
        "connected": connected,
        "stored": stored,
    }
    new = insert(ingest_workers).values(row)
    rest = {name: new.excluded[name] for name in row if name != "worker"}
    tx.execute(new.on_conflict_do_update(index_elements=["worker"], set_=rest))


def keep(tx: Connection, workers: Collection[str]) -> None:
    """Removes the rows of all but these."""
    tx.execute(delete(ingest_workers).where(ingest_workers.c.worker.not_in(sorted(workers))))


def every_worker(tx: Connection) -> tuple[WorkerRow, ...]:
    """All workers that ever wrote and are still wanted, by name."""
    unseen_s = func.extract("epoch", func.now() - ingest_workers.c.seen_at).label("unseen_s")
    found = tx.execute(select(ingest_workers, unseen_s).order_by(ingest_workers.c.worker))
    return tuple(
        WorkerRow(
            worker=row.worker,
            started_at=row.started_at.astimezone(UTC),
            seen_at=row.seen_at.astimezone(UTC),
            unseen_s=max(float(row.unseen_s), 0.0),
            lag_s=row.lag_s,
            waiting=row.waiting,
            connected=row.connected,
            stored=row.stored,
        )
        for row in found
    )
