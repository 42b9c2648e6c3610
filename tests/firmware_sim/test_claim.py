"""The claim service under attack: who may make a tag theirs, and who may not."""

from __future__ import annotations

import asyncio
from dataclasses import replace
from random import Random

import pytest
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
from hypothesis import given
from hypothesis import strategies as st

from firmware_sim import claim
from firmware_sim.bluez import GattError
from firmware_sim.claim import Link, Turn
from firmware_sim.nvm import Nvm
from firmware_sim.peripheral import ClaimPeripheral, TagCell
from firmware_sim.tag import ButtonPress, PowerOn, TagState, step
from tests.firmware_sim.conftest import K_CLAIM, SERVER, make_unit
from wire import gatt
from wire.activation import activation_data, verify_answer
from wire.gatt import AttError, ClearProof, Op, Owned

NOW_S = 1_790_000_000.0
CHALLENGE, OWNER, OTHER = bytes(range(16)), b"A" * 16, b"B" * 16
DICE = Random(1).randbytes


def tag_in_hand(pressed: bool = True) -> TagState:
    state, _ = step(TagState(make_unit()), PowerOn(NOW_S - 100), DICE)
    return step(state, ButtonPress(NOW_S - 1), DICE)[0] if pressed else state


def ask(state: TagState, op: int, data: bytes, *, k_claim: bytes = K_CLAIM, link: Link | None = None) -> Turn:
    link = link or claim.read_nonce(DICE)
    assert link.nonce is not None
    message = gatt.encode_message(op, data, gatt.claim_mac(k_claim, link.nonce, op, data))
    return claim.take_message(state, link, message, NOW_S)


def activate(state: TagState, owner: bytes = OWNER, challenge: bytes = CHALLENGE) -> Turn:
    return ask(state, Op.ACTIVATE, activation_data(challenge, owner))


def test_activation_gives_a_receipt_that_holds() -> None:
    state = tag_in_hand()
    turn = activate(state)
    answer = gatt.decode_reply(turn.reply, Op.ACTIVATE)
    stated = verify_answer(state.unit.private_key.public_key().public_bytes_raw(), CHALLENGE, answer)
    assert stated[:4] == (700, 1, 100, OWNER)
    assert turn.state.nvm.owner_hash == OWNER
    assert turn.link.nonce is None


def test_the_same_owner_may_repeat_and_another_may_not_until_cleared() -> None:
    state = activate(tag_in_hand()).state
    assert activate(state, OWNER, bytes(16)).refused is None
    refused = activate(state, OTHER)
    assert refused.refused is AttError.INVALID_VALUE
    assert refused.state == state
    cleared = release(state)
    assert cleared.refused is None
    assert activate(cleared.state, OTHER).refused is None


def test_no_activation_without_the_button() -> None:
    turn = activate(tag_in_hand(pressed=False))
    assert (turn.refused, turn.reply) == (AttError.NO_CONSENT, b"")
    assert not turn.state.nvm.owner_hash


def test_no_activation_without_the_code() -> None:
    turn = ask(tag_in_hand(), Op.ACTIVATE, activation_data(CHALLENGE, OWNER), k_claim=bytes(16))
    assert turn.refused is AttError.UNAUTHENTICATED


def test_a_nonce_serves_once_even_when_refused() -> None:
    state, link = tag_in_hand(), claim.read_nonce(DICE)
    for data in (activation_data(CHALLENGE, OWNER), b"too short"):
        turn = ask(state, Op.ACTIVATE, data, link=link)
        assert turn.link.nonce is None
        assert link.nonce is not None
        again = gatt.encode_message(Op.STATE, b"", gatt.claim_mac(K_CLAIM, link.nonce, Op.STATE, b""))
        assert claim.take_message(state, turn.link, again, NOW_S).refused is AttError.UNAUTHENTICATED


def test_a_message_replayed_under_a_later_nonce_is_refused() -> None:
    state, link = tag_in_hand(), claim.read_nonce(DICE)
    assert link.nonce is not None
    data = activation_data(CHALLENGE, OWNER)
    message = gatt.encode_message(Op.ACTIVATE, data, gatt.claim_mac(K_CLAIM, link.nonce, Op.ACTIVATE, data))
    assert claim.take_message(state, claim.read_nonce(DICE), message, NOW_S).refused is AttError.UNAUTHENTICATED


