"""Leases and words: who is told of what, what it costs those whom nobody watches, and what a mark is good for."""

from __future__ import annotations

import asyncio
from collections.abc import Callable

import pytest
from sqlalchemy import Connection, Engine, text

from server.store import interest, live
from server.store.db import transaction, url_of
from tests.fixtures.ears import Ear

MANY = range(10**18, 10**18 + 2_000)


def watched(tx: Connection, *serials: int) -> set[int]:
    return set(interest.among(tx, serials).watched)


def test_a_lease_is_seen_by_whoever_asks_afterwards_until_it_ends(engine: Engine) -> None:
    with transaction(engine) as tx:
        live.lease(tx, "web-1", [7, 8])
        live.lease(tx, "web-2", [8, 9])
        live.lease(tx, "web-1", [7])  # a renewal
        assert watched(tx, 6, 7, 8, 9) == {7, 8, 9}
        assert interest.among(tx, [7]).awaited == frozenset()
    with transaction(engine) as tx:
        live.end_others(tx, "web-1", [7])
        assert watched(tx, 7, 8, 9) == {7, 8, 9}
        live.end_others(tx, "web-2", [])
        assert watched(tx, 7, 8, 9) == {7}


def test_a_killed_watcher_is_forgotten_after_its_lease(engine: Engine) -> None:
    with transaction(engine) as tx:
        live.lease(tx, "killed", [7])
        tx.execute(text("update live_watches set until = until - make_interval(secs => :s)"), {"s": live.LEASE_S})
    with transaction(engine) as tx:
        assert watched(tx, 7) == set()
        live.end_others(tx, "another", [])
        assert tx.execute(text("select count(*) from live_watches")).scalar_one() == 0


def test_words_come_with_the_commit_and_not_without_it(engine: Engine, ear: Ear) -> None:
    with engine.connect() as tx:
        live.tell(tx, [7])
        assert ear.said() == []
        tx.rollback()
        assert ear.said() == []
        live.tell(tx, [7, 8])
        tx.commit()
        assert ear.said(1) == ["7,8"]


def test_however_many_are_told_each_word_fits(engine: Engine, ear: Ear) -> None:
    """PostgreSQL refuses a word of 8,000 bytes, and with it the whole set."""
    with transaction(engine) as tx:
        live.tell(tx, MANY)
    said = ear.said(1)
    assert [int(serial) for word in said for serial in word.split(",")] == list(MANY)
    assert max(map(len, said)) < 8_000


def test_a_mark_is_over_when_every_older_writer_has_ended(engine: Engine) -> None:
    with engine.connect() as older, engine.connect() as reader:
        older.execute(text("select pg_current_xact_id()"))
        with transaction(engine) as tx:
            marked = live.mark(tx)
        with engine.connect() as newer:
            newer.execute(text("select pg_current_xact_id()"))
            assert not live.over(reader, marked)
            older.commit()
            assert live.over(reader, marked)


async def _first(url: str, told: Callable[[], None]) -> frozenset[int]:
    async with live.listening(url) as heard:
        await asyncio.to_thread(told)
        return await anext(heard)


def test_listening_gives_serials_and_no_nonsense(engine: Engine) -> None:
    def told() -> None:
        with transaction(engine) as tx:
            tx.execute(text(f"select pg_notify('{live.CHANNEL}', '7,x,,-1,9')"))

    assert asyncio.run(_first(url_of(engine), told)) == {7, 9}


def test_an_ear_that_is_cut_off_says_so(engine: Engine) -> None:
    def cut() -> None:
        with transaction(engine) as tx:
            tx.execute(text("select pg_terminate_backend(pid) from pg_stat_activity where query like 'listen %'"))

    with pytest.raises(live.EarLostError):
        asyncio.run(_first(url_of(engine), cut))
    with pytest.raises(live.EarLostError):
        asyncio.run(_first("postgresql://nobody@127.0.0.1:1/none", cut))
