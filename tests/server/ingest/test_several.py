"""Two workers as real processes on one Mosquitto and one PostgreSQL: exactly once, marks right, one of them killed."""

from __future__ import annotations

import base64
import os
import random
import secrets
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import paho.mqtt.client as paho
import psutil  # type: ignore[import-untyped]
import pytest
from paho.mqtt.enums import CallbackAPIVersion, MQTTProtocolVersion
from sqlalchemy import Engine, text

from server.store import keys
from server.store.crypto import Vault
from tests.fixtures.brokers import Embedded, Mosquitto
from tests.server.ingest.parties import NOW, Gateway, Tag, enrol, furnish, sighting
from wire.receipt import OutcomeKind, decode_receipt
from wire.signing import Domain, public_key, verify

MASTER_KEY = bytes(range(32))
GATEWAYS = 3
BATCHES = 200
PATIENCE_S = 60.0


class Workers:
    """`python -m server ingest` with several workers, as a process."""

    def __init__(self, folder: Path, database_url: str, mqtt_url: str, count: int) -> None:
        self.log = folder / "workers.log"
        env = os.environ | {
            "HEARSIGHT_DATA": str(folder),
            "HEARSIGHT_DATABASE_URL": database_url,
            "HEARSIGHT_MQTT_URL": mqtt_url,
            "HEARSIGHT_MASTER_KEY": base64.b64encode(MASTER_KEY).decode(),
        }
        with self.log.open("ab") as log:
            self.process = subprocess.Popen(
                [sys.executable, "-m", "server", "ingest", "--workers", str(count)], env=env, stdout=log, stderr=log
            )

    def pids(self) -> dict[str, int]:
        """Each worker's process by its number."""
        children = psutil.Process(self.process.pid).children()
        lines = {each.pid: each.cmdline() for each in children if each.status() != psutil.STATUS_ZOMBIE}
        return {line[-1]: pid for pid, line in lines.items() if "--worker" in line}

    def connected(self) -> int:
        return self.log.read_text().count("broker_connected")

    def wait(self, true: Callable[[], bool], what: str) -> None:
        until = time.monotonic() + PATIENCE_S
        while not true():
            assert time.monotonic() < until, f"waited in vain for {what}\n{self.log.read_text()[-3000:]}"
            time.sleep(0.02)

    def end(self) -> int:
        self.process.send_signal(signal.SIGTERM)
        return self.process.wait(PATIENCE_S)


@pytest.fixture
def start(tmp_path: Path, database_url: str) -> Iterator[Callable[..., Workers]]:
    made: list[Workers] = []

    def _start(broker: Mosquitto | Embedded, count: int = 2) -> Workers:
        made.append(Workers(tmp_path, database_url, broker.url, count))
        return made[-1]

    yield _start
    for each in made:
        if each.process.poll() is None:
            each.process.kill()
            each.process.wait()


@pytest.fixture
def party(engine: Engine) -> list[Gateway]:
    vault = Vault(MASTER_KEY, secrets.token_bytes)
    with engine.begin() as tx:
        furnish(tx, vault)
        return [enrol(tx, Gateway(f"gw-{n}")) for n in range(GATEWAYS)]


class Air:
    """Publishes batches and hears receipts, as all gateways at once."""

    def __init__(self, broker: Mosquitto, server_key: bytes) -> None:
        self._key = public_key(server_key)
        self.outcomes: dict[tuple[str, int], list[OutcomeKind]] = {}
        self.marks: dict[str, int] = {}
        self.client = paho.Client(CallbackAPIVersion.VERSION2, "gateways", protocol=MQTTProtocolVersion.MQTTv5)
        self.client.on_message = self._receipt
        self.client.connect("127.0.0.1", broker.port)
        self.client.loop_start()
        self.client.subscribe("hearsight/1/gw/+/receipt", 1)

    def _receipt(self, _client: object, _data: object, message: paho.MQTTMessage) -> None:
        receipt = decode_receipt(verify(self._key, Domain.RECEIPT, bytes(message.payload)))
        self.marks[receipt.gateway] = max(receipt.settled_up_to, self.marks.get(receipt.gateway, -1))
        for outcome in receipt.outcomes:
            self.outcomes.setdefault((receipt.gateway, outcome.sequence), []).append(outcome.kind)

    def publish(self, packets: list[tuple[str, bytes]]) -> None:
        sent = [self.client.publish(topic, payload, 1) for topic, payload in packets]
        for each in sent:
            each.wait_for_publish(PATIENCE_S)

    def end(self) -> None:
        self.client.disconnect()
        self.client.loop_stop()


