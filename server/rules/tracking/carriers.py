"""The forms of each carrier's numbers: what they look like, what stands where, which check digit they have.

Sources: the carriers' own public pages on their numbers, UPU standard S10, and what `tracking-numbers` (PyPI) lists;
where the two differ, docs/tracking-numbers.md says who is right.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator, Mapping
from typing import Final, NamedTuple

from server.rules.tracking import check_digits
from server.rules.tracking.reading import Carrier, Check, Reading, Speed


class Service(NamedTuple):
    """What a service code in a number means."""

    name: str
    speed: Speed


UPS_SERVICES: Final[Mapping[str, Service]] = {
    "01": Service("Next Day Air", Speed.NEXT_DAY),
    "02": Service("2nd Day Air", Speed.SECOND_DAY),
    "03": Service("Ground", Speed.GROUND),
    "12": Service("3 Day Select", Speed.THREE_DAY),
    "13": Service("Next Day Air Saver", Speed.NEXT_DAY),
    "15": Service("Next Day Air Early", Speed.NEXT_DAY),
    "22": Service("Ground, returns", Speed.GROUND),
    "32": Service("Next Day Air Early, collect on delivery", Speed.NEXT_DAY),
    "33": Service("Next Day Air Early, Saturday delivery, collect on delivery", Speed.NEXT_DAY_SATURDAY),
    "41": Service("Next Day Air Early, Saturday delivery", Speed.NEXT_DAY_SATURDAY),
    "42": Service("Ground, signature required", Speed.GROUND),
    "44": Service("Next Day Air, Saturday delivery", Speed.NEXT_DAY_SATURDAY),
    "72": Service("Ground, collect on delivery", Speed.GROUND),
    "78": Service("Ground, returns", Speed.GROUND),
    "90": Service("Ground, returns", Speed.GROUND),
    "YW": Service("SurePost", Speed.ECONOMY),
}

# Service type codes as USPS's own examples of tracking numbers show them. A code that stands here not is unknown.
USPS_SERVICES: Final[Mapping[str, Service]] = {
    "001": Service("USPS Tracking", Speed.UNKNOWN),
    "021": Service("Signature Confirmation", Speed.UNKNOWN),
    "033": Service("Collect on Delivery", Speed.UNKNOWN),
    "055": Service("Priority Mail", Speed.SECOND_DAY),
    "073": Service("Certified Mail", Speed.UNKNOWN),
    "088": Service("Registered Mail", Speed.UNKNOWN),
    "701": Service("Priority Mail Express", Speed.NEXT_DAY),
}

# The old 20-digit numbers begin with one of these.
USPS_OLD: Final[Mapping[str, Service]] = {
    "03": Service("Delivery Confirmation", Speed.UNKNOWN),
    "71": Service("Certified Mail", Speed.UNKNOWN),
    "73": Service("Insured Mail", Speed.UNKNOWN),
    "77": Service("Registered Mail", Speed.UNKNOWN),
    "81": Service("Collect on Delivery", Speed.UNKNOWN),
}

# First letter of an S10 service indicator.
S10_SERVICES: Final[Mapping[str, str]] = {
    "C": "Parcel",
    "E": "Express (EMS)",
    "H": "E-commerce parcel",
    "L": "Tracked letter",
    "R": "Registered",
    "U": "Untracked letter",
    "V": "Insured letter",
}
_UNKNOWN: Final = Service("", Speed.UNKNOWN)


def _ups(number: str) -> Iterator[Reading]:
    if not re.fullmatch(r"1Z[A-Z0-9]{15}[0-9]", number):
        return
    code = number[8:10]
    service = UPS_SERVICES.get(code, _UNKNOWN)
    values = [int(each) if each.isdigit() else (ord(each) - 63) % 10 for each in number[2:]]
    yield Reading(
        Carrier.UPS, "UPS 1Z", number, _checked(values, check_digits.ups), code, service.name, service.speed,
        by=Carrier.USPS if service.speed is Speed.ECONOMY else None,
    )  # fmt: skip


def _usps_impb(number: str) -> Iterator[Reading]:
    """IMpb: 22 or 26 digits that begin with 91 to 95; before them perhaps 420 and the destination's ZIP of 5 or 9."""
    for zip_digits in (0, 5, 9):
        match = re.fullmatch(rf"(?:420(?P<zip>\d{{{zip_digits}}}))?(?P<number>9[1-5]\d{{20}}(?:\d{{4}})?)", number)
        if match and (zip_digits > 0) == bool(match["zip"]):
            code = match["number"][2:5]
            service = USPS_SERVICES.get(code, _UNKNOWN)
            check = _checked(_digits(match["number"]), check_digits.gs1)
            yield Reading(
                Carrier.USPS, "USPS IMpb", match["number"], check, code, service.name, service.speed,
                postcode=match["zip"] or "",
            )  # fmt: skip


