"""A tag's secret for another member of the household: sealed to the member's own X25519 key, for good.

`01 ‖ HPKE enc(32) ‖ ciphertext(41) ‖ tag(16)`, 90 bytes; HPKE as for reports with
`info = "hearsight household v1"` and empty aad. Plaintext: serial u40 ‖ zero of the tag's ticks u32 (unix s) ‖ S_o 32.
Base mode says nothing of who sealed it.
"""

from __future__ import annotations

import struct
from dataclasses import dataclass
from typing import Final

from cryptography.exceptions import InvalidTag
from cryptography.hazmat.primitives.asymmetric.x25519 import X25519PrivateKey, X25519PublicKey
from cryptography.hazmat.primitives.hpke import AEAD, KDF, KEM, Suite

from wire.errors import WireError

VERSION: Final = 1
HANDOVER_LEN: Final = 90
_INFO: Final = b"hearsight household v1"
_PLAIN: Final = struct.Struct(">5sI32s")
_SUITE: Final = Suite(KEM.X25519, KDF.HKDF_SHA256, AEAD.AES_128_GCM)


@dataclass(frozen=True, slots=True, repr=False)
class Handover:
    """All that a member needs to be an owner of this tag like the first one."""

    serial: int
    tick_zero_s: int
    s_o: bytes

    def __repr__(self) -> str:
        return f"Handover(serial={self.serial}, secret)"


def seal_handover(handover: Handover, member_public_key: bytes) -> bytes:
    """Seals a tag's secret to a member. Raises WireError `out_of_range`, `public_key`."""
    if len(handover.s_o) != 32:
        raise WireError("out_of_range", "a tag's secret has 32 bytes")
    try:
        serial = handover.serial.to_bytes(5, "big")
        plain = _PLAIN.pack(serial, handover.tick_zero_s, handover.s_o)
    except (OverflowError, struct.error):
        raise WireError("out_of_range", "serial or zero of the ticks does not fit its field") from None
    try:
        key = X25519PublicKey.from_public_bytes(member_public_key)
        return bytes((VERSION,)) + _SUITE.encrypt(plain, key, _INFO)
    except ValueError:  # not 32 bytes, or a point of small order, whose shared key anybody knows
        raise WireError("public_key", "nothing can be sealed to this member's key") from None


def open_handover(sealed: bytes, member_private_key: bytes) -> Handover:
    """Opens what was sealed to a member. Raises WireError `handover_shape`, `handover_sealed`."""
    if len(sealed) != HANDOVER_LEN or sealed[0] != VERSION:
        raise WireError("handover_shape", f"a sealed secret has {HANDOVER_LEN} bytes and version {VERSION}")
    try:
        key = X25519PrivateKey.from_private_bytes(member_private_key)
        plain = _SUITE.decrypt(sealed[1:], key, _INFO)
    except (InvalidTag, ValueError):
        raise WireError("handover_sealed", "this key does not open this secret") from None
    serial, tick_zero_s, s_o = _PLAIN.unpack(plain)
    return Handover(int.from_bytes(serial, "big"), tick_zero_s, s_o)
