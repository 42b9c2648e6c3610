"""Gateways join and leave, and a real Mosquitto lets them in and out: password file, reload, topics of one's own."""

from __future__ import annotations

import base64
import subprocess
import time
from collections.abc import Callable
from dataclasses import dataclass, replace
from datetime import UTC, datetime, timedelta
from pathlib import Path
from queue import Empty, Queue

import paho.mqtt.client as mqtt
import pytest
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
from paho.mqtt.enums import CallbackAPIVersion, MQTTProtocolVersion
from sqlalchemy import Engine, text

from server import wiring
from server.refusal import Refusal
from server.service import gateways
from server.service.broker_list import BrokerList, password_hash
from server.service.gateways import NewGateway, Registry
from server.settings import load
from server.store import db
from server.store.gateways import NewSite
from tests.fixtures.brokers import Mosquitto
from wire.batch import GatewayClass, Place, PlaceSource
from wire.enrolment import EnrolReply, EnrolRequest, EnrolToken, decode_enrol_reply, decode_token, encode_request
from wire.signing import Domain, public_key, sign, verify

NOW = datetime(2026, 1, 5, 12, tzinfo=UTC)
BERLIN = NewSite("berlin", "Berlin", "Europe/Berlin", 525_200_000, 134_000_000, {"workdays": [0, 1, 2, 3, 4]})
CROWD = NewGateway("crowd-1", GatewayClass.CROWD, "somebody")
OPEN_BROKER = {"HEARSIGHT_MQTT_URL": "mqtt://127.0.0.1:1"}


@pytest.fixture
def registry() -> Registry:
    return Registry(load(OPEN_BROKER), wiring.dice, Ed25519PrivateKey.generate())


@dataclass
class Machine:
    """A gateway's side of the enrolment, with a key of its own."""

    key: Ed25519PrivateKey

    def request(self, token: EnrolToken) -> bytes:
        body = encode_request(EnrolRequest(token.gateway, token.secret, self.key.public_key().public_bytes_raw()))
        return sign(self.key, Domain.ENROL_REQUEST, body)


def machine() -> Machine:
    return Machine(Ed25519PrivateKey.generate())


def make(engine: Engine, registry: Registry, new: NewGateway = CROWD) -> EnrolToken:
    with db.transaction(engine) as tx:
        _, token = gateways.create(tx, registry, new, NOW, actor="cli")
    return decode_token(token)


def enrol(engine: Engine, registry: Registry, payload: bytes, now: datetime = NOW) -> EnrolReply:
    with db.transaction(engine) as tx:
        reply = gateways.enrol(tx, registry, payload, now)
    return decode_enrol_reply(verify(registry.server_key.public_key(), Domain.ENROL_REPLY, reply))


def code_of(work: Callable[[], object]) -> str:
    with pytest.raises(Refusal) as refused:
        work()
    return refused.value.code


def test_enrolment(engine: Engine, registry: Registry) -> None:
    with db.transaction(engine) as tx:
        assert gateways.create_site(tx, BERLIN, NOW, actor="cli")
        assert not gateways.create_site(tx, BERLIN, NOW, actor="cli")
    token = make(engine, registry, NewGateway("dock-1", GatewayClass.OWN_SITE, site="berlin"))
    assert token.url == "http://127.0.0.1:8000"
    assert public_key(token.server_public_key) == registry.server_key.public_key()
    here = machine()
    reply = enrol(engine, registry, here.request(token))
    assert (reply.gateway, reply.mqtt_username, reply.mqtt_url) == ("dock-1", "dock-1", "mqtt://127.0.0.1:1")
    assert reply.place == Place(525_200_000, 134_000_000, 50, PlaceSource.FIXED)
    assert (reply.gateway_class, reply.network_id) == (GatewayClass.OWN_SITE, 0xF0)
    with db.transaction(engine) as tx:
        (known,) = gateways.everything(tx)
        assert known.public_key == here.key.public_key().public_bytes_raw()
        assert (known.owner, known.enrolled_at) == ("us", NOW)
        kept = "".join(tx.execute(text("select g::text from gateways g")).scalars())
        kept += "".join(tx.execute(text("select t::text from enrolment_tokens t")).scalars())
        kept += "".join(tx.execute(text("select a::text from audit a")).scalars())
    assert reply.mqtt_password not in kept
    assert token.secret.hex() not in kept


