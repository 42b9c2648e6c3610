"""Sets with sightings of months ago, while that month is merged and old ones are dropped: all stored, all once."""

from __future__ import annotations

import random
import threading
import time
from datetime import UTC, date, datetime, timedelta

from sqlalchemy import Engine, text

from server.ingest.prepare import Prepared, prepare
from server.ingest.resolve import Resolver
from server.ingest.storing import store_set
from server.ingest.verify import Entry, check
from server.store import partitions
from server.store.db import transaction
from server.store.partitions import Covered
from server.sweep.housekeeping import keep_house
from tests.server.ingest.parties import K_FACTORY, LOTS, NOW, RETENTION, Gateway, Tag, enrol, sighting

SEPTEMBER = partitions.month(date(2026, 9, 1))


def ready(gateway: Gateway, *moments: datetime) -> Prepared:
    seen = [sighting(Tag(7).frame(), at_ms=int(at.timestamp() * 1000)) for at in moments]
    entry = check(gateway.topic, gateway.batch(*seen), {gateway.name: gateway.known})
    assert isinstance(entry, Entry)
    return prepare([entry], Resolver(K_FACTORY, LOTS, 0xF0), NOW, RETENTION)


def days_of_september(engine: Engine) -> None:
    with transaction(engine) as tx:
        days = {SEPTEMBER.first + timedelta(days=n) for n in range(30)}
        partitions.cover(tx, days, partitions.midnight(SEPTEMBER.first))


def test_a_late_set_waits_for_a_merge_with_nothing_locked(engine: Engine, gateway: Gateway) -> None:
    """Else the merge would wait for it, and it for the merge. A set of today does not wait."""
    days_of_september(engine)
    with transaction(engine) as merging:
        partitions.close(merging, SEPTEMBER)
        late = ready(gateway, datetime(2026, 9, 3, 12, tzinfo=UTC))
        storing = threading.Thread(target=store_set, args=(engine, Covered(engine), late, ()))
        storing.start()
        until = time.monotonic() + 10
        while not (waits := merging.execute(_WAITING).scalars().all()):
            assert time.monotonic() < until
            time.sleep(0.01)
        assert merging.execute(_LOCKED_BY, {"pid": waits[0]}).scalars().all() == []
        assert store_set(engine, Covered(engine), ready(gateway, NOW), ()).sightings == 1
    storing.join(10)
    assert not storing.is_alive()
    with transaction(engine) as tx:
        assert tx.execute(text("select count(*) from sightings")).scalar_one() == 2


_WAITING = text("select pid from pg_locks where locktype = 'advisory' and not granted")
_LOCKED_BY = text("""
    select c.relname from pg_locks l join pg_class c on c.oid = l.relation
    where l.pid = :pid and (c.relname like 'sightings%' or c.relname = 'batches')
""")


def test_workers_and_housekeeping_at_the_same_time(engine: Engine, gateway: Gateway) -> None:
    """Three workers store sightings of today and of September while September is merged. Nobody fails, nobody waits
    for nobody, each sighting is there once.
    """
    days_of_september(engine)
    with engine.begin() as tx:
        workers = [gateway, *(enrol(tx, Gateway(f"worker-{n}")) for n in range(2))]
    errors: list[Exception] = []
    expected: list[datetime] = []
    merged = threading.Event()

    def work(mine: Gateway) -> None:
        dice, covered = random.Random(mine.name), Covered(engine)
        rounds = 0
        try:
            while rounds < 20 or (not merged.is_set() and rounds < 2000):
                days = [datetime(2026, 9, dice.randint(1, 30), dice.randint(0, 23), tzinfo=UTC), NOW]
                moments = dice.choices(days, weights=(1, 2), k=3)
                assert store_set(engine, covered, ready(mine, *moments), ()).sightings == 3
                expected.extend(moments)
                rounds += 1
        except Exception as error:
            errors.append(error)

    threads = [threading.Thread(target=work, args=(each,)) for each in workers]
    for thread in threads:
        thread.start()
    time.sleep(0.2)
    try:
        done = keep_house(engine, RETENTION, NOW, time.sleep, lambda *_: None, reports_kept=RETENTION)
        assert done["months merged"] == 1
    finally:
        merged.set()
        for thread in threads:
            thread.join(60)
    assert errors == []
    with transaction(engine) as tx:
        names = [part.name for part in partitions.every(tx)]
        stored = sorted(tx.execute(text("select heard_at from sightings")).scalars())
    assert names == ["sightings_2026_09", "sightings_2026_11_22"]
    assert stored == sorted(expected)
