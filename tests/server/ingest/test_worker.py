"""The worker on a real database: what breaks is told apart, and nothing is answered before it is stored."""

from __future__ import annotations

import secrets
import threading
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from datetime import timedelta
from typing import Any

import psycopg
import pytest
import structlog
from sqlalchemy import Engine, delete, insert, select, text, update
from sqlalchemy.exc import OperationalError

from server.ingest import keyring, metrics, worker
from server.ingest.inbox import Delivery, Inbox
from server.ingest.keyring import Keys
from server.ingest.pipeline import Pipeline
from server.ingest.prepare import prepare
from server.ingest.receipts import Message
from server.ingest.worker import Worker
from server.store import db, keys, tables
from server.store.crypto import Vault
from tests.server.ingest.parties import LOTS, NOW, NOW_MS, RATE, RETENTION, Gateway, Tag, enrol, furnish, sighting
from wire.receipt import Outcome, OutcomeKind, decode_receipt
from wire.signing import Domain, verify

LOG = structlog.get_logger("test")


class Bench:
    """A worker with its two threads, fed by hand; `outcomes` are what its signed receipts said."""

    def __init__(self, engine: Engine, vault: Vault, on_stored: Sequence[Any] = ()) -> None:
        self.engine, self.inbox, self.mid = engine, Inbox(), 0
        self.acked: list[int] = []
        self.receipts: list[Message] = []
        known = Keys(vault, 0xF0, lambda: NOW)
        with engine.begin() as tx:
            ring = known.load(tx)
        self.server_key = ring.server_key.public_key()
        self.given_up = threading.Event()
        self.worker = Worker(
            engine, known, ring, self._answer, on_stored,
            clock=lambda: NOW, monotonic=time.monotonic, wait=self.given_up.wait,
            rate=RATE, retention=RETENTION, log=LOG,
        )  # fmt: skip
        pipeline = Pipeline(self.worker, self.inbox, self.given_up)
        self.threads = [threading.Thread(target=work) for work in (pipeline.prepare_sets, pipeline.store_sets)]

    def _answer(self, deliveries: Sequence[Delivery], messages: Sequence[Message]) -> None:
        self.acked += [delivery.mid for delivery in deliveries]
        self.receipts += messages

    def deliver(self, gateway: Gateway, *payloads: bytes) -> None:
        for payload in payloads:
            self.mid += 1
            self.inbox.put(Delivery(gateway.topic, payload, self.mid, 0, 0.0))

    def wait_for_acks(self, count: int) -> None:
        wait_until(lambda: len(self.acked) >= count, f"{count} acknowledgements")

    @property
    def outcomes(self) -> list[Outcome]:
        told = [decode_receipt(verify(self.server_key, Domain.RECEIPT, each.payload)) for each in self.receipts]
        return [outcome for receipt in told for outcome in receipt.outcomes]

    def kinds(self) -> dict[int, tuple[OutcomeKind, str]]:
        return {outcome.sequence: (outcome.kind, outcome.reason) for outcome in self.outcomes}


def wait_until(is_so: Callable[[], bool], what: str, patience_s: float = 20) -> None:
    until = time.monotonic() + patience_s
    while not is_so():
        assert time.monotonic() < until, f"waited in vain for {what}"
        time.sleep(0.005)


@pytest.fixture
def vault() -> Vault:
    return Vault(bytes(32), secrets.token_bytes)


@pytest.fixture
def running(engine: Engine, vault: Vault, gateway: Gateway) -> Iterator[Callable[..., Bench]]:
    """Starts a worker on a furnished database."""
    with engine.begin() as tx:
        furnish(tx, vault)
    with _running(engine, vault) as start:
        yield start


@contextmanager
def _running(engine: Engine, vault: Vault) -> Iterator[Callable[..., Bench]]:
    benches: list[Bench] = []

    def start(on_stored: Sequence[Any] = (), engine: Engine = engine) -> Bench:
        bench = Bench(engine, vault, on_stored)
        benches.append(bench)
        for thread in bench.threads:
            thread.start()
        return bench

    yield start
    for bench in benches:
        bench.inbox.close()
        bench.given_up.set()
        for thread in bench.threads:
            thread.join(10)
            assert not thread.is_alive()


def count(engine: Engine, table: str) -> int:
    with engine.connect() as tx:
        return int(tx.execute(text(f"select count(*) from {table}")).scalar_one())


def counted(counter: Any, *labels: str) -> float:
    return float((counter.labels(*labels) if labels else counter)._value.get())


def test_batches_are_stored_acknowledged_and_answered(running, engine: Engine, gateway: Gateway) -> None:
    bench = running()
    bench.deliver(gateway, *[gateway.batch(sighting(Tag(n).frame())) for n in range(30)])
    bench.wait_for_acks(30)
    assert sorted(bench.acked) == list(range(1, 31))
    assert bench.kinds() == dict.fromkeys(range(30), (OutcomeKind.STORED, ""))
    assert count(engine, "sightings") == 30


