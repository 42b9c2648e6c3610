"""The gateway as a process between a simulated radio and a real broker: nothing is lost, whatever goes away."""

from __future__ import annotations

import signal
import time
from pathlib import Path

import pytest
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
from paho.mqtt.enums import MQTTProtocolVersion

from gateway.enrol import enrol
from tests.gateway.air import Air, address, frame
from tests.gateway.brokers import MOSQUITTO, Broker, Iotcore, Mosquitto
from tests.gateway.process import GatewayProcess
from tests.gateway.server import GATEWAY, TestServer, wait_for
from wire import topics
from wire.batch import Clock, PlaceSource, unpack_sightings
from wire.frames import SERVICE_UUID
from wire.receipt import Outcome, OutcomeKind

WAIT_S = 20.0


def wait_stored(server: TestServer, numbers: set[int], seconds: float = WAIT_S) -> None:
    wanted = {frame(number) for number in numbers}
    wait_for(lambda: wanted <= set(server.frames()), seconds, f"for frames {sorted(numbers)[:5]} …")


def test_a_hundred_tags_in_bursts_of_four_within_one_turn(
    air: Air, broker: Broker, server: TestServer, gateway: GatewayProcess
) -> None:
    gateway.start()
    air.wait_for_scan()

    def burst() -> None:
        for number in range(100):
            for _ in range(4):
                air.bluez.advertise_now(address(number), {SERVICE_UUID: frame(number)}, -60)
        air.bluez.advertise_now(address(999), {"0000180a-0000-1000-8000-00805f9b34fb": b"x"}, -60)

    air.call(burst)
    wait_stored(server, set(range(100)))
    assert sorted(server.frames()) == sorted(frame(number) for number in range(100)), "each exactly once"
    adverts = sum(seen.adverts for batch in server.stored for seen in unpack_sightings(batch))
    assert adverts == 400
    assert sum(batch.dropped.get("foreign", 0) for batch in server.stored) == 1
    assert all(batch.clock is Clock.GOOD for batch in server.stored)
    assert gateway.end() == 0


def test_a_spoofed_address_overwrites_nobodys_evidence(
    air: Air, one_broker: Broker, server: TestServer, gateway: GatewayProcess
) -> None:
    gateway.start()
    air.wait_for_scan()

    def true_spoofed_true() -> None:
        for number in (1, 66, 2):
            air.bluez.advertise_now(address(1), {SERVICE_UUID: frame(number)}, -60)
        air.bluez.advertise_now(address(2), {SERVICE_UUID: frame(3)}, -60)

    air.call(true_spoofed_true)
    wait_stored(server, {1, 66, 2, 3})


def test_what_is_published_again_is_the_same_bytes_and_every_receipt_counts(
    air: Air, broker: Broker, server: TestServer, gateway: GatewayProcess
) -> None:
    server.silent = True
    gateway.start()
    air.wait_for_scan()
    air.hear(1, frame(1))
    wait_for(lambda: server.seen)
    assert wait_for(lambda: gateway.status().get("queued_batches")), "without a receipt it stays"
    server.leave()
    broker.end(signal.SIGKILL)
    broker.start()
    server.silent = False
    server.join()
    wait_for(lambda: len(server.seen) > 1, WAIT_S)
    assert len({publication.payload for publication in server.seen if publication.batch.sequence == 0}) == 1
    wait_for(lambda: not gateway.status().get("queued_batches"), 40.0, "for the receipt")
    assert len(server.stored) == len({batch.sequence for batch in server.stored})


def test_a_broker_that_is_away_costs_nothing(
    air: Air, broker: Broker, server: TestServer, gateway: GatewayProcess
) -> None:
    gateway.start()
    air.wait_for_scan()
    air.hear(1, frame(1))
    wait_stored(server, {1})
    server.leave()
    broker.end(signal.SIGKILL)
    for number in range(2, 5):
        air.hear(number, frame(number))
        time.sleep(0.5)
    broker.start()
    server.join()
    wait_stored(server, {1, 2, 3, 4}, 30.0)
    wait_for(lambda: server.states and server.states[-1].online)
    assert not [batch for batch in server.stored if batch.given_up]


def test_a_killed_gateway_is_reported_offline_by_its_last_will(
    air: Air, one_broker: Broker, server: TestServer, gateway: GatewayProcess
) -> None:
    gateway.start()
    wait_for(lambda: server.states and server.states[-1].online and server.states[-1].scanner == "scanning")
    gateway.end(signal.SIGKILL)
    wait_for(lambda: not server.states[-1].online)
    gateway.start()
    wait_for(lambda: server.states[-1].online)
    assert gateway.end() == 0
    assert wait_for(lambda: not server.states[-1].online)
    assert server.states[-1].scanner == "stopped", "a farewell, not a last will"


