"""A line waits for the one answer that belongs to its question, and for nothing else; nobody waits for ever."""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from datetime import UTC, datetime, timedelta

import pytest
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey

from server.commands.board import HELD_FOR, Board
from server.commands.dialogue import TOLD
from server.commands.relay import WAITING_MAX, GatewayRelays
from server.refusal import Refusal
from server.service.relaying import Line
from tests.gateway.server import wait_for
from tests.server.commands.test_carrier import FRAME, refused
from wire.command import (
    Answer,
    Candidates,
    Command,
    Connect,
    Failed,
    Find,
    Nonce,
    Reply,
    Result,
    Write,
    decode_command,
    encode_answer,
)
from wire.signing import Domain, sign, verify

NOW = datetime(2026, 11, 22, 12, tzinfo=UTC)
OTHERS = b"o" * 24
ANN, BEN = 1, 2


class House:
    """Relays with two gateways, `porch` and `cellar`; each order is answered by `answers`, or by nobody."""

    def __init__(self) -> None:
        self.now, self.online = NOW, True
        self.gateway_key, self.server_key = Ed25519PrivateKey.generate(), Ed25519PrivateKey.generate()
        self.sent: list[Command] = []
        self.sequence, self.sessions = 0, 0
        self.answers: Callable[[Command], Reply | None] = lambda _: None
        self.pool = ThreadPoolExecutor(20)
        public = self.gateway_key.public_key()
        self.board = Board(lambda _: public, self._send, self.server_key, dice=self._dice, clock=lambda: self.now)
        self.relays = GatewayRelays(self, self.board, dice=self._dice, clock=lambda: self.now, find_s=2.0, step_s=0.5)

    def gateway_near(self, serial: int, wanted: str | None) -> str:
        return wanted or "porch"

    def visible(self, serial: int, frames: tuple[bytes, ...]) -> tuple[bytes, ...]:
        return tuple(frame for frame in frames if frame != OTHERS)

    def _dice(self, length: int) -> bytes:
        self.sessions += 1
        return self.sessions.to_bytes(length, "big")

    def _send(self, gateway: str, payload: bytes) -> bool:
        command = decode_command(verify(self.server_key.public_key(), Domain.COMMAND, payload))
        self.sent.append(command)
        reply = self.answers(command)
        if reply is not None:
            self.pool.submit(self.say, reply, gateway)
        return self.online

    def say(self, reply: Reply, gateway: str = "porch") -> None:
        self.sequence += 1
        expires_ms = int((self.now.timestamp() + 60) * 1000)
        answer = Answer(gateway, self.sequence, expires_ms, reply)
        self.board.on_answer(gateway, sign(self.gateway_key, Domain.ANSWER, encode_answer(answer)))

    def line(self, account_no: int = ANN, gateway: str | None = None) -> Line:
        return self.relays.open(account_no, 7, gateway)

    def later(self, work: Callable[[], object]) -> Future[object]:
        """Do it in a thread, and wait until its order is sent."""
        before = len(self.sent)
        future = self.pool.submit(work)
        wait_for(lambda: len(self.sent) > before)
        return future

    @property
    def session(self) -> bytes:
        return self.sent[-1].body.session


def obliging(command: Command) -> Reply:
    """A gateway beside the tag."""
    order = command.body
    if isinstance(order, Find):
        return Candidates(order.session, (OTHERS, FRAME))
    return Nonce(order.session, b"n" * 8) if isinstance(order, Connect) else Result(order.session, b"r")


@pytest.fixture
def house() -> Iterator[House]:
    house = House()
    house.answers = obliging
    yield house
    house.pool.shutdown()


def code_of(work: Callable[[], object]) -> str:
    with pytest.raises(Refusal) as said:
        work()
    return said.value.code


def test_find_connect_write(house: House) -> None:
    line = house.line()
    assert (line.gateway, line.frames) == ("porch", (FRAME,))
    for _ in range(2):
        assert house.relays.connect(ANN, line.relay_id, FRAME) == b"n" * 8
        assert house.relays.write(ANN, line.relay_id, b"m" * 11) == b"r"
    assert [type(command.body) for command in house.sent] == [Find, Connect, Write, Connect, Write]
    house.relays.close(ANN, line.relay_id)
    assert isinstance(house.sent[-1].body, Find), "so that the gateway hangs up"
    assert code_of(lambda: house.relays.write(ANN, line.relay_id, b"m" * 11)) == "relay_unknown"


def test_lines_are_their_accounts_own_and_one_at_a_time(house: House) -> None:
    first = house.line()
    assert code_of(lambda: house.relays.connect(BEN, first.relay_id, FRAME)) == "relay_unknown"
    assert code_of(lambda: house.relays.close(BEN, first.relay_id)) == "relay_unknown"
    second = house.line()
    assert code_of(lambda: house.relays.connect(ANN, first.relay_id, FRAME)) == "relay_unknown"
    house.relays.connect(ANN, second.relay_id, FRAME)


def test_only_what_was_shown_is_connected_to(house: House) -> None:
    line = house.line()
    assert code_of(lambda: house.relays.connect(ANN, line.relay_id, OTHERS)) == "tag_not_heard"
    assert len(house.sent) == 1


def test_a_gateway_in_the_middle_of_something_is_left_alone(house: House) -> None:
    """Its next "which do you hear" would cut the other off."""
    house.line()
    assert code_of(lambda: house.line(BEN)) == "carry_busy"
    house.line(BEN, "cellar")
    house.relays.expire()
    house.now += HELD_FOR
    house.line(BEN)


