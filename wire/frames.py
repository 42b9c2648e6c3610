"""The 24-byte frames that a tag puts into the air, and the 31-byte advertisement around them.

Source: the frames of docs/wire-format.md, in the shape of the IETF DULT accessory protocol. Encoding and
decoding stand side by side; the batch resolver of the server does the same arithmetic over whole arrays
(`server/ingest/resolve.py`) and is tested against these functions.
"""

from __future__ import annotations

import hashlib
import hmac
from dataclasses import dataclass
from enum import IntEnum
from typing import Final

from cryptography.hazmat.primitives.ciphers import Cipher, algorithms, modes

from wire.errors import WireError
from wire.keys import tag_key

SERVICE_UUID: Final = "0000fcb2-0000-1000-8000-00805f9b34fb"
# 0xF0 is a lab value: nobody has registered it. 0x00 and 0xFF are reserved, 0x01 and 0x02 are taken.
NETWORK_ID_LAB: Final = 0xF0
FRAME_LEN: Final = 24
ADVERTISEMENT_LEN: Final = 31
MAGIC: Final = bytes.fromhex("c35a96")
P_MAC_LEN: Final = 4
# O and N frames count time in quarters of an hour since 1970.
TICK_S: Final = 900
TICKS_A_DAY: Final = 96
_ADVERTISEMENT_HEAD: Final = bytes.fromhex("0201061b16b2fc")


class FrameType(IntEnum):
    """First of our 22 bytes: what the rest means."""

    PROVENANCE = 0x11
    OWNED = 0x21
    NEAR_OWNER = 0x31


@dataclass(frozen=True, slots=True)
class Status:
    """The status byte of every frame. `battery` runs from 0 (full) to 3 (critical)."""

    battery: int = 0
    moved: bool = False
    transit: bool = False
    clock_lost: bool = False

    def to_byte(self) -> int:
        return (self.battery & 3) << 6 | self.moved << 5 | self.transit << 4 | self.clock_lost << 3

    @classmethod
    def from_byte(cls, value: int) -> Status:
        """Reads the known bits; the low three are reserved and ignored, so that a later version may use them."""
        return cls(value >> 6 & 3, bool(value & 0x20), bool(value & 0x10), bool(value & 0x08))


@dataclass(frozen=True, slots=True)
class PFrame:
    """A provenance frame, opened: who said it and how long that tag has been running."""

    serial: int
    uptime_s: int
    boot: int
    random: bytes
    status: int


@dataclass(frozen=True, slots=True)
class OFrame:
    """An owned frame as a stranger can read it: the day's identifier and a tail that only the owner can check."""

    status: int
    eid: bytes
    tail: bytes


def frame_kind(frame: bytes, network_id: int = NETWORK_ID_LAB) -> FrameType:
    """Says what a frame claims to be, from its length, network and type byte alone.

    Raises WireError: `frame_length`, `foreign_network`, `frame_type`.
    """
    if len(frame) != FRAME_LEN:
        raise WireError("frame_length", f"a frame has {FRAME_LEN} bytes, this one {len(frame)}")
    if frame[0] != network_id:
        raise WireError("foreign_network", "the frame belongs to another network")
    try:
        return FrameType(frame[2])
    except ValueError:
        raise WireError("frame_type", "the frame is of a type that this version does not know") from None


def _expect(frame: bytes, wanted: FrameType, network_id: int) -> None:
    if frame_kind(frame, network_id) is not wanted:
        raise WireError("frame_type", f"expected a frame of type {wanted.name}")


def advertisement(frame: bytes) -> bytes:
    """Puts a frame into the 31 bytes that go into the air (flags, then service data of 0xFCB2)."""
    if len(frame) != FRAME_LEN:
        raise WireError("frame_length", f"a frame has {FRAME_LEN} bytes, this one {len(frame)}")
    return _ADVERTISEMENT_HEAD + frame


def frame_of_advertisement(advert: bytes) -> bytes:
    """Takes the frame out of a legacy advertisement of our shape. Raises WireError `advertisement`."""
    if len(advert) != ADVERTISEMENT_LEN or not advert.startswith(_ADVERTISEMENT_HEAD):
        raise WireError("advertisement", "not an advertisement of our shape")
    return advert[len(_ADVERTISEMENT_HEAD) :]


# --- P: provenance ---------------------------------------------------------------------------------------


def _p_mac(k_tag: bytes, status: int, block: bytes) -> bytes:
    message = b"P" + bytes((FrameType.PROVENANCE, status)) + block
    return hmac.digest(k_tag, message, hashlib.sha256)[:P_MAC_LEN]


def p_plain(serial: int, uptime_s: int, boot: int, random2: bytes) -> bytes:
    """The 16 bytes under the lot's cipher: serial u40, uptime u32, boot u16, two random bytes, three magic ones."""
    try:
        head = serial.to_bytes(5, "big") + uptime_s.to_bytes(4, "big") + boot.to_bytes(2, "big")
    except OverflowError:
        raise WireError("out_of_range", "serial (40 bit), uptime (32 bit) or boot (16 bit) does not fit") from None
    if len(random2) != 2:
        raise WireError("out_of_range", "a P frame carries exactly two random bytes")
    return head + random2 + MAGIC


