"""Carriers' numbers read offline: known numbers, every check digit, ambiguity said aloud, any text survived."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from server.rules.tracking.decode import decode, words
from server.rules.tracking.reading import Carrier, Check, Speed


@pytest.mark.parametrize(
    ("number", "carrier", "service", "speed", "postcode"),
    [
        ("1Z999AA10123456784", Carrier.UPS, "Next Day Air", Speed.NEXT_DAY, ""),
        ("1z 5r89 3903 5756 7127", Carrier.UPS, "Ground", Speed.GROUND, ""),
        ("1ZXX3150YW44070023", Carrier.UPS, "SurePost", Speed.ECONOMY, ""),
        ("9400111202555842332669", Carrier.USPS, "USPS Tracking", Speed.UNKNOWN, ""),
        ("420 33101 9205 5000 0000 0000 0000 01", Carrier.USPS, "Priority Mail", Speed.SECOND_DAY, "33101"),
        ("420331011234 9205500000000000000001", Carrier.USPS, "Priority Mail", Speed.SECOND_DAY, "331011234"),
        ("0307 1790 0005 2348 3741", Carrier.USPS, "Delivery Confirmation", Speed.UNKNOWN, ""),
        ("7196 9010 7560 0307 7385", Carrier.USPS, "Certified Mail", Speed.UNKNOWN, ""),
        ("RB123456785US", Carrier.USPS, "Registered", Speed.UNKNOWN, ""),
        ("RB123456785GB", Carrier.POST, "Registered", Speed.UNKNOWN, ""),
        ("986578788855", Carrier.FEDEX, "", Speed.UNKNOWN, ""),
        ("61299998820821171811", Carrier.FEDEX, "SmartPost", Speed.ECONOMY, ""),
        ("1001901781990001000300617767839437", Carrier.FEDEX, "", Speed.UNKNOWN, "10003"),
        ("9622001900000000000000776632517510", Carrier.FEDEX, "", Speed.UNKNOWN, ""),
        ("3318810025", Carrier.DHL, "", Speed.UNKNOWN, ""),
        ("JD014600003412345678", Carrier.DHL, "", Speed.UNKNOWN, ""),
    ],
)  # fmt: skip
def test_known_numbers(number: str, carrier: Carrier, service: str, speed: Speed, postcode: str) -> None:
    read = decode(number).sure
    assert read is not None, words(decode(number))
    assert (read.carrier, read.service, read.speed, read.postcode) == (carrier, service, speed, postcode)


def test_the_carriers_own_number_is_what_stands_behind_the_routing() -> None:
    # Scanned from a label or typed from a page: both must find the same shipment.
    assert [each.number for each in decode("420331019205500000000000000001").readings] == ["9205500000000000000001"]
    assert [each.number for each in decode("1001901781990001000300617767839437").readings] == ["617767839437"]
    assert decode("420 33101 9205500000000000000001").numbers == (
        "420331019205500000000000000001", "9205500000000000000001",
    )  # fmt: skip


def test_a_number_of_two_carriers_is_said_to_be_that() -> None:
    both = decode("9261292700768711948021")
    assert {each.carrier for each in both.readings} == {Carrier.USPS, Carrier.FEDEX}
    assert both.sure is None
    assert words(both) == (
        "Can be USPS IMpb, or FedEx SmartPost, brought by USPS: the number alone does not tell which."
    )


def test_a_mistyped_number_says_so_and_an_order_number_is_none() -> None:
    wrong = decode("1Z999AA10123456785")
    assert wrong.readings == ()
    assert words(wrong) == "Has the form of UPS 1Z, but the check digit is wrong: it was probably mistyped."
    assert words(decode("HS-2026-1107")) == "No carrier that we know writes numbers like this."


SOUND = [
    "1Z999AA10123456784", "9205500000000000000001", "03071790000523483741", "986578788855", "822607878061467",
    "9646979048757272723518", "3318810025", "RB123456785GB",
]  # fmt: skip


@pytest.mark.parametrize("number", SOUND)
def test_every_single_wrong_digit_at_the_end_is_noticed(number: str) -> None:
    place = 10 if number[0] == "R" else len(number) - 1
    was = decode(number).readings[0]
    for digit in set("0123456789") - {number[place]}:
        mistyped = decode(number[:place] + digit + number[place + 1 :])
        assert was.form not in {each.form for each in mistyped.readings}
        assert was.form in {each.form for each in mistyped.mistyped}


@given(st.text(max_size=200))
def test_any_text_gives_an_answer(text: str) -> None:
    decoded = decode(text)
    assert words(decoded)
    assert all(each.check is not Check.WRONG for each in decoded.readings)


@given(st.text("0123456789 -", max_size=60))
def test_spaces_and_hyphens_mean_nothing(text: str) -> None:
    assert decode(text) == decode(text.replace(" ", "").replace("-", ""))
