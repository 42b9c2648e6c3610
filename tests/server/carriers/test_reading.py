"""Reading what EasyPost tells: the table of codes, times and their places, and bytes that are nothing of the kind."""

from __future__ import annotations

import json
from datetime import UTC, datetime
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from server.carriers.codes import CODES, UNMAPPED, meaning
from server.carriers.easypost import DETAILS_MAX, EasyPost
from server.carriers.places import Place, end_of_day, when
from server.rules.payload_json import payload_from, payload_to
from server.rules.payloads import ShipmentStatus
from server.service.carrier_port import UnreadableError, family, may_be_one
from tests.server.carriers.vendor import SECRET, detail, event, signed, tracker

NOW = datetime(2026, 11, 22, 12, 0, tzinfo=UTC)
PORT = EasyPost("http://127.0.0.1:1", "key", SECRET)
# As the documentation of trackers lists them.
STATUSES = [
    "unknown", "pre_transit", "in_transit", "out_for_delivery", "delivered", "available_for_pickup",
    "return_to_sender", "failure", "cancelled", "error",
]  # fmt: skip
DETAILS = [
    "address_correction", "arrived_at_destination", "arrived_at_facility", "arrived_at_pickup_location",
    "awaiting_information", "cancelled", "damaged", "delayed", "delivery_exception", "departed_facility",
    "departed_origin_facility", "expired", "failure", "held", "in_transit", "label_created", "lost", "missorted",
    "out_for_delivery", "received_at_destination_facility", "received_at_origin_facility", "refused", "return",
    "status_update", "transferred_to_destination_carrier", "transit_exception", "unknown", "weather_delay",
]  # fmt: skip


@given(st.sampled_from(STATUSES) | st.text(max_size=80), st.sampled_from(DETAILS) | st.text(max_size=80) | st.none())
def test_every_code_has_a_meaning_and_only_a_listed_one_has_a_better_one_than_unknown(
    status: str, status_detail: str | None
) -> None:
    about = tracker("1Z999AA10123456784", detail("2026-11-20T10:00:00Z", status, status_detail or "", "hub"))
    told = PORT.parse(event("evt", about), NOW).told
    assert told is not None
    [scan] = [s.event for s in told.scans if s.event.place]
    if scan.mapped:
        assert (*scan.code.split("/"),) in CODES
        assert scan.status == scan.code.split("/")[0], "a status is never made better than it was told"
    else:
        assert (scan.status, scan.physical) == (ShipmentStatus.UNKNOWN, False)
        assert scan.code, "the finding names it"
    assert payload_from("carrier_scan", payload_to(scan)) == scan


def test_the_table_knows_every_word_of_the_documentation_and_no_other() -> None:
    assert {status for status, _ in CODES} == set(STATUSES)
    assert {word for _, word in CODES} == set(DETAILS)


def test_labels_and_notices_are_never_a_parcel_in_hand() -> None:
    by_word = {"label_created", "awaiting_information", "status_update", "unknown", "in_transit", "delayed", "expired"}
    assert not [code for code, means in CODES.items() if means.physical and code[1] in by_word]
    assert not [code for code, means in CODES.items() if means.physical and code[0] in ("pre_transit", "unknown")]
    assert meaning("in_transit", "received_at_origin_facility").physical
    assert meaning("pre_transit", "arrived_at_facility") == UNMAPPED, "a label that arrives is no code of theirs"


