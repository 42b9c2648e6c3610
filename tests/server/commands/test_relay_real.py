"""A private claim from its code to its list of identifiers over a line: PostgreSQL, a broker, a gateway and the tag's
firmware are real; what the gateway and the server see of it holds no key.
"""

from __future__ import annotations

import threading
from collections.abc import Iterator
from datetime import UTC, datetime
from pathlib import Path

import pytest
from sqlalchemy import Engine

from gateway.enrol import enrol
from server import wiring
from server.commands.board import Board
from server.commands.link import Link
from server.commands.registry import Registry
from server.commands.relay import GatewayRelays
from server.rules.authority import Role
from server.settings import load
from server.store import keys as stored_keys
from tests.gateway.air import Air
from tests.gateway.brokers import Broker
from tests.gateway.conftest import air, one_broker
from tests.gateway.hand import TagInHand
from tests.gateway.process import GatewayProcess
from tests.gateway.server import wait_for
from tests.server.web.private_owner import PrivateOwner
from tests.server.web.streams import Web
from tests.server.web.town import Town
from wire import keys
from wire.gatt import Op, Owned, decode_reply

__all__ = ["air", "one_broker"]  # fixtures
GATEWAY = "home-elm"


class Relayed(PrivateOwner):
    """The same client, whose every message goes through the gateway."""

    hand: TagInHand
    relay: str
    frame: str

    def open(self, **what: object) -> None:
        opened = self.who.post("/relays", {"gateway": GATEWAY, **what})
        self.relay, self.frames = opened["relay_id"], opened["frames"]

    def nonce(self) -> bytes:
        return bytes.fromhex(self.who.post(f"/relays/{self.relay}/connect", {"frame": self.frame})["nonce"])

    def say(self, op: Op, data: bytes, nonce: bytes | None = None) -> bytes:
        nonce = nonce or self.nonce()
        self.hand.press()
        body = {"message": self.message(nonce, op, data).hex()}
        return decode_reply(bytes.fromhex(self.who.post(f"/relays/{self.relay}/write", body)["answer"]), op)


@pytest.fixture
def town(engine: Engine) -> Town:
    """By the clock of this machine: a real gateway's commands and answers end soon."""
    town = Town(engine, now=datetime.now(UTC))
    town.house.clock = wiring.clock
    return town


@pytest.fixture
def gateway(town: Town, air: Air, one_broker: Broker, tmp_path: Path, free_port: int) -> Iterator[GatewayProcess]:
    """One that is enrolled in the town and hears; the town has a line to it."""
    house = town.house
    house.settings = load({"HEARSIGHT_BASE_URL": f"http://127.0.0.1:{free_port}", "HEARSIGHT_MQTT_URL": one_broker.url})
    with house.work() as (tx, now):
        server_key = stored_keys.server_key(tx, house.vault, now)
    registry = Registry(house)
    link = Link(one_broker.url, "web", log=lambda *_args, **_more: None)
    board = Board(registry.gateway_key, link.send, server_key, dice=house.dice, clock=house.clock)
    house.relays = GatewayRelays(registry, board, dice=house.dice, clock=house.clock)
    process = GatewayProcess(tmp_path / "g", air.bus_address)
    link.start(on_state=registry.on_state, on_answer=board.on_answer)
    try:
        with Web(house, free_port):
            operator = town.staff(Role.OPERATOR)
            made = operator.post("/gateways", {"gateway": GATEWAY, "gateway_class": "crowd", "owner": "Elm Street 7"})
            enrol(made["token"], process.data)
            process.start()
            air.wait_for_scan()
            wait_for(lambda: operator.get(f"/gateways/{GATEWAY}")["online"], 20)
            yield process
    finally:
        link.stop()
        if process.process is not None:
            process.process.kill()
            process.process.wait()


def test_a_private_claim_over_a_line(town: Town, air: Air, gateway: GatewayProcess) -> None:
    tag, neighbour = town.tag(), town.tag()
    ann, eve = Relayed(town, town.owner(), tag), town.owner("eve@example.com")
    with TagInHand(air, tag.state.unit) as hand, TagInHand(air, neighbour.state.unit):
        ann.hand = hand
        wait_for(lambda: (gateway.status().get("sightings_made") or 0) >= 2, 20)
        claim = ann.begin()
        ann.open(claim_id=claim)
        assert len(ann.frames) == 1, "the neighbour's tag is nobody's business"
        [ann.frame] = ann.frames
        assert ann.who.post(f"/claims/{claim}/candidates", {"frames": ann.frames}) == {"index": 0}
        eve.refused("POST", f"/relays/{ann.relay}/connect", 404, "relay_unknown", json={"frame": ann.frame})

        ann.who.post(f"/claims/{claim}/answer", ann.proof(*ann.signed(claim)))
        town.now = datetime.now(UTC)
        ann.upload()
        ann.fill()
        state = ann.say(Op.STATE, b"")
        hashed = keys.owner_hash(bytes.fromhex(ann.public))
        assert state == bytes((Owned.PRIVATE,)) + hashed + ann.today.to_bytes(4, "big") + (10).to_bytes(2, "big")
        assert hand.cell.state.nvm.k_own == keys.own_key(ann.s_o)
        ann.who.delete(f"/relays/{ann.relay}")
    ann.who.refused("POST", "/relays", 422, "gateway_needed", json={"serial": tag.serial})
    eve.refused("POST", "/relays", 404, "tag_unknown", json={"serial": tag.serial, "gateway": GATEWAY})
    log = (gateway.folder / "gateway.log").read_text()
    for secret in (ann.k_claim, ann.s_o, keys.own_key(ann.s_o)):
        assert secret.hex() not in log


def test_a_gateway_that_is_gone_lets_nobody_wait_for_ever(town: Town, gateway: GatewayProcess) -> None:
    ann, tag = town.owner(), town.tag()
    town.now = datetime.now(UTC)
    gateway.end()
    ann.refused("POST", "/relays", 404, "tag_unknown", json={"serial": tag.serial, "gateway": GATEWAY})
    claim = ann.post("/claims", {"claim_hash": keys.claim_hash(tag.state.unit.k_claim).hex()})["claim_id"]
    body = {"claim_id": claim, "gateway": GATEWAY}
    wait_for(lambda: ann.call("POST", "/relays", json=body).json()["error"]["code"] == "gateway_unreachable", 20)
    assert threading.active_count() < 40
