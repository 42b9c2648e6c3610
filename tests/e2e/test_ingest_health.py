"""The ingest as a process that is held up: its health turns red with the reason, and green again; one that floods is
held back alone, and loses nothing.
"""

from __future__ import annotations

import base64
import json
import os
import secrets
import signal
import subprocess
import sys
import time
import urllib.error
import urllib.request
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import paho.mqtt.client as paho
import psutil  # type: ignore[import-untyped]
import psycopg
import pytest
from paho.mqtt.enums import CallbackAPIVersion
from prometheus_client.parser import text_string_to_metric_families
from sqlalchemy import Engine

from server.local import children
from server.service.ingest_health import IngestHealth, Word, ingest_health
from server.store import keys
from server.store.crypto import Vault
from tests.fixtures.brokers import Mosquitto
from tests.fixtures.ports import free_ports
from tests.server.ingest.parties import NOW, Gateway, Tag, enrol, furnish, sighting
from wire import topics
from wire.receipt import decode_receipt
from wire.signing import Domain, verify

pytestmark = [pytest.mark.e2e, pytest.mark.slow, pytest.mark.mosquitto, pytest.mark.timeout(240)]


def wait_until(is_so: Callable[[], bool], what: str, patience_s: float = 60) -> None:
    until = time.monotonic() + patience_s
    while not is_so():
        assert time.monotonic() < until, f"waited in vain for {what}"
        time.sleep(0.05)


class Held:
    """`python -m server ingest` with a port, on a database that can be held and a broker that can be killed."""

    def __init__(self, engine: Engine, url: str, broker: Mosquitto, port: int, folder: Path, **settings: int) -> None:
        self.engine, self.url, self.broker, self.port = engine, url, broker, port
        self.master_key = secrets.token_bytes(32)
        vault = Vault(self.master_key, secrets.token_bytes)
        self.gateways = [Gateway("gw-1"), Gateway("gw-2")]
        with engine.begin() as tx:
            furnish(tx, vault)
            for gateway in self.gateways:
                enrol(tx, gateway)
            self.server_key = keys.server_key(tx, vault, NOW).public_key()
        self.log, self.settled = folder / "ingest.log", dict[str, set[int]]()
        self.env: dict[str, str] = dict(os.environ) | {
            "HEARSIGHT_DATA": str(folder),
            "HEARSIGHT_DATABASE_URL": url,
            "HEARSIGHT_MQTT_URL": broker.url,
            "HEARSIGHT_MASTER_KEY": base64.b64encode(self.master_key).decode(),
            "HEARSIGHT_INGEST_PORT": str(port),
        }
        self._start(**settings)
        self.client = paho.Client(CallbackAPIVersion.VERSION2, "gateways")
        self.client.on_connect = self._subscribe
        self.client.on_message = self._on_receipt
        self.client.connect("127.0.0.1", broker.port)
        self.client.loop_start()

    def _start(self, **settings: int) -> None:
        self.env |= {f"HEARSIGHT_{name.upper()}": str(value) for name, value in settings.items()}
        with self.log.open("ab") as log:
            self.child = children.start([sys.executable, "-m", "server", "ingest"], env=self.env, output=log)

    def restart(self, **settings: int) -> None:
        children.end(self.child, ((signal.SIGTERM, 20),))
        self._start(**settings)

    def _subscribe(self, *_: Any) -> None:
        self.client.subscribe([(topics.receipt(each.name), 1) for each in self.gateways])

    def _on_receipt(self, _client: Any, _data: Any, message: paho.MQTTMessage) -> None:
        receipt = decode_receipt(verify(self.server_key, Domain.RECEIPT, bytes(message.payload)))
        self.settled.setdefault(receipt.gateway, set()).update(outcome.sequence for outcome in receipt.outcomes)

    def send(self, gateway: Gateway, *payloads: bytes) -> None:
        for payload in payloads:
            self.client.publish(gateway.topic, payload, 1)

    def batch(self, gateway: Gateway, serial: int = 1) -> bytes:
        return gateway.batch(sighting(Tag(serial).frame(), at_ms=now_ms()), sent_at_ms=now_ms())

    def health(self, worker: int = 1) -> tuple[int, dict[str, Any]]:
        try:
            with urllib.request.urlopen(f"http://127.0.0.1:{self.port + worker - 1}/health", timeout=5) as answer:
                return answer.status, json.load(answer)
        except urllib.error.HTTPError as error:
            return error.code, json.load(error)
        except OSError:
            return 0, {}

    def red(self, reason: str) -> bool:
        status, said = self.health()
        return status == 503 and reason in [each["reason"] for each in said["problems"]]

    def green(self, worker: int = 1) -> bool:
        return self.health(worker)[0] == 200

    def told(self) -> IngestHealth:
        """What pages read."""
        with self.engine.begin() as tx:
            return ingest_health(tx)

    def pid_of(self, worker: int) -> int:
        (found,) = [
            each.pid
            for each in psutil.Process(self.child.pid).children()
            if each.cmdline()[-2:] == ["--worker", str(worker)]
        ]
        return found

    def counter(self, name: str, **labels: str) -> float:
        with urllib.request.urlopen(f"http://127.0.0.1:{self.port}/metrics", timeout=5) as answer:
            families = list(text_string_to_metric_families(answer.read().decode()))
        samples = [each for family in families for each in family.samples]
        return sum(each.value for each in samples if each.name == name and labels.items() <= each.labels.items())

    def close(self) -> None:
        self.client.disconnect()
        self.client.loop_stop()
        children.end(self.child, ((signal.SIGTERM, 15),))


