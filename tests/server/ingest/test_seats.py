"""Who is who at the broker: names, refusals on the own broker, and sessions of workers that are gone."""

from __future__ import annotations

import re
import subprocess
import time
from collections.abc import Callable
from pathlib import Path

import paho.mqtt.client as paho
import pytest
import structlog
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
from paho.mqtt.enums import CallbackAPIVersion

from server import mqtt
from server.ingest import metrics
from server.ingest.inbox import Delivery
from server.ingest.seats import Seat, end_old_sessions, seats
from server.ingest.several import watched_workers
from server.refusal import Refusal
from server.settings import WORKERS_MAX, Settings, load
from tests.fixtures.brokers import Embedded, Mosquitto
from tests.server.ingest.test_drain import SERVER_KEY, TOPIC, Running, wait_until

LOG = structlog.get_logger("test")


def told(tmp_path: Path, workers: int, url: str = "mqtt://broker") -> Settings:
    return load({"HEARSIGHT_DATA": str(tmp_path), "HEARSIGHT_MQTT_URL": url, "HEARSIGHT_INGEST_WORKERS": str(workers)})


def publish(broker: Mosquitto, *payloads: bytes, user: str | None = None, password: str | None = None) -> None:
    client = paho.Client(CallbackAPIVersion.VERSION2, "publisher")
    client.username_pw_set(user, password)
    client.connect("127.0.0.1", broker.port)
    client.loop_start()
    for payload in payloads:
        client.publish(TOPIC, payload, 1).wait_for_publish(20)
    client.disconnect()
    client.loop_stop()


def test_names(tmp_path: Path) -> None:
    (alone,) = seats(told(tmp_path, 1))
    assert (alone.client_id, alone.subscription(SERVER_KEY)) == ("hearsight-ingest", "hearsight/1/gw/+/batch")
    two = seats(told(tmp_path, 2))
    assert [each.client_id for each in two] == ["hearsight-ingest-1", "hearsight-ingest-2"]
    (shared,) = {each.subscription(SERVER_KEY) for each in two}
    assert re.fullmatch(r"\$share/ingest-[0-9a-f]{16}/hearsight/1/gw/\+/batch", shared)
    assert two[0].subscription(Ed25519PrivateKey.generate()) != shared, "who does not know the key cannot join"


def test_where_the_broker_asks_for_passwords_only_who_knows_ours_knows_a_client_id(tmp_path: Path) -> None:
    first, second = (seats(told(tmp_path, 2, f"mqtt://Server:{word}@broker")) for word in ("first", "second"))
    ids = {each.client_id for each in (*first, *second)}
    assert len(ids) == 4
    assert all(re.fullmatch(r"hearsight-ingest-[12]-[0-9a-f]{16}", each) for each in ids)


@pytest.mark.mosquitto
def test_no_gateway_ends_the_session_of_the_ingest(make_mosquitto: Callable[..., Mosquitto], tmp_path: Path) -> None:
    """Mosquitto lets everybody connect under any client id, and ends the session of whoever had it."""
    passwords = tmp_path / "passwords"
    for user in ("Server", "gw-1", "gw-2"):
        line = ["mosquitto_passwd", "-b", *([] if passwords.exists() else ["-c"]), passwords, user, f"of {user}"]
        subprocess.run(line, check=True)
    acl = Path("deploy/mosquitto.acl").resolve()
    broker = make_mosquitto(f"allow_anonymous false\npassword_file {passwords}\nacl_file {acl}\n")

    def url(user: str) -> str:
        return f"mqtt://{user}:of%20{user}@127.0.0.1:{broker.port}"

    (alone,) = seats(told(tmp_path, 1, url("Server")))
    away = Running(url("Server"), alone)
    wait_until(away.drain.subscribed.is_set, "the subscription")
    away.stop()
    publish(broker, b"meanwhile", user="gw-1", password="of gw-1")
    for known in (*seats(told(tmp_path, 1)), *seats(told(tmp_path, 1, url("gw-2")))):
        mqtt.end_session(url("gw-2"), known.client_id)
    back = Running(url("Server"), alone)
    assert [each.payload for each in back.take(1)] == [b"meanwhile"]
    back.stop()


def test_how_many_there_may_be(tmp_path: Path) -> None:
    assert len(seats(told(tmp_path, WORKERS_MAX))) == WORKERS_MAX
    for wrong in (0, WORKERS_MAX + 1):
        with pytest.raises(Refusal, match="from 1 to 16"):
            told(tmp_path, wrong)


def test_the_own_broker_is_refused_by_its_address_and_when_none_is_set(tmp_path: Path, free_port: int) -> None:
    (tmp_path / "broker").mkdir()
    (tmp_path / "broker" / "port").write_text(f"{free_port}\n")
    own = f"mqtt://127.0.0.1:{free_port}"
    assert len(seats(told(tmp_path, 1, own))) == 1
    assert len(seats(told(tmp_path, 2, "mqtt://127.0.0.1:1"))) == 2
    for settings in (told(tmp_path, 2, own), told(tmp_path, 2, own.replace("127.0.0.1", "localhost"))):
        with pytest.raises(Refusal) as refused:
            seats(settings)
        assert refused.value.code == "workers_need_mosquitto"
    with pytest.raises(Refusal):
        seats(load({"HEARSIGHT_INGEST_WORKERS": "2"}))


def halves(first: list[Delivery], second: list[Delivery]) -> list[int]:
    return sorted(int(delivery.payload) for delivery in (*first, *second))


