"""The carrier believes only fresh, genuine answers of the gateway it asked, each once."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta

import pytest
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey, Ed25519PublicKey
from prometheus_client import REGISTRY

from server.commands.board import Board
from server.commands.carrier import GatewayCarrier
from server.refusal import Refusal
from server.service.refusals import refuse
from wire.command import Answer, Candidates, Command, Connect, Failed, Find, Reply, decode_command, encode_answer
from wire.signing import Domain, sign, verify

NOW = datetime(2026, 11, 22, 12, tzinfo=UTC)
FRAME = b"f" * 24


class Claims:
    """A claim service with one gateway, `porch`, that writes down how each carrying ended."""

    def __init__(self, key: Ed25519PublicKey) -> None:
        self.key = key
        self.ended: list[tuple[str, str | None]] = []
        self.begun: set[str] = set()

    def desk(self, claim_id: str, account_no: int) -> Claims:
        return self

    def choose(self, frames: tuple[bytes, ...]) -> bytes:
        if FRAME not in frames:
            raise refuse("tag_not_heard")
        return FRAME

    def write(self, nonce: bytes, *, cleared: bool) -> tuple[bool, bytes]:
        return False, nonce

    def settle(self, answer: bytes) -> None:
        """Nothing is settled in these tests."""

    def begin(self, claim_id: str) -> None:
        if claim_id in self.begun:
            raise refuse("carry_busy")
        self.begun.add(claim_id)

    def end(self, claim_id: str, code: str | None) -> None:
        self.begun.discard(claim_id)
        self.ended.append((claim_id, code))

    def choose_gateway(self, claim_id: str, wanted: str | None) -> str:
        return wanted or "porch"

    def gateway_key(self, gateway: str) -> Ed25519PublicKey | None:
        return self.key if gateway == "porch" else None


class House:
    """A carrier with everything it was told and everything it sent."""

    def __init__(self) -> None:
        self.gateway_key = Ed25519PrivateKey.generate()
        self.server_key = Ed25519PrivateKey.generate()
        self.claims = Claims(self.gateway_key.public_key())
        self.now = NOW
        self.online = True
        self.sent: list[Command] = []
        self.sequence = 0
        self.board = Board(
            self.claims.gateway_key, self._send, self.server_key, dice=lambda n: b"s" * n, clock=lambda: self.now
        )
        self.carrier = GatewayCarrier(self.claims, self.board, clock=lambda: self.now, log=lambda *_args, **_more: None)

    def _send(self, gateway: str, payload: bytes) -> bool:
        self.sent.append(decode_command(verify(self.server_key.public_key(), Domain.COMMAND, payload)))
        return self.online

    def answer(
        self, body: Reply, *, gateway: str = "porch", lives_s: int = 60, key: Ed25519PrivateKey | None = None
    ) -> bytes:
        self.sequence += 1
        expires_ms = int((self.now.timestamp() + lives_s) * 1000)
        return sign(
            key or self.gateway_key, Domain.ANSWER, encode_answer(Answer(gateway, self.sequence, expires_ms, body))
        )


def refused(reason: str) -> float:
    return REGISTRY.get_sample_value("hearsight_answers_refused_total", {"reason": reason}) or 0.0


def test_a_genuine_answer_leads_to_the_next_order() -> None:
    house = House()
    assert house.carrier.carry("c1", 7, None) == "porch"
    session = house.sent[0].body.session
    house.board.on_answer("porch", house.answer(Candidates(session, (FRAME,))))
    assert [type(command.body) for command in house.sent] == [Find, Connect]
    assert house.sent[0].sequence < house.sent[1].sequence
    house.board.on_answer("porch", house.answer(Failed(session, "button_not_pressed")))
    assert house.claims.ended == [("c1", "button_not_pressed")]


@pytest.mark.parametrize("fault", ["signature", "expired", "ahead", "topic", "gateway_unknown", "no_session"])
def test_anything_else_is_counted_and_changes_nothing(fault: str) -> None:
    house = House()
    house.carrier.carry("c1", 7, None)
    reply = Candidates(house.sent[0].body.session, (FRAME,))
    before = refused(fault)
    match fault:
        case "signature":
            house.board.on_answer("porch", house.answer(reply, key=Ed25519PrivateKey.generate()))
        case "expired":
            house.board.on_answer("porch", house.answer(reply, lives_s=-1))
        case "ahead":
            house.board.on_answer("porch", house.answer(reply, lives_s=86_400))
        case "topic":
            house.board.on_answer("porch", house.answer(reply, gateway="cellar"))
        case "gateway_unknown":
            house.board.on_answer("cellar", house.answer(reply, gateway="cellar"))
        case "no_session":
            house.board.on_answer("porch", house.answer(Candidates(b"x" * 16, (FRAME,))))
    assert refused(fault) == before + 1
    assert len(house.sent) == 1
    assert house.claims.ended == []


def test_a_repeated_answer_is_refused() -> None:
    house = House()
    house.carrier.carry("c1", 7, None)
    answer = house.answer(Candidates(house.sent[0].body.session, (FRAME,)))
    before = refused("repeated")
    house.board.on_answer("porch", answer)
    house.board.on_answer("porch", answer)
    assert refused("repeated") == before + 1
    assert len(house.sent) == 2


def test_a_gateway_that_falls_silent_frees_the_claim() -> None:
    house = House()
    house.carrier.carry("c1", 7, None)
    with pytest.raises(Refusal, match="carried already"):
        house.carrier.carry("c1", 7, None)
    house.now += timedelta(seconds=91)
    house.carrier.expire()
    assert house.claims.ended == [("c1", "gateway_unreachable")]
    house.carrier.carry("c1", 7, None)


def test_without_a_broker_nothing_is_left_open() -> None:
    house = House()
    house.online = False
    with pytest.raises(Refusal) as said:
        house.carrier.carry("c1", 7, None)
    assert said.value.code == "gateway_unreachable"
    assert house.claims.ended == [("c1", "gateway_unreachable")]