def test_a_gateway_whose_clock_is_ahead_hides_no_lag(running, engine: Engine, gateway: Gateway) -> None:
    bench = running()
    ahead, late, sloppy = (NOW_MS + 240_000, NOW_MS - 90_000, NOW_MS + 1_000)
    bench.deliver(gateway, gateway.batch(sent_at_ms=late), gateway.batch(sent_at_ms=ahead))
    bench.wait_for_acks(2)
    assert bench.worker.freshest.age_s(time.monotonic()) == 90
    bench.deliver(gateway, gateway.batch(sent_at_ms=sloppy))
    bench.wait_for_acks(3)
    assert bench.worker.freshest.age_s(time.monotonic()) == 0


def test_what_gets_no_answer_is_acknowledged_and_counted(running, engine: Engine, gateway: Gateway) -> None:
    bench = running()
    stranger = Gateway("gw-9")
    before = {reason: counted(metrics.DROPPED, reason) for reason in ("signature", "unknown_gateway", "oversized")}
    bench.deliver(gateway, bytes(100), bytes(300_000))
    bench.deliver(stranger, stranger.batch(sighting(Tag(7).frame())))
    bench.wait_for_acks(3)
    assert bench.receipts == []
    assert {reason: counted(metrics.DROPPED, reason) - n for reason, n in before.items()} == dict.fromkeys(before, 1)
    assert count(engine, "batches") == 0


def test_frames_that_are_not_stored_are_counted_by_what_they_were(running, engine: Engine, gateway: Gateway) -> None:
    bench = running()
    kinds = {"owned_not_stored": 0x21, "near_owner": 0x31, "unknown_type": 0x77}
    before = {name: counted(metrics.FRAMES, name) for name in (*kinds, "foreign")}
    frames = [bytes((0xF0, 0, kind)) + bytes(21) for kind in kinds.values()] + [b"\x01" + bytes(23)]
    bench.deliver(gateway, gateway.batch(sighting(*frames)))
    bench.wait_for_acks(1)
    wait_until(lambda: counted(metrics.FRAMES, "foreign") == before["foreign"] + 1, "the counters")
    assert {name: counted(metrics.FRAMES, name) - n for name, n in before.items()} == dict.fromkeys(before, 1)
    assert (count(engine, "sightings"), count(engine, "unresolved_frames"), count(engine, "batches")) == (0, 0, 1)


def test_frames_of_a_private_tag_are_counted_and_not_stored(running, engine: Engine, gateway: Gateway) -> None:
    with engine.begin() as tx:
        for what in ("account_no", "by_act"):  # who owns it and how they got it are not asked for
            tx.execute(text(f"alter table ownership drop constraint fk_ownership_{what}"))
        row = {"serial": 7, "account_no": 1, "name": "", "owner_hash": bytes(16), "by_act": 1, "private": True}
        tx.execute(insert(tables.ownership).values(row | {"since": NOW - timedelta(hours=1)}))
    bench = running()
    before = {name: counted(metrics.FRAMES, name) for name in ("private", "resolved")}
    bench.deliver(gateway, gateway.batch(sighting(Tag(7).frame(), Tag(7).frame(), Tag(8).frame())))
    bench.wait_for_acks(1)
    wait_until(lambda: counted(metrics.FRAMES, "private") == before["private"] + 2, "the counter")
    assert counted(metrics.FRAMES, "resolved") == before["resolved"] + 1
    assert bench.kinds() == {0: (OutcomeKind.STORED, "")}
    assert count(engine, "sightings") == 1


def test_a_gateway_enrolled_a_moment_ago_need_not_send_twice(running, engine: Engine) -> None:
    bench = running()
    time.sleep(worker._LOOK_AGAIN_S)
    with engine.begin() as tx:
        new = enrol(tx, Gateway("gw-new"))
    bench.deliver(new, new.batch(sighting(Tag(7).frame())))
    bench.wait_for_acks(1)
    assert bench.kinds() == {0: (OutcomeKind.STORED, "")}


def test_a_revoked_gateway_is_not_heard_any_more(running, engine: Engine, gateway: Gateway, monkeypatch) -> None:
    monkeypatch.setattr(worker, "REFRESH_S", 0.05)
    bench = running()
    bench.deliver(gateway, gateway.batch(sighting(Tag(7).frame())))
    bench.wait_for_acks(1)
    with engine.begin() as tx:
        tx.execute(update(tables.gateways).values(revoked_at=NOW))
    time.sleep(0.7)
    bench.deliver(gateway, gateway.batch(sighting(Tag(7).frame())))
    bench.wait_for_acks(2)
    assert len(bench.outcomes) == 1
    assert count(engine, "sightings") == 1


