"""The tag's claim service: who may make a tag theirs. Pure logic; its door to a Bluetooth stack is `peripheral`.

A connection is a Link: it holds the nonce, which serves one message and dies with the connection. Refusals are
checked in the order of docs/wire-format.md: MAC, value, owner, button.
"""

from __future__ import annotations

import hmac
from collections.abc import Callable
from typing import Final, NamedTuple, NoReturn

from cryptography.exceptions import InvalidSignature

from firmware_sim.tag import Dice, TagState, consents, remember, uptime_s
from wire import gatt
from wire.activation import CHALLENGE_LEN, OWNER_HASH_LEN, answer_challenge
from wire.errors import WireError
from wire.gatt import AttError, ClearProof, Op

NO_OWNER: Final = b"\x00"
OWNED: Final = b"\x01"


class Link(NamedTuple):
    """One connection. `nonce` is None before it was read and after it was used."""

    nonce: bytes | None = None


class Turn(NamedTuple):
    """What came of one message: the state after it, the link without its nonce, and a reply or a refusal."""

    state: TagState
    link: Link
    reply: bytes = b""
    refused: AttError | None = None


class _RefusalError(Exception):
    def __init__(self, error: AttError) -> None:
        super().__init__(error.name)
        self.error = error


def read_nonce(dice: Dice) -> Link:
    """Eight fresh bytes; reading again makes the earlier ones worthless."""
    return Link(dice(gatt.NONCE_LEN))


def take_message(state: TagState, link: Link, message: bytes, now_s: float) -> Turn:
    """What the tag does about one whole message. A tag without power does nothing (0x80)."""
    try:
        if link.nonce is None or state.ram is None:
            _refuse(AttError.UNAUTHENTICATED)
        parsed = _parse(message)
        mac = gatt.claim_mac(state.unit.k_claim, link.nonce, parsed.op, parsed.data)
        if not hmac.compare_digest(mac, parsed.mac):
            _refuse(AttError.UNAUTHENTICATED)
        act = _OPS.get(parsed.op)
        if act is None:
            _refuse(AttError.INVALID_VALUE)
        state, data = act(state, link.nonce, parsed.data, now_s)
        return Turn(state, Link(), gatt.encode_reply(parsed.op, data))
    except _RefusalError as refusal:
        return Turn(state, Link(), refused=refusal.error)


def _refuse(error: AttError) -> NoReturn:
    raise _RefusalError(error)


def _parse(message: bytes) -> gatt.Message:
    try:
        return gatt.decode_message(message)
    except WireError:
        _refuse(AttError.INVALID_VALUE)


# --- Operations: (state, nonce, data, now_s) → (state, data of the reply) ----------------------------------

Act = Callable[[TagState, bytes, bytes, float], tuple[TagState, bytes]]


def _tell_state(state: TagState, _nonce: bytes, data: bytes, _now_s: float) -> tuple[TagState, bytes]:
    if data:
        _refuse(AttError.INVALID_VALUE)
    return state, OWNED + state.nvm.owner_hash if state.nvm.owner_hash else NO_OWNER


def _clear(state: TagState, nonce: bytes, data: bytes, now_s: float) -> tuple[TagState, bytes]:
    if not data or data[0] not in _PROOFS:
        _refuse(AttError.INVALID_VALUE)
    if not _PROOFS[data[0]](state, nonce, data[1:]):
        _refuse(AttError.UNAUTHENTICATED)
    if not consents(state, now_s):
        _refuse(AttError.NO_CONSENT)
    return remember(state, now_s, b""), b""


def _activate(state: TagState, _nonce: bytes, data: bytes, now_s: float) -> tuple[TagState, bytes]:
    challenge, owner_hash = data[:CHALLENGE_LEN], data[CHALLENGE_LEN:]
    # An owner hash of zeros would read as "nobody" in some implementation: nobody's key hashes to it.
    if len(owner_hash) != OWNER_HASH_LEN or not any(owner_hash):
        _refuse(AttError.INVALID_VALUE)
    if state.nvm.owner_hash and not hmac.compare_digest(state.nvm.owner_hash, owner_hash):
        _refuse(AttError.INVALID_VALUE)
    if not consents(state, now_s):
        _refuse(AttError.NO_CONSENT)
    answer = answer_challenge(
        state.unit.private_key,
        challenge,
        serial=state.unit.serial,
        boot=state.nvm.boot,
        uptime_s=uptime_s(state, now_s),
        owner_hash=owner_hash,
    )
    return remember(state, now_s, owner_hash), answer


# 02 (set owner) and 05 (ring) belong to private claims: refused as a value that this firmware does not take.
_OPS: Final[dict[int, Act]] = {Op.STATE: _tell_state, Op.CLEAR: _clear, Op.ACTIVATE: _activate}


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