def now_ms() -> int:
    return int(time.time() * 1000)


@pytest.fixture
def hold(engine: Engine, database_url: str, mosquitto: Mosquitto, tmp_path: Path) -> Iterator[Callable[..., Held]]:
    """Starts an ingest with these settings, and waits until it is well."""
    made: list[Held] = []

    def start(**settings: int) -> Held:
        held = Held(engine, database_url, mosquitto, free_ports(2), tmp_path, **settings)
        made.append(held)
        wait_until(held.green, "a healthy ingest")
        return held

    yield start
    for each in made:
        each.close()


def test_red_while_the_database_holds_sets_up_and_green_after(hold: Callable[..., Held]) -> None:
    """The lock lets the worker write its row: it is the lag that shows, on its port and to the people of support."""
    held = hold(lag_max_s=2)
    (gateway, _) = held.gateways
    with psycopg.connect(held.url) as holder:
        holder.execute("lock table outboxes in exclusive mode")
        until = time.monotonic() + 60
        while not held.red("lag"):
            assert time.monotonic() < until, held.health()
            held.send(gateway, held.batch(gateway))
            time.sleep(0.1)
        assert held.health()[1]["lag_s"] >= 2, "told to a tenth of a second"
        assert held.counter("hearsight_ingest_unhealthy", reason="lag") == 1
        assert held.counter("hearsight_ingest_lag_seconds") > 2
        assert held.counter("hearsight_ingest_unanswered_batches") > 1
        wait_until(lambda: (held.told().behind_s or 0) >= 2, "the row that pages read")
        holder.rollback()
    wait_until(held.green, "green again")
    wait_until(lambda: len(held.settled.get("gw-1", ())) == gateway.next_sequence, "every receipt")
    assert held.counter("hearsight_ingest_unhealthy") == 0
    assert held.counter("hearsight_ingest_unanswered_batches") == 0


def test_red_without_a_broker_and_green_when_it_is_back(hold: Callable[..., Held]) -> None:
    held = hold()
    held.broker.kill()
    wait_until(lambda: held.red("broker"), "red without a broker")
    assert not held.health()[1]["connected"]
    held.broker.start()
    wait_until(held.green, "green again")
    assert held.counter("hearsight_ingest_connections_total", outcome="made") == 2


def test_the_age_of_a_queue_at_the_broker_is_seen(hold: Callable[..., Held]) -> None:
    """What waited at the broker an hour long comes through in a second; while it does, that hour is the lag."""
    held = hold(lag_max_s=60)
    (gateway, _) = held.gateways
    hour_ago_ms = now_ms() - 3_600_000
    old = [gateway.batch(sighting(Tag(1).frame(), at_ms=hour_ago_ms), sent_at_ms=hour_ago_ms) for _ in range(600)]
    with psycopg.connect(held.url) as holder:
        # Long enough for them to stand one behind the other, far too short for the oldest to count as late.
        holder.execute("lock table outboxes in exclusive mode")
        held.send(gateway, *old)
        wait_until(lambda: held.red("lag"), "red")
        assert held.health()[1]["lag_s"] == pytest.approx(3_600, abs=120)
        holder.rollback()
    wait_until(lambda: len(held.settled.get("gw-1", ())) == 600, "every receipt")
    wait_until(held.green, "green again")


