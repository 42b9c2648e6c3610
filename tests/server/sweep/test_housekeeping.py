"""Housekeeping on a real database: what is too old goes and nothing else, months are merged while ingest goes on."""

from __future__ import annotations

import threading
import time
from collections.abc import Iterable
from datetime import UTC, date, datetime, timedelta

import psycopg
import pytest
from sqlalchemy import Connection, Engine, insert, select, text

from server.store import ledger, locking, merging, partitions, pruning
from server.store.db import transaction, url_of
from server.store.ledger import BatchKey, NewBatch, OutboxKey
from server.store.locking import BusyError
from server.store.partitions import Partition
from server.store.tables import batches, dead_letters, gateways, outboxes, sightings, sign_in_failures
from server.sweep import housekeeping
from server.sweep.housekeeping import KeptAlreadyError, keep_house, plan
from wire.receipt import OutcomeKind

NOW = datetime(2026, 11, 22, 12, tzinfo=UTC)
RETENTION = timedelta(days=100)
REPORTS_KEPT = timedelta(days=7)
SEPTEMBER = partitions.month(date(2026, 9, 1))
DAY = timedelta(days=1)


def row(at: datetime, serial: int = 1, batch_no: int = 1) -> dict[str, object]:
    return {
        "serial": serial, "heard_at": at, "window_ms": 0, "batch_no": batch_no, "uptime_s": 1, "boot": 1,
        "adverts": 1, "status": 0, "rssi_max_dbm": -60, "rssi_mean_dbm": -60,
    }  # fmt: skip


def hear(tx: Connection, *moments: datetime, now: datetime = NOW) -> None:
    partitions.cover(tx, {at.date() for at in moments}, now)
    tx.execute(insert(sightings), [row(at, serial) for serial, at in enumerate(moments)])


def moments(engine: Engine) -> list[datetime]:
    with transaction(engine) as tx:
        return sorted(tx.execute(select(sightings.c.heard_at)).scalars())


def rows(engine: Engine) -> list[tuple[datetime, int]]:
    with transaction(engine) as tx:
        return sorted((at, serial) for at, serial in tx.execute(select(sightings.c.heard_at, sightings.c.serial)))


def names(engine: Engine) -> list[str]:
    with transaction(engine) as tx:
        return [part.name for part in partitions.every(tx)]


def keep(engine: Engine, now: datetime = NOW, told: list[str] | None = None) -> dict[str, int]:
    say = (lambda *_: None) if told is None else (lambda what, *_: told.append(what))
    return keep_house(engine, RETENTION, now, time.sleep, say, reports_kept=REPORTS_KEPT)


def days_of(month: Partition, days: Iterable[int]) -> list[datetime]:
    return [partitions.midnight(month.first) + timedelta(days=n, hours=n % 24) for n in days]


# --- retention


def test_what_is_older_goes_by_whole_days_and_not_a_moment_before(engine: Engine) -> None:
    horizon = datetime(2026, 8, 14, tzinfo=UTC)
    second = timedelta(seconds=1)
    kept = [horizon, horizon + second, NOW - DAY, NOW]
    with transaction(engine) as tx:
        hear(tx, horizon - second, horizon - 10 * DAY, horizon - 400 * DAY, *kept)
        assert plan(tx, RETENTION, NOW).horizon == horizon
    done = keep(engine)
    assert (done["partitions dropped"], done["sightings erased"]) == (1, 2)
    assert moments(engine) == kept
    again = keep(engine)
    assert (again["partitions dropped"], again["sightings erased"]) == (0, 0)
    assert keep(engine, NOW + DAY)["sightings erased"] == 2
    assert moments(engine) == kept[2:]


def test_erased_rows_are_taken_out_of_their_pages(engine: Engine) -> None:
    """Not only marked as deleted: VACUUM ran, and every page is known to hold nothing but what everybody may see."""
    with transaction(engine) as tx:
        hear(tx, NOW - timedelta(days=105), NOW - timedelta(days=99))
        tx.execute(text("alter table sightings_2026_08 set (autovacuum_enabled = off)"))
    assert keep(engine)["sightings erased"] == 1
    with transaction(engine) as tx:
        pages = tx.execute(text("select relpages, relallvisible from pg_class where relname = 'sightings_2026_08'"))
        assert pages.one() == (1, 1)


