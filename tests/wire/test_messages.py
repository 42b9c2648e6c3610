"""Bodies that travel over MQTT and HTTP, topics and the manifest: round trips, limits, envelopes."""

from __future__ import annotations

from datetime import UTC, datetime

import pytest
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
from hypothesis import given
from hypothesis import strategies as st

from tests.wire.make_vectors import FACTORY, manifests
from wire import batch, command, enrolment, manifest, receipt, signing, topics
from wire.batch import Batch, Clock, HeardFrame, Place, PlaceSource, Sighting
from wire.errors import WireError
from wire.packing import pack
from wire.signing import Domain

PRIVATE = Ed25519PrivateKey.from_private_bytes(bytes(range(32)))
PUBLIC = PRIVATE.public_key()
NOW_MS = 1_790_000_000_000
TIMES = st.integers(0, batch.MAX_UNIX_MS)
DBM = st.integers(-128, 127)
HEARD = st.builds(HeardFrame, TIMES, st.binary(min_size=24, max_size=24))
SIGHTINGS = st.builds(
    Sighting,
    TIMES,
    TIMES,
    st.integers(0, 2**32 - 1),
    DBM,
    DBM,
    st.lists(HEARD, min_size=1, max_size=4).map(tuple),
    st.integers(0, 65_535),
)
GATEWAYS = st.from_regex(topics.GATEWAY_ID_PATTERN)
PLACES = st.builds(
    Place,
    st.integers(-900_000_000, 900_000_000),
    st.integers(-1_800_000_000, 1_800_000_000),
    st.integers(0, 65_535),
    st.sampled_from(PlaceSource),
)


@given(st.lists(SIGHTINGS, max_size=20), GATEWAYS, st.integers(0, batch.MAX_SEQUENCE), st.none() | PLACES)
def test_batch_round_trip(heard: list[Sighting], gateway: str, sequence: int, place: Place | None) -> None:
    rows, frames = batch.pack_sightings(heard)
    value = Batch(gateway, bytes(16), sequence, NOW_MS, Clock.GOOD, place, rows, frames, {"foreign": 3})
    assert batch.decode_batch(batch.encode_batch(value)) == value
    assert batch.unpack_sightings(value) == heard


def test_the_fullest_batch_fits_and_one_more_does_not() -> None:
    frame = HeardFrame(NOW_MS, bytes(24))
    full = [Sighting(NOW_MS, NOW_MS, 1, -1, -1, (frame,) * 4)] * batch.MAX_SIGHTINGS
    rows, frames = batch.pack_sightings(full)
    value = Batch("a", bytes(16), 0, NOW_MS, Clock.GOOD, sightings=rows, frames=frames)
    body = batch.encode_batch(value)
    assert len(body) + signing.SIGNATURE_LEN <= batch.MAX_BYTES
    assert batch.decode_batch(body) == value
    with pytest.raises(WireError) as refused:
        batch.pack_sightings([*full, full[0]])
    assert refused.value.code == "out_of_range"


@pytest.mark.parametrize(
    ("changed", "code"),
    [
        ({"sightings": bytes(24)}, "truncated"),
        ({"frames": bytes(31)}, "truncated"),
        ({"sightings": bytes(25), "given_up": True}, "tombstone"),
        ({"version": 2}, "malformed"),
        ({"gateway": "a\n"}, "malformed"),
        ({"gateway": "A"}, "malformed"),
        ({"gateway": "a/b"}, "malformed"),
        ({"gateway": "+"}, "malformed"),
        ({"outbox_id": bytes(15)}, "malformed"),
        ({"sequence": -1}, "malformed"),
        ({"sequence": 2**63}, "malformed"),
        ({"clock": 3}, "malformed"),
        ({"sightings": bytes(25 * 1_001)}, "malformed"),
        ({"frames": bytes(batch.MAX_BYTES)}, "oversized"),
        ({"dropped": {"Foreign": 1}}, "malformed"),
        ({"dropped": {"foreign\n": 1}}, "malformed"),
        ({"dropped": {"x" * n: 1 for n in range(1, 34)}}, "malformed"),
    ],
)
def test_a_batch_outside_its_limits_is_refused(changed: dict[str, object], code: str) -> None:
    fields: dict[str, object] = {
        "gateway": "a",
        "outbox_id": bytes(16),
        "sequence": 0,
        "sent_at_ms": 0,
        "clock": 2,
        "place": None,
        "sightings": b"",
        "frames": b"",
        "dropped": {},
        "given_up": False,
        "version": 1,
    }
    batch.decode_batch(pack(list(fields.values())))
    with pytest.raises(WireError) as refused:
        batch.decode_batch(pack(list({**fields, **changed}.values())))
    assert refused.value.code == code


@pytest.mark.parametrize(("rows", "held"), [(1, 0), (0, 1), (2, 1), (1, 2)])
def test_runs_that_do_not_belong_together_are_refused(rows: int, held: int) -> None:
    row = batch.SIGHTING.pack(0, 0, 1, 0, 0, 1, 0)
    value = Batch("a", bytes(16), 0, 0, Clock.GOOD, sightings=row * rows, frames=bytes(32) * held)
    with pytest.raises(WireError) as refused:
        batch.unpack_sightings(value)
    assert refused.value.code == "records"


