"""An activation with the tag in hand: by a laptop alone, and carried by an enrolled gateway on the server's orders."""

from __future__ import annotations

import shlex
import signal
import subprocess
import sys
import threading
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey

from firmware_sim.tag import Unit
from tests.conftest import ROOT
from tests.firmware_sim.owners import Owner
from tests.gateway.air import Air
from tests.gateway.brokers import Broker
from tests.gateway.claims import TOKEN, Claims
from tests.gateway.hand import TagInHand
from tests.gateway.process import GatewayProcess
from tests.gateway.server import TestServer, wait_for
from wire import topics
from wire.activation import activation_data, verify_answer
from wire.command import Answer, Candidates, Connect, Failed, Find, Nonce, Order, Result, Write
from wire.frames import decode_p
from wire.gatt import Op, claim_mac, decode_reply, encode_message
from wire.keys import owner_hash, tag_key
from wire.set_owner import IV_LEN, decode_held, encode_begin, encode_finish, seal_step, split_list

K_FACTORY, K_LOT, K_CLAIM = (bytes([n]) * 16 for n in (1, 2, 3))
SERVER = Ed25519PrivateKey.from_private_bytes(bytes([4]) * 32)
OWNER = bytes(range(32))
SESSION = bytes(range(16))


def unit(serial: int = 700) -> Unit:
    private = Ed25519PrivateKey.from_private_bytes(serial.to_bytes(32, "big"))
    return Unit(serial, K_LOT, tag_key(K_FACTORY, serial), K_CLAIM, private, SERVER.public_key())


@pytest.fixture
def claims() -> Claims:
    return Claims(unit(), K_FACTORY, SERVER)


@pytest.fixture
def web(claims: Claims) -> Iterator[TestServer]:
    """A server of which only the web is used."""
    server = TestServer("mqtt://127.0.0.1:1")
    server.claims = claims
    yield server
    server.close()


@pytest.fixture
def laptop(tmp_path: Path, air: Air, web: TestServer) -> GatewayProcess:
    laptop = GatewayProcess(tmp_path / "laptop", air.bus_address)
    laptop.environment |= {"HEARSIGHT_SERVER": web.url, "HEARSIGHT_TOKEN": TOKEN, "XDG_CONFIG_HOME": str(tmp_path)}
    return laptop


def test_a_laptop_activates_a_tag(tmp_path: Path, air: Air, laptop: GatewayProcess, claims: Claims) -> None:
    claims.not_heard_times = 1
    neighbour = unit(701)
    with TagInHand(air, claims.unit) as tag, TagInHand(air, neighbour):

        def press() -> None:
            wait_for(lambda: claims.nonces, 60)
            tag.press()

        presser = threading.Thread(target=press)
        presser.start()
        done = laptop.command("activate", claims.code.lower())
        presser.join()
    assert done.returncode == 0, done.stdout + done.stderr
    assert "Press the tag's button now" in done.stdout
    key = tmp_path / "hearsight" / "owner.key"
    assert key.stat().st_mode & 0o777 == 0o600
    assert claims.owner is not None
    assert tag.owner_hash == owner_hash(claims.owner)
    verify = next(line for line in done.stdout.splitlines() if line.startswith("python -m wire verify-receipt"))
    checked = subprocess.run([sys.executable, *shlex.split(verify)[1:]], cwd=ROOT, capture_output=True, text=True)
    assert checked.returncode == 0, checked.stdout + checked.stderr


def test_a_tag_forgets_its_former_owner_first(air: Air, laptop: GatewayProcess, claims: Claims) -> None:
    claims.former_owner = True
    with TagInHand(air, claims.unit, owner_hash=bytes(range(16))) as tag:
        stop = threading.Event()

        def press() -> None:
            while not stop.wait(2.0):
                tag.press()

        threading.Thread(target=press, daemon=True).start()
        tag.press()
        done = laptop.command("activate", claims.code)
        stop.set()
    assert done.returncode == 0, done.stdout + done.stderr
    assert "forgotten its former owner" in done.stdout
    assert [nonce["cleared"] for nonce in claims.nonces][-2:] == [False, True]


