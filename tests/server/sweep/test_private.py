"""Sealed reports and days of private tags go in time, in portions, and when a tag was heard last outlives them."""

from __future__ import annotations

import hashlib
from datetime import UTC, datetime, timedelta

import pytest
from sqlalchemy import Engine, insert, select, text

from server.rules.private_reports import day_of
from server.store import day_keys as stored
from server.store import private_pruning
from server.store.db import transaction
from server.store.tables import day_keys, ownership, sealed_reports
from server.sweep.private import sweep_private

NOW = datetime(2026, 11, 22, 12, 30, tzinfo=UTC)
KEPT, RETENTION = timedelta(days=7), timedelta(days=400)
TODAY = day_of(NOW)
HOUR = timedelta(hours=1)


def owned(engine: Engine, serial: int, until: datetime | None = None) -> int:
    """An ownership's number; all that a day needs to belong to."""
    with transaction(engine) as tx:
        for what in ("serial", "account_no", "by_act"):  # a tag, its owner and how they got it are not asked for
            tx.execute(text(f"alter table ownership drop constraint if exists fk_ownership_{what}"))
        row = {
            "serial": serial, "account_no": 1, "name": "bag", "owner_hash": bytes(16), "since": NOW, "until": until,
            "by_act": 1, "private": True,
        }  # fmt: skip
        return int(tx.execute(insert(ownership).values(row).returning(ownership.c.no)).scalar_one())


def key(no: int, day: int, last: datetime | None = None) -> dict[str, object]:
    eid = hashlib.sha256(f"{no} {day}".encode()).digest()[:16]
    return {
        "eid": eid, "ownership_no": no, "day": day, "public_key": bytes(32), "fetch_hash": bytes(32),
        "first_report_at": last, "last_report_at": last, "reports": 0 if last is None else 1,
    }  # fmt: skip


def days(engine: Engine, no: int) -> list[int]:
    with transaction(engine) as tx:
        mine = select(day_keys.c.day).where(day_keys.c.ownership_no == no).order_by(day_keys.c.day)
        return list(tx.execute(mine).scalars())


def put(engine: Engine, *rows: dict[str, object]) -> None:
    with transaction(engine) as tx:
        tx.execute(insert(day_keys), list(rows))


@pytest.mark.parametrize("chunk", [2, 1000])
def test_reports_go_after_their_days_and_none_too_early(
    engine: Engine, monkeypatch: pytest.MonkeyPatch, chunk: int
) -> None:
    monkeypatch.setattr(private_pruning, "CHUNK", chunk)
    horizon = datetime(2026, 11, 15, 12, tzinfo=UTC)  # what came at 12:31 a week ago is cut to this, and stays
    moments = [horizon, horizon + HOUR, NOW, *[horizon - HOUR] * 5, horizon - timedelta(days=90)]
    with transaction(engine) as tx:
        rows = [{"eid": bytes(16), "sealed": bytes([n]), "received_at": at} for n, at in enumerate(moments)]
        tx.execute(insert(sealed_reports), rows)
    assert sweep_private(engine, KEPT, RETENTION, NOW)["sealed reports"] == 6
    with transaction(engine) as tx:
        assert set(tx.execute(select(sealed_reports.c.received_at)).scalars()) == set(moments[:3])
    assert sweep_private(engine, KEPT, RETENTION, NOW)["sealed reports"] == 0


@pytest.mark.parametrize("chunk", [2, 1000])
def test_days_go_two_days_after_their_reports(engine: Engine, monkeypatch: pytest.MonkeyPatch, chunk: int) -> None:
    monkeypatch.setattr(private_pruning, "CHUNK", chunk)
    no = owned(engine, 1)
    put(engine, *[key(no, day) for day in range(TODAY - 20, TODAY + 5)])
    assert sweep_private(engine, KEPT, RETENTION, NOW)["days of private tags"] == 11
    assert days(engine, no) == list(range(TODAY - 9, TODAY + 5)), "a look-back of a week finds all of its days"
    assert sweep_private(engine, KEPT, RETENTION, NOW)["days of private tags"] == 0


def test_when_a_tag_was_heard_last_outlives_its_days(engine: Engine) -> None:
    silent, lively, given_up = owned(engine, 1), owned(engine, 2), owned(engine, 3, until=NOW)
    last = NOW - timedelta(days=30)
    put(
        engine,
        key(silent, TODAY - 40, last - timedelta(days=10)),
        key(silent, TODAY - 30, last),
        key(silent, TODAY + 9),
    )
    # A report of an older identifier that came later is the newest; and two of one minute are one day's.
    put(engine, key(silent, TODAY - 31, last), key(silent, TODAY - 29, last - timedelta(days=1)))
    put(engine, key(lively, TODAY - 30, last), key(lively, TODAY, NOW))
    put(engine, key(given_up, TODAY - 30, last))
    with transaction(engine) as tx:
        before = stored.last_report_at(tx, [silent, lively])
    assert sweep_private(engine, KEPT, RETENTION, NOW)["days of private tags"] == 5
    assert days(engine, silent) == [TODAY - 30, TODAY + 9]
    assert days(engine, lively) == [TODAY]
    assert days(engine, given_up) == [], "whose it was, it is no more"
    with transaction(engine) as tx:
        assert stored.last_report_at(tx, [silent, lively]) == before == {silent: last, lively: NOW}
    # Nothing is kept for longer than retention.
    assert sweep_private(engine, KEPT, timedelta(days=29), NOW)["days of private tags"] == 1
    assert days(engine, silent) == [TODAY + 9]


def test_a_row_that_somebody_holds_is_left_for_the_next_round(engine: Engine) -> None:
    no = owned(engine, 1)
    put(engine, key(no, TODAY - 20), key(no, TODAY - 21))
    with engine.connect() as other, other.begin():
        stored.held_for_reports(other, [bytes(key(no, TODAY - 20)["eid"])])  # type: ignore[call-overload]
        assert sweep_private(engine, KEPT, RETENTION, NOW)["days of private tags"] == 1
    assert sweep_private(engine, KEPT, RETENTION, NOW)["days of private tags"] == 1