@given(st.integers(0, 54), st.integers(1, 255))
def test_no_changed_message_is_taken(at: int, change: int) -> None:
    state, link = tag_in_hand(), claim.read_nonce(DICE)
    assert link.nonce is not None
    data = activation_data(CHALLENGE, OWNER)
    message = bytearray(
        gatt.encode_message(Op.ACTIVATE, data, gatt.claim_mac(K_CLAIM, link.nonce, Op.ACTIVATE, data)) + bytes(12)
    )[:43]
    message[at % len(message)] ^= change
    turn = claim.take_message(state, link, bytes(message), NOW_S)
    assert turn.refused in (AttError.UNAUTHENTICATED, AttError.INVALID_VALUE)
    assert turn.state == state


@given(st.binary(max_size=100), st.binary(min_size=8, max_size=8))
def test_garbage_changes_nothing(message: bytes, nonce: bytes) -> None:
    state = tag_in_hand()
    turn = claim.take_message(state, Link(nonce), message, NOW_S)
    assert turn.refused is not None
    assert turn.state == state


@pytest.mark.parametrize("op", [0x00, 0x06, 0x7F, 0xFF])
def test_other_operations_are_refused_whatever_they_carry(op: int) -> None:
    for data in (b"", bytes(1_000)):
        assert ask(tag_in_hand(), op, data).refused is AttError.INVALID_VALUE


def test_state_is_told_to_whoever_knows_the_code() -> None:
    state = tag_in_hand(pressed=False)
    assert gatt.decode_reply(ask(state, Op.STATE, b"").reply, Op.STATE) == bytes((Owned.NOBODY,))
    owned = activate(tag_in_hand()).state
    assert gatt.decode_reply(ask(owned, Op.STATE, b"").reply, Op.STATE) == bytes((Owned.MANAGED,)) + OWNER
    assert ask(owned, Op.STATE, b"", k_claim=bytes(16)).refused is AttError.UNAUTHENTICATED
    assert ask(owned, Op.STATE, b"x").refused is AttError.INVALID_VALUE


def test_a_tag_without_power_answers_nobody() -> None:
    assert activate(TagState(make_unit())).refused is AttError.UNAUTHENTICATED


@pytest.mark.parametrize("data", [b"", bytes(31), bytes(33), CHALLENGE + bytes(16)])
def test_a_malformed_activation_is_refused(data: bytes) -> None:
    assert ask(tag_in_hand(), Op.ACTIVATE, data).refused is AttError.INVALID_VALUE


# --- Clearing ---------------------------------------------------------------------------------------------


def release(state: TagState, key: Ed25519PrivateKey = SERVER, serial: int = 700, link: Link | None = None) -> Turn:
    link = link or claim.read_nonce(DICE)
    assert link.nonce is not None
    signature = key.sign(gatt.release_message(serial, link.nonce))
    return ask(state, Op.CLEAR, bytes((ClearProof.RELEASE,)) + signature, link=link)


def test_a_release_is_for_one_tag_one_nonce_and_by_the_right_server() -> None:
    state = activate(tag_in_hand()).state
    assert release(state, key=Ed25519PrivateKey.generate()).refused is AttError.UNAUTHENTICATED
    assert release(state, serial=701).refused is AttError.UNAUTHENTICATED
    old = claim.read_nonce(DICE)
    assert old.nonce is not None
    stale = bytes((ClearProof.RELEASE,)) + SERVER.sign(gatt.release_message(700, old.nonce))
    assert ask(state, Op.CLEAR, stale).refused is AttError.UNAUTHENTICATED
    unbuttoned = replace(state, ram=tag_in_hand(pressed=False).ram)
    assert release(unbuttoned).refused is AttError.NO_CONSENT
    no_server = replace(state, unit=make_unit(server_key=None))
    assert release(no_server).refused is AttError.UNAUTHENTICATED
    assert release(state).state.nvm.owner_hash == b""


