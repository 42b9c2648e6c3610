"""The broker's configuration: every line has its reason, and the real Mosquitto runs with it as it is written.

The broker is started by the entrypoint of the container, with certificates from deploy/prepare; only paths and
the port are replaced.
"""

from __future__ import annotations

import os
import pwd
import shutil
import signal
import ssl
import subprocess
import threading
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path

import paho.mqtt.client as mqtt
import pytest
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
from paho.mqtt.enums import CallbackAPIVersion

from server.ingest.seats import Seat
from server.service.broker_list import password_hash, replace_file
from tests.fixtures.ports import free_ports
from tests.shape.tree import ROOT, text_of
from wire import topics

CONF = "deploy/mosquitto.conf"
REQUIRED = {
    "max_queued_messages 0",
    "max_inflight_messages 0",
    "set_tcp_nodelay true",
    "persistence true",
    "allow_anonymous false",
    "listener 8883",
}


@pytest.mark.parametrize("name", [CONF, "deploy/mosquitto.acl"])
def test_every_line_carries_its_reason(name: str) -> None:
    lines = text_of(name).splitlines()
    for number, line in enumerate(lines):
        if not line or line.startswith("#"):
            continue
        above = lines[number - 1]
        # In the ACL a reason may stand over a block of lines of one kind.
        block = name.endswith(".acl") and above and not above.startswith("#")
        assert above.startswith("# ") or block, f"{name}:{number + 1}: '{line}' stands without a reason"


def test_the_settings_that_lost_data_without_them() -> None:
    assert set(text_of(CONF).splitlines()) >= REQUIRED


@dataclass(slots=True)
class Broker:
    """A running broker: where it listens, its list of gateways, its authority's certificate."""

    port: int
    passwords: Path
    ca: Path
    log: Path

    def enrol(self, *gateways: str) -> None:
        """Writes the list as the server does; a gateway's password is its name backwards."""
        lines = [f"{name}:{password_hash(name[::-1], os.urandom(12))}\n" for name in gateways]
        # The server puts itself into the list, too; the entrypoint knows its password better.
        lines.insert(0, f"Server:{password_hash('an old password of the server', os.urandom(12))}\n")
        replace_file(self.passwords, "".join(lines))