@pytest.mark.parametrize("end", ["connect", "write", "close", "expire", "open"])
def test_a_line_that_was_silent_never_cuts_off_whoever_speaks_there_now(house: House, end: str) -> None:
    """Its connection, its end and its age would each make the gateway hang up on the other's tag."""
    silent = house.line()
    house.relays.connect(ANN, silent.relay_id, FRAME)
    house.now += HELD_FOR
    line = house.line(BEN)
    house.relays.connect(BEN, line.relay_id, FRAME)
    before = len(house.sent)
    if end == "connect":
        assert code_of(lambda: house.relays.connect(ANN, silent.relay_id, FRAME)) == "relay_unknown"
    elif end == "write":
        assert code_of(lambda: house.relays.write(ANN, silent.relay_id, b"m" * 11)) == "relay_unknown"
    elif end == "close":
        house.relays.close(ANN, silent.relay_id)
    elif end == "open":
        house.line(ANN, "cellar")
        before += 1
    else:
        house.now += timedelta(minutes=5) - HELD_FOR
        house.relays.expire()
    assert len(house.sent) == before
    house.relays.write(BEN, line.relay_id, b"m" * 11)


@pytest.mark.parametrize("said", sorted(TOLD))
def test_what_a_gateway_says_of_the_tag_is_told_and_the_line_stays(house: House, said: str) -> None:
    line = house.line()
    house.answers = lambda command: Failed(command.body.session, said)
    assert code_of(lambda: house.relays.connect(ANN, line.relay_id, FRAME)) == said
    house.answers = obliging
    house.relays.connect(ANN, line.relay_id, FRAME)


def test_a_word_that_is_no_code_of_ours_is_not_passed_on(house: House) -> None:
    line = house.line()
    house.answers = lambda command: Failed(command.body.session, "password_weak")
    assert code_of(lambda: house.relays.connect(ANN, line.relay_id, FRAME)) == "tag_refused"


def test_a_late_answer_belongs_to_nothing(house: House) -> None:
    line = house.line()
    house.answers = lambda _: None
    assert code_of(lambda: house.relays.connect(ANN, line.relay_id, FRAME)) == "gateway_unreachable"
    late = next(command.body for command in house.sent if isinstance(command.body, Connect))
    before = refused("no_session")
    house.say(Nonce(late.session, b"l" * 8))
    assert refused("no_session") == before + 1
    assert code_of(lambda: house.relays.connect(ANN, line.relay_id, FRAME)) == "relay_unknown"


def test_an_answer_that_nobody_waits_for_is_refused(house: House) -> None:
    """Of another kind, a second time, or before anybody asked."""
    line = house.line()
    house.answers = lambda _: None
    before = refused("out_of_turn")
    house.say(Nonce(house.session, b"x" * 8))
    waiting = house.later(lambda: house.relays.connect(ANN, line.relay_id, FRAME))
    house.say(Result(house.session, b"x"))
    assert not waiting.done()
    house.say(Nonce(house.session, b"y" * 8))
    assert waiting.result(5) == b"y" * 8
    house.say(Nonce(house.session, b"z" * 8))
    assert refused("out_of_turn") == before + 3


def test_an_answer_of_another_gateway_is_refused(house: House) -> None:
    line = house.line()
    house.answers = lambda _: None
    waiting = house.later(lambda: house.relays.connect(ANN, line.relay_id, FRAME))
    before = refused("no_session")
    house.say(Nonce(house.session, b"x" * 8), gateway="cellar")
    assert refused("no_session") == before + 1
    house.say(Nonce(house.session, b"y" * 8))
    assert waiting.result(5) == b"y" * 8


def test_two_questions_at_once_on_one_line(house: House) -> None:
    line = house.line()
    house.answers = lambda _: None
    waiting = house.later(lambda: house.relays.connect(ANN, line.relay_id, FRAME))
    assert code_of(lambda: house.relays.write(ANN, line.relay_id, b"m" * 11)) == "carry_busy"
    house.say(Nonce(house.session, b"y" * 8))
    assert waiting.result(5) == b"y" * 8


def test_whoever_opens_another_line_is_not_kept_waiting_on_the_first(house: House) -> None:
    line = house.line()
    house.answers = lambda _: None
    waiting = house.later(lambda: code_of(lambda: house.relays.connect(ANN, line.relay_id, FRAME)))
    house.answers = obliging
    house.line()
    assert waiting.result(5) == "relay_unknown"


def test_a_line_ends_after_five_minutes(house: House) -> None:
    line = house.line()
    house.now += timedelta(minutes=5)
    assert code_of(lambda: house.relays.connect(ANN, line.relay_id, FRAME)) == "relay_unknown"


def test_without_a_broker(house: House) -> None:
    house.online = False
    assert code_of(house.line) == "gateway_unreachable"
    house.online = True
    house.line()


def test_few_wait_at_a_time(house: House) -> None:
    """Each holds a thread of the web's; the next is told at once."""
    house.answers = lambda _: None
    all_in = threading.Barrier(WAITING_MAX + 1)

    def wait(number: int) -> str:
        all_in.wait()
        return code_of(lambda: house.relays.open(number, 7, f"gateway-{number}"))

    waiting = [house.pool.submit(wait, 100 + number) for number in range(WAITING_MAX)]
    all_in.wait()
    wait_for(lambda: len(house.sent) == WAITING_MAX)
    assert code_of(lambda: house.relays.open(99, 7, "another")) == "relay_full"
    assert {each.result(10) for each in waiting} == {"gateway_unreachable"}
    house.answers = obliging
    house.line()