def test_an_owner_clears_by_their_own_key() -> None:
    state = replace(tag_in_hand(), nvm=Nvm(boot=1, owner_hash=OWNER, k_own=b"k" * 16))
    for k_own, refused in ((b"k" * 16, None), (b"x" * 16, AttError.UNAUTHENTICATED)):
        link = claim.read_nonce(DICE)
        assert link.nonce is not None
        proof = bytes((ClearProof.OWNER,)) + gatt.owner_clear_proof(k_own, link.nonce)
        assert ask(state, Op.CLEAR, proof, link=link).refused is refused


def test_without_an_owner_key_no_proof_of_one_holds() -> None:
    state, link = activate(tag_in_hand()).state, claim.read_nonce(DICE)
    assert link.nonce is not None
    proof = bytes((ClearProof.OWNER,)) + gatt.owner_clear_proof(b"", link.nonce)
    assert ask(state, Op.CLEAR, proof, link=link).refused is AttError.UNAUTHENTICATED


@pytest.mark.parametrize("data", [b"", b"\x00", b"\x03" + bytes(64), b"\x02", b"\x02" + bytes(64), b"\x01"])
def test_a_malformed_clear_is_refused(data: bytes) -> None:
    state = activate(tag_in_hand()).state
    assert ask(state, Op.CLEAR, data).refused is not None
    assert ask(state, Op.CLEAR, data).state == state


# --- Through the door -------------------------------------------------------------------------------------


def connected(state: TagState) -> tuple[TagCell, ClaimPeripheral]:
    cell = TagCell(state, now_s=lambda: NOW_S, dice=Random(2).randbytes)
    peripheral = ClaimPeripheral(cell)
    peripheral.on_connect()
    return cell, peripheral


async def write_message(peripheral: ClaimPeripheral, nonce: bytes, op: int, data: bytes) -> None:
    message = gatt.encode_message(op, data, gatt.claim_mac(K_CLAIM, nonce, op, data))
    for chunk in gatt.split_chunks(message):
        await peripheral.write(gatt.MESSAGE_UUID, chunk)


def test_an_activation_in_chunks() -> None:
    async def play() -> None:
        cell, peripheral = connected(tag_in_hand())
        kept: list[TagState] = []
        cell.changed = kept.append
        nonce = await peripheral.read(gatt.NONCE_UUID)
        assert await peripheral.read(gatt.ANSWER_UUID) == b""
        await write_message(peripheral, nonce, Op.ACTIVATE, activation_data(CHALLENGE, OWNER))
        assert len(gatt.decode_reply(await peripheral.read(gatt.ANSWER_UUID), Op.ACTIVATE)) == 91
        assert cell.state.nvm.owner_hash == OWNER
        assert kept == [cell.state]

    asyncio.run(play())


def test_a_nonce_dies_with_the_connection_and_so_does_the_answer() -> None:
    async def play() -> None:
        before = tag_in_hand()
        cell, peripheral = connected(before)
        nonce = await peripheral.read(gatt.NONCE_UUID)
        peripheral.on_disconnect()
        peripheral.on_connect()
        with pytest.raises(GattError) as refused:
            await write_message(peripheral, nonce, Op.ACTIVATE, activation_data(CHALLENGE, OWNER))
        assert refused.value.code == AttError.UNAUTHENTICATED
        assert await peripheral.read(gatt.ANSWER_UUID) == b""
        assert await peripheral.read(gatt.NONCE_UUID) != await peripheral.read(gatt.NONCE_UUID)
        assert cell.state == before

    asyncio.run(play())


def test_the_tags_refusal_travels_as_an_att_error() -> None:
    async def play() -> None:
        _, peripheral = connected(tag_in_hand(pressed=False))
        nonce = await peripheral.read(gatt.NONCE_UUID)
        with pytest.raises(GattError) as refused:
            await write_message(peripheral, nonce, Op.ACTIVATE, activation_data(CHALLENGE, OWNER))
        assert refused.value.code == AttError.NO_CONSENT
        with pytest.raises(GattError) as broken:
            await peripheral.write(gatt.MESSAGE_UUID, b"\x07lost")
        assert broken.value.code == AttError.INVALID_VALUE

    asyncio.run(play())
