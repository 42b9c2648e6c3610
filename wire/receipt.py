"""Server → gateway: what became of its batches. Only on a receipt does a gateway delete anything."""

from __future__ import annotations

from enum import IntEnum
from typing import Annotated, Final

import msgspec
from msgspec import Meta

from wire.batch import MAX_SEQUENCE
from wire.packing import pack, unpack
from wire.topics import GatewayId

VERSION: Final = 1
MAX_OUTCOMES: Final = 1_000
MAX_BYTES: Final = 128 * 1024
NOTHING_SETTLED: Final = -1


class OutcomeKind(IntEnum):
    """What became of one batch. REFUSED ones are kept in the server's dead letters; a CONFLICT (same name,
    other body) gets another name from the gateway.
    """

    STORED = 0
    DUPLICATE = 1
    REFUSED = 2
    SEQUENCE_CONFLICT = 3


class Outcome(msgspec.Struct, frozen=True, array_like=True, forbid_unknown_fields=True):
    """One batch's fate; `reason` is a code where the kind alone does not say enough."""

    sequence: Annotated[int, Meta(ge=0, le=MAX_SEQUENCE)]
    kind: OutcomeKind
    reason: Annotated[str, Meta(max_length=64)] = ""


class Receipt(msgspec.Struct, frozen=True, array_like=True, forbid_unknown_fields=True):
    """Signed under Domain.RECEIPT. `settled_up_to` is the highest sequence below which everything is settled
    (stored, given up, or refused and kept); −1 while nothing is.
    """

    gateway: GatewayId
    outbox_id: Annotated[bytes, Meta(min_length=16, max_length=16)]
    settled_up_to: Annotated[int, Meta(ge=NOTHING_SETTLED, le=MAX_SEQUENCE)]
    outcomes: Annotated[tuple[Outcome, ...], Meta(max_length=MAX_OUTCOMES)] = ()
    version: Annotated[int, Meta(ge=VERSION, le=VERSION)] = VERSION


_DECODER: Final = msgspec.msgpack.Decoder(Receipt)


def encode_receipt(receipt: Receipt) -> bytes:
    """The body, to be signed by the server."""
    return pack(receipt)


def decode_receipt(body: bytes) -> Receipt:
    """Raises WireError `oversized`, `malformed`."""
    return unpack(body, _DECODER, "receipt", MAX_BYTES)