def test_a_lot_imported_later_makes_sightings_of_what_was_kept(
    running, engine: Engine, vault: Vault, gateway: Gateway, monkeypatch
) -> None:
    monkeypatch.setattr(worker, "REFRESH_S", 0.05)
    bench = running()
    late = LOTS[0]._replace(no=77, key=b"L" * 16)
    tags = [Tag(n, lot=late) for n in range(40, 50)]
    bench.deliver(gateway, gateway.batch(*[sighting(tag.frame(5, 0x40), tag.frame(6, 0x40)) for tag in tags]))
    bench.wait_for_acks(1)
    assert count(engine, "unresolved_frames") == 20
    with engine.begin() as tx:
        keys.add_lot(tx, vault, "late", late.key, NOW)
    wait_until(lambda: count(engine, "sightings") == 20, "the sightings")
    assert count(engine, "unresolved_frames") == 0
    with engine.connect() as tx:
        rows = tx.execute(select(tables.sightings)).mappings().all()
        batch = tx.execute(select(tables.batches)).mappings().one()
    assert {row["serial"] for row in rows} == set(range(40, 50))
    assert {(row["uptime_s"], row["boot"], row["status"]) for row in rows} == {(5, 1, 0x40), (6, 1, 0x40)}
    assert {(row["batch_no"], row["adverts"], row["rssi_max_dbm"]) for row in rows} == {(batch["no"], 3, -60)}


def test_a_lot_imported_while_no_worker_ran_makes_sightings_all_the_same(
    running, engine: Engine, vault: Vault, gateway: Gateway
) -> None:
    """Found by the world's seed 107: whoever noticed the lot was killed before it looked at the kept frames."""
    late = LOTS[0]._replace(no=77, key=b"L" * 16)
    bench = running()
    bench.deliver(gateway, gateway.batch(sighting(Tag(40, lot=late).frame())))
    bench.wait_for_acks(1)
    bench.inbox.close()
    for thread in bench.threads:
        thread.join(30)
    with engine.begin() as tx:
        keys.add_lot(tx, vault, "late", late.key, NOW)
    running()
    wait_until(lambda: count(engine, "sightings") == 1, "the sighting")
    assert count(engine, "unresolved_frames") == 0


def test_a_lot_that_is_long_known_is_not_looked_through_at_each_start(engine: Engine, vault: Vault) -> None:
    with engine.begin() as tx:
        furnish(tx, vault, [])
        keys.add_lot(tx, vault, "old", b"O" * 16, NOW - keyring.YOUNG)
        keys.add_lot(tx, vault, "new", b"N" * 16, NOW - keyring.YOUNG + timedelta(seconds=1))
        numbers = {lot.lot: lot.no for lot in keys.live_lots(tx, vault)}
        ring = Keys(vault, 0xF0, lambda: NOW).load(tx)
    assert set(ring.lots) >= set(numbers.values())
    assert numbers["new"] in ring.young
    assert numbers["old"] not in ring.young


def test_without_a_database_the_sets_wait_unanswered(
    running, engine: Engine, database_url: str, postgres, gateway: Gateway
) -> None:
    """The database refuses every connection for a while, and ends those it had: nothing is acknowledged meanwhile."""
    name = engine.url.database
    bench = running(engine=db.engine(database_url))
    before = sum(sample.value for metric in metrics.RETRIES.collect() for sample in metric.samples)
    with psycopg.connect(postgres.superuser_url, autocommit=True) as admin:
        admin.execute(f'alter database "{name}" allow_connections false'.encode())
        admin.execute("select pg_terminate_backend(pid) from pg_stat_activity where datname = %s", (name,))
        bench.deliver(gateway, *[gateway.batch(sighting(Tag(n).frame())) for n in range(10)])
        time.sleep(0.8)
        assert bench.acked == []
        admin.execute(f'alter database "{name}" allow_connections true'.encode())
    bench.wait_for_acks(10)
    assert sum(sample.value for metric in metrics.RETRIES.collect() for sample in metric.samples) > before
    assert count(engine, "sightings") == 10
    bench.worker._engine.dispose()


