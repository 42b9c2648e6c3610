"""What the web process tells Prometheus of the house: read by a round, from a real database."""

from __future__ import annotations

from datetime import timedelta
from typing import Any

import pytest
from sqlalchemy import Engine, insert, text, update

from server import figures
from server.store import workers
from server.store.tables import gateway_states, gateways, notices, weighings
from tests.server.web.town import Town, order


def value(gauge: Any, *labels: str) -> float:
    return float((gauge.labels(*labels) if labels else gauge)._value.get())


@pytest.fixture
def town(engine: Engine) -> Town:
    return Town(engine)


def read(town: Town) -> None:
    with town.house.work() as (tx, now):
        figures.read(tx, now)


def test_an_empty_house(town: Town) -> None:
    read(town)
    for gauge in (figures.WAITING, figures.OLDEST_S, figures.DUE, figures.QUEUED, figures.BEHIND_S, figures.WORKERS):
        assert value(gauge) == 0
    assert value(figures.ARRIVING, "never") == 1
    assert value(figures.LOOKED_AT) == town.now_s


def test_messages_that_wait_and_the_oldest_of_them(town: Town) -> None:
    ann = town.owner()
    with town.house.work() as (tx, now):
        account = tx.execute(text("select no from accounts where email = :email"), {"email": ann.email}).scalar_one()
        for n, more in enumerate(({}, {}, {"sent_at": now}, {"given_up_at": now})):
            made = now - timedelta(seconds=600 - n)
            row = {"account_no": account, "kind": "lost_heard", "once": str(n), "payload": {}, "made_at": made}
            tx.execute(insert(notices).values(row | {"due_at": now + timedelta(days=1)} | more))
    read(town)
    assert (value(figures.WAITING), value(figures.OLDEST_S)) == (2, 600)


def test_orders_that_are_due(town: Town) -> None:
    staff = town.staff()
    for number in ("T-1", "T-2"):
        staff.post("/orders", order(number))
        staff.get(f"/orders/{number}")
    with town.house.work() as (tx, now):
        tx.execute(update(weighings).values(stale=False, next_look_at=now + timedelta(hours=1)))
    read(town)
    assert value(figures.DUE) == 0
    town.wait(hours=1)
    read(town)
    assert value(figures.DUE) == 2


def test_gateways_by_how_they_are_and_what_waits_on_them(town: Town) -> None:
    for name in ("a", "b", "c"):
        town.gateway(name)
    state = {"online": True, "scanner": "scanning", "last_advert_age_s": 1, "queued_batches": 7}
    with town.house.work() as (tx, now):
        no = {row.gateway: row.no for row in tx.execute(gateways.select())}
        tx.execute(insert(gateway_states).values(gateway_no=no["a"], received_at=now, state=state))
        stale = now - timedelta(hours=1)
        tx.execute(insert(gateway_states).values(gateway_no=no["b"], received_at=stale, state=state))
    read(town)
    assert (value(figures.GATEWAYS, "hearing"), value(figures.GATEWAYS, "offline")) == (1, 2)
    assert value(figures.QUEUED) == 7


def test_the_ingest_as_pages_say_it(town: Town) -> None:
    with town.house.work() as (tx, _):
        workers.put(tx, "ingest", up_s=1, lag_s=240, waiting=0, connected=True, stored=0)
    read(town)
    assert (value(figures.BEHIND_S), value(figures.WORKERS)) == (240, 1)
    assert (value(figures.ARRIVING, "late"), value(figures.ARRIVING, "never")) == (1, 0)
