"""The tag's claim service over GATT: its UUIDs, how a message is cut into writes, and the MAC that opens it.

A carrier reads a nonce (8 bytes, single use, dead when the connection ends), writes one framed message to the
message characteristic, and reads the tag's answer. A refusal is an ATT error: 0x80, 0x81 or 0x82.
"""

from __future__ import annotations

import hashlib
import hmac
import struct
from collections.abc import Iterator
from enum import IntEnum
from typing import Final, NamedTuple

from wire.errors import WireError

CLAIM_SERVICE_UUID: Final = "7d0f0001-3c5e-4b61-9a56-5e0f6b1d9c42"
NONCE_UUID: Final = "7d0f0002-3c5e-4b61-9a56-5e0f6b1d9c42"
MESSAGE_UUID: Final = "7d0f0003-3c5e-4b61-9a56-5e0f6b1d9c42"
ANSWER_UUID: Final = "7d0f0004-3c5e-4b61-9a56-5e0f6b1d9c42"

VERSION: Final = 1
NONCE_LEN: Final = 8
MAC_LEN: Final = 8
# A press of the button counts as consent for this long: time to walk to the phone, not to forget it.
CONSENT_S: Final = 60
# A tag has little memory to lend to whoever connects, before it knows the MAC, and a carried message has no more room
# either (wire.command.Write). A year of identifiers therefore comes in several messages (wire.set_owner).
MAX_MESSAGE: Final = 1024
# The smallest ATT write every stack can do (MTU 23 less three bytes of header).
CHUNK_MIN: Final = 20
_FIRST, _LAST, _INDEX = 0x80, 0x40, 0x3F
_LENGTH: Final = struct.Struct(">H")


class Op(IntEnum):
    """What a message asks for."""

    STATE = 0x01
    SET_OWNER = 0x02
    CLEAR = 0x03
    NEAR = 0x04
    RING = 0x05
    ACTIVATE = 0x10


class AttError(IntEnum):
    """A tag's refusals, as in the Find Hub accessory specification."""

    UNAUTHENTICATED = 0x80
    INVALID_VALUE = 0x81
    NO_CONSENT = 0x82


class ClearProof(IntEnum):
    """First data byte of CLEAR: who asks the tag to forget its owner."""

    OWNER = 1  # HMAC-SHA256(K_own, "CLR1" ‖ nonce)[:16]
    RELEASE = 2  # the server's Ed25519 signature over "REL1" ‖ serial u40 ‖ nonce


class Owned(IntEnum):
    """First data byte of the answer to STATE; what follows is in docs/wire-format.md, 11."""

    NOBODY = 0
    MANAGED = 1  # ‖ owner_hash 16
    PRIVATE = 2  # ‖ owner_hash 16 ‖ first day u32 ‖ days u16


# How long the owner may have the tag ring: long enough to look under the sofa. A shorter one nobody can locate.
RING_MIN_S: Final = 5
RING_MAX_S: Final = 60
PROOF_LEN: Final = 16
_UNIX: Final = struct.Struct(">I")


class Message(NamedTuple):
    """One authenticated request to a tag."""

    op: int
    data: bytes
    mac: bytes


def _head(op: int, data: bytes) -> bytes:
    return bytes((op,)) + _LENGTH.pack(len(data)) + data


def claim_mac(k_claim: bytes, nonce: bytes, op: int, data: bytes) -> bytes:
    """Eight bytes that show knowledge of the code from the box, for one nonce and one request."""
    return hmac.digest(k_claim, bytes((VERSION,)) + nonce + _head(op, data), hashlib.sha256)[:MAC_LEN]


def encode_message(op: int, data: bytes, mac: bytes) -> bytes:
    """`op ‖ length u16 ‖ data ‖ MAC`."""
    message = _head(op, data) + mac
    if len(message) > MAX_MESSAGE or len(mac) != MAC_LEN:
        raise WireError("out_of_range", f"a message has at most {MAX_MESSAGE} bytes and a MAC of {MAC_LEN}")
    return message


def decode_message(message: bytes) -> Message:
    """Raises WireError `truncated`, `oversized`."""
    if len(message) > MAX_MESSAGE:
        raise WireError("oversized", f"a message has at most {MAX_MESSAGE} bytes")
    if len(message) < 3 or len(message) != 3 + _LENGTH.unpack_from(message, 1)[0] + MAC_LEN:
        raise WireError("truncated", "the message's length does not fit its header")
    return Message(message[0], message[3:-MAC_LEN], message[-MAC_LEN:])


