"""Which deliveries are batches of our gateways: signature, topic, limits; what fails is counted, never answered.

A forger must not learn anything, and must not be able to have real data dead-lettered: only what an enrolled
gateway signed gets an outcome. Signed, yet unreadable, it is *refused*: kept whole and answered with a reason.
"""

from __future__ import annotations

import hashlib
from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from enum import StrEnum
from typing import Any, Final, NamedTuple

import msgspec

from server.ingest.columns import Refusal
from server.ingest.signature import BatchSigner
from server.store.ledger import BatchKey
from wire import topics
from wire.batch import MAX_BYTES, MAX_SEQUENCE, Batch, Clock, Place, decode_batch
from wire.errors import WireError
from wire.signing import SIGNATURE_LEN


class Dropped(StrEnum):
    """Why a delivery came to nothing; the reason on the counter, nobody else hears of it."""

    OVERSIZED = "oversized"
    TRUNCATED = "truncated"
    TOPIC = "topic"
    UNKNOWN_GATEWAY = "unknown_gateway"  # never enrolled, or revoked
    SIGNATURE = "signature"
    OTHER_GATEWAY = "other_gateway"  # signed by the topic's gateway, in another one's name
    RATE = "rate"  # more than one gateway may send; it publishes again later
    UNNUMBERED = "unnumbered"  # signed, but without a readable outbox and sequence: there is nothing to answer to


class KnownGateway(NamedTuple):
    """A gateway that may deliver: its number, its class as the operator set it, its key."""

    no: int
    gateway_class: int
    signer: BatchSigner


@dataclass(frozen=True, slots=True)
class Entry:
    """One batch that its gateway signed, ready for the ledger. With a `refusal` it carries no records."""

    gateway: str
    gateway_class: int
    key: BatchKey
    body_sha256: bytes
    payload: bytes
    sent_at_ms: int = 0
    clock: Clock = Clock.BAD
    place: Place | None = None
    sightings: bytes = b""
    frames: bytes = b""
    dropped: Mapping[str, int] = field(default_factory=dict)
    given_up: bool = False
    refusal: Refusal | None = None

    def refused(self, refusal: Refusal) -> Entry:
        """The same batch, to be kept as a dead letter."""
        return replace(self, refusal=refusal, sightings=b"", frames=b"")


_HEAD: Final = msgspec.msgpack.Decoder(list[Any])


def check(topic: str, payload: bytes, gateways: Mapping[str, KnownGateway]) -> Entry | Dropped:
    """What a delivery is. Any topic and any bytes give an answer, never an error."""
    if len(payload) > MAX_BYTES:
        return Dropped.OVERSIZED
    if len(payload) <= SIGNATURE_LEN:
        return Dropped.TRUNCATED
    try:
        gateway = topics.gateway_of(topic)
    except WireError:
        return Dropped.TOPIC
    known = gateways.get(gateway)
    if known is None:
        return Dropped.UNKNOWN_GATEWAY
    try:
        body = known.signer.body(payload)
    except WireError:
        return Dropped.SIGNATURE
    try:
        batch = decode_batch(body)
    except WireError as unreadable:
        return _unreadable(gateway, known, body, payload, Refusal(unreadable.code, str(unreadable)))
    return _entry(gateway, known, batch, body, payload) if batch.gateway == gateway else Dropped.OTHER_GATEWAY


def _entry(gateway: str, known: KnownGateway, batch: Batch, body: bytes, payload: bytes) -> Entry:
    return Entry(
        gateway=gateway,
        gateway_class=known.gateway_class,
        key=BatchKey(known.no, batch.outbox_id, batch.sequence),
        body_sha256=hashlib.sha256(body).digest(),
        payload=payload,
        sent_at_ms=batch.sent_at_ms,
        clock=batch.clock,
        place=batch.place,
        sightings=batch.sightings,
        frames=batch.frames,
        dropped=batch.dropped,
        given_up=batch.given_up,
    )


def _unreadable(gateway: str, known: KnownGateway, body: bytes, payload: bytes, refusal: Refusal) -> Entry | Dropped:
    """A signed body that is no batch of this version: refused, if at least its number can be read."""
    try:
        said, outbox_id, sequence, *_ = _HEAD.decode(body)
    except (msgspec.DecodeError, ValueError, RecursionError):
        return Dropped.UNNUMBERED
    if said != gateway:
        return Dropped.OTHER_GATEWAY
    numbered = isinstance(sequence, int) and not isinstance(sequence, bool) and 0 <= sequence <= MAX_SEQUENCE
    if not (numbered and isinstance(outbox_id, bytes) and len(outbox_id) == 16):
        return Dropped.UNNUMBERED
    return Entry(
        gateway=gateway,
        gateway_class=known.gateway_class,
        key=BatchKey(known.no, outbox_id, sequence),
        body_sha256=hashlib.sha256(body).digest(),
        payload=payload,
        refusal=refusal,
    )
