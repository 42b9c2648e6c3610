"""The activation receipt: a tag's signed answer that nobody can make without the tag in hand.

91 bytes: `serial u40 ‖ boot u16 ‖ uptime u32 ‖ owner_hash 16 ‖ Ed25519 signature 64`, the signature over
`"ACT1" ‖ challenge ‖` the first 27 bytes. The tag's public key stands in the factory's signed manifest.
"""

from __future__ import annotations

import struct
from typing import Final, NamedTuple

from cryptography.exceptions import InvalidSignature
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey, Ed25519PublicKey

from wire.errors import WireError

CHALLENGE_LEN: Final = 16
OWNER_HASH_LEN: Final = 16
STATEMENT_LEN: Final = 27
ANSWER_LEN: Final = STATEMENT_LEN + 64
# A challenge ends after this; long enough to walk to the shelf and press the button, too short to be stocked up.
CHALLENGE_LIFETIME_S: Final = 15 * 60
_STATEMENT: Final = struct.Struct(">5sHI16s")


class ActivationAnswer(NamedTuple):
    """What the tag stated, with its signature still to be checked."""

    serial: int
    boot: int
    uptime_s: int
    owner_hash: bytes
    signature: bytes


def activation_data(challenge: bytes, owner_hash: bytes) -> bytes:
    """Data of GATT op 10."""
    if len(challenge) != CHALLENGE_LEN or len(owner_hash) != OWNER_HASH_LEN:
        raise WireError("out_of_range", "a challenge and an owner hash have 16 bytes each")
    return challenge + owner_hash


def _statement(serial: int, boot: int, uptime_s: int, owner_hash: bytes) -> bytes:
    return _STATEMENT.pack(serial.to_bytes(5, "big"), boot, uptime_s, owner_hash)


def answer_challenge(
    private_key: Ed25519PrivateKey,
    challenge: bytes,
    *,
    serial: int,
    boot: int,
    uptime_s: int,
    owner_hash: bytes,
) -> bytes:
    """The tag's side: 91 bytes that end its part."""
    statement = _statement(serial, boot, uptime_s, owner_hash)
    return statement + private_key.sign(b"ACT1" + challenge + statement)


def decode_answer(answer: bytes) -> ActivationAnswer:
    """Raises WireError `answer_length`."""
    if len(answer) != ANSWER_LEN:
        raise WireError("answer_length", f"an activation answer has {ANSWER_LEN} bytes, this one {len(answer)}")
    serial, boot, uptime_s, owner_hash = _STATEMENT.unpack_from(answer)
    return ActivationAnswer(int.from_bytes(serial, "big"), boot, uptime_s, owner_hash, answer[STATEMENT_LEN:])


def verify_answer(public_key: bytes, challenge: bytes, answer: bytes) -> ActivationAnswer:
    """What the tag with this public key stated in answer to this challenge.

    Raises WireError `answer_length`, `challenge_length`, `public_key`, `receipt_invalid`.
    Works offline: needs no server, no database.
    """
    stated = decode_answer(answer)
    if len(challenge) != CHALLENGE_LEN:
        raise WireError("challenge_length", f"a challenge has {CHALLENGE_LEN} bytes, this one {len(challenge)}")
    try:
        key = Ed25519PublicKey.from_public_bytes(public_key)
    except ValueError:
        raise WireError("public_key", "an Ed25519 public key has 32 bytes") from None
    try:
        key.verify(stated.signature, b"ACT1" + challenge + answer[:STATEMENT_LEN])
    except InvalidSignature:
        raise WireError("receipt_invalid", "this tag did not give this answer to this challenge") from None
    return stated
