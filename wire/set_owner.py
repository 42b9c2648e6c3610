"""Op 02, set owner: how a year of identifiers and K_own reach a tag, unread by the air and by whoever carries them.

Three kinds of step, each one message of its own under a nonce of its own (docs/wire-format.md, 11): *begin* says what
will come and who wants it, *parts* bring the list, *finish* makes it count and sets the clock. A step is encrypted
under HKDF-SHA256(K_claim, salt = nonce, info = "set owner"). The IV is the client's own dice and travels in front: a
carrier may hand the same nonce out twice, and with a fixed IV two plaintexts would then share their key stream.
"""

from __future__ import annotations

import hashlib
import struct
from collections.abc import Iterator
from enum import IntEnum
from typing import Final, NamedTuple

from cryptography.exceptions import InvalidSignature, InvalidTag
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey, Ed25519PublicKey
from cryptography.hazmat.primitives.ciphers.aead import AESGCM
from cryptography.hazmat.primitives.hashes import SHA256
from cryptography.hazmat.primitives.kdf.hkdf import HKDF

from wire.errors import WireError

EID_LEN: Final = 16
# A year and a day: a leap year has to fit, and whoever renews the list once a year is never without.
MAX_DAYS: Final = 366
# A part with its envelope fits a carried message of 1,024 bytes; six of them make a year.
PART_EIDS: Final = 61
IV_LEN: Final = 12
KEY_LEN: Final = 16
_GCM_TAG_LEN: Final = 16
_INFO: Final = b"set owner"
_BEGIN: Final = struct.Struct(">B16sIH32s32s")
_PART: Final = struct.Struct(">BH")
_FINISH: Final = struct.Struct(">BI")
_HELD: Final = struct.Struct(">H")
_SIGNATURE_LEN: Final = 64


class Kind(IntEnum):
    """First byte of a step."""

    BEGIN = 1
    PART = 2
    FINISH = 3


class Begin(NamedTuple):
    """What will come, and who wants it. `list_hash` is SHA-256 over the EIDs as they follow each other."""

    k_own: bytes
    first_day: int
    days: int
    list_hash: bytes
    owner_public_key: bytes
    signature: bytes


class Part(NamedTuple):
    """Some EIDs, from position `first` of the list."""

    first: int
    eids: bytes


class Finish(NamedTuple):
    """The list is whole; the time is `unix_s`."""

    unix_s: int


Step = Begin | Part | Finish


def list_hash(eids: bytes) -> bytes:
    return hashlib.sha256(eids).digest()


# --- Steps ------------------------------------------------------------------------------------------------


