"""Days of private tags under two hands at once: they are held in one order, however they are found."""

from __future__ import annotations

import hashlib
import threading
from collections.abc import Callable

import pytest
from sqlalchemy import Connection, Engine, text

from server.store import day_key_uploads, day_keys
from server.store.day_key_uploads import DayKey
from server.store.db import transaction
from tests.server.sweep.test_private import TODAY, key, owned, put

# As they were written; and by the serial, which is the other way round.
WAYS = (("enable_indexscan", "enable_bitmapscan"), ("enable_seqscan", "enable_bitmapscan", "enable_hashjoin"))
ROUNDS, TAGS = 10, 1_000
_MANY = text("""
    insert into ownership (serial, account_no, name, owner_hash, since, by_act, private)
    select serial, 1, '', '', now(), 1, true from generate_series(:tags, 1, -1) as serial
    returning no
""")


def test_two_who_find_the_same_days_in_different_ways_wait_in_turn(engine: Engine) -> None:
    owned(engine, 10_000)
    with transaction(engine) as tx:
        numbers = tx.execute(_MANY, {"tags": TAGS}).scalars().all()
    rows = [key(no, TODAY) for no in numbers]
    put(engine, *rows)
    eids: list[bytes] = [row["eid"] for row in rows]  # type: ignore[misc]

    def hold(without: tuple[str, ...]) -> Callable[[Connection], None]:
        def held(tx: Connection) -> None:
            for way in without:
                tx.execute(text(f"set local {way} = off"))
            assert set(day_keys.held_for_reports(tx, eids)) == set(eids)

        return held

    assert at_once(engine, *map(hold, WAYS)) == []


def uploads(secret: str) -> list[DayKey]:
    """Days in a row, as their owner sends them; their EIDs are in no order."""
    seeds = (hashlib.sha256(f"{secret} {n}".encode()).digest() for n in range(TAGS))
    return [DayKey(TODAY + n, seed, seed) for n, seed in enumerate(seeds)]


WRITES: dict[str, Callable[[Connection, int], object]] = {
    "end of the stretch": lambda tx, no: day_key_uploads.end(tx, no, TODAY),
    "other keys": lambda tx, no: day_key_uploads.put(tx, no, uploads("others")),
    "both": lambda tx, no: day_key_uploads.put(tx, no, uploads("mine")[::2] + uploads("others")[1::2]),
}


@pytest.mark.parametrize("write", WRITES.values(), ids=list(WRITES))
def test_who_writes_days_and_who_brings_reports_of_them_wait_in_turn(
    engine: Engine, write: Callable[[Connection, int], object]
) -> None:
    no = owned(engine, 1)
    days = uploads("mine")
    with transaction(engine) as tx:
        assert day_key_uploads.put(tx, no, days)
    eids = [each.eid for each in days]
    assert at_once(engine, lambda tx: day_keys.held_for_reports(tx, eids), lambda tx: write(tx, no)) == []


def at_once(engine: Engine, *works: Callable[[Connection], object]) -> list[Exception]:
    """Each in a thread of its own and again and again, always undone; what went wrong."""
    start = threading.Barrier(len(works))
    broke: list[Exception] = []

    def again(work: Callable[[Connection], object]) -> None:
        try:
            for _ in range(ROUNDS):
                start.wait(30)
                with engine.connect() as tx:
                    work(tx)
                    tx.rollback()
        except Exception as error:
            broke.append(error)
            start.abort()

    threads = [threading.Thread(target=again, args=(work,)) for work in works]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(60)
    return broke
