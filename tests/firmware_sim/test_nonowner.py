"""What a stranger may ask of a tag, and what not."""

from __future__ import annotations

import struct
from random import Random

import pytest
from hypothesis import given
from hypothesis import strategies as st

from firmware_sim import nonowner as firmware
from firmware_sim import sound
from firmware_sim.nonowner import Heard, Visit
from firmware_sim.owned import NEAR_S
from firmware_sim.tag import BATTERY_UAH, ButtonPress, PowerOff, PowerOn, TagState, step
from tests.firmware_sim.conftest import K_FACTORY, K_LOT, make_unit
from tests.firmware_sim.owners import Owner
from wire import frames, nonowner
from wire.errors import WireError
from wire.nonowner import Identity, Opcode, Response

NOW_S = 1_790_000_000.0
ANN = Owner("Ann")
DICE = Random(5).randbytes


def separated() -> TagState:
    state, _ = step(TagState(make_unit()), PowerOn(NOW_S - 7_200), DICE)
    return ANN.take(state, NOW_S - 7_200, 3)


def ask(state: TagState, opcode: int, visit: Visit = Visit(), now_s: float = NOW_S) -> Heard:  # noqa: B008 - frozen
    return firmware.take_write(state, visit, nonowner.encode_said(opcode), now_s, DICE)


def response(heard: Heard, request: int) -> int:
    (message,) = heard.said
    said = nonowner.decode_said(message)
    assert said.opcode == Opcode.COMMAND_RESPONSE
    named, answered = nonowner.decode_response(said.operand)
    assert named == request
    return answered


def test_facts_about_the_make_are_told_always_and_in_little_endian() -> None:
    near = ANN.near(separated(), NOW_S).state
    for state in (separated(), near, step(TagState(make_unit()), PowerOn(NOW_S), DICE)[0]):
        told = {}
        for opcode in [code for code in Opcode if code < 0x300]:
            (message,) = ask(state, opcode).said
            assert message[:2] == struct.pack("<H", opcode + 0x800)
            told[opcode] = message[2:]
        assert len(told[Opcode.GET_PRODUCT_DATA]) == 8
        assert told[Opcode.GET_ACCESSORY_CATEGORY] == b"\x01" + bytes(7)
        assert told[Opcode.GET_PROTOCOL_VERSION] == bytes.fromhex("00000100")
        assert told[Opcode.GET_CAPABILITIES] == bytes.fromhex("09000000")
        assert told[Opcode.GET_NETWORK_ID] == b"\xf0"
        assert told[Opcode.GET_BATTERY_LEVEL] == b"\x00"
        assert max(len(operand) for operand in told.values()) <= 64


def test_a_stranger_makes_it_ring_and_hears_when_it_is_over() -> None:
    started = ask(separated(), Opcode.SOUND_START)
    assert response(started, Opcode.SOUND_START) == Response.SUCCESS
    assert sound.sounding(started.state, NOW_S + 9)
    assert not sound.sounding(started.state, NOW_S + 10)
    busy = ask(started.state, Opcode.SOUND_START, started.visit, NOW_S + 2)
    assert response(busy, Opcode.SOUND_START) == Response.INVALID_STATE
    assert firmware.time_passed(started.state, started.visit, NOW_S + 9) == (started.state, started.visit, ())
    over = firmware.time_passed(started.state, started.visit, NOW_S + 10)
    assert over.said == (nonowner.encode_said(Opcode.SOUND_COMPLETED),)
    assert firmware.time_passed(over.state, over.visit, NOW_S + 11).said == ()


def test_a_stranger_stops_their_own_sound_and_nobody_elses() -> None:
    started = ask(separated(), Opcode.SOUND_START)
    other = ask(started.state, Opcode.SOUND_STOP)
    assert response(other, Opcode.SOUND_STOP) == Response.INVALID_STATE
    stopped = ask(started.state, Opcode.SOUND_STOP, started.visit, NOW_S + 1)
    assert stopped.said == (nonowner.encode_said(Opcode.SOUND_COMPLETED),)
    assert not sound.sounding(stopped.state, NOW_S + 1)
    again = ask(stopped.state, Opcode.SOUND_STOP, stopped.visit, NOW_S + 1)
    assert response(again, Opcode.SOUND_STOP) == Response.INVALID_STATE
    owners = ANN.ring(separated(), NOW_S, 20).state
    assert response(ask(owners, Opcode.SOUND_START), Opcode.SOUND_START) == Response.INVALID_STATE
    assert response(ask(owners, Opcode.SOUND_STOP), Opcode.SOUND_STOP) == Response.INVALID_STATE