def _usps_old(number: str) -> Iterator[Reading]:
    """20 digits: either a service code of two digits, or an IMpb whose leading 91 is not printed but counts."""
    if not re.fullmatch(r"\d{20}", number):
        return
    service = USPS_OLD.get(number[:2], _UNKNOWN)
    if service is not _UNKNOWN:
        check = _checked(_digits(number), check_digits.gs1)
        yield Reading(Carrier.USPS, "USPS 20 digits", number, check, number[:2], service.name, service.speed)
    check = _checked(_digits("91" + number), check_digits.gs1)
    yield Reading(
        Carrier.USPS, "USPS 20 digits, 91 not printed", number, check, number[:2], service.name, service.speed
    )


def _fedex(number: str) -> Iterator[Reading]:
    if re.fullmatch(r"\d{12}", number):
        yield Reading(Carrier.FEDEX, "FedEx Express", number, _checked(_digits(number), check_digits.fedex))
    if re.fullmatch(r"\d{15}", number):
        check = _checked(_digits(number), check_digits.gs1)
        yield Reading(Carrier.FEDEX, "FedEx Ground", number, check, service="Ground", speed=Speed.GROUND)
    if re.fullmatch(r"96\d{20}", number):
        alone = number[7:]
        check = _checked(_digits(alone), check_digits.gs1)
        yield Reading(Carrier.FEDEX, "FedEx Ground 96", alone, check, number[4:7], "Ground", Speed.GROUND)
    if re.fullmatch(r"(?:92)?\d{20}", number):
        check = _checked(_digits("92" + number[-20:]), check_digits.gs1)
        yield Reading(
            Carrier.FEDEX, "FedEx SmartPost", number, check, number[-20:-17], "SmartPost", Speed.ECONOMY,
            by=Carrier.USPS,
        )  # fmt: skip
    if match := re.fullmatch(r"100\d{12}(?P<zip>\d{5})00(?P<number>\d{12})", number):
        check = _checked(_digits(match["number"]), check_digits.fedex)
        yield Reading(Carrier.FEDEX, "FedEx 34 digits", match["number"], check, postcode=match["zip"])
    if match := re.fullmatch(r"96\d{18}00(?P<number>\d{12})", number):
        check = _checked(_digits(match["number"]), check_digits.fedex)
        yield Reading(Carrier.FEDEX, "FedEx Ground 96, 34 digits", match["number"], check)


def _dhl(number: str) -> Iterator[Reading]:
    if re.fullmatch(r"\d{10,11}", number):
        form = "DHL Express waybill" if len(number) == 10 else "DHL Express, 11 digits (once Airborne)"
        yield Reading(Carrier.DHL, form, number, _checked(_digits(number), check_digits.dhl))
    if re.fullmatch(r"J?JD\d{16,20}", number):
        yield Reading(Carrier.DHL, "DHL Express piece", number, Check.NONE)


def _s10(number: str) -> Iterator[Reading]:
    if not re.fullmatch(r"[A-Z]{2}\d{9}[A-Z]{2}", number):
        return
    country = number[-2:]
    yield Reading(
        Carrier.USPS if country == "US" else Carrier.POST, "UPU S10", number,
        _checked(_digits(number[2:11]), check_digits.s10),
        number[:2], S10_SERVICES.get(number[0], ""), country=country,
    )  # fmt: skip


def _digits(text: str) -> list[int]:
    return [int(each) for each in text]


def _checked(digits: list[int], check: Callable[[list[int]], int]) -> Check:
    return Check.RIGHT if check(digits[:-1]) == digits[-1] else Check.WRONG


FORMS: Final[tuple[Callable[[str], Iterator[Reading]], ...]] = (_ups, _usps_impb, _usps_old, _fedex, _dhl, _s10)
"""Every carrier's reader: a plain number (upper case, no spaces) in, each way to read it out."""