def test_a_lost_reply_is_asked_for_again_with_the_same_key_only(engine: Engine, registry: Registry) -> None:
    token, here = make(engine, registry), machine()
    first = enrol(engine, registry, here.request(token))
    second = enrol(engine, registry, here.request(token), NOW + timedelta(hours=1))
    assert first.mqtt_password != second.mqtt_password
    other = machine().request(token)
    assert code_of(lambda: enrol(engine, registry, other)) == "enrolment_refused"
    late = NOW + gateways.TOKEN_LIFETIME
    assert code_of(lambda: enrol(engine, registry, here.request(token), late)) == "enrolment_refused"


def test_every_mistake_gets_one_answer(engine: Engine, registry: Registry) -> None:
    token, here = make(engine, registry), machine()
    make(engine, registry, NewGateway("crowd-2", GatewayClass.CROWD, "somebody"))
    good = here.request(token)
    wrong = [
        b"", b"x" * 64, good[:-1], good + b"x", good[:10] + bytes([good[10] ^ 1]) + good[11:],
        machine().key.sign(b"hearsight enrol request v1" + good[64:]) + good[64:],
        here.request(replace_token(token, secret=b"0" * 16)),
        here.request(replace_token(token, gateway="crowd-2")),
        here.request(replace_token(token, gateway="unknown")),
    ]  # fmt: skip
    told = set()
    for payload in wrong:
        with pytest.raises(Refusal) as refused:
            enrol(engine, registry, payload)
        told.add((refused.value.code, refused.value.message, refused.value.reference))
    assert len(told) == 1
    assert enrol(engine, registry, good).gateway == "crowd-1"


def replace_token(token: EnrolToken, **changes: object) -> EnrolToken:
    values = {
        "url": token.url,
        "gateway": token.gateway,
        "secret": token.secret,
        "server_public_key": token.server_public_key,
    }
    return EnrolToken(**(values | changes))  # type: ignore[arg-type]


def test_a_new_token_ends_the_old_one_and_revocation_ends_all(engine: Engine, registry: Registry) -> None:
    old, here = make(engine, registry), machine()
    with db.transaction(engine) as tx:
        new = decode_token(gateways.reenrol(tx, registry, "crowd-1", NOW, actor="cli"))
    assert code_of(lambda: enrol(engine, registry, here.request(old))) == "enrolment_refused"
    with db.transaction(engine) as tx:
        gateways.revoke(tx, registry, "crowd-1", NOW, actor="cli")
    assert code_of(lambda: enrol(engine, registry, here.request(new))) == "enrolment_refused"
    with db.transaction(engine) as tx:
        newest = decode_token(gateways.reenrol(tx, registry, "crowd-1", NOW, actor="cli"))
    enrol(engine, registry, here.request(newest))
    with db.transaction(engine) as tx:
        assert gateways.existing(tx, "crowd-1").revoked_at is None


def test_what_cannot_be_made(engine: Engine, registry: Registry) -> None:
    make(engine, registry)
    for new, code in (
        (CROWD, "gateway_exists"),
        (replace(CROWD, gateway="Dock"), "gateway_name"),
        (replace(CROWD, gateway="a/b"), "gateway_name"),
        (replace(CROWD, gateway="other", owner=""), "owner_needed"),
        (NewGateway("dock-1", GatewayClass.OWN_SITE), "site_needed"),
        (NewGateway("dock-1", GatewayClass.OWN_SITE, site="nowhere"), "site_unknown"),
    ):
        assert code_of(lambda new=new: make(engine, registry, new)) == code  # type: ignore[misc]
    with db.transaction(engine) as tx:
        assert code_of(lambda: gateways.revoke(tx, registry, "nobody", NOW, actor="cli")) == "gateway_unknown"


def test_a_gateway_moves(engine: Engine, registry: Registry) -> None:
    make(engine, registry)
    moved = NewGateway("crowd-1", GatewayClass.PARTNER, "shop", place=Place(1, 2, 3, PlaceSource.FIXED))
    with db.transaction(engine) as tx:
        changed = gateways.change(tx, moved, NOW, actor="cli")
    assert (changed.gateway_class, changed.owner, changed.place) == (GatewayClass.PARTNER, "shop", moved.place)


