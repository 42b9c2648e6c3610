"""The connection, on both real brokers: acknowledged late and only where it came from, sessions last, limits hold."""

from __future__ import annotations

import itertools
import subprocess
import threading
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import paho.mqtt.client as paho
import pytest
import structlog
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
from paho.mqtt.enums import CallbackAPIVersion, MQTTProtocolVersion

from server.ingest import drain as draining
from server.ingest import inbox as inboxes
from server.ingest import metrics
from server.ingest.drain import Drain
from server.ingest.health import STUCK_MAX_S
from server.ingest.inbox import Delivery, Inbox
from server.ingest.receipts import Message
from server.ingest.seats import Seat
from tests.fixtures.brokers import Broker, Mosquitto
from tests.fixtures.wiretap import Wiretap

LOG = structlog.get_logger("test")
ALONE = Seat(1, 1)
SERVER_KEY = Ed25519PrivateKey.from_private_bytes(bytes(32))
TOPIC = "hearsight/1/gw/gw-1/batch"


def wait_until(is_so: Callable[[], bool], what: str, patience_s: float = 20) -> None:
    until = time.monotonic() + patience_s
    while not is_so():
        assert time.monotonic() < until, f"waited in vain for {what}"
        time.sleep(0.005)


class Running:
    """A drain in its thread."""

    def __init__(self, url: str, seat: Seat = ALONE, ca_file: Path | None = None) -> None:
        self.inbox = Inbox()
        self.drain = Drain(
            url, seat.client_id, seat.subscription(SERVER_KEY), self.inbox,
            monotonic=time.monotonic, log=LOG, ca_file=ca_file,
        )  # fmt: skip
        self.thread = threading.Thread(target=self.drain.run, daemon=True)  # a red test ends, too
        self.thread.start()

    def take(self, count: int) -> list[Delivery]:
        taken: list[Delivery] = []
        until = time.monotonic() + 20
        while len(taken) < count:
            assert time.monotonic() < until, f"{len(taken)} of {count} deliveries came"
            taken += self.inbox.take(0.1) or []
        return taken

    def stop(self) -> None:
        self.drain.stop()
        self.thread.join(10)
        assert not self.thread.is_alive()


@pytest.fixture
def start(broker: Broker) -> Iterator[Callable[[], Running]]:
    """Starts a drain that is connected and subscribed."""
    made: list[Running] = []

    def _start() -> Running:
        made.append(Running(broker.url))
        wait_until(made[-1].drain.subscribed.is_set, "the subscription")
        return made[-1]

    yield _start
    for each in made:
        if each.thread.is_alive():
            each.stop()


@pytest.fixture
def publisher(broker: Broker) -> Iterator[paho.Client]:
    client = paho.Client(CallbackAPIVersion.VERSION2, "publisher", protocol=MQTTProtocolVersion.MQTTv5)
    client.connect("127.0.0.1", broker.port)
    client.loop_start()
    yield client
    client.disconnect()
    client.loop_stop()


def publish(publisher: paho.Client, *payloads: bytes) -> None:
    for payload in payloads:
        publisher.publish(TOPIC, payload, 1).wait_for_publish(20)


def test_what_is_not_acknowledged_comes_again_and_what_is_does_not(start, publisher: paho.Client) -> None:
    first = start()
    publish(publisher, *[b"%d" % n for n in range(10)])
    taken = first.take(10)
    assert [delivery.payload for delivery in taken] == [b"%d" % n for n in range(10)]
    assert {delivery.topic for delivery in taken} == {TOPIC}
    first.drain.answer(taken[:6], [])
    first.stop()
    second = start()
    again = second.take(4)
    assert sorted(delivery.payload for delivery in again) == [b"6", b"7", b"8", b"9"]
    second.drain.answer(again, [])


def test_what_is_published_while_we_are_away_waits_for_us(start, publisher: paho.Client) -> None:
    start().stop()
    publish(publisher, b"meanwhile")
    assert [delivery.payload for delivery in start().take(1)] == [b"meanwhile"]


