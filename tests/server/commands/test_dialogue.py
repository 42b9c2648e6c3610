"""The dialogue with a carrying gateway: every order of replies, and only the expected one moves it on."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta

import pytest
from hypothesis import given
from hypothesis import strategies as st

from server.commands.dialogue import Carrying, Ended, begin, proceed
from server.refusal import Refusal
from server.service.refusals import refuse
from wire.command import Candidates, Connect, Failed, Find, Nonce, Reply, Result, Write
from wire.gatt import Op, encode_reply

NOW = datetime(2026, 11, 22, 12, tzinfo=UTC)
SESSION = bytes(range(16))
FRAME = b"f" * 24
ANSWER = b"a" * 91


class Desk:
    """A claim service that clears a former owner first if `former` is set."""

    def __init__(self, *, former: bool = False) -> None:
        self.former = former
        self.settled: list[bytes] = []

    def choose(self, frames: tuple[bytes, ...]) -> bytes:
        if FRAME not in frames:
            raise refuse("tag_not_heard")
        return FRAME

    def write(self, nonce: bytes, *, cleared: bool) -> tuple[bool, bytes]:
        clearing = self.former and not cleared
        return clearing, b"clear" + nonce if clearing else b"sign" + nonce

    def settle(self, answer: bytes) -> None:
        self.settled.append(answer)


def play(desk: Desk, replies: list[Reply]) -> list[object]:
    """Every order (or end) that the replies lead to."""
    carrying, order = begin(SESSION, "porch", NOW)
    out: list[object] = [order]
    for reply in replies:
        step = proceed(carrying, reply, desk, NOW)
        if isinstance(step, Ended):
            return [*out, step]
        if step is not None:
            carrying, order = step
            out.append(order)
    return out


def test_a_new_tag_is_found_connected_to_and_signs() -> None:
    desk = Desk()
    replies: list[Reply] = [
        Candidates(SESSION, (b"x" * 24, FRAME)),
        Nonce(SESSION, b"nonce..1"),
        Result(SESSION, encode_reply(Op.ACTIVATE, ANSWER)),
    ]
    assert play(desk, replies) == [
        Find(SESSION),
        Connect(SESSION, FRAME),
        Write(SESSION, b"signnonce..1"),
        Ended(None),
    ]
    assert desk.settled == [ANSWER]


def test_a_tag_with_a_former_owner_is_connected_to_twice_with_two_nonces() -> None:
    desk = Desk(former=True)
    replies: list[Reply] = [
        Candidates(SESSION, (FRAME,)),
        Nonce(SESSION, b"nonce..1"),
        Result(SESSION, encode_reply(Op.CLEAR, b"")),
        Nonce(SESSION, b"nonce..2"),
        Result(SESSION, encode_reply(Op.ACTIVATE, ANSWER)),
    ]
    orders = play(desk, replies)
    assert orders[2:] == [
        Write(SESSION, b"clearnonce..1"),
        Connect(SESSION, FRAME),
        Write(SESSION, b"signnonce..2"),
        Ended(None),
    ]
    assert desk.settled == [ANSWER]


def test_a_gateway_that_gives_up_ends_it_with_its_reason() -> None:
    assert play(Desk(), [Failed(SESSION, "button_not_pressed")])[-1] == Ended("button_not_pressed")


def test_a_word_that_is_no_code_of_ours_is_not_passed_on() -> None:
    assert play(Desk(), [Failed(SESSION, "password_weak")])[-1] == Ended("tag_refused")


def test_an_answer_of_another_request_is_no_signature() -> None:
    desk = Desk()
    replies: list[Reply] = [
        Candidates(SESSION, (FRAME,)),
        Nonce(SESSION, b"nonce..1"),
        Result(SESSION, encode_reply(Op.STATE, ANSWER)),
    ]
    assert play(desk, replies)[-1] == Ended("tag_refused")
    assert desk.settled == []


def test_what_the_desk_refuses_passes_through() -> None:
    carrying, _order = begin(SESSION, "porch", NOW)
    with pytest.raises(Refusal) as refused:
        proceed(carrying, Candidates(SESSION, ()), Desk(), NOW)
    assert refused.value.code == "tag_not_heard"


def test_each_step_has_its_own_patience() -> None:
    carrying, _order = begin(SESSION, "porch", NOW)
    later = NOW + timedelta(seconds=60)
    step = proceed(carrying, Candidates(SESSION, (FRAME,)), Desk(), later)
    assert isinstance(step, tuple)
    assert step[0].until > carrying.until


REPLIES = st.lists(
    st.sampled_from(
        [
            Candidates(SESSION, (FRAME,)),
            Nonce(SESSION, b"nonce..1"),
            Result(SESSION, encode_reply(Op.ACTIVATE, ANSWER)),
        ]
    ),
    max_size=12,
)


@given(REPLIES, st.booleans())
def test_no_order_of_replies_settles_before_the_tag_was_asked_to_sign(replies: list[Reply], former: bool) -> None:
    desk = Desk(former=former)
    orders = play(desk, replies)
    asked = [order for order in orders if isinstance(order, Write) and order.message.startswith(b"sign")]
    assert len(desk.settled) <= len(asked)
    assert not isinstance(orders[-1], Carrying)
