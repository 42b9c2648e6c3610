"""The tag's claim service: who may make a tag theirs. Pure logic; its door to a Bluetooth stack is `peripheral`.

A connection is a Link: it holds the nonce, which serves one message and dies with the connection. Refusals are
checked in the order of docs/wire-format.md: MAC, value, owner, button. How a list of identifiers comes in is
`set_owner`'s chapter.
"""

from __future__ import annotations

import hmac
from collections.abc import Callable
from dataclasses import replace
from typing import Final, NamedTuple

import msgspec
from cryptography.exceptions import InvalidSignature

from firmware_sim.owned import NEAR_S, set_clock
from firmware_sim.refused import RefusedError, refuse
from firmware_sim.set_owner import take_step
from firmware_sim.sound import play, silence
from firmware_sim.tag import Dice, TagState, consents, forget, remember, uptime_s
from wire import gatt
from wire.activation import CHALLENGE_LEN, OWNER_HASH_LEN, answer_challenge
from wire.errors import WireError
from wire.gatt import AttError, ClearProof, Op, Owned
from wire.set_owner import EID_LEN


class Link(NamedTuple):
    """One connection. `nonce` is None before it was read and after it was used."""

    nonce: bytes | None = None


class Turn(NamedTuple):
    """What came of one message: the state after it, the link without its nonce, and a reply or a refusal."""

    state: TagState
    link: Link
    reply: bytes = b""
    refused: AttError | None = None


def read_nonce(dice: Dice) -> Link:
    """Eight fresh bytes; reading again makes the earlier ones worthless."""
    return Link(dice(gatt.NONCE_LEN))


def take_message(state: TagState, link: Link, message: bytes, now_s: float) -> Turn:
    """What the tag does about one whole message. A tag without power does nothing (0x80)."""
    try:
        if link.nonce is None or state.ram is None:
            refuse(AttError.UNAUTHENTICATED)
        parsed = _parse(message)
        mac = gatt.claim_mac(state.unit.k_claim, link.nonce, parsed.op, parsed.data)
        if not hmac.compare_digest(mac, parsed.mac):
            refuse(AttError.UNAUTHENTICATED)
        act = _OPS.get(parsed.op)
        if act is None:
            refuse(AttError.INVALID_VALUE)
        state, data = act(state, link.nonce, parsed.data, now_s)
        return Turn(state, Link(), gatt.encode_reply(parsed.op, data))
    except RefusedError as refused:
        return Turn(refused.state or state, Link(), refused=refused.error)


def _parse(message: bytes) -> gatt.Message:
    try:
        return gatt.decode_message(message)
    except WireError:
        refuse(AttError.INVALID_VALUE)


# --- Operations: (state, nonce, data, now_s) → (state, data of the reply) ----------------------------------

Act = Callable[[TagState, bytes, bytes, float], tuple[TagState, bytes]]


def _tell_state(state: TagState, _nonce: bytes, data: bytes, _now_s: float) -> tuple[TagState, bytes]:
    nvm = state.nvm
    if data:
        refuse(AttError.INVALID_VALUE)
    if nvm.k_own:
        ends = nvm.first_day.to_bytes(4, "big") + (len(nvm.eids) // EID_LEN).to_bytes(2, "big")
        return state, bytes((Owned.PRIVATE,)) + nvm.owner_hash + ends
    return state, bytes((Owned.MANAGED if nvm.owner_hash else Owned.NOBODY,)) + nvm.owner_hash


def _clear(state: TagState, nonce: bytes, data: bytes, now_s: float) -> tuple[TagState, bytes]:
    if not data or data[0] not in _PROOFS:
        refuse(AttError.INVALID_VALUE)
    if not _PROOFS[data[0]](state, nonce, data[1:]):
        refuse(AttError.UNAUTHENTICATED)
    if not consents(state, now_s):
        refuse(AttError.NO_CONSENT)
    return forget(state, now_s), b""


def _activate(state: TagState, _nonce: bytes, data: bytes, now_s: float) -> tuple[TagState, bytes]:
    challenge, owner_hash = data[:CHALLENGE_LEN], data[CHALLENGE_LEN:]
    # An owner hash of zeros would read as "nobody" in some implementation: nobody's key hashes to it.
    if len(owner_hash) != OWNER_HASH_LEN or not any(owner_hash):
        refuse(AttError.INVALID_VALUE)
    if state.nvm.owner_hash and not hmac.compare_digest(state.nvm.owner_hash, owner_hash):
        refuse(AttError.INVALID_VALUE)
    if not consents(state, now_s):
        refuse(AttError.NO_CONSENT)
    answer = answer_challenge(
        state.unit.private_key,
        challenge,
        serial=state.unit.serial,
        boot=state.nvm.boot,
        uptime_s=uptime_s(state, now_s),
        owner_hash=owner_hash,
    )
    return remember(state, now_s, owner_hash), answer


def _be_near(state: TagState, nonce: bytes, data: bytes, now_s: float) -> tuple[TagState, bytes]:
    """The owner is here: for half an hour the tag is near them, and it has the time again."""
    nvm, ram = state.nvm, state.ram
    try:
        unix_s = gatt.unix_of_near_data(data)
    except WireError:
        refuse(AttError.INVALID_VALUE)
    if not nvm.k_own or ram is None or not hmac.compare_digest(gatt.near_data(nvm.k_own, nonce, unix_s), data):
        refuse(AttError.UNAUTHENTICATED)
    ram = msgspec.structs.replace(ram, near_until_at_s=now_s + NEAR_S, clock_set=True)
    return replace(state, nvm=set_clock(nvm, uptime_s(state, now_s), unix_s), ram=ram), b""


def _ring(state: TagState, nonce: bytes, data: bytes, now_s: float) -> tuple[TagState, bytes]:
    """No button: what one is looking for, one cannot press."""
    seconds = data[0] if data else 1
    if seconds and not gatt.RING_MIN_S <= seconds <= gatt.RING_MAX_S:
        refuse(AttError.INVALID_VALUE)
    if not hmac.compare_digest(gatt.ring_data(state.nvm.k_own, nonce, seconds), data):
        refuse(AttError.UNAUTHENTICATED)
    return (play(state, now_s, seconds) if seconds else silence(state)), b""


_OPS: Final[dict[int, Act]] = {
    Op.STATE: _tell_state,
    Op.SET_OWNER: take_step,
    Op.CLEAR: _clear,
    Op.NEAR: _be_near,
    Op.RING: _ring,
    Op.ACTIVATE: _activate,
}


def _is_owner(state: TagState, nonce: bytes, proof: bytes) -> bool:
    wanted = gatt.owner_clear_proof(state.nvm.k_own, nonce)
    return bool(state.nvm.k_own) and hmac.compare_digest(wanted, proof)


def _is_released(state: TagState, nonce: bytes, signature: bytes) -> bool:
    if state.unit.server_key is None:
        return False
    try:
        state.unit.server_key.verify(signature, gatt.release_message(state.unit.serial, nonce))
    except InvalidSignature:
        return False
    return True


_PROOFS: Final[dict[int, Callable[[TagState, bytes, bytes], bool]]] = {
    ClearProof.OWNER: _is_owner,
    ClearProof.RELEASE: _is_released,
}
