"""A report that only the owner can read: 89 bytes, sealed to the public key of one day.

HPKE base mode (RFC 9180) with DHKEM(X25519, HKDF-SHA256), HKDF-SHA256 and AES-128-GCM.
"""

from __future__ import annotations

import struct
from dataclasses import dataclass
from typing import Final

from cryptography.exceptions import InvalidTag
from cryptography.hazmat.primitives.asymmetric.x25519 import X25519PrivateKey, X25519PublicKey
from cryptography.hazmat.primitives.hpke import AEAD, KDF, KEM, Suite

from wire.errors import WireError
from wire.keys import eid as eid_of

VERSION: Final = 1
REPORT_LEN: Final = 89
_EID_LEN: Final = 16
_PLAIN: Final = struct.Struct(">iiIHbB4sB3x")
_SUITE: Final = Suite(KEM.X25519, KDF.HKDF_SHA256, AEAD.AES_128_GCM)


@dataclass(frozen=True, slots=True)
class Report:
    """Where and when one gateway heard an owned tag. Degrees are in units of 1e-7; `tail` is the frame's own."""

    lat_e7: int
    lon_e7: int
    unix_s: int
    accuracy_m: int
    rssi_dbm: int
    status: int
    tail: bytes
    gateway_class: int


def _info(eid: bytes) -> bytes:
    return b"hearsight report v1" + eid


def seal(report: Report, public_key: bytes) -> bytes:
    """Seals a report to the day key P_i; the EID is derived from the key, so the two cannot disagree.

    Raises WireError `out_of_range`, `public_key`: the day key comes from outside.
    """
    if len(report.tail) != 4:
        raise WireError("out_of_range", "a frame's tail has 4 bytes")
    try:
        plain = _PLAIN.pack(
            report.lat_e7,
            report.lon_e7,
            report.unix_s,
            report.accuracy_m,
            report.rssi_dbm,
            report.status,
            report.tail,
            report.gateway_class,
        )
    except struct.error:
        raise WireError("out_of_range", "a value of the report does not fit its field") from None
    eid = eid_of(public_key)
    try:
        key = X25519PublicKey.from_public_bytes(public_key)
        return bytes((VERSION,)) + eid + _SUITE.encrypt(plain, key, _info(eid))
    except ValueError:  # not 32 bytes, or a point of small order, whose shared key anybody knows
        raise WireError("public_key", "nothing can be sealed to this day key") from None


def report_eid(report: bytes) -> bytes:
    """The identifier under which a sealed report is filed. Raises WireError `report_shape`."""
    if len(report) != REPORT_LEN or report[0] != VERSION:
        raise WireError("report_shape", f"a sealed report has {REPORT_LEN} bytes and version {VERSION}")
    return report[1 : 1 + _EID_LEN]


def open_report(report: bytes, private_key: bytes) -> Report:
    """Opens a report with the day's private key d_i. Raises WireError `report_shape`, `report_sealed`."""
    eid = report_eid(report)
    try:
        key = X25519PrivateKey.from_private_bytes(private_key)
        plain = _SUITE.decrypt(report[1 + _EID_LEN :], key, _info(eid))
    except (InvalidTag, ValueError):
        raise WireError("report_sealed", "this key does not open this report") from None
    if plain[-3:] != bytes(3):
        raise WireError("report_shape", "the reserved bytes of the report are not zero")
    return Report(*_PLAIN.unpack(plain))
