"""Sweeps on a real database: only orders that are due are weighed, and only what is old enough goes, for good."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta

from sqlalchemy import Engine, func, insert, select, update

from server.rules.policy import SOLO
from server.store.db import transaction
from server.store.orders import StoredOrder, StoredSlot, add
from server.store.tables import sign_in_failures, unresolved_frames, weighings
from server.store.weighings import due, expect
from server.sweep.orders import sweep_orders
from server.sweep.retention import UNRESOLVED_KEPT, sweep_old

NOW = datetime(2026, 11, 22, 12, tzinfo=UTC)
KEPT = timedelta(days=30)


def test_frames_that_nobody_resolved_and_old_attempts_go_too(engine: Engine) -> None:
    frame = {
        "batch_no": 1, "window_ms": 0, "adverts": 1, "rssi_max_dbm": -60, "rssi_mean_dbm": -60,
        "frame": bytes(24), "reason": "no_lot",
    }  # fmt: skip
    hour = timedelta(hours=1)
    with transaction(engine) as tx:
        tx.execute(
            insert(unresolved_frames),
            [frame | {"heard_at": NOW - UNRESOLVED_KEPT + hour}, frame | {"heard_at": NOW - UNRESOLVED_KEPT - hour}],
        )
        tx.execute(
            insert(sign_in_failures),
            [{"who": "ann@example.org", "at": NOW}, {"who": "ann@example.org", "at": NOW - timedelta(days=8)}],
        )
    gone = sweep_old(engine, KEPT, NOW)
    assert (gone["unresolved frames"], gone["attempts"]) == (1, 1)
    with transaction(engine) as tx:
        assert tx.execute(select(func.count()).select_from(unresolved_frames)).scalar_one() == 1


def place(engine: Engine, number: str) -> None:
    slot = StoredSlot(0, 1, 1, "TAG-1", "Tag", None, None, None)
    order = StoredOrder(
        number,
        "ann@example.org",
        "Ann",
        None,
        {},
        NOW - timedelta(days=1),
        "UTC",
        None,
        "standard",
        "shop",
        NOW,
        (slot,),
    )
    with transaction(engine) as tx:
        add(tx, order)
        expect(tx, number, NOW)


def test_only_due_orders_are_weighed(engine: Engine) -> None:
    place(engine, "A-1")
    place(engine, "A-2")
    assert sweep_orders(engine, SOLO, lambda: NOW, 100) == 2
    assert sweep_orders(engine, SOLO, lambda: NOW, 100) == 0, "nothing is due before its next moment to look"
    with transaction(engine) as tx:
        tx.execute(update(weighings).where(weighings.c.order_number == "A-2").values(stale=True))
        assert due(tx, NOW, 100) == ("A-2",)
    assert sweep_orders(engine, SOLO, lambda: NOW, 100) == 1
    with transaction(engine) as tx:
        assert tx.execute(select(weighings.c.stale)).scalars().all() == [False, False]
        looks = tx.execute(select(weighings.c.next_look_at)).scalars().all()
    assert all(look is not None and look > NOW for look in looks)
    assert sweep_orders(engine, SOLO, lambda: max(look for look in looks if look), 100) == 2
