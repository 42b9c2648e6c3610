"""Any bytes into the way from a delivery to rows: an answer, never an exception, and nothing made up."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from server.ingest.prepare import prepare
from server.ingest.resolve import Resolver
from server.ingest.verify import Dropped, Entry, check
from tests.server.ingest.parties import HERE, K_FACTORY, LOTS, NOW, NOW_MS, RETENTION, Gateway, Tag, sighting
from wire import topics
from wire.batch import MAX_SEQUENCE, MAX_UNIX_MS, Batch, Clock
from wire.packing import pack

GATEWAY = Gateway("gw-1", no=1)
KNOWN = {"gw-1": GATEWAY.known}
FRAME = Tag(7).frame()
GOOD = GATEWAY.batch(sighting(FRAME))


def put_through(topic: str, payload: bytes) -> Entry | Dropped:
    checked = check(topic, payload, KNOWN)
    if isinstance(checked, Entry):
        resolver = Resolver(K_FACTORY, LOTS, 0xF0)
        # With a good neighbour on either side: whatever this one is, they come through.
        neighbour = check(GATEWAY.topic, GOOD, KNOWN)
        assert isinstance(neighbour, Entry)
        prepared = prepare([neighbour, checked, neighbour], resolver, NOW, RETENTION)
        rows = prepared.sightings.per_entry(3)
        assert rows[0] == rows[2] == 1
        assert sum(lump.per_entry(3)[[0, 2]].sum() for lump in prepared.unresolved) == 0
        if prepared.entries[1].refusal:
            assert rows[1] == 0
    return checked


@given(st.text(max_size=60) | st.just(GATEWAY.topic) | st.just(topics.receipt("gw-1")), st.binary(max_size=300))
def test_any_bytes(topic: str, payload: bytes) -> None:
    assert isinstance(put_through(topic, payload), Dropped)


@given(st.binary(max_size=300))
def test_any_signed_bytes(body: bytes) -> None:
    put_through(GATEWAY.topic, GATEWAY.sign(body))


@given(st.integers(0, len(GOOD) - 65), st.integers(0, 255), st.integers(0, 5))
def test_a_good_body_with_bytes_changed(at: int, value: int, cut: int) -> None:
    body = bytearray(GOOD[64:])
    body[at] = value
    put_through(GATEWAY.topic, GATEWAY.sign(bytes(body[: len(body) - cut])))


RECORD = st.binary(min_size=25, max_size=25) | st.just(bytes(22) + b"\1\0\0") | st.just(b"\xff" * 25)
HEARD = (
    st.binary(min_size=32, max_size=32)
    | st.just(NOW_MS.to_bytes(8, "big") + FRAME)
    | st.just(b"\xff" * 8 + FRAME)
    | st.just(bytes(8) + FRAME)
)


@given(
    st.lists(RECORD, max_size=6),
    st.lists(HEARD, max_size=6),
    st.integers(0, MAX_SEQUENCE),
    st.integers(0, MAX_UNIX_MS),
    st.sampled_from(Clock),
    st.booleans(),
)
def test_any_records(
    sightings: list[bytes], frames: list[bytes], sequence: int, sent_at_ms: int, clock: Clock, placed: bool
) -> None:
    batch = Batch(
        "gw-1", bytes(16), sequence, sent_at_ms, clock, HERE if placed else None, b"".join(sightings), b"".join(frames)
    )
    assert isinstance(put_through(GATEWAY.topic, GATEWAY.sign(pack(batch))), Entry)
