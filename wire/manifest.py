"""What the factory says of the units it made: JSON lines, signed as a whole by a key kept outside the server.

First line a header (`manifest`, `lot`, `made_at`, `units`), one line a unit, last line `{"signature": …}`: Ed25519
over the SHA-256 of every byte before that line. A row says which key answers for which serial, so that an
activation can be checked; it holds no secret (the claim code only as its hash).
"""

from __future__ import annotations

import hashlib
from collections.abc import Iterable, Iterator
from datetime import datetime
from typing import Annotated, Final, Literal

import msgspec
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey, Ed25519PublicKey
from msgspec import Meta

from wire.errors import WireError
from wire.signing import Domain, sign, verify

# A lot has at most 5,000 tags: one AES block is tried per lot and frame, and a lost lot key exposes one lot.
MAX_UNITS: Final = 5_000
MAX_LINE: Final = 1_024
MAX_SERIAL: Final = 2**40 - 1
Hex32 = Annotated[str, Meta(pattern=r"^[0-9a-f]{64}\Z")]


class Header(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """Which manifest this is; `units` counts the rows, so that a cut file is noticed."""

    manifest: Annotated[str, Meta(min_length=1, max_length=64)]
    lot: Annotated[str, Meta(min_length=1, max_length=64)]
    made_at: Annotated[datetime, Meta(tz=True)]
    units: Annotated[int, Meta(ge=1, le=MAX_UNITS)]


class Unit(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """One tag: its serial, the key that signs its activation, the hash of the code in its box, how it beacons."""

    serial: Annotated[int, Meta(ge=0, le=MAX_SERIAL)]
    public_key: Hex32
    claim_hash: Hex32
    beacon_mode: Literal["transit_beacon", "silent"] = "transit_beacon"
    model: Annotated[str, Meta(max_length=64)] = ""


class _Signature(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    signature: Annotated[str, Meta(pattern=r"^[0-9a-f]{128}\Z")]


_HEADER: Final = msgspec.json.Decoder(Header)
_UNIT: Final = msgspec.json.Decoder(Unit)
_SIGNATURE: Final = msgspec.json.Decoder(_Signature)


def encode_manifest(header: Header, units: Iterable[Unit], factory_key: Ed25519PrivateKey) -> bytes:
    """The whole file."""
    body = b"".join(msgspec.json.encode(line) + b"\n" for line in (header, *units))
    signature = sign(factory_key, Domain.MANIFEST, hashlib.sha256(body).digest())[:64]
    return body + msgspec.json.encode(_Signature(signature.hex())) + b"\n"


def decode_unit(line: bytes) -> Unit:
    """One row. Raises WireError `manifest_row`."""
    try:
        if len(line) > MAX_LINE:
            raise ValueError("too long")
        return _UNIT.decode(line)
    except (msgspec.DecodeError, ValueError) as error:
        raise WireError("manifest_row", f"not a row of a manifest: {error}") from None


def open_manifest(file: bytes, factory_keys: Iterable[Ed25519PublicKey]) -> tuple[Header, Iterator[bytes]]:
    """The header and the raw rows of a manifest that one of these keys signed; rows are decoded one by one, so
    that each wrong row can be named.

    Raises WireError `manifest_shape`, `manifest_signature`, `manifest_count`.
    """
    body, _, last = file.rstrip(b"\n").rpartition(b"\n")
    lines = body.split(b"\n")
    try:
        header = _HEADER.decode(lines[0])
        signature = bytes.fromhex(_SIGNATURE.decode(last).signature)
    except (msgspec.DecodeError, ValueError):
        raise WireError("manifest_shape", "a manifest begins with a header and ends with a signature") from None
    digest = hashlib.sha256(body + b"\n").digest()
    if not any(_signed(key, signature, digest) for key in factory_keys):
        raise WireError("manifest_signature", "no factory key that this server knows signed this manifest")
    if len(lines) - 1 != header.units:
        raise WireError("manifest_count", f"the header counts {header.units} units, the file has {len(lines) - 1}")
    return header, iter(lines[1:])


def _signed(key: Ed25519PublicKey, signature: bytes, digest: bytes) -> bool:
    try:
        verify(key, Domain.MANIFEST, signature + digest)
    except WireError:
        return False
    return True
