"""Bad input at the door: each kind has its own reason on the counter, and only what was signed is answered."""

from __future__ import annotations

import msgspec
import pytest
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey

from server.ingest.verify import Dropped, Entry, check
from tests.server.ingest.parties import Gateway, Tag, sighting
from wire.batch import MAX_BYTES
from wire.signing import Domain, sign

GATEWAY = Gateway("gw-1", no=1)
KNOWN = {"gw-1": GATEWAY.known, "gw-2": Gateway("gw-2", no=2).known}


def good() -> bytes:
    return GATEWAY.batch(sighting(Tag(7).frame()))


def resigned(change) -> bytes:
    """A batch whose fields were changed after encoding, and signed by its own gateway."""
    fields = msgspec.msgpack.decode(GATEWAY.body(sighting(Tag(7).frame())))
    return GATEWAY.sign(msgspec.msgpack.encode(change(fields)))


@pytest.mark.parametrize(
    ("topic", "payload", "reason"),
    [
        (GATEWAY.topic, b"", Dropped.TRUNCATED),
        (GATEWAY.topic, bytes(64), Dropped.TRUNCATED),
        (GATEWAY.topic, bytes(MAX_BYTES + 1), Dropped.OVERSIZED),
        (GATEWAY.topic, good()[:-1], Dropped.SIGNATURE),
        (GATEWAY.topic, good()[:64] + b"\0" + good()[65:], Dropped.SIGNATURE),
        (GATEWAY.topic, sign(Ed25519PrivateKey.generate(), Domain.BATCH, GATEWAY.body()), Dropped.SIGNATURE),
        (GATEWAY.topic, sign(GATEWAY.key, Domain.ANSWER, GATEWAY.body()), Dropped.SIGNATURE),
        ("hearsight/1/gw/gw-9/batch", good(), Dropped.UNKNOWN_GATEWAY),
        ("hearsight/1/gw/gw-2/batch", good(), Dropped.SIGNATURE),
        ("hearsight/1/gw/GW-1/batch", good(), Dropped.TOPIC),
        ("somewhere/else", good(), Dropped.TOPIC),
        ("", good(), Dropped.TOPIC),
        (GATEWAY.topic, GATEWAY.sign(Gateway("gw-2", no=2, key=GATEWAY.key).body()), Dropped.OTHER_GATEWAY),
        (GATEWAY.topic, resigned(lambda f: ["gw-2", *f[1:-1], 99]), Dropped.OTHER_GATEWAY),
        (GATEWAY.topic, GATEWAY.sign(b"\xc1"), Dropped.UNNUMBERED),
        (GATEWAY.topic, GATEWAY.sign(msgspec.msgpack.encode(["gw-1", b"short", 1])), Dropped.UNNUMBERED),
        (GATEWAY.topic, GATEWAY.sign(msgspec.msgpack.encode(["gw-1", bytes(16), -1])), Dropped.UNNUMBERED),
        (GATEWAY.topic, GATEWAY.sign(msgspec.msgpack.encode(["gw-1", bytes(16), True])), Dropped.UNNUMBERED),
        (GATEWAY.topic, GATEWAY.sign(msgspec.msgpack.encode(["gw-1", bytes(16), 2**63])), Dropped.UNNUMBERED),
        (GATEWAY.topic, GATEWAY.sign(msgspec.msgpack.encode({"gateway": "gw-1"})), Dropped.UNNUMBERED),
        (GATEWAY.topic, GATEWAY.sign(b"\x81\x91\x01\x01"), Dropped.UNNUMBERED),
        (GATEWAY.topic, GATEWAY.sign(b"\x91" * 5000), Dropped.UNNUMBERED),
    ],
    # Signatures differ from run to run, and several runners must find the same names.
    ids=lambda value: f"{len(value)} bytes" if isinstance(value, bytes) else str(value),
)
def test_garbage_is_told_apart_and_gets_no_answer(topic: str, payload: bytes, reason: Dropped) -> None:
    assert check(topic, payload, KNOWN) is reason


@pytest.mark.parametrize(
    ("payload", "reason"),
    [
        (resigned(lambda f: [*f[:-1], 2]), "malformed"),  # of a later version
        (resigned(lambda f: [*f[:3], "soon", *f[4:]]), "malformed"),
        (resigned(lambda f: [*f, "more"]), "malformed"),
        (resigned(lambda f: [*f[:6], f[6][:-1], *f[7:]]), "truncated"),
        (resigned(lambda f: [*f[:9], True, *f[10:]]), "tombstone"),
    ],
)
def test_signed_but_unreadable_is_refused_under_its_number(payload: bytes, reason: str) -> None:
    entry = check(GATEWAY.topic, payload, KNOWN)
    assert isinstance(entry, Entry)
    assert entry.refusal is not None
    assert entry.refusal.reason == reason
    assert entry.key.outbox_id == GATEWAY.outbox_id
    assert entry.payload == payload
    assert (entry.sightings, entry.frames) == (b"", b"")


def test_a_good_batch_is_an_entry() -> None:
    payload = good()
    entry = check(GATEWAY.topic, payload, KNOWN)
    assert isinstance(entry, Entry)
    assert entry.refusal is None
    assert (entry.gateway, entry.key.gateway_no, len(entry.sightings), len(entry.frames)) == ("gw-1", 1, 25, 32)