def test_a_server_that_would_make_the_tag_somebody_elses_is_refused(
    air: Air, laptop: GatewayProcess, claims: Claims
) -> None:
    claims.tamper = True
    with TagInHand(air, claims.unit) as tag:
        tag.press()
        done = laptop.command("activate", claims.code)
    assert done.returncode == 1
    assert "write_not_ours" in done.stderr
    assert tag.owner_hash == b""


def test_mistakes_of_a_person_are_told_with_a_code(laptop: GatewayProcess, claims: Claims) -> None:
    wrong = claims.code[:-1] + ("0" if claims.code[-1] != "0" else "1")
    assert "code_mistyped" in laptop.command("activate", wrong).stderr
    assert "sign_in_needed" in laptop.command("activate", claims.code, "--token", "not-a-token").stderr
    done = laptop.command("activate", claims.code, HEARSIGHT_TOKEN="")
    assert (done.returncode, "token_missing" in done.stderr) == (1, True)
    away = laptop.command("activate", claims.code, "--server", "http://127.0.0.1:1")
    assert "server_unreachable" in away.stderr


class Orders:
    """The server's side of a carrying: one order, its answer."""

    def __init__(self, server: TestServer) -> None:
        self.server = server

    def __call__(self, order: Order, seconds: float = 30.0) -> Answer:
        before = len(self.server.answers)
        self.server.order(order)
        wait_for(lambda: len(self.server.answers) > before, seconds, f"for an answer to {order}")
        return self.server.answers[-1]


def candidate(answer: Answer, serial: int) -> bytes:
    assert isinstance(answer.body, Candidates)
    return next(f for f in answer.body.frames if decode_p(f, K_LOT, K_FACTORY).serial == serial)


def test_a_gateway_carries_an_activation(
    air: Air, one_broker: Broker, server: TestServer, gateway: GatewayProcess, claims: Claims
) -> None:
    gateway.start()
    air.wait_for_scan()
    wait_for(lambda: server.states and server.states[-1].online)
    order = Orders(server)
    with TagInHand(air, claims.unit) as tag, TagInHand(air, unit(701)):
        wait_for(lambda: gateway.status().get("sightings_made"), 20)
        found = order(Find(SESSION))
        frame = candidate(found, 700)

        air.call(lambda: air.bluez.faults.fail_connections(1, "le-connection-timeout"))  # the first attempt fails
        nonce = order(Connect(SESSION, frame)).body
        assert isinstance(nonce, Nonce)
        message, _ = claims.write(nonce.nonce, OWNER, False)
        assert order(Write(SESSION, message)).body == Failed(SESSION, "button_not_pressed")
        air.wait_for_scan()

        frame = candidate(order(Find(SESSION)), 700)
        tag.press()
        nonce = order(Connect(SESSION, frame)).body
        assert isinstance(nonce, Nonce)
        assert not air.call(air.bluez.discovering), "no scan while connected"
        message, challenge = claims.write(nonce.nonce, OWNER, False)
        assert challenge is not None
        result = order(Write(SESSION, message))
        assert isinstance(result.body, Result)
        receipt = decode_reply(result.body.answer, Op.ACTIVATE)
        stated = verify_answer(claims.unit.private_key.public_key().public_bytes_raw(), challenge, receipt)
        assert (stated.serial, stated.owner_hash) == (700, owner_hash(OWNER))
        assert result.sequence > found.sequence
        air.wait_for_scan()

        assert tag.door.linked, "it keeps the connection, for an owner to be set"
        order(Find(SESSION))
        wait_for(lambda: not tag.door.linked, 0.5, "for the end, by the next find")
        assert order(Connect(SESSION, bytes(24))).body == Failed(SESSION, "tag_not_heard")
        assert order(Write(SESSION, message)).body == Failed(SESSION, "not_reachable")