@pytest.mark.mosquitto
def test_two_share_and_what_is_meant_for_one_that_is_away_waits_for_it(mosquitto: Mosquitto) -> None:
    first, second = Running(mosquitto.url, Seat(1, 2)), Running(mosquitto.url, Seat(2, 2))
    for each in (first, second):
        wait_until(each.drain.subscribed.is_set, "the subscription")
    publish(mosquitto, *[b"%d" % n for n in range(20)])
    mine, yours = first.take(10), second.take(10)
    assert halves(mine, yours) == list(range(20))
    first.drain.answer(mine[:4], [])
    first.stop()
    publish(mosquitto, *[b"%d" % n for n in range(20, 30)])
    assert len(second.take(5)) == 5
    again = Running(mosquitto.url, Seat(1, 2))
    assert {int(each.payload) for each in again.take(11)} >= {int(each.payload) for each in mine[4:]}
    again.stop()
    second.stop()


@pytest.mark.mosquitto
def test_sessions_of_workers_that_are_gone_are_ended_and_hold_nothing_back(
    mosquitto: Mosquitto, tmp_path: Path
) -> None:
    """Three workers, or one alone, were here before: now every batch reaches the two that are."""
    gone = [Running(mosquitto.url, Seat(3, 3)), Running(mosquitto.url, Seat(1, 1))]
    for each in gone:
        wait_until(each.drain.subscribed.is_set, "the subscription")
        each.stop()
    living = Running(mosquitto.url, Seat(1, 2))
    wait_until(living.drain.subscribed.is_set, "the subscription")
    end_old_sessions(told(tmp_path, 2, mosquitto.url), 2, lambda _: pytest.fail("nothing is tried again"), LOG)
    assert "hearsight-ingest-2" not in mosquitto.log
    publish(mosquitto, *[b"%d" % n for n in range(10)])
    assert len(living.take(10)) == 10
    living.stop()
    for each in (again := [Running(mosquitto.url, Seat(3, 3)), Running(mosquitto.url, Seat(1, 1))]):
        wait_until(each.drain.subscribed.is_set, "the subscription")
    time.sleep(0.3)
    assert [len(each.inbox) for each in again] == [0, 0]
    for each in again:
        each.stop()


@pytest.mark.mosquitto
def test_a_worker_that_cannot_stay_alive_gives_way_to_the_others(mosquitto: Mosquitto, tmp_path: Path) -> None:
    """Away for a moment, it keeps its share; away for longer, the others get all that comes."""
    first, second = (Running(mosquitto.url, Seat(number, 2)) for number in (1, 2))
    for each in (first, second):
        wait_until(each.drain.subscribed.is_set, "the subscription")
    second.stop()
    _, dying = watched_workers(told(tmp_path, 2, mosquitto.url), {})
    dying.died(2.0)
    publish(mosquitto, *[b"%d" % n for n in range(10)])
    assert len(first.take(5)) == 5
    dying.died(4.0)
    publish(mosquitto, *[b"%d" % n for n in range(10, 20)])
    assert [int(each.payload) for each in first.take(10)] == list(range(10, 20))
    first.stop()


def test_without_a_broker_it_is_tried_again_until_there_is_no_time(tmp_path: Path, free_port: int) -> None:
    waited: list[float] = []

    def wait(pause_s: float) -> bool:
        waited.append(pause_s)
        return len(waited) == 3

    end_old_sessions(told(tmp_path, 1, f"mqtt://127.0.0.1:{free_port}"), 1, wait, LOG)
    assert waited == [0.1, 0.2, 0.4]


def test_the_own_broker_is_left_alone(embedded_broker: Embedded, tmp_path: Path) -> None:
    """It ends its life when somebody connects in an older protocol than it speaks, and never had a second worker."""
    assert embedded_broker.folder == tmp_path / "broker"
    end_old_sessions(told(tmp_path, 1, embedded_broker.url), 1, lambda _: pytest.fail("it was asked"), LOG)


DENIED = """plugin /usr/lib/x86_64-linux-gnu/mosquitto_dynamic_security.so
plugin_opt_config_file {folder}/dynamic.json
allow_anonymous true
"""
RULES = """{"defaultACLAccess": {"publishClientSend": true, "publishClientReceive": true, "subscribe": false,
"unsubscribe": true}, "clients": [], "groups": [], "roles": []}"""


@pytest.mark.mosquitto
def test_a_refused_subscription_is_told_and_tried_again(make_mosquitto, tmp_path: Path) -> None:
    rules = tmp_path / "dynamic.json"
    rules.write_text(RULES)
    rules.chmod(0o600)
    broker = make_mosquitto(DENIED.format(folder=tmp_path))
    before = metrics.CONNECTIONS.labels("subscription_refused")._value.get()
    running = Running(broker.url, Seat(1, 2))
    wait_until(lambda: metrics.CONNECTIONS.labels("subscription_refused")._value.get() >= before + 2, "two refusals")
    assert not running.drain.subscribed.is_set()
    running.stop()


@pytest.mark.mosquitto
def test_ending_a_session_says_so_when_it_could_not(make_mosquitto, free_port: int) -> None:
    with pytest.raises(OSError, match="accept"):
        mqtt.end_session(make_mosquitto("allow_anonymous false\n").url, "hearsight-ingest-3")
    with pytest.raises(ConnectionRefusedError):
        mqtt.end_session(f"mqtt://127.0.0.1:{free_port}", "hearsight-ingest-3")