def test_receipt_round_trip() -> None:
    outcomes = tuple(receipt.Outcome(n, receipt.OutcomeKind(n % 4), "reason") for n in range(receipt.MAX_OUTCOMES))
    value = receipt.Receipt("dock-1", bytes(16), receipt.NOTHING_SETTLED, outcomes)
    assert receipt.decode_receipt(receipt.encode_receipt(value)) == value


def test_every_step_of_the_carrying_dialogue_round_trips() -> None:
    session, frame = bytes(16), bytes(24)
    orders: list[command.Order] = [
        command.Find(session),
        command.Connect(session, frame),
        command.Write(session, b"m"),
    ]
    replies: list[command.Reply] = [
        command.Candidates(session, (frame,)),
        command.Nonce(session, bytes(8)),
        command.Result(session, b""),
        command.Failed(session, "tag_not_heard"),
    ]
    for order in orders:
        sent = command.Command("a", 1, NOW_MS, order)
        assert command.decode_command(command.encode_command(sent)) == sent
        with pytest.raises(WireError):
            command.decode_answer(command.encode_command(sent))
    for reply in replies:
        answered = command.Answer("a", 1, NOW_MS, reply)
        assert command.decode_answer(command.encode_answer(answered)) == answered
        with pytest.raises(WireError):
            command.decode_command(command.encode_answer(answered))


@given(st.binary(max_size=200), st.sampled_from(Domain), st.sampled_from(Domain))
def test_an_envelope_opens_under_its_own_domain_only(body: bytes, domain: Domain, other: Domain) -> None:
    payload = signing.sign(PRIVATE, domain, body)
    assert signing.verify(PUBLIC, domain, payload) == body
    if other is not domain:
        with pytest.raises(WireError) as refused:
            signing.verify(PUBLIC, other, payload)
        assert refused.value.code == "signature"


def test_no_domain_begins_another() -> None:
    """Else a body could move the border between the two."""
    values = [domain.value for domain in Domain]
    assert not [(a, b) for a in values for b in values if a != b and b.startswith(a)]


def test_token_round_trip_and_its_one_refusal() -> None:
    token = enrolment.EnrolToken("https://tags.example", "dock-1", bytes(16), bytes(32))
    text = enrolment.encode_token(token)
    assert enrolment.decode_token(f" {text}\n") == token
    for wrong in ("", "HS1.", text[:-1], text[4:], text + "!", "HS2." + text[4:]):
        with pytest.raises(WireError) as refused:
            enrolment.decode_token(wrong)
        assert refused.value.code == "token_malformed"


@given(GATEWAYS)
def test_topics_know_their_gateway(gateway: str) -> None:
    for topic in (topics.batch, topics.receipt, topics.state, topics.command, topics.answer):
        assert topics.gateway_of(topic(gateway)) == gateway


@pytest.mark.parametrize("gateway", ["", "+", "#", "a/b", "A", "a\n", "-a", "a-", "a" * 33, "a b", "ä"])
def test_what_is_no_gateway_has_no_topic(gateway: str) -> None:
    with pytest.raises(WireError) as refused:
        topics.batch(gateway)
    assert refused.value.code == "gateway_id"


# --- Manifest ---------------------------------------------------------------------------------------------

FILE = manifests()[0]["file"].encode()


@pytest.mark.parametrize(
    ("file", "code"),
    [
        (b"", "manifest_shape"),
        (FILE[:-150], "manifest_shape"),
        (FILE.replace(b"8000000017", b"8000000019"), "manifest_signature"),
        (b"\n".join(FILE.split(b"\n")[:1] + FILE.split(b"\n")[2:]), "manifest_signature"),
        (FILE.replace(b"2026-11-02T08:00:00Z", b"2026-11-02T08:00:00"), "manifest_shape"),
    ],
)
def test_a_spoiled_manifest_is_refused(file: bytes, code: str) -> None:
    with pytest.raises(WireError) as refused:
        manifest.open_manifest(file, [FACTORY.public_key()])
    assert refused.value.code == code


def test_only_a_known_factory_signs() -> None:
    with pytest.raises(WireError) as refused:
        manifest.open_manifest(FILE, [PUBLIC])
    assert refused.value.code == "manifest_signature"
    assert manifest.open_manifest(FILE, [PUBLIC, FACTORY.public_key()])[0].units == 2


def test_a_manifest_that_counts_wrongly_is_refused() -> None:
    header = manifest.Header("m", "l", datetime(2026, 1, 1, tzinfo=UTC), 2)
    unit = manifest.Unit(1, "00" * 32, "00" * 32)
    with pytest.raises(WireError) as refused:
        manifest.open_manifest(manifest.encode_manifest(header, [unit], PRIVATE), [PUBLIC])
    assert refused.value.code == "manifest_count"


@pytest.mark.parametrize("row", [b"", b"{}", b"[]", b'{"serial": 1}', b"x" * 2_000, b"\xff"])
def test_a_wrong_row_is_named(row: bytes) -> None:
    with pytest.raises(WireError) as refused:
        manifest.decode_unit(row)
    assert refused.value.code == "manifest_row"
