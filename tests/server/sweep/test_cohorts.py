"""One mistake behind many orders, on a real database: found, kept once, told to its orders, ended when it is over."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta

import pytest
from sqlalchemy import Engine, insert, update

from server.rules.causes import CauseKind
from server.rules.policy import SOLO
from server.service import answers
from server.store import cohorts
from server.store.db import transaction
from server.store.orders import StoredOrder, StoredSlot, add
from server.store.tables import orders, statements
from server.store.weighings import due, expect
from server.sweep.cohorts import sweep_cohorts
from server.sweep.orders import sweep_orders

NOW = datetime(2026, 11, 20, 12, tzinfo=UTC)


def place(engine: Engine, number: str, days_ago: int, packer: str) -> None:
    """Ten days ago is long past its ship-by (R-02), today is not."""
    slot = StoredSlot(0, 1, 1, "TAG-1", "Tag", None, None, None)
    placed_at = NOW - timedelta(days=days_ago)
    order = StoredOrder(number, "a@example.org", "A", None, {}, placed_at, "UTC", None, "us_ftc", "shop", NOW, (slot,))
    packed = {
        "order_number": number, "slots": [], "kind": "packed", "said_at": placed_at, "latest": placed_at,
        "earliest": placed_at, "zone": "UTC", "by": packer, "source": "warehouse", "via": "api", "payload": {},
        "natural_key": number, "learnt_at": placed_at,
    }  # fmt: skip
    with transaction(engine) as tx:
        add(tx, order)
        expect(tx, number, NOW)
        tx.execute(insert(statements), [packed])


@pytest.fixture
def warehouse(engine: Engine) -> Engine:
    """Six late orders packed by one person, twenty fine ones by another."""
    for n in range(6):
        place(engine, f"LATE-{n}", 10, "packer 1")
    for n in range(20):
        place(engine, f"FINE-{n}", 0, "packer 2")
    assert sweep_orders(engine, SOLO, lambda: NOW, 100) == 26
    return engine


def test_found_kept_and_told_to_its_orders(warehouse: Engine) -> None:
    assert sweep_cohorts(warehouse, SOLO, NOW) == 6
    with transaction(warehouse) as tx:
        by_packer = [each.cohort for each in cohorts.living(tx) if each.cohort.kind is CauseKind.PACKED_BY]
        assert {each.cause for each in by_packer} == {"packer 1"}
        assert {each.orders for each in by_packer} == {tuple(f"LATE-{n}" for n in range(6))}
        assert set(due(tx, NOW, 100)) == {f"LATE-{n}" for n in range(6)}
        _, weighing = answers.weighing(tx, "LATE-0", SOLO, NOW)
        assert "R-26" in {finding.rule.id for finding in weighing.findings}
        _, fine = answers.weighing(tx, "FINE-0", SOLO, NOW)
        assert "R-26" not in {finding.rule.id for finding in fine.findings}
    assert sweep_cohorts(warehouse, SOLO, NOW) == 0, "the same cohorts are kept once"


def test_a_cohort_ends_when_its_orders_are_out_of_sight(warehouse: Engine) -> None:
    sweep_cohorts(warehouse, SOLO, NOW)
    later = NOW + timedelta(days=1)
    with transaction(warehouse) as tx:
        tx.execute(update(orders).where(orders.c.number.like("LATE%")).values(placed_at=NOW - timedelta(days=100)))
    assert sweep_cohorts(warehouse, SOLO, later) == 6
    with transaction(warehouse) as tx:
        assert cohorts.living(tx) == ()
        _, weighing = answers.weighing(tx, "LATE-0", SOLO, later)
        assert "R-26" not in {finding.rule.id for finding in weighing.findings}
        assert "R-26" in {finding.rule.id for finding in weighing.cleared}