@pytest.mark.parametrize("pages", [1, 3, 1000])
def test_erasing_that_was_interrupted_goes_on(engine: Engine, monkeypatch: pytest.MonkeyPatch, pages: int) -> None:
    monkeypatch.setattr(pruning, "PAGES", pages)
    old, young = datetime(2026, 8, 3, tzinfo=UTC), datetime(2026, 8, 20, tzinfo=UTC)
    with transaction(engine) as tx:
        hear(tx, *[(old if n % 2 else young) + timedelta(seconds=n) for n in range(1000)])

    def stop(*_: object) -> None:
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        keep_house(engine, RETENTION, NOW, time.sleep, stop, reports_kept=REPORTS_KEPT)
    with transaction(engine) as tx:
        assert [part.name for part in plan(tx, RETENTION, NOW).erase] == ["sightings_2026_08"]
    keep(engine)
    assert len(moments(engine)) == 500
    assert min(moments(engine)) >= young


def test_the_ledger_is_pruned_below_the_mark_with_its_dead_letters(
    engine: Engine, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(pruning, "BATCHES", 3)
    old = NOW - RETENTION - timedelta(days=2, seconds=1)
    with transaction(engine) as tx:
        new = {"gateway": "gw", "gateway_class": 0, "owner": "us", "created_at": NOW}
        no = tx.execute(insert(gateways).values(new).returning(gateways.c.no)).scalar_one()
        tx.execute(insert(outboxes).values(gateway_no=no, outbox_id=b"1", settled_up_to=7))
        tx.execute(insert(outboxes).values(gateway_no=no, outbox_id=b"of a run that ended", settled_up_to=9))
        common = {
            "gateway_no": no, "outbox_id": b"1", "body_sha256": b"", "sent_at": old, "gateway_class": 0, "clock": 2,
            "outcome": 1, "rows": 0, "unresolved": 0, "lat_e7": 1, "lon_e7": 2, "accuracy_m": 3, "place_source": 1,
        }  # fmt: skip
        received = [old] * 7 + [NOW - RETENTION, old]
        rows = [common | {"sequence": n, "received_at": at} for n, at in enumerate(received)]
        numbers = tx.execute(insert(batches).returning(batches.c.no, sort_by_parameter_order=True), rows).scalars()
        letters = [{"batch_no": each, "payload": b"", "reason": "future", "detail": ""} for each in numbers]
        tx.execute(insert(dead_letters), letters)
    assert keep(engine)["ledger rows"] == 7
    with transaction(engine) as tx:
        # 7 is too young; 8 stands above the mark, which could never move over it without its row: that row is bare.
        left = select(batches.c.sequence, batches.c.lat_e7, batches.c.lon_e7, dead_letters.c.reason)
        assert tx.execute(left.outerjoin(dead_letters).order_by(batches.c.sequence)).all() == [
            (7, 1, 2, "future"), (8, None, None, None),
        ]  # fmt: skip
        assert tx.execute(select(outboxes.c.outbox_id)).scalars().all() == [b"1"]
    assert keep(engine)["ledger rows"] == 0


def test_a_gateway_that_was_silent_for_longer_than_anything_is_kept_goes_on_at_its_mark(engine: Engine) -> None:
    key = OutboxKey(0, b"1")

    def store(tx: Connection, sequence: int, at: datetime) -> int:
        stored = OutcomeKind.STORED
        ledger.add(tx, [NewBatch(BatchKey(*key, sequence), b"", at, 0, 0, 2, None, stored, None, 0, 0, {})])
        return ledger.settle(tx, [key])[key]

    with transaction(engine) as tx:
        new = {"gateway": "gw", "gateway_class": 0, "owner": "us", "created_at": NOW}
        key = OutboxKey(tx.execute(insert(gateways).values(new).returning(gateways.c.no)).scalar_one(), b"1")
        for sequence in (0, 1):
            store(tx, sequence, NOW - RETENTION - timedelta(days=3))
    assert keep(engine)["ledger rows"] == 2
    with transaction(engine) as tx:
        assert store(tx, 2, NOW) == 2


# --- merging


def test_a_month_is_merged_when_it_is_no_longer_young(engine: Engine) -> None:
    with transaction(engine) as tx:
        hear(tx, *days_of(SEPTEMBER, range(30)), now=partitions.midnight(SEPTEMBER.first))
        hear(tx, NOW, NOW - timedelta(days=20))
    before = moments(engine)
    assert len(names(engine)) == 32
    done = keep(engine, datetime(2026, 11, 4, 23, 59, tzinfo=UTC))
    assert (done["months merged"], len(names(engine))) == (0, 32)
    assert keep(engine, datetime(2026, 11, 5, tzinfo=UTC))["months merged"] == 1
    assert names(engine) == ["sightings_2026_09", "sightings_2026_11_02", "sightings_2026_11_22"]
    assert moments(engine) == before
    assert keep(engine)["months merged"] == 0
    with transaction(engine) as tx:
        indexes = (
            tx.execute(text("select indexdef from pg_indexes where tablename = 'sightings_2026_09'")).scalars().all()
        )
        assert [said.partition(" USING ")[2] for said in indexes] == ["btree (serial, heard_at)"]
        order = tx.execute(text("select serial, heard_at from sightings_2026_09 order by ctid")).all()
        assert order == sorted(order), "a tag's rows lie together"


def test_late_days_join_their_month_however_it_stands(engine: Engine) -> None:
    """Months old: into a month where none is there; five weeks old: into the days that still stand apart."""
    with transaction(engine) as tx:
        hear(tx, *days_of(SEPTEMBER, [3]), now=partitions.midnight(SEPTEMBER.first))
        hear(tx, *days_of(SEPTEMBER, [4]), datetime(2026, 8, 30, tzinfo=UTC), NOW)
    assert names(engine) == [
        "sightings_2026_08", "sightings_2026_09_04", "sightings_2026_09_05", "sightings_2026_11_22",
    ]  # fmt: skip
    keep(engine)
    assert names(engine) == ["sightings_2026_08", "sightings_2026_09", "sightings_2026_11_22"]
    with transaction(engine) as tx:
        hear(tx, *days_of(SEPTEMBER, [20]))
    assert names(engine) == ["sightings_2026_08", "sightings_2026_09", "sightings_2026_11_22"]


def test_rows_between_the_phases_and_of_open_transactions_are_neither_lost_nor_doubled(engine: Engine) -> None:
    """Writers that ended before phase 1, one that is open when it begins, those that begin between the phases."""
    with transaction(engine) as tx:
        hear(tx, *days_of(SEPTEMBER, range(0, 30, 2)), now=partitions.midnight(SEPTEMBER.first))
    slow = psycopg.connect(url_of(engine))
    slow.execute(_INSERT, (100, days_of(SEPTEMBER, [4])[0]))
    with slow.transaction():  # a savepoint: its rows have a number of their own
        slow.execute(_INSERT, (101, days_of(SEPTEMBER, [6])[0]))
    with transaction(engine) as tx:  # a higher number than the open one's, and ended before phase 1
        hear(tx, days_of(SEPTEMBER, [8])[0])
    copied = merging.copy(engine, SEPTEMBER)
    assert copied.rows == 15, "what came after the oldest open transaction is left to the second phase"
    with transaction(engine) as tx:  # between the phases, one of them on a new day
        hear(tx, *days_of(SEPTEMBER, [8, 9]))
    slow.execute(_INSERT, (102, days_of(SEPTEMBER, [10])[0]))
    slow.commit()
    slow.close()
    before = rows(engine)
    assert len(before) == 15 + 6
    assert merging.swap(engine, copied, time.sleep) == 6
    assert names(engine) == ["sightings_2026_09"]
    assert rows(engine) == before


_INSERT = "insert into sightings values (%s, %s, 1, 1, 0, 1, 1, 0, -60, -60)"


def test_ingest_goes_on_during_the_first_phase(engine: Engine, monkeypatch: pytest.MonkeyPatch) -> None:
    """While phase 1 is open, today's sightings and late ones are stored, and new partitions are made."""
    with transaction(engine) as tx:
        hear(tx, *days_of(SEPTEMBER, range(0, 30, 3)), now=partitions.midnight(SEPTEMBER.first))
    stored: list[int] = []
    insert_of = merging._insert

    def busy(whole: Partition, *, ended: bool) -> str:
        if ended:  # phase 1 has its transaction, its snapshot and its locks
            with transaction(engine) as tx:
                tx.execute(text("set local lock_timeout = '1s'"))
                partitions.cover(tx, {NOW.date(), date(2026, 9, 2)}, NOW)
                partitions.hold(tx, {date(2026, 9, 2)}, NOW)
                hear(tx, NOW, days_of(SEPTEMBER, [1])[0])
                stored.append(2)
        return insert_of(whole, ended=ended)

    monkeypatch.setattr(merging, "_insert", busy)
    copied = merging.copy(engine, SEPTEMBER)
    assert stored == [2]
    assert merging.swap(engine, copied, time.sleep) == 1
    assert len(moments(engine)) == 12


def test_a_late_set_waits_for_the_second_phase_before_it_locks_anything(engine: Engine) -> None:
    with transaction(engine) as tx:
        hear(tx, *days_of(SEPTEMBER, range(5)), now=partitions.midnight(SEPTEMBER.first))
    copied = merging.copy(engine, SEPTEMBER)
    inside, go_on = threading.Event(), threading.Event()
    reader = psycopg.connect(url_of(engine))
    reader.execute("select count(*) from sightings")  # holds the table, so that the swap has to try again

    def wait(_: float) -> None:
        inside.set()
        go_on.wait(10)

    swapping = threading.Thread(target=merging.swap, args=(engine, copied, wait))
    swapping.start()
    assert inside.wait(10)
    late_done = threading.Event()

    def late() -> None:
        with transaction(engine) as tx:
            partitions.hold(tx, {date(2026, 9, 2)}, NOW)
            hear(tx, days_of(SEPTEMBER, [1])[0])
        late_done.set()

    writing = threading.Thread(target=late)
    writing.start()
    with transaction(engine) as tx:  # today's are stored all the same
        tx.execute(text("set local lock_timeout = '1s'"))
        hear(tx, NOW)
    assert not late_done.wait(0.2)
    reader.close()
    go_on.set()
    for thread in (swapping, writing):
        thread.join(20)
        assert not thread.is_alive()
    assert names(engine) == ["sightings_2026_09", "sightings_2026_11_22"]
    assert len(moments(engine)) == 7


def test_a_table_that_cannot_be_had_is_left_as_it_was(engine: Engine, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(locking, "LOCK_WAIT_MS", 20)
    with transaction(engine) as tx:
        hear(tx, *days_of(SEPTEMBER, range(5)), NOW - timedelta(days=300), now=partitions.midnight(SEPTEMBER.first))
    before, there = moments(engine), names(engine)
    waits: list[float] = []
    backup = psycopg.connect(url_of(engine))
    backup.execute("select count(*) from sightings")
    with pytest.raises(BusyError):
        merging.swap(engine, merging.copy(engine, SEPTEMBER), waits.append)
    assert len(waits) == locking.TRIES - 1
    with pytest.raises(BusyError):
        pruning.drop(engine, partitions.month(date(2026, 1, 1)), waits.append)
    monkeypatch.setattr(locking, "PAUSE_S", 0.0)
    with transaction(engine) as tx:
        tx.execute(insert(sign_in_failures).values(who="ann@example.org", at=NOW - timedelta(days=8)))
    with pytest.raises(BusyError):
        keep(engine)
    assert (moments(engine), names(engine)) == (before, there)
    with transaction(engine) as tx:
        assert tx.execute(select(sign_in_failures)).all() == []
    backup.close()
    keep(engine)
    assert names(engine) == ["sightings_2026_09"]
    with transaction(engine) as tx:
        assert tx.execute(text("select count(*) from pg_tables where tablename like 'merging%'")).scalar_one() == 0


def test_one_at_a_time(engine: Engine) -> None:
    with housekeeping._alone(engine), pytest.raises(KeptAlreadyError):
        keep(engine)
    keep(engine)
    keep(engine)


def test_makers_of_partitions_at_the_same_time(engine: Engine) -> None:
    """Many workers meet the same new days in different orders: each is made once, nobody fails."""
    errors: list[Exception] = []

    def make(days: list[date]) -> None:
        try:
            with transaction(engine) as tx:
                partitions.cover(tx, days, NOW)
                tx.execute(insert(sightings), [row(partitions.midnight(each)) for each in days])
        except Exception as error:
            errors.append(error)

    days = [NOW.date() - n * DAY for n in range(120)]
    threads = [threading.Thread(target=make, args=(days[n::-1] or days[n:],)) for n in range(0, 100, 25)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert not errors
