"""One way to read a number: whose form it has and what stands in it."""

from __future__ import annotations

from dataclasses import dataclass
from enum import IntEnum, StrEnum


class Carrier(StrEnum):
    """Whose number it is. `post` is any postal operator of the UPU other than USPS; the country says which."""

    UPS = "ups"
    USPS = "usps"
    FEDEX = "fedex"
    DHL = "dhl"
    POST = "post"


class Speed(IntEnum):
    """How fast a service is, the fastest highest, so that what was paid can be compared with what was booked."""

    UNKNOWN = 0
    ECONOMY = 1
    GROUND = 2
    THREE_DAY = 3
    SECOND_DAY = 4
    NEXT_DAY = 5
    NEXT_DAY_SATURDAY = 6


class Check(StrEnum):
    """`right` or `wrong` check digit; `none` for forms that have none."""

    RIGHT = "right"
    WRONG = "wrong"
    NONE = "none"


@dataclass(frozen=True, slots=True)
class Reading:
    """A number read as one carrier's form.

    `number` is what the carrier itself searches for: without the routing in front of it. `postcode` is the destination
    (5 or 9 digits of a ZIP) where the form carries it, `country` the two letters of an S10 identifier, `by` the carrier
    that brings it to the door if that is another one.
    """

    carrier: Carrier
    form: str
    number: str
    check: Check
    service_code: str = ""
    service: str = ""
    speed: Speed = Speed.UNKNOWN
    postcode: str = ""
    country: str = ""
    by: Carrier | None = None