def test_one_that_cannot_be_stored_does_not_stop_its_neighbours(running, engine: Engine, gateway: Gateway) -> None:
    """A rule of the database that refuses one tag stands for whatever nobody thought of."""
    with engine.begin() as tx:
        tx.execute(text("alter table sightings add constraint unthought_of check (serial <> 13)"))
    bench = running()
    before = counted(metrics.ISOLATED)
    bench.deliver(gateway, *[gateway.batch(sighting(Tag(n).frame())) for n in range(20)])
    bench.wait_for_acks(20)
    poison = (OutcomeKind.REFUSED, "poison")
    assert bench.kinds() == {n: poison if n == 13 else (OutcomeKind.STORED, "") for n in range(20)}
    assert counted(metrics.ISOLATED) == before + 1
    assert count(engine, "sightings") == 19
    with engine.connect() as tx:
        letter = tx.execute(select(tables.dead_letters)).mappings().one()
        mark = tx.execute(select(tables.outboxes.c.settled_up_to)).scalar_one()
    assert letter["reason"] == "poison"
    assert letter["payload"]
    assert mark == 19


def test_one_that_breaks_the_making_does_not_stop_its_neighbours(
    running, engine: Engine, gateway: Gateway, monkeypatch
) -> None:
    def prepare_or_break(entries, resolver, *more):
        if any(entry.key.sequence == 3 for entry in entries):
            raise ZeroDivisionError("a bug that only batch 3 shows")
        return prepare(entries, resolver, *more)

    monkeypatch.setattr(worker, "prepare", prepare_or_break)
    bench = running()
    bench.deliver(gateway, *[gateway.batch(sighting(Tag(n).frame())) for n in range(8)])
    bench.wait_for_acks(8)
    assert bench.kinds() == {n: (OutcomeKind(0 if n != 3 else 2), "" if n != 3 else "poison") for n in range(8)}
    assert count(engine, "sightings") == 7


def test_a_gateway_that_was_removed_has_nobody_to_answer_to(running, engine: Engine, gateway: Gateway) -> None:
    bench = running()
    before = counted(metrics.DROPPED, "unstorable")
    with engine.begin() as tx:
        tx.execute(delete(tables.gateways))
    bench.deliver(gateway, gateway.batch(sighting(Tag(7).frame())))
    bench.wait_for_acks(1)
    assert bench.receipts == []
    assert counted(metrics.DROPPED, "unstorable") == before + 1


def test_what_follows_from_sightings_broken_makes_them_wait_and_never_refuses_them(
    running, engine: Engine, gateway: Gateway
) -> None:
    broken = threading.Event()
    broken.set()

    def on_stored(*_: Any) -> None:
        if broken.is_set():
            raise OperationalError("notices are locked", None, Exception()) if count(engine, "batches") else KeyError

    bench = running([on_stored])
    bench.deliver(gateway, *[gateway.batch(sighting(Tag(n).frame())) for n in range(3)])
    time.sleep(0.5)
    assert bench.acked == []
    broken.clear()
    bench.wait_for_acks(3)
    assert {kind for kind, _ in bench.kinds().values()} == {OutcomeKind.STORED}
    assert count(engine, "dead_letters") == 0


def test_giving_up_leaves_what_is_not_stored_unacknowledged(running, engine: Engine, gateway: Gateway) -> None:
    def on_stored(*_: Any) -> None:
        raise RuntimeError

    bench = running([on_stored])
    bench.deliver(gateway, gateway.batch(sighting(Tag(7).frame())))
    time.sleep(0.3)
    bench.inbox.close()
    bench.given_up.set()
    for thread in bench.threads:
        thread.join(30)
        assert not thread.is_alive()
    assert bench.acked == []
    assert count(engine, "batches") == 0


def test_step_by_step_without_threads_under_a_clock_of_ones_own(engine: Engine, vault: Vault, gateway: Gateway) -> None:
    """What a simulated world does: it calls the steps itself, and waiting is a call that it may refuse."""
    with engine.begin() as tx:
        furnish(tx, vault)
        known = Keys(vault, 0xF0, lambda: NOW)
        ring = known.load(tx)
    waited, acked, failing = list[float](), list[int](), [True]

    def wait(pause_s: float) -> bool:
        assert acked == []
        waited.append(pause_s)
        failing[0] = len(waited) != 7
        return len(waited) == 3

    def on_stored(*_: Any) -> None:
        if failing[0]:
            raise OSError

    made = Worker(
        engine, known, ring, lambda deliveries, _: acked.extend(each.mid for each in deliveries), [on_stored],
        clock=lambda: NOW, monotonic=lambda: 0.0, wait=wait, rate=RATE, retention=RETENTION, log=LOG,
    )  # fmt: skip
    ready = made.make_ready([Delivery(gateway.topic, gateway.batch(sighting(Tag(7).frame())), 5, 0, 0.0)])
    with pytest.raises(worker.GivenUpError):
        made.store_and_answer(ready)
    assert (waited, acked, count(engine, "batches")) == ([0.1, 0.2, 0.4], [], 0)
    made.store_and_answer(ready)
    assert (len(waited), acked, count(engine, "sightings")) == (7, [5], 1)
    assert made.make_ready([]).empty