def test_strangers_ring_six_times_an_hour_and_no_battery_dies_of_it() -> None:
    state, rung = separated(), []
    for second in range(0, 24 * 3_600, 15):
        heard = ask(state, Opcode.SOUND_START, now_s=NOW_S + second)
        state = heard.state
        if response(heard, Opcode.SOUND_START) == Response.SUCCESS:
            rung.append(second)
    assert rung[:7] == [0, 15, 30, 45, 60, 75, 3_600]
    assert len(rung) == 24 * 6
    assert state.used_uah / BATTERY_UAH < 1 / 50


def test_near_its_owner_a_tag_is_nobody_elses_business() -> None:
    state, _ = step(ANN.near(separated(), NOW_S).state, ButtonPress(NOW_S), DICE)
    for opcode in (Opcode.SOUND_START, Opcode.SOUND_STOP, Opcode.GET_IDENTIFIER):
        assert response(ask(state, opcode), opcode) == Response.INVALID_COMMAND
    alone = ask(state, Opcode.SOUND_START, now_s=NOW_S + NEAR_S)
    assert response(alone, Opcode.SOUND_START) == Response.SUCCESS


def test_the_identifier_needs_the_button_and_only_the_operator_reads_it() -> None:
    state = separated()
    assert response(ask(state, Opcode.GET_IDENTIFIER), Opcode.GET_IDENTIFIER) == Response.INVALID_COMMAND
    pressed, _ = step(state, ButtonPress(NOW_S - 300), DICE)
    identifiers = set()
    for _ in range(2):
        (message,) = ask(pressed, Opcode.GET_IDENTIFIER).said
        said = nonowner.decode_said(message)
        assert said.opcode == Opcode.IDENTIFIER
        identifier = bytes.fromhex(said.operand.decode("ascii"))
        assert nonowner.decode_identifier(identifier, K_LOT, K_FACTORY) == Identity(700, 7_200, 1)
        identifiers.add(identifier)
    assert len(identifiers) == 2, "no two are alike"
    late = ask(pressed, Opcode.GET_IDENTIFIER, now_s=NOW_S + 1)
    assert response(late, Opcode.GET_IDENTIFIER) == Response.INVALID_COMMAND


def test_an_identifier_cannot_be_sent_as_a_p_frame() -> None:
    identifier = nonowner.encode_identifier(K_LOT, make_unit().k_tag, serial=700, uptime_s=5, boot=1, random2=b"ab")
    for status in range(256):
        frame = bytes((0xF0, 0, 0x11, status)) + identifier[:20]
        with pytest.raises(WireError, match="did not make"):
            frames.decode_p(frame, K_LOT, K_FACTORY)


@given(st.integers(0, 23), st.integers(1, 255))
def test_a_changed_identifier_does_not_open(at: int, change: int) -> None:
    identifier = bytearray(
        nonowner.encode_identifier(K_LOT, make_unit().k_tag, serial=700, uptime_s=5, boot=1, random2=b"ab")
    )
    identifier[at] ^= change
    with pytest.raises(WireError) as refused:
        nonowner.decode_identifier(bytes(identifier), K_LOT, K_FACTORY)
    assert refused.value.code == ("not_this_lot" if at < 16 else "identifier_mac")


@given(st.binary(max_size=30))
def test_whatever_is_written_is_answered_once_and_changes_no_owner(message: bytes) -> None:
    state = separated()
    heard = firmware.take_write(state, Visit(), message, NOW_S, DICE)
    assert len(heard.said) == 1
    assert heard.state.nvm == state.nvm


def test_lengths_and_unknown_commands() -> None:
    state = separated()
    long = firmware.take_write(state, Visit(), nonowner.encode_said(Opcode.SOUND_START, b"x"), NOW_S, DICE)
    assert response(long, Opcode.SOUND_START) == Response.INVALID_LENGTH
    assert response(firmware.take_write(state, Visit(), b"\x03", NOW_S, DICE), 0) == Response.INVALID_LENGTH
    for opcode in (0x0000, 0x0302, 0x0405, 0x0803, 0xFFFF):
        assert response(ask(state, opcode), opcode) == Response.INVALID_COMMAND
    off, _ = step(state, PowerOff(NOW_S), DICE)
    assert ask(off, Opcode.SOUND_START).said == ()