def test_acknowledgements_of_an_earlier_connection_are_dropped(start, broker: Broker, publisher: paho.Client) -> None:
    running = start()
    publish(publisher, b"early")
    early = running.take(1)
    made, late = metrics.CONNECTIONS.labels("made")._value.get(), metrics.LATE_ACKS._value.get()
    broker.kill()
    broker.start()
    wait_until(lambda: metrics.CONNECTIONS.labels("made")._value.get() > made, "the reconnection")
    running.drain.answer(early, [])
    wait_until(lambda: metrics.LATE_ACKS._value.get() == late + 1, "the counter")
    time.sleep(0.3)
    wait_until(publisher.is_connected, "the publisher")
    publish(publisher, b"after")
    assert b"after" in {delivery.payload for delivery in running.take(1)}


def test_a_broker_that_is_away_for_hours_neither_ends_the_thread_nor_looks_like_one_that_hangs(free_port: int) -> None:
    """So many tries that a pause doubled at each of them would be a number that no float holds."""
    tries = 1_100
    stuck_s: list[float] = []

    class Log:
        def warning(self, _event: str, **_about: str) -> None:
            stuck_s.append(drain.stuck_s)
            if len(stuck_s) == tries:
                drain.stop()

    moments = itertools.count(step=draining.RETRY_MAX_S)  # each look at the clock finds the pause over
    drain = Drain(
        f"mqtt://127.0.0.1:{free_port}", ALONE.client_id, ALONE.subscription(SERVER_KEY), Inbox(),
        monotonic=lambda: float(next(moments)), log=Log(),
    )  # fmt: skip
    drain.run()
    assert len(stuck_s) == tries
    assert max(stuck_s) <= STUCK_MAX_S
    assert drain.away_s > tries * draining.RETRY_MAX_S


@pytest.mark.mosquitto
def test_a_broker_that_was_only_away_is_met_with_the_newest_protocol(mosquitto: Mosquitto) -> None:
    told: list[str] = []

    class Log:
        def warning(self, event: str, **_about: str) -> None:
            told.append(event)
            if len(told) == 2:
                mosquitto.start()

        def info(self, _event: str, *, protocol: str, **_about: str) -> None:
            told.append(protocol)
            drain.stop()

    mosquitto.kill()
    drain = Drain(
        mosquitto.url, ALONE.client_id, ALONE.subscription(SERVER_KEY), Inbox(), monotonic=time.monotonic, log=Log()
    )
    drain.run()
    assert told == ["broker_unreachable", "broker_unreachable", "MQTTv5"]


def test_receipts_go_out(start, broker: Broker, publisher: paho.Client) -> None:
    got: list[bytes] = []
    publisher.on_message = lambda _c, _d, message: got.append(bytes(message.payload))
    publisher.subscribe("hearsight/1/gw/gw-1/receipt", 1)
    time.sleep(0.2)
    start().drain.answer([], [Message("hearsight/1/gw/gw-1/receipt", b"%d" % n) for n in range(600)])
    wait_until(lambda: len(got) >= 600, "the receipts")
    assert got == [b"%d" % n for n in range(600)]


@pytest.mark.mosquitto
def test_receipts_are_on_the_line_before_the_acknowledgement(mosquitto: Mosquitto, publisher_of) -> None:
    """Else a worker killed between the two owes receipts that nobody brings but the gateway that asks again."""
    line = Wiretap(mosquitto.port)
    running = Running(f"mqtt://127.0.0.1:{line.port}")
    wait_until(running.drain.subscribed.is_set, "the subscription")
    publish(publisher_of(mosquitto), b"a batch")
    (delivery,) = running.take(1)
    running.drain.answer([delivery], [Message("hearsight/1/gw/gw-1/receipt", b"what became of it")])
    acknowledgement = b"\x40\x02" + delivery.mid.to_bytes(2, "big")
    wait_until(lambda: acknowledgement in line.heard() and b"became" in line.heard(), "both")
    running.stop()
    line.close()
    assert line.heard().index(b"became") < line.heard().index(acknowledgement)


def test_no_more_is_read_than_there_is_room_for(start, publisher: paho.Client, monkeypatch) -> None:
    monkeypatch.setattr(inboxes, "WAITING_MAX", 20)
    running = start()
    publish(publisher, *[b"%d" % n for n in range(100)])
    time.sleep(0.5)
    assert len(running.inbox) <= 20
    seen: list[bytes] = []
    while len(seen) < 100:
        taken = running.take(1)
        seen += [delivery.payload for delivery in taken]
        running.drain.answer(taken, [])
    assert sorted(map(int, seen)) == list(range(100))