def encode_reply(op: int, data: bytes) -> bytes:
    """What the answer characteristic holds after a message was accepted: `op ‖ length u16 ‖ data`."""
    return _head(op, data)


def decode_reply(reply: bytes, op: int) -> bytes:
    """The data of the answer to `op`. Raises WireError `truncated`, `wrong_reply`."""
    if len(reply) < 3 or len(reply) != 3 + _LENGTH.unpack_from(reply, 1)[0]:
        raise WireError("truncated", "the tag's answer is not whole")
    if reply[0] != op:
        raise WireError("wrong_reply", "the tag answered another request")
    return reply[3:]


def release_message(serial: int, nonce: bytes) -> bytes:
    """What the server signs so that a tag forgets an owner who has released it."""
    return b"REL1" + serial.to_bytes(5, "big") + nonce


def owner_clear_proof(k_own: bytes, nonce: bytes) -> bytes:
    """What the owner shows so that the tag forgets them."""
    return hmac.digest(k_own, b"CLR1" + nonce, hashlib.sha256)[:16]


# --- What only the owner can say: data of ops 04 and 05, the proof over K_own behind the value -----------------


def near_data(k_own: bytes, nonce: bytes, unix_s: int) -> bytes:
    """Data of op 04: the owner is here, and this is the time (seconds since 1970)."""
    return _UNIX.pack(unix_s) + _owner_proof(k_own, b"NEAR", nonce, _UNIX.pack(unix_s))


def ring_data(k_own: bytes, nonce: bytes, seconds: int) -> bytes:
    """Data of op 05: ring for so many seconds, 0 to be silent. `k_own` is empty if nobody owns the tag privately."""
    value = bytes((seconds,))
    return value + (_owner_proof(k_own, b"RING", nonce, value) if k_own else b"")


def unix_of_near_data(data: bytes) -> int:
    """The time that op 04 tells. Raises WireError `truncated`."""
    if len(data) != _UNIX.size + PROOF_LEN:
        raise WireError("truncated", "op 04 carries a time and a proof")
    return int(_UNIX.unpack_from(data)[0])


def _owner_proof(k_own: bytes, domain: bytes, nonce: bytes, value: bytes) -> bytes:
    return hmac.digest(k_own, domain + nonce + value, hashlib.sha256)[:PROOF_LEN]


# --- Chunks: one byte of header (first, last, index modulo 64), then a part of the message -------------------


def split_chunks(message: bytes, chunk_len: int = CHUNK_MIN) -> Iterator[bytes]:
    """Cuts a message into writes of at most `chunk_len` bytes."""
    if chunk_len < 2:
        raise WireError("out_of_range", "a chunk has at least two bytes")
    parts = [message[i : i + chunk_len - 1] for i in range(0, len(message), chunk_len - 1)] or [b""]
    for index, part in enumerate(parts):
        flags = (_FIRST if index == 0 else 0) | (_LAST if index == len(parts) - 1 else 0)
        yield bytes((flags | index & _INDEX,)) + part


class Reassembler:
    """Puts chunks together again; a chunk out of order ends the attempt, a first chunk starts a new one."""

    def __init__(self) -> None:
        self._parts: list[bytes] | None = None
        self._held = 0

    def feed(self, chunk: bytes) -> bytes | None:
        """The whole message with its last chunk, None before. Raises WireError `chunk_order`, `oversized`."""
        if not chunk:
            raise WireError("chunk_order", "an empty write is no chunk")
        if chunk[0] & _FIRST:
            self._parts, self._held = [], 0
        parts = self._parts
        if parts is None or chunk[0] & _INDEX != len(parts) & _INDEX:
            self._parts = None
            raise WireError("chunk_order", "a chunk is missing or came twice")
        self._held += max(len(chunk) - 1, 1)  # an empty part costs memory too, and there is no end of them
        if self._held > MAX_MESSAGE:
            self._parts = None
            raise WireError("oversized", f"a message has at most {MAX_MESSAGE} bytes")
        parts.append(chunk[1:])
        if not chunk[0] & _LAST:
            return None
        self._parts = None
        return b"".join(parts)