def test_the_open_window_is_on_disk_after_an_orderly_stop(
    air: Air, one_broker: Broker, server: TestServer, gateway: GatewayProcess
) -> None:
    gateway.environment["HEARSIGHT_GATEWAY_WINDOW_S"] = "600"
    gateway.start()
    air.wait_for_scan()
    air.hear(1, frame(1))
    time.sleep(0.3)
    assert gateway.end() == 0
    wait_stored(server, {1})


def test_a_new_place_begins_a_new_batch(
    air: Air, one_broker: Broker, server: TestServer, gateway: GatewayProcess
) -> None:
    gateway.environment["HEARSIGHT_GATEWAY_WINDOW_S"] = "600"
    gateway.start()
    air.wait_for_scan()
    air.hear(1, frame(1))
    wait_stored(server, {1})
    air.hear(2, frame(2))
    assert gateway.command("place", "52.52", "13.4", "--accuracy-m", "7").returncode == 0
    wait_stored(server, {2})
    air.hear(3, frame(3))
    time.sleep(0.3)
    assert gateway.end() == 0
    wait_stored(server, {3})
    places = {h.frame: batch.place for batch in server.stored for s in unpack_sightings(batch) for h in s.frames}
    assert places[frame(1)] is None
    assert places[frame(2)] is None
    third = places[frame(3)]
    assert third is not None
    assert (third.lat_e7, third.lon_e7, third.accuracy_m) == (525_200_000, 134_000_000, 7)
    assert third.source is PlaceSource.MANUAL


def test_forged_receipts_settle_nothing(
    air: Air, one_broker: Broker, server: TestServer, gateway: GatewayProcess
) -> None:
    server.silent = True
    gateway.start()
    air.wait_for_scan()
    air.hear(1, frame(1))
    batch = wait_for(lambda: server.seen)[0].batch
    true_key, server.key = server.key, Ed25519PrivateKey.generate()
    stored = Outcome(batch.sequence, OutcomeKind.STORED)
    server.publish(topics.receipt(GATEWAY), server.receipt(batch.outbox_id, stored))
    server.key = true_key
    server.publish(topics.receipt(GATEWAY), server.receipt(bytes(16), stored))
    counted = {"receipt_signature": 1, "receipt_outbox": 1}
    wait_for(lambda: counted.items() <= gateway.status().get("dropped", {}).items())
    assert gateway.status()["queued_batches"] == 1
    server.publish(topics.receipt(GATEWAY), server.receipt(batch.outbox_id, stored))
    wait_for(lambda: not gateway.status()["queued_batches"])


@pytest.mark.parametrize("speaks", ["v5", "v4"])
def test_mqtt_5_and_3_1_1(tmp_path: Path, air: Air, speaks: str) -> None:
    broker = Iotcore(tmp_path / "only", speaks=speaks)
    broker.start()
    server = TestServer(broker.url)
    gateway = GatewayProcess(tmp_path / "g", air.bus_address)
    try:
        server.join(MQTTProtocolVersion.MQTTv5 if speaks == "v5" else MQTTProtocolVersion.MQTTv311)
        enrol(server.token, gateway.data)
        gateway.start()
        air.wait_for_scan()
        air.hear(1, frame(1))
        wait_stored(server, {1}, 30.0)
        spoken = [event["mqtt"] for event in gateway.log() if event["event"] == "link_ready"]
        assert spoken == ["5" if speaks == "v5" else "3.1.1"]
    finally:
        if gateway.process is not None:
            gateway.end(signal.SIGKILL)
        server.close()
        broker.end()


@pytest.mark.mosquitto
def test_the_gateway_has_a_credential_of_its_own(tmp_path: Path, air: Air) -> None:
    if not Path(MOSQUITTO).exists():
        pytest.skip("needs Mosquitto: apt-get install mosquitto")
    users = {f"gw-{GATEWAY}": "broker's secret", "server": "another"}
    broker = Mosquitto(tmp_path / "only", users=users)
    broker.start()
    server = TestServer(broker.url)
    right, wrong = (GatewayProcess(tmp_path / name, air.bus_address) for name in ("right", "wrong"))
    try:
        server.join(password="another")
        server.password = "not the secret"
        enrol(server.token, wrong.data)
        wrong.start()
        refused = wait_for(lambda: [e for e in wrong.log() if e["event"] == "link_lost"], 15.0)
        assert "refused" in refused[0]["reason"]
        wrong.end(signal.SIGKILL)
        server.password = "broker's secret"
        enrol(server.token, right.data)
        right.start()
        air.wait_for_scan()
        air.hear(1, frame(1))
        wait_stored(server, {1})
        assert "broker's secret" not in (right.folder / "gateway.log").read_text()
    finally:
        for gateway in (right, wrong):
            if gateway.process is not None:
                gateway.end(signal.SIGKILL)
        server.close()
        broker.end()
