"""A weighing kept beside the facts never hides a fact that came in while it was computed."""

from __future__ import annotations

import threading
from datetime import UTC, datetime

from sqlalchemy import Engine, select

from server.store.db import transaction
from server.store.orders import StoredOrder, StoredSlot, add
from server.store.tables import weighings
from server.store.weighings import StoredWeighing, expect, hold, mark_stale, put

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
