"""The form by which staff write to a customer: what was typed, as text, and the draft that it means."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, fields
from datetime import UTC, datetime, timedelta
from enum import StrEnum
from typing import Final, TypeVar
from zoneinfo import ZoneInfo

from server.rules.authority import Action
from server.rules.drafts import TEXT_MAX, Draft, Promises, Says
from server.rules.inserts import INSERTS
from server.rules.payload_json import FIRST_YEAR, LAST_YEAR
from server.rules.payloads import STEPS_SAID, About, Offer, OfferKind, PromiseKind
from server.rules.repeated import REMEDIES
from server.service.messages import KEY_MAX, REASON_MAX, Offered
from server.service.refusals import refuse

LINE_MAX = 200


@dataclass(frozen=True, slots=True)
class Form:
    """Every field as it was typed. `units`: how many the order has; `due` and `arrives` in the writer's zone."""

    key: str
    units: int
    text: str = ""
    slot: str = ""
    step: str = ""
    days_ago: str = ""
    service: str = ""
    arrives: str = ""
    promise: str = ""
    due: str = ""
    lapse: str = ""
    number: str = ""
    offer: str = ""
    remedy: str = ""
    reason: str = ""

    @classmethod
    def empty(cls, key: str, units: int) -> Form:
        """A form that nobody has typed into; `key` makes sending it twice one message."""
        return cls(key, units)

    @classmethod
    def of_template(cls, key: str, units: int, offered: Offered, zone: str) -> Form:
        """The form of a promise that is ready to be made."""
        due = offered.due.astimezone(ZoneInfo(zone)).strftime("%Y-%m-%dT%H:%M")
        return cls(key, units, text=offered.text, promise=str(offered.what), due=due)

    @classmethod
    def typed(cls, given: Mapping[str, str], units: int) -> Form:
        """What was typed. Refusals: bad_request for more than the form can hold."""
        longest = {"text": TEXT_MAX, "key": KEY_MAX, "reason": REASON_MAX}
        names = [f.name for f in fields(cls) if f.name != "units"]
        for name in names:
            if len(given.get(name, "")) > longest.get(name, LINE_MAX):
                raise refuse("bad_request", detail=f"{name} is too long")
        key = given.get("key", "")
        if not key or not key.isascii() or not key.isalnum():
            raise refuse("bad_request", detail="the form has no name of its own; reload the page")
        return cls(units=units, **{name: given.get(name, "").replace("\r\n", "\n") for name in names})

    @property
    def says_more(self) -> bool:
        """True if anything but text was typed."""
        more = (self.slot, self.step, self.service, self.arrives, self.promise, self.number, self.offer, self.remedy)
        return any(more)

    def draft(self, zone: str) -> Draft:
        """The message that it means. Refusals: bad_request, with the field."""
        ago = _whole("days ago", self.days_ago)
        says = []
        if self.step:
            step = self.step if self.step in STEPS_SAID else ""
            if not step:
                raise refuse("bad_request", detail="where it is: choose one of the list")
            says.append(Says(About.STEP, step, at_least_ago=None if ago is None else timedelta(days=ago)))
        if self.service:
            says.append(Says(About.SERVICE, self.service))
        if self.arrives:
            says.append(Says(About.ARRIVAL, by_when=_moment("arrives", self.arrives, zone)))
        promises: tuple[Promises, ...] = ()
        if self.promise:
            due = _moment("due", self.due, zone) if self.due else None
            promises = (Promises(_word(PromiseKind, self.promise), due, lapse="refund" if self.lapse else ""),)
        return Draft(
            text=self.text,
            slot=_whole("unit", self.slot),
            says=tuple(says),
            promises=promises,
            offers=(Offer(_word(OfferKind, self.offer)),) if self.offer else (),
            numbers=(self.number,) if self.number else (),
            remedy=_word(Action, self.remedy) if self.remedy else None,
        )


CHOICES: Final[Mapping[str, tuple[str, ...]]] = {
    "inserts": tuple(INSERTS),
    "steps": STEPS_SAID,
    "promises": tuple(PromiseKind),
    "offers": tuple(OfferKind),
    "remedies": REMEDIES,
}
"""What the lists of the form offer."""


W = TypeVar("W", bound=StrEnum)


def _word(kind: type[W], value: str) -> W:
    try:
        return kind(value)
    except ValueError:
        raise refuse("bad_request", detail=f"{value} is not in the list") from None


def _whole(name: str, value: str) -> int | None:
    if not value:
        return None
    if not value.isascii() or not value.isdecimal() or len(value) > 4:
        raise refuse("bad_request", detail=f"{name}: a whole number")
    return int(value)


def _moment(name: str, value: str, zone: str) -> datetime:
    try:
        moment = datetime.fromisoformat(value)
    except ValueError:
        raise refuse("bad_request", detail=f"{name}: a day and a time, such as 2026-11-24T17:00") from None
    if not FIRST_YEAR < moment.year < LAST_YEAR:
        raise refuse("bad_request", detail=f"{name}: a year after {FIRST_YEAR}")
    return (moment if moment.tzinfo else moment.replace(tzinfo=ZoneInfo(zone))).astimezone(UTC)
