"""A weighing kept beside the facts never hides a fact that came in while it was computed."""

from __future__ import annotations

import threading
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from datetime import UTC, datetime, timedelta

import pytest
from sqlalchemy import Connection, Engine, select, text, update

from server.store.db import transaction
from server.store.open_lists import OpenFinding, OpenPromise, keep
from server.store.orders import StoredOrder, StoredSlot, add, lock
from server.store.tables import weighings
from server.store.weighings import (
    StoredWeighing,
    due,
    expect,
    hold,
    how_many_due,
    mark_stale,
    mark_waiting_stale,
    put,
)

NOW = datetime(2026, 11, 22, 12, tzinfo=UTC)


@pytest.mark.parametrize("before", ["fresh", "stale"])
def test_a_fact_during_a_weighing_marks_it_stale_afterwards(engine: Engine, before: str) -> None:
    slot = StoredSlot(0, 1, 1, "TAG-1", "Tag", None, None, None)
    order = StoredOrder("A-1", "ann@example.org", "Ann", None, {}, NOW, "UTC", None, "standard", "shop", NOW, (slot,))
    with transaction(engine) as tx:
        add(tx, order)
        expect(tx, "A-1", NOW)
        put(tx, StoredWeighing("A-1", NOW, "p", None, {}))
        if before == "stale":
            mark_stale(tx, ["A-1"])
    marked = threading.Event()

    def fact() -> None:
        with transaction(engine) as tx:
            mark_stale(tx, ["A-1"])
        marked.set()

    with transaction(engine) as tx:
        hold(tx, "A-1")  # the facts are read behind this
        other = threading.Thread(target=fact)
        other.start()
        assert not marked.wait(0.3), "whoever brings a fact waits for the weighing under way"
        put(tx, StoredWeighing("A-1", NOW, "p", None, {}))
    other.join(10)
    with transaction(engine) as tx:
        assert tx.execute(select(weighings.c.stale)).scalar_one() is True


def fill(engine: Engine, rows: list[tuple[str, datetime | None, bool]]) -> None:
    slot = StoredSlot(0, 1, 1, "TAG-1", "Tag", None, None, None)
    with transaction(engine) as tx:
        for number, look, stale in rows:
            add(tx, StoredOrder(number, "a@example.org", "A", None, {}, NOW, "UTC", None, "", "shop", NOW, (slot,)))
            put(tx, StoredWeighing(number, NOW, "p", look, {}))
            if stale:
                mark_stale(tx, [number])


def test_a_fact_and_a_weighing_of_one_order_never_wait_for_each_other(engine: Engine) -> None:
    """The fact holds the order and waits for the weighing, which adds rows that name the order."""
    fill(engine, [("A-1", None, False)])
    both_hold = threading.Barrier(2, timeout=30)

    def fact() -> None:
        with transaction(engine) as tx:
            assert lock(tx, "A-1")
            both_hold.wait()
            mark_stale(tx, ["A-1"])

    def weighing() -> None:
        with transaction(engine) as tx:
            hold(tx, "A-1")
            both_hold.wait()
            keep(
                tx, "A-1", [OpenFinding("A-1", "R-03", None, "", 1, NOW)], [OpenPromise("A-1", 1, 1, "ship", NOW, "a")]
            )
            put(tx, StoredWeighing("A-1", NOW, "p", None, {}))

    with ThreadPoolExecutor(2) as pool:
        for each in [pool.submit(fact), pool.submit(weighing)]:
            each.result(60)
    with transaction(engine) as tx:
        assert tx.execute(select(weighings.c.stale)).scalar_one() is True


@pytest.mark.parametrize("besides", ["", "a"])
def test_whoever_marks_many_holds_them_by_number(engine: Engine, besides: str) -> None:
    """They lie in the table the other way round, in which a bare update would take them."""
    fill(engine, [(number, None, False) for number in ("b", "a", "B")])
    with transaction(engine) as tx:
        tx.execute(update(weighings).values(waits_since=NOW))
        if besides:
            tx.execute(update(weighings).where(weighings.c.order_number == besides).values(waits_since=None))
    for mark in (lambda tx: mark_waiting_stale(tx, besides), lambda tx: mark_stale(tx, ["b", "a"])):
        with ThreadPoolExecutor(1) as pool, transaction(engine) as tx:
            hold(tx, "a")
            marking = pool.submit(in_transaction, engine, mark)
            while not tx.execute(text("select 1 from pg_locks where not granted")).first():
                assert not marking.done()
            with transaction(engine) as other:
                free = select(weighings.c.order_number).where(weighings.c.order_number == "b")
                assert other.execute(free.with_for_update(skip_locked=True)).first(), "it waits for a, before b"
            tx.rollback()
            marking.result(30)


def in_transaction(engine: Engine, mark: Callable[[Connection], None]) -> None:
    with transaction(engine) as tx:
        mark(tx)


def test_due_are_the_stale_and_those_whose_moment_has_come_the_longest_waiting_first(engine: Engine) -> None:
    hour = timedelta(hours=1)
    rows = [
        ("come", NOW, False), ("ahead", NOW + hour, False), ("never", None, False), ("stale-ahead", NOW + hour, True),
        ("stale-past", NOW - hour, True), ("stale-never", None, True), ("long-come", NOW - 2 * hour, False),
    ]  # fmt: skip
    fill(engine, rows)
    with transaction(engine) as tx:
        wanted = ("stale-never", "long-come", "stale-past", "come", "stale-ahead")
        assert due(tx, NOW, 10) == wanted
        assert how_many_due(tx, NOW) == len(wanted)
        for limit in range(len(wanted)):
            assert due(tx, NOW, limit) == wanted[:limit]


def test_finding_what_is_due_reads_no_more_than_that(engine: Engine) -> None:
    """Of thousands of open orders three are due: the whole table is not looked through."""
    with transaction(engine) as tx:
        tx.execute(text("alter table weighings drop constraint fk_weighings_order_number"))
        tx.execute(
            text(
                "insert into weighings (order_number, as_of, policy, next_look_at, weighing) "
                "select n::text, :now, 'p', case when n > 3 then :now + interval '1 day' else :now end, '{}' "
                "from generate_series(1, 20000) as n"
            ),
            {"now": NOW},
        )
        tx.execute(text("analyze weighings"))
        read = "select coalesce(sum(seq_scan), 0), coalesce(sum(seq_tup_read), 0) from pg_stat_xact_user_tables"
        before = tx.execute(text(f"{read} where relname = 'weighings'")).one()
        assert set(due(tx, NOW, 500)) == {"1", "2", "3"}
        assert tx.execute(text(f"{read} where relname = 'weighings'")).one() == before
