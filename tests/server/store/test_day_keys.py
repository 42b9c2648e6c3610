"""Days of private tags under two hands at once: they are held in one order, however they are found."""

from __future__ import annotations

import threading

from sqlalchemy import Engine, text

from server.store import day_keys
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
    start = threading.Barrier(len(WAYS))
    broke: list[Exception] = []

    def hold(without: tuple[str, ...]) -> None:
        try:
            for _ in range(ROUNDS):
                start.wait(30)
                with transaction(engine) as tx:
                    for way in without:
                        tx.execute(text(f"set local {way} = off"))
                    assert set(day_keys.held_for_reports(tx, eids)) == set(eids)
        except Exception as error:
            broke.append(error)
            start.abort()

    threads = [threading.Thread(target=hold, args=(way,)) for way in WAYS]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(60)
    assert broke == []
