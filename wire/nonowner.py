"""What anybody may ask of a tag that is away from its owner: the accessory non-owner service of IETF DULT.

One characteristic, written to and indicating back, everything little-endian as Bluetooth has it: `opcode u16 ‖
operands`. Whoever finds a strange tag among their things can make it ring and, with its button pressed, read an
identifier that only the operator can open.
"""

from __future__ import annotations

import hashlib
import hmac
import struct
from enum import IntEnum
from typing import Final, NamedTuple

from cryptography.hazmat.primitives.ciphers import Cipher, algorithms, modes

from wire.errors import WireError
from wire.frames import MAGIC, p_plain
from wire.keys import tag_key

NON_OWNER_SERVICE_UUID: Final = "15190001-12f4-c226-88ed-2ac5579f2a85"
NON_OWNER_UUID: Final = "8e0c0001-1d68-fb92-bf61-48377421680e"

# The button opens the identifier for this long (DULT: five minutes).
IDENTIFIER_S: Final = 5 * 60
IDENTIFIER_LEN: Final = 24
_ANSWER: Final = 0x800
_OPCODE: Final = struct.Struct("<H")
_RESPONSE: Final = struct.Struct("<HH")


class Opcode(IntEnum):
    """Requests; the answer to an information request is its number plus 0x800."""

    GET_PRODUCT_DATA = 0x0003
    GET_MANUFACTURER_NAME = 0x0004
    GET_MODEL_NAME = 0x0005
    GET_ACCESSORY_CATEGORY = 0x0006
    GET_PROTOCOL_VERSION = 0x0007
    GET_CAPABILITIES = 0x0008
    GET_NETWORK_ID = 0x0009
    GET_FIRMWARE_VERSION = 0x000A
    GET_BATTERY_TYPE = 0x000B
    GET_BATTERY_LEVEL = 0x000C
    SOUND_START = 0x0300
    SOUND_STOP = 0x0301
    COMMAND_RESPONSE = 0x0302
    SOUND_COMPLETED = 0x0303
    GET_IDENTIFIER = 0x0404
    IDENTIFIER = 0x0405


class Response(IntEnum):
    """What COMMAND_RESPONSE says of a request."""

    SUCCESS = 0x0000
    INVALID_STATE = 0x0001
    INVALID_LENGTH = 0x0003
    INVALID_COMMAND = 0xFFFF


class Said(NamedTuple):
    """One message, either way."""

    opcode: int
    operand: bytes


class Identity(NamedTuple):
    """An identifier, opened: which tag was in whose hand, by the tag's own counters."""

    serial: int
    uptime_s: int
    boot: int


def encode_said(opcode: int, operand: bytes = b"") -> bytes:
    return _OPCODE.pack(opcode) + operand


def decode_said(message: bytes) -> Said:
    """Raises WireError `truncated`."""
    if len(message) < _OPCODE.size:
        raise WireError("truncated", "a message of the non-owner service begins with its opcode")
    return Said(_OPCODE.unpack_from(message)[0], message[_OPCODE.size :])


def encode_information(request: Opcode, operand: bytes) -> bytes:
    """The answer to an information request."""
    return encode_said(request + _ANSWER, operand)


def encode_response(request: int, response: Response) -> bytes:
    """Says what became of a request."""
    return encode_said(Opcode.COMMAND_RESPONSE, _RESPONSE.pack(request, response))


def decode_response(operand: bytes) -> tuple[int, int]:
    """Request and response of a COMMAND_RESPONSE. Raises WireError `truncated`."""
    if len(operand) != _RESPONSE.size:
        raise WireError("truncated", "a command response names a request and a response")
    request, response = _RESPONSE.unpack(operand)
    return request, response


# --- The identifier: readable to whoever holds the lot's key, worthless on the air -----------------------------


def _mac(k_tag: bytes, block: bytes) -> bytes:
    return hmac.digest(k_tag, b"I" + block, hashlib.sha256)[: IDENTIFIER_LEN - len(block)]


def encode_identifier(k_lot: bytes, k_tag: bytes, *, serial: int, uptime_s: int, boot: int, random2: bytes) -> bytes:
    """24 bytes: the block of a P frame, under a MAC that no P frame has, so that nobody can send it as one."""
    encryptor = Cipher(algorithms.AES(k_lot), modes.ECB()).encryptor()  # noqa: S305 - one block that never repeats
    block = encryptor.update(p_plain(serial, uptime_s, boot, random2))
    return block + _mac(k_tag, block)


def decode_identifier(identifier: bytes, k_lot: bytes, k_factory: bytes) -> Identity:
    """Opens an identifier with one lot's key. Raises WireError `truncated`, `not_this_lot`, `identifier_mac`."""
    if len(identifier) != IDENTIFIER_LEN:
        raise WireError("truncated", f"an identifier has {IDENTIFIER_LEN} bytes")
    decryptor = Cipher(algorithms.AES(k_lot), modes.ECB()).decryptor()  # noqa: S305
    plain = decryptor.update(identifier[:16])
    if plain[13:] != MAGIC:
        raise WireError("not_this_lot", "the identifier was not made under this lot's key")
    serial = int.from_bytes(plain[:5], "big")
    if not hmac.compare_digest(_mac(tag_key(k_factory, serial), identifier[:16]), identifier[16:]):
        raise WireError("identifier_mac", "the tag did not give this identifier")
    return Identity(serial, int.from_bytes(plain[5:9], "big"), int.from_bytes(plain[9:11], "big"))