@pytest.mark.mosquitto
def test_receive_maximum_is_the_brokers_limit(mosquitto: Mosquitto, publisher_of, monkeypatch) -> None:
    monkeypatch.setattr(draining, "WAITING_MAX", 7)
    running = Running(mosquitto.url)
    try:
        time.sleep(0.7)
        publish(publisher_of(mosquitto), *[b"%d" % n for n in range(30)])
        time.sleep(0.5)
        assert len(running.inbox) == 7
    finally:
        running.stop()


@pytest.mark.mosquitto
def test_by_tls_everything_comes_and_is_acknowledged(make_mosquitto, publisher_of, tmp_path: Path) -> None:
    """Batches of all sizes, below and above a record of TLS: none left lying, none delivered again."""
    certificate, key = tmp_path / "broker.pem", tmp_path / "broker.key"
    subprocess.run(
        ["openssl", "req", "-x509", "-newkey", "ed25519", "-nodes", "-days", "2", "-subj", "/CN=broker", "-addext",
         "subjectAltName=IP:127.0.0.1", "-out", certificate, "-keyout", key], check=True, capture_output=True,
    )  # fmt: skip
    broker = make_mosquitto(f"allow_anonymous true\ncertfile {certificate}\nkeyfile {key}\n")
    sizes = [1, 100, 3_000, 16_384, 16_385, 70_000, 200_000] * 30
    running = Running(f"mqtts://127.0.0.1:{broker.port}", ca_file=certificate)
    wait_until(running.drain.subscribed.is_set, "the subscription")
    client = publisher_of(broker, certificate)
    sent = [client.publish(TOPIC, bytes(size), 1) for size in sizes]
    taken = running.take(len(sizes))
    assert [len(each.payload) for each in taken] == sizes
    running.drain.answer(taken, [])
    running.stop()
    assert all(each.is_published() for each in sent)
    again = Running(f"mqtts://127.0.0.1:{broker.port}", ca_file=certificate)
    wait_until(again.drain.subscribed.is_set, "the subscription")
    time.sleep(0.3)
    assert len(again.inbox) == 0
    again.stop()


@pytest.mark.mosquitto
def test_a_broker_without_mqtt_5_will_do(mosquitto: Mosquitto, publisher_of, monkeypatch) -> None:
    """Every attempt speaks 3.1.1 here: the session lasts there as well, and unacknowledged batches come again."""
    monkeypatch.setattr(draining, "_OLD_PROTOCOL_EVERY", 1)
    running = Running(mosquitto.url)
    time.sleep(0.7)
    publish(publisher_of(mosquitto), b"first")
    running.take(1)
    running.stop()
    again = Running(mosquitto.url)
    assert [delivery.payload for delivery in again.take(1)] == [b"first"]
    again.stop()
    assert "(p2, c0" in mosquitto.log


@pytest.fixture
def publisher_of() -> Iterator[Callable[..., paho.Client]]:
    clients: list[paho.Client] = []

    def connect(broker: Mosquitto, ca_file: Path | None = None) -> paho.Client:
        client = paho.Client(CallbackAPIVersion.VERSION2, "publisher", protocol=MQTTProtocolVersion.MQTTv5)
        if ca_file:
            client.tls_set(str(ca_file))
        client.connect("127.0.0.1", broker.port)
        client.loop_start()
        clients.append(client)
        return client

    yield connect
    for client in clients:
        client.disconnect()
        client.loop_stop()


def test_an_unreachable_broker_is_tried_again_and_stopping_does_not_wait(free_port: int, monkeypatch) -> None:
    before = metrics.CONNECTIONS.labels("unreachable")._value.get()
    running = Running(f"mqtt://127.0.0.1:{free_port}")
    wait_until(lambda: metrics.CONNECTIONS.labels("unreachable")._value.get() >= before + 2, "two tries")
    monkeypatch.setattr(draining, "RETRY_MIN_S", 3600.0)
    monkeypatch.setattr(draining, "RETRY_MAX_S", 3600.0)
    tried = metrics.CONNECTIONS.labels("unreachable")._value.get()
    wait_until(lambda: metrics.CONNECTIONS.labels("unreachable")._value.get() > tried, "a pause of an hour")
    running.stop()
