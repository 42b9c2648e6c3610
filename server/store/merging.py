"""The days of a month become one partition, its rows in the order of the index: fewer partitions for a read to pass,
and a tag's rows of a month on a few pages instead of one page each.

Two phases, because copying takes minutes and nobody who stores may wait so long. `copy` copies what transactions left
that had ended when it began. `swap` keeps only those out who write into this very month (frames that come five weeks
late), adds what came since, and locks the whole table for nothing but the exchange itself. A row was written by one
transaction, and that either had ended or had not: no row is left out, and none is taken twice.

PostgreSQL manual: "System Columns" (xmin), `pg_snapshot_xmin`, ALTER TABLE … ATTACH PARTITION (a matching CHECK
spares the look through the table).
"""

from __future__ import annotations

from typing import Final, NamedTuple

from sqlalchemy import Connection, Engine, text

from server.store import partitions
from server.store.db import transaction
from server.store.locking import BusyError, Wait, busy_if_locked, lock_all
from server.store.partitions import Partition

# Autovacuum makes way within a second; a backup does not, and keeps the days open for as long as it takes.
_DAYS_WAIT_MS: Final = 10_000
_PREFIX: Final = "merging_"


class Copied(NamedTuple):
    """The first phase, done: `before` is the transaction (32 bits) that had not ended then, `rows` were copied."""

    whole: Partition
    before: int
    rows: int

    @property
    def table(self) -> str:
        return _PREFIX + self.whole.name


def waiting(there: list[Partition], whole: Partition) -> list[Partition]:
    """The days of a month that stand apart."""
    return [part for part in there if not part.is_month and whole.holds(part.first)]


def clear(tx: Connection) -> None:
    """Removes what a merge left behind that was interrupted between its phases."""
    for name in tx.execute(_LEFT).scalars().all():
        tx.execute(text(f"drop table {name}"))


def copy(engine: Engine, whole: Partition) -> Copied:
    """The first phase: everything that had been committed when it began. Blocks nobody, takes as long as it takes."""
    low, high = whole.bounds
    name = _PREFIX + whole.name
    with transaction(engine) as tx:
        # Sorting in memory where it can be had: the index is made from the same order.
        tx.execute(text("set local work_mem = '64MB'"))
        tx.execute(text("set local maintenance_work_mem = '128MB'"))
        tx.execute(text(f"create table {name} (like sightings including defaults including constraints)"))
        tx.execute(
            text(f"alter table {name} add constraint bounds check (heard_at >= '{low}' and heard_at < '{high}')")
        )
        before = int(tx.execute(_OLDEST_OPEN).scalar_one())
        rows = tx.execute(text(_insert(whole, ended=True)), {"before": before}).rowcount
        tx.execute(text(f"create index {whole.name}_serial_heard_at_idx on {name} (serial, heard_at)"))
    with engine.connect().execution_options(isolation_level="AUTOCOMMIT") as alone:
        # Frozen now, the month is never rewritten; analysed now, its first reader is not the one to suffer.
        alone.execute(text(f"vacuum (freeze, analyze) {name}"))
    return Copied(whole, before, rows)


def swap(engine: Engine, copied: Copied, wait: Wait) -> int:
    """The second phase, one transaction; returns how many rows came since the first. Raises BusyError."""
    with busy_if_locked(), transaction(engine) as tx:
        tx.execute(text(f"set local lock_timeout = {_DAYS_WAIT_MS}"))
        partitions.close(tx, copied.whole)
        days = waiting(partitions.every(tx), copied.whole)
        for each in days:
            tx.execute(text(f"lock table {each.name} in share mode"))
        rows = tx.execute(text(_insert(copied.whole, ended=False)), {"before": copied.before}).rowcount
        lock_all(tx, wait)
        if waiting(partitions.every(tx), copied.whole) != days:
            raise BusyError  # another day came up behind our back
        _exchange(tx, copied, days)
        return rows


def _exchange(tx: Connection, copied: Copied, days: list[Partition]) -> None:
    name = copied.whole.name
    low, high = copied.whole.bounds
    tx.execute(text(f"drop table {', '.join(each.name for each in days)}"))
    tx.execute(text(f"alter table {copied.table} rename to {name}"))
    tx.execute(text(f"alter table sightings attach partition {name} for values from ('{low}') to ('{high}')"))
    tx.execute(text(f"alter table {name} drop constraint bounds"))


def _insert(whole: Partition, *, ended: bool) -> str:
    """Rows whose transaction comes before :before in the circle of 2^32, or the others. Both phases ask the same of a
    row's xmin, which never changes: they agree about each row, even about one that is older than half the circle.
    """
    low, high = whole.bounds
    return f"""
        insert into {_PREFIX}{whole.name} select * from sightings
        where heard_at >= '{low}' and heard_at < '{high}'
            and ((:before - cast(cast(xmin as text) as bigint)) & 4294967295 between 1 and 2147483647) = {ended}
        order by serial, heard_at
    """  # noqa: S608 - names and bounds of our own making


_OLDEST_OPEN: Final = text("select cast(cast(pg_snapshot_xmin(pg_current_snapshot()) as text) as bigint) & 4294967295")
_LEFT: Final = text("select tablename from pg_tables where schemaname = 'public' and tablename like 'merging\\_%'")
