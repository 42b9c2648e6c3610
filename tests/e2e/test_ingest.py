"""The ingest as a process, on both brokers: from a signed batch to the table, its receipt, and an orderly end."""

from __future__ import annotations

import signal
import time
import urllib.request
from collections.abc import Callable, Iterator
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import paho.mqtt.client as paho
import pytest
from paho.mqtt.enums import CallbackAPIVersion, MQTTProtocolVersion
from sqlalchemy import Engine, insert, text

from server.store import tables
from tests.e2e.ingest_process import Ingest, Scene
from tests.fixtures.brokers import Broker
from tests.server.ingest.parties import Gateway, Tag, sighting
from wire import topics
from wire.receipt import OutcomeKind, Receipt, decode_receipt
from wire.signing import Domain, verify

pytestmark = [pytest.mark.e2e, pytest.mark.slow, pytest.mark.timeout(240)]


def wait_until(is_so: Callable[[], bool], what: str, patience_s: float = 60) -> None:
    until = time.monotonic() + patience_s
    while not is_so():
        assert time.monotonic() < until, f"waited in vain for {what}"
        time.sleep(0.01)


class Line:
    """A gateway's own connection: publishes batches, collects verified receipts."""

    def __init__(self, gateway: Gateway, port: int, scene: Scene) -> None:
        self.gateway, self.receipts = gateway, list[Receipt]()
        self.client = paho.Client(CallbackAPIVersion.VERSION2, gateway.name, protocol=MQTTProtocolVersion.MQTTv5)
        self.client.on_connect = self._subscribe
        self.client.on_message = lambda _c, _d, message: self.receipts.append(
            decode_receipt(verify(scene.server_key, Domain.RECEIPT, bytes(message.payload)))
        )
        self.client.connect("127.0.0.1", port)
        self.client.loop_start()

    def _subscribe(self, *_: Any) -> None:
        self.client.subscribe(topics.receipt(self.gateway.name), 1)

    def publish(self, *payloads: bytes) -> None:
        for payload in payloads:
            self.client.publish(self.gateway.topic, payload, 1).wait_for_publish(20)

    def outcomes(self) -> dict[int, tuple[OutcomeKind, str]]:
        return {o.sequence: (o.kind, o.reason) for receipt in self.receipts for o in receipt.outcomes}

    def close(self) -> None:
        self.client.disconnect()
        self.client.loop_stop()


@pytest.fixture
def scene(engine: Engine, database_url: str, tmp_path: Path) -> Iterator[Scene]:
    made = Scene(engine, database_url, tmp_path)
    yield made
    made.close()


@pytest.fixture
def ingest(scene: Scene, broker: Broker) -> Iterator[Ingest]:
    made = scene.ingest(broker.port)
    made.start()
    wait_until(lambda: made.listens(), "the ingest")
    time.sleep(0.3)
    yield made
    made.stop()


@pytest.fixture
def line(scene: Scene, broker: Broker, ingest: Ingest) -> Iterator[Line]:
    made = Line(scene.gateways[0], broker.port, scene)
    yield made
    made.close()


def rows(scene: Scene, table: str) -> int:
    found = scene.look.execute(f"select count(*) from {table}".encode()).fetchone()
    assert found is not None
    return int(found[0])


def now_ms() -> int:
    return int(time.time() * 1000)


def test_a_day_of_bad_and_good_batches(scene: Scene, line: Line, ingest: Ingest) -> None:
    """Every answer comes as a signed receipt, what deserves none gets none, and everything good is stored once."""
    gateway = line.gateway
    good = [gateway.batch(sighting(Tag(n).frame(), at_ms=now_ms())) for n in range(5)]
    future = gateway.batch(sighting(Tag(7).frame(), at_ms=now_ms() + 600_000))
    tombstone = gateway.tombstone(full=9)
    other = gateway.batch(sighting(Tag(9).frame(), at_ms=now_ms()), sequence=2)
    line.publish(good[0], good[0][:-1], bytes(300_000), b"", *good[1:], future, tombstone)
    wait_until(lambda: bool(line.receipts) and line.receipts[-1].settled_up_to == 6, "the receipts")
    stored = (OutcomeKind.STORED, "")
    expected = dict.fromkeys(range(5), stored) | {
        5: (OutcomeKind.REFUSED, "future"),
        6: (OutcomeKind.STORED, "given_up"),
    }
    assert line.outcomes() == expected
    line.receipts.clear()
    line.publish(good[3], other, future)
    wait_until(lambda: len(line.outcomes()) == 3, "the answers to what was sent again")
    assert line.outcomes() == {
        3: (OutcomeKind.DUPLICATE, ""),
        2: (OutcomeKind.SEQUENCE_CONFLICT, ""),
        5: (OutcomeKind.REFUSED, "future"),
    }
    assert (rows(scene, "sightings"), rows(scene, "batches"), rows(scene, "dead_letters")) == (5, 7, 1)


def test_counters_are_served_and_a_taken_port_is_told(scene: Scene, broker: Broker, free_port: int) -> None:
    ingest = scene.ingest(broker.port)
    ingest.env = {"HEARSIGHT_INGEST_PORT": str(free_port)}
    ingest.start()
    try:
        wait_until(lambda: ingest.listens(), "the ingest")
        with urllib.request.urlopen(f"http://127.0.0.1:{free_port}/metrics") as answer:
            assert "hearsight_ingest_connected 1.0" in answer.read().decode()
        second = scene.ingest(broker.port)
        second.env = ingest.env
        second.start()
        assert second.child is not None
        assert second.child.wait(60) == 2
        assert "ingest_port_taken" in second.log or "is taken" in second.log
    finally:
        ingest.stop()


def test_a_lost_tag_that_is_heard_raises_its_message_with_the_sighting(
    engine: Engine, scene: Scene, line: Line, ingest: Ingest
) -> None:
    now = datetime.now(UTC)
    with engine.begin() as tx:
        account = {"email": "ann@example.com", "name": "Ann", "role": "owner", "created_at": now}
        no = tx.execute(insert(tables.accounts).values(account).returning(tables.accounts.c.no)).scalar_one()
        mark = {"serial": 7, "account_no": no, "message": "my bicycle", "contact": "", "since": now}
        tx.execute(insert(tables.lost_marks).values(mark))
    line.publish(*[line.gateway.batch(sighting(Tag(n).frame(), at_ms=now_ms() + 2000)) for n in (6, 7, 7)])
    wait_until(lambda: bool(line.receipts) and line.receipts[-1].settled_up_to == 2, "the receipts")
    with engine.connect() as tx:
        notices = tx.execute(text("select kind, payload->>'serial' from notices")).all()
    assert [tuple(notice) for notice in notices] == [("lost_heard", "7")]


def test_at_sigterm_what_is_under_way_is_finished_and_the_rest_waits(scene: Scene, line: Line, ingest: Ingest) -> None:
    line.publish(*[line.gateway.batch(sighting(Tag(n).frame(), at_ms=now_ms())) for n in range(50)])
    assert ingest.child is not None
    ingest.child.send_signal(signal.SIGTERM)
    assert ingest.child.wait(20) == 0
    stored = rows(scene, "batches")
    ingest.start()
    wait_until(lambda: rows(scene, "batches") == 50, "the rest")
    assert stored <= 50
    wait_until(lambda: bool(line.receipts) and line.receipts[-1].settled_up_to == 49, "the receipts")
    assert rows(scene, "sightings") == 50