@pytest.mark.parametrize(
    ("told", "place", "earliest", "latest"),
    [
        # With an offset, or Z beside a place: a moment.
        ("2026-11-20T18:10:00-05:00", Place(), "2026-11-20T23:10Z", "2026-11-20T23:10Z"),
        ("2026-11-20T23:10:00Z", Place("TAMPA", "FL", "US"), "2026-11-20T23:10Z", "2026-11-20T23:10Z"),
        # Z beside nothing, or beside a country alone: somebody's wall clock.
        ("2026-11-20T18:10:00Z", Place(), "2026-11-20T04:10Z", "2026-11-21T06:10Z"),
        ("2026-11-20T18:10:00Z", Place(country="US"), "2026-11-20T04:10Z", "2026-11-21T06:10Z"),
        # No offset: the wall clock of the place, of both zones where a state has two, of the day told twice.
        ("2026-11-20T18:10:00", Place("WORCESTER", "MA", "US"), "2026-11-20T23:10Z", "2026-11-20T23:10Z"),
        ("2026-11-20T18:10:00", Place("PENSACOLA", "FL", "US"), "2026-11-20T23:10Z", "2026-11-21T00:10Z"),
        ("2026-11-01T01:30:00", Place("WORCESTER", "MA", "US"), "2026-11-01T05:30Z", "2026-11-01T06:30Z"),
        ("2026-11-20T18:10:00", Place(country="DE"), "2026-11-20T17:10Z", "2026-11-20T17:10Z"),
        ("2026-11-20T18:10:00", Place(), "2026-11-20T04:10Z", "2026-11-21T06:10Z"),
        # A day is all of it.
        ("2026-11-20", Place("WORCESTER", "MA", "US"), "2026-11-20T05:00Z", "2026-11-21T05:00Z"),
    ],
)
def test_local_time_is_never_stamped_as_utc(told: str, place: Place, earliest: str, latest: str) -> None:
    assert when(told, place)[:2] == (datetime.fromisoformat(earliest), datetime.fromisoformat(latest))


FIRST, LAST = (datetime.fromisoformat(day) for day in ("2000-01-02", "2099-12-30"))


@given(st.datetimes(FIRST, LAST), st.sampled_from(["", "Z", "+00:00", "-07:30"]))
def test_the_true_moment_lies_in_the_interval(wall: datetime, offset: str) -> None:
    for place in (Place(), Place("X", "TX", "US"), Place(country="JP"), Place(zip="99201")):
        earliest, latest, _ = when(wall.isoformat() + offset, place)
        assert earliest <= latest
        assert earliest <= wall.replace(tzinfo=UTC) <= latest or offset == "-07:30" or place.zones
    assert end_of_day(wall.date(), Place("X", "WA", "US")) > wall.replace(tzinfo=UTC)


def test_the_secret_counts_in_its_normal_form() -> None:
    raw = event("evt", tracker("1Z999AA10123456784"))
    assert PORT.verify({"x-hmac-signature": signed(raw)}, raw)
    assert EasyPost("http://x", None, "field-secret").verify({"x-hmac-signature": signed(raw, "ﬁeld-secret")}, raw)
    assert not PORT.verify({}, raw)
    assert not PORT.verify({"x-hmac-signature": signed(raw).upper()}, raw)


JSON: Any = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=20),
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(st.text(max_size=10), inner, max_size=4),
    max_leaves=12,
)


@given(st.binary(max_size=200) | JSON.map(lambda value: json.dumps(value).encode()))
def test_garbage_is_unreadable_and_nothing_else(raw: bytes) -> None:
    with pytest.raises(UnreadableError):
        PORT.parse(raw, NOW)


@given(st.sampled_from(sorted(tracker("1"))), JSON)
def test_a_tracker_with_any_field_broken_is_read_or_unreadable(field: str, value: Any) -> None:
    about = tracker("1Z999AA10123456784", detail("2026-11-20T10:00:00Z", "in_transit", "held", "hub")) | {field: value}
    try:
        told = PORT.parse(event("evt", about), NOW).told
    except UnreadableError:
        return
    assert told is not None
    for scan in told.scans:
        assert scan.earliest <= scan.latest
        assert payload_from("carrier_scan", payload_to(scan.event)) == scan.event


def test_of_an_endless_history_the_newest_count() -> None:
    many = [detail(f"2026-11-20T10:{n // 60:02}:{n % 60:02}Z", "in_transit", "held", "hub") for n in range(1000)]
    told = PORT.parse(event("evt", tracker("1Z999AA10123456784", *many)), NOW).told
    assert told is not None
    assert len(told.scans) == DETAILS_MAX
    assert told.scans[-1].told == many[-1]["datetime"]


def test_names_of_carriers() -> None:
    names = ("USPS", "UPS Mail Innovations", "FedExSmartPost", "DHL eCommerce", "GLS", "")
    assert [family(name) for name in names] == ["usps", "ups", "fedex", "dhl", "gls", ""]
    assert may_be_one("USPS", "usps first")
    assert may_be_one("Consolidator", "USPS"), "the last carrier's number stands on the label"
    assert not may_be_one("UPS", "USPS")