def test_who_floods_is_held_back_alone_and_loses_nothing(hold: Callable[..., Held]) -> None:
    """A rate of 5 a second lets 50 in at once; the rest gets no receipt, comes again and is stored once."""
    held = hold(ingest_gateway_batches_per_s=5)
    flood, calm = held.gateways
    batches = {n: held.batch(flood, n) for n in range(90)}
    held.send(flood, *batches.values())
    held.send(calm, held.batch(calm, 500))
    wait_until(lambda: held.counter("hearsight_ingest_deliveries_total") == 91, "all deliveries")
    wait_until(lambda: held.settled.get("gw-2") == {0}, "the receipt of the calm one")
    dropped = held.counter("hearsight_ingest_dropped_total", reason="rate")
    assert 20 <= dropped <= 40, "90 less 50, less what was refilled meanwhile"
    wait_until(lambda: len(held.settled["gw-1"]) == 90 - dropped, "the receipts of those within the rate")
    assert "gateways_over_limit" in (log := held.log.read_text())
    assert "gw-2" not in log[log.index("gateways_over_limit") :].splitlines()[0]
    until = time.monotonic() + 60
    while missing := batches.keys() - held.settled["gw-1"]:
        assert time.monotonic() < until
        held.send(flood, *(batches[n] for n in sorted(missing)))
        time.sleep(1)
    with psycopg.connect(held.url) as look:
        stored = look.execute("select serial, count(*) from sightings group by serial").fetchall()
    assert sorted(stored) == [(serial, 1) for serial in [*range(90), 500]]


def test_each_of_several_workers_tells_of_itself(hold: Callable[..., Held], monkeypatch: pytest.MonkeyPatch) -> None:
    """Each has its own port and its own row; one that hangs is missed by name, and one that nobody wants forgotten."""
    held = hold(ingest_workers=2)
    wait_until(lambda: held.green(2), "the second worker")
    wait_until(lambda: len(held.told().workers) == 2, "both rows")
    assert [each.worker for each in held.told().workers] == ["ingest-1", "ingest-2"]
    assert held.told().word is Word.WELL
    # In the time of a test: a row is written every five seconds.
    monkeypatch.setattr("server.service.ingest_health.GONE_AFTER_S", 8.0)
    hanging = held.pid_of(2)
    os.kill(hanging, signal.SIGSTOP)
    try:
        wait_until(lambda: held.told().word is Word.PARTLY, "the one that hangs")
        assert held.told().sentence.startswith("1 of 2 ingest workers are gone")
        assert held.green(1)
    finally:
        os.kill(hanging, signal.SIGCONT)
    wait_until(lambda: held.told().word is Word.WELL, "both are back")
    held.restart(ingest_workers=1)
    wait_until(lambda: [each.worker for each in held.told().workers] == ["ingest"], "only the one that is left")


def test_a_start_that_waits_for_the_database_is_red_and_answers(
    mosquitto: Mosquitto, free_port: int, tmp_path: Path
) -> None:
    env = os.environ | {
        "HEARSIGHT_DATA": str(tmp_path), "HEARSIGHT_MQTT_URL": mosquitto.url, "HEARSIGHT_INGEST_PORT": str(free_port),
        "HEARSIGHT_DATABASE_URL": f"postgresql://nobody@/none?host={tmp_path}",
        "HEARSIGHT_MASTER_KEY": base64.b64encode(bytes(32)).decode(),
    }  # fmt: skip
    with (tmp_path / "log").open("wb") as log:
        child: subprocess.Popen[bytes] = children.start([sys.executable, "-m", "server", "ingest"], env=env, output=log)
    try:
        url, said = f"http://127.0.0.1:{free_port}/health", {}

        def red() -> bool:
            try:
                urllib.request.urlopen(url, timeout=5).close()
            except urllib.error.HTTPError as error:
                said.update(json.load(error))
            except OSError:
                return False
            return bool(said)

        wait_until(red, "an answer")
        assert [each["reason"] for each in said["problems"]] == ["starting"]
    finally:
        assert children.end(child, ((signal.SIGTERM, 15),)) == 0
