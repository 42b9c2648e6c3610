"""A pasted number decoded the moment it is seen: every way to read it, and in words whether that is certain."""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import Final

from server.rules.tracking.carriers import FORMS
from server.rules.tracking.reading import Carrier, Check, Reading

# The longest form (IMpb behind 420 and a ZIP of nine) has 38 characters; a pasted page has more.
TEXT_MAX: Final = 80
_NAMES: Final = {Carrier.UPS: "UPS", Carrier.USPS: "USPS", Carrier.FEDEX: "FedEx", Carrier.DHL: "DHL"}


@dataclass(frozen=True, slots=True)
class Decoded:
    """`plain` is the text without spaces and hyphens, in capitals.

    `readings` fit with their check digit (or have none, the weaker ones last); `mistyped` have a carrier's form, but
    the wrong check digit.
    """

    plain: str
    readings: tuple[Reading, ...]
    mistyped: tuple[Reading, ...]

    @property
    def sure(self) -> Reading | None:
        """The reading, if there is just one carrier that it can be."""
        return self.readings[0] if len({each.carrier for each in self.readings}) == 1 else None

    @property
    def numbers(self) -> tuple[str, ...]:
        """The number as typed and as each carrier searches for it, for looking it up."""
        return tuple(dict.fromkeys((self.plain, *(each.number for each in self.readings))))


def decode(text: str) -> Decoded:
    """Read a carrier's number. Any text gives an answer; one without readings is no carrier's number."""
    plain = re.sub(r"[\s\-().]", "", text).upper() if len(text) <= TEXT_MAX else ""
    if not plain.isascii():
        return Decoded(plain, (), ())
    every = list(dict.fromkeys(reading for form in FORMS for reading in form(plain)))
    fitting = sorted(
        (each for each in every if each.check is not Check.WRONG), key=lambda each: each.check is Check.NONE
    )
    return Decoded(plain, tuple(fitting), tuple(each for each in every if each.check is Check.WRONG))


def words(decoded: Decoded) -> str:
    """One sentence for people: what it is, that it may be several things, or that no carrier writes such numbers."""
    if decoded.readings:
        ways = list(dict.fromkeys(_words(each) for each in decoded.readings))
        if len(ways) == 1:
            return f"{ways[0]}."
        return f"Can be {', or '.join(ways)}: the number alone does not tell which."
    if decoded.mistyped:
        names = list(dict.fromkeys(each.form for each in decoded.mistyped))
        return f"Has the form of {' or '.join(names)}, but the check digit is wrong: it was probably mistyped."
    return "No carrier that we know writes numbers like this."


def _words(reading: Reading) -> str:
    name = _NAMES.get(reading.carrier) or f"the post of {reading.country}"
    service = f", {reading.service}" if reading.service and reading.service not in reading.form else ""
    form = "" if reading.form.startswith(name) else f" ({reading.form})"
    whose = reading.form if not form else name + form
    to = f", to {_zip(reading.postcode)}" if reading.postcode else ""
    by = f", brought by {_NAMES[reading.by]}" if reading.by else ""
    return whose + service + to + by


def _zip(postcode: str) -> str:
    return f"ZIP {postcode[:5]}" + (f"-{postcode[5:]}" if len(postcode) == 9 else "")