@pytest.mark.parametrize(
    "calendar",
    [
        {"pickups": [{"weekday": 7, "at": "16:00"}]}, {"pickups": [{"weekday": 1}]}, {"pickups": 3},
        {"holidays": ["2026-02-30"]}, {"cutoff": "25:00"}, {"workdays": ["Monday"]}, {"unknown": 1},
        {"pickup_grace_s": -1}, {"pickups": [{"weekday": 1, "at": 16}]},
    ],
)  # fmt: skip
def test_a_calendar_that_rules_could_not_read(engine: Engine, calendar: dict[str, object]) -> None:
    with db.transaction(engine) as tx:
        site = replace(BERLIN, calendar=calendar)
        assert code_of(lambda: gateways.create_site(tx, site, NOW, actor="cli")) == "site_invalid"


def test_a_known_site_keeps_its_data(engine: Engine) -> None:
    with db.transaction(engine) as tx:
        gateways.create_site(tx, BERLIN, NOW, actor="cli")
        other = replace(BERLIN, lat_e7=0)
        assert code_of(lambda: gateways.create_site(tx, other, NOW, actor="cli")) == "site_exists"


# --- with the real Mosquitto


def test_our_hashes_are_mosquittos(tmp_path: Path) -> None:
    """The same password and salt give the same line as mosquitto_passwd writes."""
    path = tmp_path / "passwd"
    path.write_text("somebody:pässword with $7$\n")
    subprocess.run(["mosquitto_passwd", "-U", str(path)], check=True)
    theirs = path.read_text().strip().partition(":")[2]
    salt = base64.b64decode(theirs.split("$")[3])
    assert password_hash("pässword with $7$", salt) == theirs


class Client:
    """One connection with what became of it."""

    def __init__(self, port: int, user: str, password: str, topic: str = "") -> None:
        self.connected: Queue[bool] = Queue()
        self.lost: Queue[bool] = Queue()
        self.got: Queue[str] = Queue()
        self.mqtt = mqtt.Client(
            CallbackAPIVersion.VERSION2, f"{user}-test", protocol=MQTTProtocolVersion.MQTTv5, reconnect_on_failure=False
        )
        self.mqtt.username_pw_set(user, password)
        self.mqtt.on_connect = lambda _c, _u, _f, reason, _p: self.connected.put(not reason.is_failure)
        self.mqtt.on_disconnect = lambda *_: self.lost.put(True)
        self.mqtt.on_message = lambda _c, _u, message: self.got.put(message.topic)
        self.mqtt.connect("127.0.0.1", port)
        self.mqtt.loop_start()
        self.let_in = self.connected.get(timeout=10)
        if topic and self.let_in:
            self.mqtt.subscribe(topic, 1)

    def close(self) -> None:
        self.mqtt.disconnect()
        self.mqtt.loop_stop()


@pytest.fixture
def guarded(make_mosquitto: Callable[..., Mosquitto], tmp_path: Path, root: Path) -> tuple[Mosquitto, Registry]:
    """A Mosquitto with our access list and the server's password file, and a registry that writes it."""
    passwd = tmp_path / "list" / "passwd"
    passwd.parent.mkdir()
    passwd.touch(mode=0o600)
    acl = tmp_path / "acl"
    acl.write_text((root / "deploy" / "mosquitto.acl").read_text())
    acl.chmod(0o600)
    broker = make_mosquitto(f"allow_anonymous false\npassword_file {passwd}\nacl_file {acl}\n")
    told = load(
        {
            "HEARSIGHT_MQTT_URL": f"mqtt://Server:our%20own%20password@127.0.0.1:{broker.port}",
            "HEARSIGHT_MQTT_PASSWD_FILE": str(passwd),
            "HEARSIGHT_MQTT_PID_FILE": str(broker.pid_file),
        }
    )
    return broker, Registry(told, wiring.dice, Ed25519PrivateKey.generate())


