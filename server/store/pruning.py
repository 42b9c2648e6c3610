"""What is too old, removed for good: whole partitions, the rows of the one that is partly too old, and ledger rows.

Every function may be interrupted and called again.
"""

from __future__ import annotations

from collections.abc import Callable
from datetime import date, datetime, timedelta
from typing import Final

from sqlalchemy import Connection, Engine, text

from server.store.db import transaction
from server.store.locking import Wait, busy_if_locked, lock_all
from server.store.partitions import Partition

# Pages of one transaction, some 25,000 rows: long enough to be quick, short enough to hold nobody up.
PAGES: Final = 256
# Ledger rows of one transaction.
BATCHES: Final = 10_000
# A ledger row outlives the sightings of its batch. Heard at most five minutes after it came, all of them have been
# beyond the horizon, which goes by whole days, for most of a day: delivered once more, the batch makes no row again.
LEDGER_LONGER: Final = timedelta(days=2)
_EMPTY_BEFORE: Final = "empty before "

Progress = Callable[[int, int], None]
"""So much of so much is done."""


def size(tx: Connection, part: Partition) -> tuple[int, int]:
    """About how many rows a partition has, and its bytes with its index."""
    rows, size_bytes = tx.execute(_SIZE, {"name": part.name}).one()
    if rows < 0:  # nobody has counted yet
        rows = tx.execute(text(f"select count(*) from {part.name}")).scalar_one()  # noqa: S608 - a name of our own making
    return int(rows), int(size_bytes)


def drop(engine: Engine, part: Partition, wait: Wait) -> None:
    """A partition with all that is in it. Raises BusyError."""
    with busy_if_locked(), transaction(engine) as tx:
        lock_all(tx, wait)
        tx.execute(text(f"drop table if exists {part.name}"))


def empty_before(tx: Connection, part: Partition) -> date | None:
    """Up to which day the rows of a partition were erased; it stands in the table's comment, and goes with it."""
    said = tx.execute(_COMMENT, {"name": part.name}).scalar()
    return date.fromisoformat(said.removeprefix(_EMPTY_BEFORE)) if said else None


def erase(engine: Engine, part: Partition, before: datetime, progress: Progress) -> int:
    """The rows of a partition heard before a midnight (UTC), page by page, then VACUUM, which takes them out of their
    pages. Returns how many went.
    """
    with transaction(engine) as tx:
        pages = int(tx.execute(_PAGES, {"name": part.name}).scalar_one())
    rows = 0
    for first in range(0, pages, PAGES):
        asked = {"first": f"({first},0)", "until": f"({first + PAGES},0)", "before": before}
        with transaction(engine) as tx:
            rows += tx.execute(text(_erase(part)), asked).rowcount
        progress(min(first + PAGES, pages), pages)
    with engine.connect().execution_options(isolation_level="AUTOCOMMIT") as alone:
        alone.execute(text(f"vacuum (analyze) {part.name}"))
    with transaction(engine) as tx:
        tx.execute(text(f"comment on table {part.name} is '{_EMPTY_BEFORE}{before:%Y-%m-%d}'"))
    return rows


def prune_ledger(engine: Engine, before: datetime, progress: Progress) -> int:
    """Ledger rows received before that, with their dead letters; returns how many rows went.

    Only below the mark of their outbox: above it they are what the mark will move over when the missing one comes. That
    may be never; therefore a row that stays keeps neither the place of its gateway nor what was in it.
    Numbers rise with time but for the sets of workers beside one another, so that it ends at the first part in which
    nothing is old. Outboxes of which nothing is left go with it: a gateway begins a new one at every start. Not its
    last one: a gateway that heard nothing for long goes on counting where it was, and a new mark would wait for 0.
    """
    gone, after = 0, 0
    while True:
        with transaction(engine) as tx:
            asked = {"after": after, "before": before, "limit": BATCHES}
            last, old, removed = tx.execute(_PRUNE, asked).one()
        gone += int(removed)
        progress(gone, gone)
        if not old:
            break
        after = last
    if gone:
        with transaction(engine) as tx:
            tx.execute(_EMPTY_OUTBOXES)
    return gone


def old_batches(tx: Connection, before: datetime) -> int:
    """How many rows `prune_ledger` would look at and find old; most of them go."""
    return int(tx.execute(_OLD_BATCHES, {"before": before}).scalar_one())


def _erase(part: Partition) -> str:
    return f"""
        delete from {part.name}
        where ctid >= cast(:first as tid) and ctid < cast(:until as tid) and heard_at < :before
    """  # noqa: S608 - a name of our own making


_SIZE: Final = text("select reltuples, pg_total_relation_size(oid) from pg_class where oid = cast(:name as regclass)")
_PAGES: Final = text("select pg_relation_size(cast(:name as regclass)) / cast(current_setting('block_size') as bigint)")
_COMMENT: Final = text("select obj_description(cast(:name as regclass), 'pg_class')")
_OLD_BATCHES: Final = text("select count(*) from batches where received_at < :before")
_PRUNE: Final = text("""
    with part as (
        select b.no, b.received_at < :before as old, b.sequence <= o.settled_up_to as settled
        from (select * from batches where no > :after order by no limit :limit) b
        left join outboxes o using (gateway_no, outbox_id)
    ), doomed as (
        select no from part where old and settled
    ), letters as (
        delete from dead_letters where batch_no in (select no from part where old)
    ), removed as (
        delete from batches where no in (select no from doomed) returning 1
    ), bared as (
        update batches set lat_e7 = null, lon_e7 = null, accuracy_m = null, place_source = null
        where no in (select no from part where old and settled is not true) and lat_e7 is not null
    )
    select max(no), coalesce(bool_or(old), false), (select count(*) from removed) from part
""")
_EMPTY_OUTBOXES: Final = text("""
    delete from outboxes o
    where not exists (select 1 from batches b where b.gateway_no = o.gateway_no and b.outbox_id = o.outbox_id)
        and exists (select 1 from batches b where b.gateway_no = o.gateway_no)
""")
