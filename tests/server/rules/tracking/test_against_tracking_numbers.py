"""Held against the package `tracking-numbers`: the same forms are right, but for the differences that the docs list.

docs/tracking-numbers.md says of each difference who is right.
"""

from __future__ import annotations

import random
from collections.abc import Iterator
from pathlib import Path

import pytest
from tracking_numbers import DEFINITIONS

from server.rules.tracking.decode import decode

CARRIERS = ("UPS", "United States Postal Service", "FedEx", "DHL", "S10 International Standard")
THEIRS = [each for each in DEFINITIONS if each.courier.name in CARRIERS]

SAME = {
    "DHL Express": {"DHL Express waybill"},
    "DHL Express Air": {"DHL Express, 11 digits (once Airborne)"},
    "FedEx Express (12)": {"FedEx Express"},
    "FedEx Express (34)": {"FedEx 34 digits"},
    "FedEx Ground": {"FedEx Ground"},
    "FedEx Ground 96 (22)": {"FedEx Ground 96"},
    "FedEx Ground GSN": {"FedEx Ground 96, 34 digits"},
    "FedEx SmartPost": {"FedEx SmartPost"},
    "S10": {"UPU S10"},
    "UPS": {"UPS 1Z"},
    "USPS 20": {"USPS 20 digits"},
    "USPS 34v2": {"USPS IMpb"},
    "USPS 91": {"USPS IMpb", "USPS 20 digits, 91 not printed"},
}
# They read these and we do not, or the other way round; the text must stand in the docs' table.
THEY_READ_MORE = {
    "FedEx Ground (SSCC-18)": "SSCC-18",
    "UPS Mail Innovations - Sequence Number": "Mail Innovations",
    "FedEx Express (34)": "two zeros before the number",
    "FedEx Ground GSN": "two zeros before the number",
    "USPS 34v2": "91 to 95 is not optional",
    "USPS 91": "91 to 95 is not optional",
}
WE_READ_MORE = {
    "UPS 1Z": "unknown service code",
    "UPU S10": "unknown country or service",
    "USPS IMpb": "ZIP of nine digits before a 91",
    "DHL Express piece": "piece",
}


def _numbers(dice: random.Random) -> Iterator[str]:
    """Numbers of every form; the last digit takes each value, so that one of ten fits."""

    def digits(count: int) -> str:
        return "".join(dice.choice("0123456789") for _ in range(count))

    channel = dice.choice(["91", "92", "93", "94", "95"])
    shipper = "".join(dice.choice("0123456789ABCDEFGHIJKLMNOPQRSTUVWXYZ") for _ in range(6))
    begun = [
        "1Z" + shipper + dice.choice(["01", "02", "03", "44", "YW", "17"]) + digits(7),
        channel + digits(19), channel + digits(23), "420" + digits(5) + channel + digits(19),
        "420" + digits(9) + channel + digits(19), "420" + digits(5) + channel + digits(23),
        dice.choice(["03", "71", "73", "77", "81", "61"]) + digits(17),
        digits(9), digits(10), digits(11), digits(14), digits(17), digits(33), "96" + digits(19),
        "100" + digits(17) + "00" + digits(11), "96" + digits(18) + "00" + digits(11), "96" + digits(31),
        "JD01" + digits(15),
    ]  # fmt: skip
    for start in begun:
        for last in "0123456789":
            yield start + last
    s10 = dice.choice(["RB", "EA", "CP", "ZZ", "AA"]) + digits(8)
    for last in "0123456789":
        yield s10 + last + dice.choice(["US", "GB", "DE", "ZZ"])


@pytest.fixture(scope="module")
def table(root: Path) -> str:
    return (root / "docs" / "tracking-numbers.md").read_text()


def test_both_agree_but_for_what_the_docs_say(table: str) -> None:
    dice = random.Random(20261122)
    agreed = set()
    for number in (number for _ in range(150) for number in _numbers(dice)):
        ours = {each.form for each in decode(number).readings}
        theirs = {
            each.product.name
            for each in THEIRS
            if (read := each.test(number)) is not None and not read.validation_errors
        }
        covered = {form for name in theirs for form in SAME.get(name, ())}
        for name in theirs:
            if ours & SAME.get(name, set()):
                agreed.add(name)
            else:
                assert THEY_READ_MORE.get(name, "(nothing)") in table, f"{number}: only they say {name}, we {ours}"
        for form in ours - covered:
            assert WE_READ_MORE.get(form, "(nothing)") in table, f"{number}: only we say {form}, they {theirs}"
    assert agreed == set(SAME), "the dice never met these"