def test_mosquitto_lets_in_whom_we_enrol_and_throws_out_whom_we_revoke(
    engine: Engine, guarded: tuple[Mosquitto, Registry]
) -> None:
    broker, registry = guarded
    with db.transaction(engine) as tx:
        gateways.write_broker_list(tx, registry)
    wait_until(lambda: let_in(broker.port, "Server", "our own password"))
    server = Client(broker.port, "Server", "our own password", "hearsight/1/gw/+/batch")
    ann = enrol(engine, registry, machine().request(make(engine, registry)))
    bob_token = make(engine, registry, NewGateway("crowd-2", GatewayClass.CROWD, "somebody"))
    bob = enrol(engine, registry, machine().request(bob_token))
    wait_until(lambda: let_in(broker.port, "crowd-1", ann.mqtt_password))
    assert not let_in(broker.port, "crowd-1", "wrong")
    assert not let_in(broker.port, "crowd-1", bob.mqtt_password)

    gateway = Client(broker.port, "crowd-1", ann.mqtt_password)
    neighbour = Client(broker.port, "crowd-2", bob.mqtt_password)
    # Mosquitto 2.0.11 ends the connection of who publishes what it may not, with max_inflight_messages 0.
    neighbour.mqtt.publish("hearsight/1/gw/crowd-1/batch", b"in another's name", 1)
    time.sleep(0.2)
    gateway.mqtt.publish("hearsight/1/gw/crowd-1/batch", b"in my own name", 1)
    assert server.got.get(timeout=10) == "hearsight/1/gw/crowd-1/batch"
    with pytest.raises(Empty):
        server.got.get(timeout=0.2)
    neighbour = Client(broker.port, "crowd-2", bob.mqtt_password)

    with db.transaction(engine) as tx:
        gateways.revoke(tx, registry, "crowd-1", NOW, actor="cli")
    assert gateway.lost.get(timeout=10), "a revoked gateway is thrown out, not only kept from coming back"
    assert not let_in(broker.port, "crowd-1", ann.mqtt_password)
    assert neighbour.lost.empty(), "nobody else is disturbed"
    assert server.lost.empty()
    for each in (server, gateway, neighbour):
        each.close()


def let_in(port: int, user: str, password: str) -> bool:
    client = Client(port, user, password)
    client.close()
    return client.let_in


def wait_until(true: Callable[[], bool]) -> None:
    """Mosquitto reads its list within a moment of the signal."""
    until = time.monotonic() + 10
    while not true():
        assert time.monotonic() < until
        time.sleep(0.05)


def test_the_list_keeps_its_mode_and_is_written_whole(engine: Engine, guarded: tuple[Mosquitto, Registry]) -> None:
    broker, registry = guarded
    path = registry.settings.mqtt_passwd_file
    assert path
    path.chmod(0o604)
    enrol(engine, registry, machine().request(make(engine, registry)))
    assert path.stat().st_mode & 0o777 == 0o604
    assert [line.partition(":")[0] for line in path.read_text().splitlines()] == ["Server", "crowd-1"]
    assert [each.name for each in path.parent.iterdir()] == ["passwd"], "nothing half-written is left"
    path.unlink()
    with db.transaction(engine) as tx:
        gateways.write_broker_list(tx, registry)
    assert path.stat().st_mode & 0o777 == 0o640
    assert broker.pid


def test_a_list_that_cannot_be_written_undoes_the_enrolment(engine: Engine, tmp_path: Path) -> None:
    told = load(OPEN_BROKER | {"HEARSIGHT_MQTT_PASSWD_FILE": str(tmp_path / "missing" / "passwd")})
    registry = Registry(told, wiring.dice, Ed25519PrivateKey.generate())
    token, here = make(engine, registry), machine()
    assert code_of(lambda: enrol(engine, registry, here.request(token))) == "broker_list_failed"
    (tmp_path / "missing").mkdir()
    assert enrol(engine, registry, here.request(token)).gateway == "crowd-1"


def test_a_pid_that_is_somebody_elses_is_left_alone(engine: Engine, tmp_path: Path) -> None:
    stranger = subprocess.Popen(["sleep", "60"])
    try:
        (tmp_path / "pid").write_text(f"{stranger.pid}\n")
        with db.transaction(engine) as tx:
            BrokerList(tmp_path / "passwd", tmp_path / "pid", "", "", wiring.dice).write(tx)
        time.sleep(0.1)
        assert stranger.poll() is None
    finally:
        stranger.kill()
        stranger.wait()
