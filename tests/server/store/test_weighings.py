"""A weighing kept beside the facts never hides a fact that came in while it was computed."""

from __future__ import annotations

import threading
from datetime import UTC, datetime, timedelta

from sqlalchemy import Engine, select, text

from server.store.db import transaction
from server.store.orders import StoredOrder, StoredSlot, add
from server.store.tables import weighings
from server.store.weighings import StoredWeighing, due, expect, hold, how_many_due, mark_stale, put

NOW = datetime(2026, 11, 22, 12, tzinfo=UTC)


def test_a_fact_during_a_weighing_marks_it_stale_afterwards(engine: Engine) -> None:
    slot = StoredSlot(0, 1, 1, "TAG-1", "Tag", None, None, None)
    order = StoredOrder("A-1", "ann@example.org", "Ann", None, {}, NOW, "UTC", None, "standard", "shop", NOW, (slot,))
    with transaction(engine) as tx:
        add(tx, order)
        expect(tx, "A-1", NOW)
        put(tx, StoredWeighing("A-1", NOW, "p", None, {}))
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