@pytest.fixture(scope="module")
def prepared(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A copy of deploy/ in which deploy/prepare was run, twice: the second time must change nothing."""
    home = tmp_path_factory.mktemp("house")
    (home / "deploy").mkdir()
    for name in ("prepare", "broker-entrypoint", "mosquitto.conf", "mosquitto.acl"):
        shutil.copy(ROOT / "deploy" / name, home / "deploy" / name)
    subprocess.run([home / "deploy/prepare", "--name", "tags.example.org"], check=True, capture_output=True)
    before = {path: path.read_bytes() for path in home.rglob("*") if path.is_file()}
    subprocess.run([home / "deploy/prepare"], check=True, capture_output=True)
    assert before == {path: path.read_bytes() for path in home.rglob("*") if path.is_file()}
    return home


@pytest.fixture(scope="module")
def broker(prepared: Path) -> Iterator[Broker]:
    if not shutil.which("mosquitto", path="/usr/sbin:" + os.environ["PATH"]):
        pytest.fail("Mosquitto is not installed; `make test` sees to that: apt-get install mosquitto")
    port = free_ports()
    run, queue = prepared / "run", prepared / "queue"
    queue.mkdir()
    me = pwd.getpwuid(os.getuid()).pw_name
    text = text_of(CONF).replace("/run/mosquitto", str(run)).replace("/var/lib/mosquitto/", f"{queue}/")
    text = text.replace("/etc/hearsight/", f"{prepared}/deploy/").replace("listener 8883", f"listener {port} 127.0.0.1")
    config = prepared / "mosquitto.conf"
    config.write_text(f"{text}\nuser {me}\n")
    passwords, log = prepared / "passwd", prepared / "broker.log"
    env = os.environ | {
        "BROKER_LIST": str(passwords),
        "BROKER_TLS": str(prepared / "deploy/secrets/tls"),
        "BROKER_RUN": str(run),
        "MQTT_PASSWORD": "the server's own",
        "PATH": "/usr/sbin:" + os.environ["PATH"],
    }
    it = Broker(port, passwords, prepared / "deploy/secrets/tls/ca.pem", log)
    it.enrol("north", "south")
    with log.open("wb") as out:
        process = subprocess.Popen([prepared / "deploy/broker-entrypoint", config], env=env, stdout=out, stderr=out)
    try:
        wait_for(lambda: connects(it, "Server", "the server's own"), f"the broker to start: {log}")
        yield it
    finally:
        process.send_signal(signal.SIGTERM)
        assert process.wait(10) == 0, "SIGTERM to the entrypoint ends the broker in good order"


def wait_for(true: Callable[[], bool], what: str, seconds: float = 15.0) -> None:
    end = time.monotonic() + seconds
    while not true():
        assert time.monotonic() < end, f"waited in vain for {what}"
        time.sleep(0.05)


def client(broker: Broker, user: str | None, password: str = "", *, tls: bool = True) -> mqtt.Client:
    it = mqtt.Client(CallbackAPIVersion.VERSION2, client_id=f"test-{user}-{time.monotonic_ns()}")
    if user is not None:
        it.username_pw_set(user, password)
    if tls:
        context = ssl.create_default_context(cafile=broker.ca)
        context.verify_flags |= ssl.VERIFY_X509_STRICT  # the default from Python 3.13 on
        it.tls_set_context(context)
    return it


def connects(broker: Broker, user: str | None, password: str = "", *, tls: bool = True) -> bool:
    """Whether the broker lets this user in."""
    it = client(broker, user, password, tls=tls)
    answers: list[bool] = []
    it.on_connect = lambda _c, _u, _f, code, _p: answers.append(not code.is_failure)
    try:
        it.connect("127.0.0.1", broker.port, keepalive=10)
    except OSError:
        return False
    end = time.monotonic() + 5
    while not answers and time.monotonic() < end and it.loop(0.1) == mqtt.MQTT_ERR_SUCCESS:
        pass
    it.disconnect()
    return answers == [True]


@pytest.mark.mosquitto
def test_nobody_without_a_name_or_without_tls(broker: Broker) -> None:
    assert connects(broker, "north", "htron")
    assert not connects(broker, None)
    assert not connects(broker, "north", "wrong")
    assert not connects(broker, "Server", "wrong")
    assert not connects(broker, "north", "htron", tls=False)


class Ear:
    """The server's subscription to everything; remembers the topics it heard."""

    def __init__(self, broker: Broker, user: str, password: str, *filters: str) -> None:
        self.heard: list[str] = []
        self.ready = threading.Event()
        self.client = client(broker, user, password)
        self.client.on_message = lambda _c, _u, message: self.heard.append(message.topic)
        self.client.on_subscribe = lambda *_: self.ready.set()
        self.client.on_connect = lambda c, *_: c.subscribe([(f, 1) for f in filters])
        self.client.connect("127.0.0.1", broker.port)
        self.client.loop_start()
        assert self.ready.wait(10)

    def close(self) -> None:
        self.client.disconnect()
        self.client.loop_stop()


def publish(broker: Broker, user: str, *names: str) -> None:
    """Publishes on each topic by a connection of its own: Mosquitto 2.0.11 with `max_queued_messages 0` ends the
    connection of whoever publishes what the list denies.
    """
    for name in names:
        it = client(broker, user, "the server's own" if user == "Server" else user[::-1])
        answered = threading.Event()
        it.on_connect = lambda c, *_, name=name: c.publish(name, b"x", qos=1)
        it.on_publish = it.on_disconnect = lambda *_, answered=answered: answered.set()
        it.connect("127.0.0.1", broker.port)
        it.loop_start()
        assert answered.wait(10)
        it.disconnect()
        it.loop_stop()


@pytest.mark.mosquitto
def test_a_gateway_speaks_for_itself_only(broker: Broker) -> None:
    server = Ear(broker, "Server", "the server's own", topics.ALL_BATCHES, topics.ALL_STATES, topics.ALL_ANSWERS)
    own = [topics.batch("north"), topics.state("north"), topics.answer("north")]
    others = [topics.batch("south"), topics.state("south"), topics.answer("south"), topics.receipt("north")]
    publish(broker, "north", *others, *own)
    wait_for(lambda: len(server.heard) >= 3, "the gateway's own topics")
    server.close()
    assert server.heard == own


@pytest.mark.mosquitto
def test_a_gateway_hears_only_what_is_for_it(broker: Broker) -> None:
    north = Ear(broker, "north", "htron", "#")
    publish(broker, "south", topics.batch("south"), topics.receipt("north"), topics.command("north"))
    publish(broker, "Server", topics.receipt("south"), topics.command("south"))
    publish(broker, "Server", topics.receipt("north"), topics.command("north"))
    wait_for(lambda: len(north.heard) >= 2, "the gateway's own receipt and command")
    north.close()
    assert north.heard == [topics.receipt("north"), topics.command("north")]


@pytest.mark.mosquitto
def test_two_workers_share_what_no_gateway_can_take_from_them(broker: Broker) -> None:
    """Mosquitto lets a gateway into any group and would give it its share, to drop it: the group's name is a secret."""
    secret = Seat(1, 2).subscription(Ed25519PrivateKey.generate())
    workers = [Ear(broker, "Server", "the server's own", secret) for _ in range(2)]
    thief = Ear(broker, "north", "htron", topics.shared("ingest", topics.ALL_BATCHES))
    publish(broker, "south", *[topics.batch("south")] * 6)
    wait_for(lambda: sum(len(each.heard) for each in workers) >= 6, "the batches")
    for each in (*workers, thief):
        each.close()
    assert [len(each.heard) for each in (*workers, thief)] == [3, 3, 0]


@pytest.mark.mosquitto
def test_the_list_is_read_again_and_a_revoked_gateway_is_put_out(broker: Broker) -> None:
    broker.enrol("north", "south", "west")
    wait_for(lambda: connects(broker, "west", "tsew"), "the new gateway to be let in")
    gone = threading.Event()
    west = client(broker, "west", "tsew")
    west.on_disconnect = lambda *_: gone.set()
    west.connect("127.0.0.1", broker.port)
    west.loop_start()
    broker.enrol("north", "south")
    assert gone.wait(15), "the revoked gateway is still connected"
    west.loop_stop()
    assert not connects(broker, "west", "tsew")
    assert connects(broker, "north", "htron")


def test_prepare_keeps_secrets_to_itself(prepared: Path) -> None:
    assert (prepared / ".env").stat().st_mode & 0o077 == 0
    for key in (prepared / "deploy/secrets").rglob("*.key"):
        assert key.stat().st_mode & 0o077 == 0
    names = subprocess.run(
        ["openssl", "x509", "-in", prepared / "deploy/secrets/tls/broker.pem", "-noout", "-ext", "subjectAltName"],
        check=True, capture_output=True, text=True,
    ).stdout  # fmt: skip
    assert "DNS:tags.example.org" in names
    assert "DNS:mosquitto" in names