def encode_p(
    k_lot: bytes,
    k_tag: bytes,
    *,
    serial: int,
    uptime_s: int,
    boot: int,
    random2: bytes,
    status: int,
    network_id: int = NETWORK_ID_LAB,
) -> bytes:
    """Makes the frame of an unclaimed (or managed) tag; `random2` makes every beacon new."""
    encryptor = Cipher(algorithms.AES(k_lot), modes.ECB()).encryptor()  # noqa: S305 - one block that never repeats
    block = encryptor.update(p_plain(serial, uptime_s, boot, random2))
    head = bytes((network_id, 0, FrameType.PROVENANCE, status))
    return head + block + _p_mac(k_tag, status, block)


def decode_p(frame: bytes, k_lot: bytes, k_factory: bytes, network_id: int = NETWORK_ID_LAB) -> PFrame:
    """Opens one P frame with one lot's key and checks that the tag itself made it.

    Raises WireError: those of `frame_kind`, `not_this_lot` (no magic), `frame_mac` (magic, but not the tag's MAC).
    """
    _expect(frame, FrameType.PROVENANCE, network_id)
    decryptor = Cipher(algorithms.AES(k_lot), modes.ECB()).decryptor()  # noqa: S305
    plain = decryptor.update(frame[4:20])
    if plain[13:] != MAGIC:
        raise WireError("not_this_lot", "the frame was not made under this lot's key")
    serial = int.from_bytes(plain[:5], "big")
    if not hmac.compare_digest(_p_mac(tag_key(k_factory, serial), frame[3], frame[4:20]), frame[20:]):
        raise WireError("frame_mac", "the tag did not make this frame")
    return PFrame(
        serial=serial,
        uptime_s=int.from_bytes(plain[5:9], "big"),
        boot=int.from_bytes(plain[9:11], "big"),
        random=plain[11:13],
        status=frame[3],
    )


# --- Time as tags count it -------------------------------------------------------------------------------


def tick_of(unix_s: int) -> int:
    """The quarter of an hour that a moment (seconds since 1970) lies in."""
    return unix_s // TICK_S


def day_of_tick(tick: int) -> int:
    """The UTC day (since 1970-01-01) that a tick lies in: which key of the owner is meant."""
    return tick // TICKS_A_DAY


# --- O and N: owned --------------------------------------------------------------------------------------


def _o_tail(k_own: bytes, eid: bytes, tick: int, status: int) -> bytes:
    mask = hmac.digest(k_own, b"M" + eid, hashlib.sha256)[0]
    message = b"O" + bytes((FrameType.OWNED, status)) + eid + tick.to_bytes(4, "big")
    return bytes(((tick & 0xFF) ^ mask,)) + hmac.digest(k_own, message, hashlib.sha256)[:3]


def encode_o(k_own: bytes, eid: bytes, *, tick: int, status: int, network_id: int = NETWORK_ID_LAB) -> bytes:
    """Makes the frame of an owned tag away from its owner; `tick` is the tag's 15-minute counter."""
    return bytes((network_id, 0, FrameType.OWNED, status)) + eid + _o_tail(k_own, eid, tick, status)


def decode_o(frame: bytes, network_id: int = NETWORK_ID_LAB) -> OFrame:
    """Reads an O frame as any gateway can. Raises WireError as `frame_kind` does."""
    _expect(frame, FrameType.OWNED, network_id)
    return OFrame(status=frame[3], eid=frame[4:20], tail=frame[20:])


def verify_o(frame: OFrame, k_own: bytes, tick: int) -> bool:
    """True if the tag that holds `k_own` made this frame in the 15 minutes of `tick`."""
    return hmac.compare_digest(_o_tail(k_own, frame.eid, tick, frame.status), frame.tail)


def near_hash(k_own: bytes, tick: int) -> bytes:
    """The eight bytes by which an owner knows a tag that is near them."""
    return hmac.digest(k_own, b"N" + tick.to_bytes(4, "big"), hashlib.sha256)[:8]


def encode_n(k_own: bytes, *, tick: int, random12: bytes, status: int, network_id: int = NETWORK_ID_LAB) -> bytes:
    """Makes the frame of a tag near its owner: gateways drop it, only the owner's phone knows it."""
    if len(random12) != 12:
        raise WireError("out_of_range", "an N frame carries exactly twelve random bytes")
    head = bytes((network_id, 1, FrameType.NEAR_OWNER, status))
    return head + near_hash(k_own, tick) + random12


def verify_n(frame: bytes, k_own: bytes, tick: int, network_id: int = NETWORK_ID_LAB) -> bool:
    """True if this is the N frame of the tag that holds `k_own`, of the 15 minutes of `tick`.

    Raises WireError as `frame_kind` does. Says nothing of when it was sent within, or how often: N frames carry no MAC.
    """
    _expect(frame, FrameType.NEAR_OWNER, network_id)
    return hmac.compare_digest(near_hash(k_own, tick), frame[4:12])
