"""One turn of each side: bare COPY, our ingest, a way of mq-bridge. Each finds the table empty and leaves it full.

When a turn of the two brokers' customers ended is read from PostgreSQL: the commit of the last row.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any, Final

import numpy as np
from sqlalchemy import Engine, text

from bench.house import House
from bench.load import Load
from bench.mqbridge import Packets
from bench.publisher import publishing, write_packets
from server.ingest.rows import empty_rows, pg_time
from server.store import copying, db

COPY_ROWS: Final = 100_000
_PATIENCE_S: Final = 300


@dataclass(slots=True)
class Account:
    """What our side was given, and what the table says."""

    sightings: int = 0
    lost: int = 0
    duplicates: int = 0

    def add(self, other: Account) -> None:
        self.sightings += other.sightings
        self.lost += other.lost
        self.duplicates += other.duplicates


@dataclass(frozen=True, slots=True)
class Turn:
    """One turn: seconds from its beginning to its last commit, and the processor time of each process meanwhile. Of
    ours also how long each batch took from the moment at which it was due (at its pace, or at the beginning of the
    turn) to the commit of its ledger row.
    """

    took_s: float
    cpu_s: Mapping[str, float]
    late_s: tuple[float, ...] = ()


def copy_round(house: House, rows: int, *, by_serial: bool = False) -> Turn:
    """Bare COPY of so many rows, one transaction per buffer; as they come, or each buffer in the order of the index."""
    house.clear("sightings")
    took_s = 0.0
    before = house.cpu_s()
    for _ in range(rows // COPY_ROWS):
        buffer = _copy_rows(house.load, by_serial)
        began = time.perf_counter()
        with db.transaction(house.engine) as tx:
            copying.copy_rows(tx, copying.SIGHTINGS, buffer)
        took_s += time.perf_counter() - began
    return Turn(took_s, _used(before, house.cpu_s()))


def _used(before: Mapping[str, float], after: Mapping[str, float]) -> dict[str, float]:
    return {name: used - before.get(name, 0.0) for name, used in after.items()}


def _copy_rows(load: Load, by_serial: bool) -> memoryview:
    """Rows like those of the load; batch 0 is nobody's."""
    rows = empty_rows(copying.SIGHTINGS, COPY_ROWS)
    rows["serial"] = load.serials[:COPY_ROWS]
    rows["uptime_s"] = np.arange(COPY_ROWS)
    rows["heard_at"] = pg_time(np.arange(load.moment_ms, load.moment_ms + COPY_ROWS // 50).repeat(50))
    rows["boot"], rows["adverts"], rows["rssi_max_dbm"], rows["rssi_mean_dbm"] = 1, 3, -60, -63
    return (rows[np.argsort(rows["serial"], kind="stable")] if by_serial else rows).view(np.uint8).data


def our_round(house: House, batches: int, sightings: int, account: Account, per_s: float = 0.0) -> Turn:
    """Checks that each batch came once. `per_s`: batches a second; 0 is as fast as they are taken."""
    house.clear("sightings")
    path = house.folder / "packets"
    first = first_of(house.load)
    write_packets(path, house.load.batches(batches, sightings, int(time.time() * 1000)))
    last = last_of(house.load)
    before = house.cpu_s()
    with publishing(path, house.broker_port, per_s) as began:
        wait(lambda: settled(house, last))
    cpu_s = _used(before, house.cpu_s())  # before we look: counting takes PostgreSQL some time, too
    due = due_s(first, batches, began, per_s)
    late_s = tuple(committed - due[key] for key, committed in committed_s(house, began).items() if key in due)
    assert len(late_s) == batches, f"{len(late_s)} ledger rows of {batches}"
    return Turn(count(house, batches * sightings, account) - began, cpu_s, late_s)


Key = tuple[bytes, int]
"""Outbox and sequence of a batch."""


def first_of(load: Load) -> dict[bytes, int]:
    """The sequence that each outbox will use next."""
    return {sender.outbox_id: sender.sequence for sender in load.gateways}


def last_of(load: Load) -> dict[bytes, int]:
    """The sequence that each outbox used last."""
    return {sender.outbox_id: sender.sequence - 1 for sender in load.gateways if sender.sequence}


def settled(house: House, last: Mapping[bytes, int]) -> bool:
    """Whether everything up to these sequences is in the ledger."""
    with house.engine.connect() as tx:
        marks: dict[bytes, int] = {row[0]: row[1] for row in tx.execute(_MARKS)}
    return all(marks.get(outbox, -1) >= sequence for outbox, sequence in last.items())


def due_s(first: Mapping[bytes, int], batches: int, began: float, per_s: float) -> dict[Key, float]:
    """When each of so many batches was due, which the load made after `first`: the gateways send in turn."""
    outboxes = list(first)
    return {
        (outbox := outboxes[n % len(outboxes)], first[outbox] + n // len(outboxes)): began + (n / per_s if per_s else 0)
        for n in range(batches)
    }


def committed_s(house: House, since: float) -> dict[Key, float]:
    """When the ledger rows since then were committed, as PostgreSQL recorded it."""
    with house.engine.connect() as tx:
        return {(outbox, sequence): at for outbox, sequence, at in tx.execute(_COMMITS, {"since": since})}


def count(house: House, sightings: int, account: Account) -> float:
    """Compares the table with what it should hold; the moment of its last commit."""
    with house.engine.connect() as tx:
        rows, distinct = tx.execute(_COUNTS).one()
        assert rows, f"nothing was stored:\n{house.last_words()}"
        ended = float(tx.execute(_LAST_COMMIT).scalar_one())
    account.add(Account(sightings, sightings - distinct, rows - distinct))
    return ended


def peer_round(house: House, packets: Packets, rows: int) -> Turn:
    """mq-bridge, whose process is running."""
    house.clear("sightings", "mqbridge_ledger", "mqbridge_inbox")
    before = house.cpu_s()
    with publishing(packets.path, house.broker_port) as began:
        # The last row first: counting all the time would take the processor from who is measured.
        wait(lambda: _scalar(house.engine, _IS_THERE, packets.last))
        time.sleep(0.05)
        wait(lambda: _scalar(house.engine, _ROWS) >= rows)
    cpu_s = _used(before, house.cpu_s())
    found = _scalar(house.engine, _ROWS)
    assert found == rows, f"mq-bridge stored {found} rows of {rows} ({packets.path.name})"
    return Turn(float(_scalar(house.engine, _LAST_COMMIT)) - began, cpu_s)


def wait(done: Callable[[], Any]) -> None:
    """Asks again and again, for five minutes at most."""
    until = time.monotonic() + _PATIENCE_S
    while not done():
        assert time.monotonic() < until, "a round does not come to its end"
        time.sleep(0.02)


def _scalar(engine: Engine, query: Any, asked: Mapping[str, Any] | None = None) -> Any:
    with engine.connect() as tx:
        return tx.execute(query, asked or {}).scalar()


def sql(words: str) -> Any:
    """A statement with casts, which would otherwise be taken for parameters."""
    return text(words.replace("::", r"\:\:"))


_MARKS: Final = text("select outbox_id, settled_up_to from outboxes")
_COMMITS: Final = sql("""
    select outbox_id, sequence, extract(epoch from pg_xact_commit_timestamp(xmin))::float8
    from batches where received_at >= to_timestamp(:since)
""")
_ROWS: Final = text("select count(*) from sightings")
_COUNTS: Final = text("select count(*), count(distinct (batch_no, heard_at)) from sightings")
_IS_THERE: Final = text(
    "select true from sightings where serial = :serial and heard_at = to_timestamp(:heard_ms / 1000.0) limit 1"
)
_LAST_COMMIT: Final = sql("""
    select extract(epoch from max(pg_xact_commit_timestamp(x)))::float8
    from (select distinct xmin as x from sightings) t
""")