def encode_begin(
    owner_key: Ed25519PrivateKey, *, serial: int, nonce: bytes, k_own: bytes, first_day: int, eids: bytes
) -> bytes:
    """The first step for a list of EIDs, signed by the owner for this tag and this nonce. Raises `out_of_range`."""
    if len(eids) % EID_LEN or not 1 <= len(eids) // EID_LEN <= MAX_DAYS:
        raise WireError("out_of_range", f"a list has 1 to {MAX_DAYS} EIDs of {EID_LEN} bytes")
    public = owner_key.public_key().public_bytes_raw()
    head = _BEGIN.pack(Kind.BEGIN, k_own, first_day, len(eids) // EID_LEN, list_hash(eids), public)
    return head + owner_key.sign(_signed(serial, nonce, head))


def encode_part(first: int, eids: bytes) -> bytes:
    """Raises WireError `out_of_range`."""
    if len(eids) % EID_LEN or not 1 <= len(eids) // EID_LEN <= PART_EIDS:
        raise WireError("out_of_range", f"a part has 1 to {PART_EIDS} EIDs")
    return _PART.pack(Kind.PART, first) + eids


def split_list(eids: bytes, held: int = 0) -> Iterator[bytes]:
    """The parts that a tag still needs which holds the first `held` EIDs."""
    for first in range(held, len(eids) // EID_LEN, PART_EIDS):
        yield encode_part(first, eids[first * EID_LEN : (first + PART_EIDS) * EID_LEN])


def encode_finish(unix_s: int) -> bytes:
    return _FINISH.pack(Kind.FINISH, unix_s)


def decode_step(plain: bytes) -> Step:
    """Raises WireError `set_owner_shape`."""
    kind, length = plain[:1], len(plain)
    if kind == bytes((Kind.BEGIN,)) and length == _BEGIN.size + _SIGNATURE_LEN:
        _, k_own, first_day, days, wanted, public = _BEGIN.unpack_from(plain)
        if 1 <= days <= MAX_DAYS and any(k_own):
            return Begin(k_own, first_day, days, wanted, public, plain[_BEGIN.size :])
    elif kind == bytes((Kind.PART,)) and _PART.size < length <= _PART.size + PART_EIDS * EID_LEN:
        eids = plain[_PART.size :]
        if len(eids) % EID_LEN == 0:
            return Part(_PART.unpack_from(plain)[1], eids)
    elif kind == bytes((Kind.FINISH,)) and length == _FINISH.size:
        return Finish(_FINISH.unpack(plain)[1])
    raise WireError("set_owner_shape", "not a step of setting an owner")


def verify_begin(begin: Begin, serial: int, nonce: bytes) -> None:
    """Whether the holder of the named key wants this, of this tag, now. Raises WireError `public_key`, `signature`."""
    head = _BEGIN.pack(Kind.BEGIN, *begin[:-1])
    try:
        key = Ed25519PublicKey.from_public_bytes(begin.owner_public_key)
    except ValueError:
        raise WireError("public_key", "not an Ed25519 public key") from None
    try:
        key.verify(begin.signature, _signed(serial, nonce, head))
    except InvalidSignature:
        raise WireError("signature", "the named owner did not sign this for this tag and nonce") from None


def _signed(serial: int, nonce: bytes, head: bytes) -> bytes:
    return b"SET1" + serial.to_bytes(5, "big") + nonce + head


# --- The envelope -----------------------------------------------------------------------------------------


def step_key(k_claim: bytes, nonce: bytes) -> bytes:
    """The AES-128 key (16 bytes) of the message under this nonce."""
    return HKDF(SHA256(), KEY_LEN, salt=nonce, info=_INFO).derive(k_claim)


def seal_step(k_claim: bytes, nonce: bytes, iv: bytes, plain: bytes) -> bytes:
    """Data of op 02: `iv 12 ‖ AES-128-GCM(plain) ‖ tag 16`. `iv` must be fresh dice for every message."""
    if len(iv) != IV_LEN:
        raise WireError("out_of_range", f"an IV has {IV_LEN} bytes")
    return iv + AESGCM(step_key(k_claim, nonce)).encrypt(iv, plain, None)


def open_step(k_claim: bytes, nonce: bytes, data: bytes) -> bytes:
    """The plaintext of op 02's data. Raises WireError `set_owner_sealed`."""
    if len(data) < IV_LEN + _GCM_TAG_LEN:
        raise WireError("set_owner_sealed", "too short for an encrypted step")
    try:
        return AESGCM(step_key(k_claim, nonce)).decrypt(data[:IV_LEN], data[IV_LEN:], None)
    except InvalidTag:
        raise WireError("set_owner_sealed", "not encrypted under this code and nonce") from None


# --- The answer -------------------------------------------------------------------------------------------


def encode_held(held: int) -> bytes:
    """Data of the tag's answer to every step: how many EIDs of this list it holds."""
    return _HELD.pack(held)


def decode_held(data: bytes) -> int:
    """Raises WireError `truncated`."""
    if len(data) != _HELD.size:
        raise WireError("truncated", "the answer to op 02 is a count")
    return int(_HELD.unpack(data)[0])