@pytest.fixture
def air(mosquitto: Mosquitto, engine: Engine, party: list[Gateway]) -> Iterator[Air]:
    with engine.begin() as tx:
        key = keys.server_key(tx, Vault(MASTER_KEY, secrets.token_bytes), NOW).public_key().public_bytes_raw()
    made = Air(mosquitto, key)
    yield made
    made.end()


def made(party: list[Gateway], dice: random.Random) -> list[tuple[str, bytes]]:
    """The batches of all gateways, each twice, roughly in order: the second often meets the first in another worker."""
    heard_ms = int(time.time() * 1000) - 60_000
    packets = [
        (each.topic, each.batch(sighting(Tag(n).frame(n), at_ms=heard_ms))) for n in range(BATCHES) for each in party
    ]
    places = [(n + dice.random() * 30, packet) for n, packet in enumerate(packets) for _ in range(2)]
    return [packet for _, packet in sorted(places)]


def totals(engine: Engine) -> tuple[int, int, int]:
    """Batches in the ledger, rows, distinct rows."""
    with engine.connect() as tx:
        batches = int(tx.execute(text("select count(*) from batches")).scalar_one())
        rows, distinct = tx.execute(
            text("select count(*), count(distinct (batch_no, serial, heard_at)) from sightings")
        ).one()
    return batches, int(rows), int(distinct)


def marks(engine: Engine) -> set[int]:
    with engine.connect() as tx:
        return set(tx.execute(text("select settled_up_to from outboxes")).scalars())


@pytest.mark.e2e
@pytest.mark.mosquitto
def test_two_workers_store_each_batch_once_and_settle_every_outbox(
    start, mosquitto: Mosquitto, engine: Engine, party: list[Gateway], air: Air
) -> None:
    """Every batch comes twice, often to both at the same time; both store batches of one outbox in turn."""
    workers = start(mosquitto)
    workers.wait(lambda: workers.connected() == 2, "both")
    air.publish(made(party, random.Random(7)))
    wanted = {(each.name, n) for each in party for n in range(BATCHES)}
    workers.wait(lambda: sum(map(len, air.outcomes.values())) >= 2 * len(wanted), "the receipts")
    assert totals(engine) == (len(wanted), len(wanted), len(wanted))
    assert marks(engine) == {BATCHES - 1}
    assert set(air.marks.values()) == {BATCHES - 1}
    assert {tuple(sorted(told)) for told in air.outcomes.values()} == {(OutcomeKind.STORED, OutcomeKind.DUPLICATE)}
    pids = workers.pids()
    assert set(pids) == {"1", "2"}
    assert workers.end() == 0, workers.log.read_text()[-3000:]
    assert not any(map(psutil.pid_exists, pids.values()))


@pytest.mark.e2e
@pytest.mark.mosquitto
def test_a_killed_worker_is_started_again_and_nothing_is_lost_or_stored_twice(
    start, mosquitto: Mosquitto, engine: Engine, party: list[Gateway], air: Air
) -> None:
    workers = start(mosquitto)
    workers.wait(lambda: workers.connected() == 2, "both")
    packets = made(party, random.Random(8))
    third = len(packets) // 3
    for part, number in ((packets[:third], "1"), (packets[third : 2 * third], "2"), (packets[2 * third :], "1")):
        air.publish(part)
        before = workers.pids()[number]
        os.kill(before, signal.SIGKILL)
        workers.wait(lambda number=number, before=before: workers.pids().get(number, before) != before, "the next one")
    wanted = {(each.name, n) for each in party for n in range(BATCHES)}
    workers.wait(lambda: air.outcomes.keys() == wanted, "every receipt")
    assert totals(engine) == (len(wanted), len(wanted), len(wanted))
    assert marks(engine) == {BATCHES - 1}
    assert workers.end() == 0, workers.log.read_text()[-3000:]


@pytest.mark.e2e
def test_it_cannot_run_on_the_own_broker(start, embedded_broker: Embedded, tmp_path: Path) -> None:
    assert embedded_broker.folder.parent == tmp_path
    workers = start(embedded_broker)
    assert workers.process.wait(PATIENCE_S) == 2
    assert "(workers_need_mosquitto)" in workers.log.read_text()


@pytest.mark.e2e
@pytest.mark.mosquitto
def test_what_one_worker_is_refused_ends_all(start, mosquitto: Mosquitto, free_port: int, monkeypatch) -> None:
    """The second one's port for counters is taken: that will not change by trying again."""
    with socket.create_server(("127.0.0.1", free_port)):
        monkeypatch.setenv("HEARSIGHT_INGEST_PORT", str(free_port - 1))
        workers = start(mosquitto)
        assert workers.process.wait(PATIENCE_S) == 2, workers.log.read_text()
    told = workers.log.read_text()
    assert "(ingest_port_taken)" in told
    assert "(part_refused)" in told