def test_a_gateway_carries_a_year_of_identifiers_in_one_connection(
    air: Air, one_broker: Broker, server: TestServer, gateway: GatewayProcess, claims: Claims
) -> None:
    """For a private claim: what passes through the gateway tells it neither K_own nor the identifiers."""
    gateway.start()
    air.wait_for_scan()
    wait_for(lambda: server.states and server.states[-1].online)
    order, owner = Orders(server), Owner("Ann", k_claim=claims.unit.k_claim)
    with TagInHand(air, claims.unit) as tag:
        wait_for(lambda: gateway.status().get("sightings_made"), 20)
        frame = candidate(order(Find(SESSION)), 700)
        tag.press()
        nonce = order(Connect(SESSION, frame)).body
        assert isinstance(nonce, Nonce)
        data = activation_data(bytes(16), owner.hash)
        activate = encode_message(Op.ACTIVATE, data, claim_mac(owner.k_claim, nonce.nonce, Op.ACTIVATE, data))
        assert isinstance(order(Write(SESSION, activate)).body, Result)
        air.wait_for_scan()
        first_day, eids = owner.list(tag.now_s(), 366)

        def tell(plain: Callable[[bytes], bytes]) -> int:
            nonce = order(Connect(SESSION, frame)).body
            assert isinstance(nonce, Nonce)
            data = seal_step(owner.k_claim, nonce.nonce, owner.dice(IV_LEN), plain(nonce.nonce))
            message = encode_message(Op.SET_OWNER, data, claim_mac(owner.k_claim, nonce.nonce, Op.SET_OWNER, data))
            result = order(Write(SESSION, message)).body
            assert isinstance(result, Result), result
            assert not air.call(air.bluez.discovering), "it holds the connection for the next step"
            return decode_held(decode_reply(result.answer, Op.SET_OWNER))

        def begin(nonce: bytes) -> bytes:
            return encode_begin(owner.key, serial=700, nonce=nonce, k_own=owner.k_own, first_day=first_day, eids=eids)

        def as_it_is(plain: bytes) -> Callable[[bytes], bytes]:
            return lambda _nonce: plain

        held = tell(begin)
        for part in split_list(eids, held):
            held = tell(as_it_is(part))
        assert held == 366
        assert tell(as_it_is(encode_finish(int(tag.now_s())))) == 366
        assert (tag.cell.state.nvm.k_own, tag.cell.state.nvm.eids) == (owner.k_own, eids)
        assert tag.door.links == 1, "from the activation to the last step"


def test_a_gateway_whose_keeper_forbids_it_speaks_with_no_tag_and_goes_on_listening(
    air: Air, one_broker: Broker, server: TestServer, gateway: GatewayProcess, claims: Claims
) -> None:
    gateway.environment["HEARSIGHT_GATEWAY_CARRY"] = "no"
    gateway.start()
    air.wait_for_scan()
    wait_for(lambda: server.states and server.states[-1].online)
    order = Orders(server)
    with TagInHand(air, claims.unit) as tag:
        wait_for(lambda: gateway.status().get("sightings_made"), 20)
        for asked in (Find(SESSION), Connect(SESSION, bytes(24)), Write(SESSION, bytes(11))):
            assert order(asked).body == Failed(SESSION, "carry_refused")
        assert tag.door.links == 0
        made = gateway.status()["sightings_made"]
        wait_for(lambda: gateway.status()["sightings_made"] > made, 20)


def test_expired_and_repeated_orders_are_refused_also_after_a_kill(
    air: Air, one_broker: Broker, server: TestServer, gateway: GatewayProcess
) -> None:
    gateway.start()
    wait_for(lambda: server.states and server.states[-1].online)
    payload = server.order(Find(SESSION))
    wait_for(lambda: server.answers)
    gateway.end(signal.SIGKILL)
    gateway.start()
    wait_for(lambda: gateway.status().get("link_ready"), 20)
    server.publish(topics.command("dock-1"), payload)
    server.order(Find(SESSION), lives_ms=-1)
    refused = {"command_repeated": 1, "command_expired": 1}
    wait_for(lambda: refused.items() <= gateway.status()["dropped"].items(), 20)
    assert len(server.answers) == 1
