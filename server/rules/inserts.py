"""Facts that a message to a customer may name: a closed table of inserts, each filled only while its fact exists.

Whoever writes `{carrier_number}` cannot mistype the number, and cannot give one that there is not. An insert about
several units has to be true of each of them; where they differ, each is named.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from datetime import datetime
from typing import Final

from server.rules import words
from server.rules.case import Case, SlotCase, is_refund
from server.rules.etas import current, estimates
from server.rules.findings.r13_not_a_carrier_number import useless
from server.rules.life import Step, far
from server.rules.payloads import CarrierScan, Label, Payment
from server.rules.promises import PromiseState
from server.rules.remedy_money import amount_words
from server.rules.shown import SlotShown
from server.rules.weigh import Weighing


@dataclass(frozen=True, slots=True)
class OnFile:
    """What the order keeps for people and no rule reads: its customer's name and address, given at `given_at`."""

    customer_name: str
    address: str
    given_at: datetime


@dataclass(frozen=True, slots=True)
class Known:
    """Everything an insert may look at. `slot` None: the message is about the whole order.

    `promised`: when the first promise falls due that the message itself makes.
    """

    case: Case
    weighed: Weighing
    on_file: OnFile
    slot: int | None = None
    promised: datetime | None = None

    @property
    def units(self) -> tuple[SlotCase, ...]:
        """The units that the message is about: nothing needs to be said of one that is over, unless all are."""
        mine = tuple(u for u in self.case.slots if self.slot in (None, u.slot.number))
        return tuple(u for u in mine if u.ended is None) or mine

    def shown(self, unit: SlotCase) -> SlotShown:
        """The unit as its customer reads it."""
        return next(s for s in self.weighed.shown.slots if s.slot == unit.slot.number)


@dataclass(frozen=True, slots=True)
class Insert:
    """`says` and `needs` are for whoever writes; `find` gives the words, or None where there is no such fact."""

    says: str
    needs: str
    find: Callable[[Known], str | None]


def _of_each(find: Callable[[Known, SlotCase], str | None]) -> Callable[[Known], str | None]:
    """A fact of units: there is none unless every one has it."""

    def found(known: Known) -> str | None:
        told = {unit.slot.number: find(known, unit) for unit in known.units}
        texts = [text for text in told.values() if text]
        if not texts or len(texts) < len(told):
            return None
        if len(set(texts)) == 1:
            return texts[0]
        return "; ".join(f"unit {number}: {text}" for number, text in told.items())

    return found


def _carrier_number(known: Known, unit: SlotCase) -> str | None:
    good = [(s.payload.leg, s.said_at, s.id, s.payload) for s in unit.labels if isinstance(s.payload, Label)
            if not useless(known.case, s)]  # fmt: skip
    if not good:
        return None
    label = max(good, key=lambda each: each[:3])[-1]
    return f"{label.carrier} {label.number}"


def _carrier_scan(known: Known, unit: SlotCase) -> str | None:
    last = max(unit.physical_scans, key=lambda s: (s.latest, s.id), default=None)
    if last is None or not isinstance(last.payload, CarrierScan):
        return None
    status = last.payload.status.replace("_", " ")
    return f"{last.payload.carrier} had the parcel in hand {words.moment(last.latest, known.case.zone)} ({status})"


def _left(known: Known, unit: SlotCase) -> str | None:
    if far(known.shown(unit).evidenced) < far(Step.LEFT) or not unit.departures:
        return None
    return words.moment(unit.departures[0], known.case.zone)


def _eta(known: Known, unit: SlotCase) -> str | None:
    units = known.case.units_of(unit.slot.number)
    known_now = current(estimates(known.case, units), known.weighed.as_of).get(len(units) - 1)
    return words.due(known_now.by, known.case.zone) if known_now else None


def _evidence(known: Known, unit: SlotCase) -> str | None:
    """The first and the last fact behind the sentence, else behind the farthest step that is shown."""
    shown = known.shown(unit)
    behind = [
        e.text for s in known.weighed.steps if (s.slot, s.step) == (shown.slot, shown.evidenced) for e in s.evidence
    ]
    return " ".join(shown.reasons or dict.fromkeys((*behind[:1], *behind[-1:]))) or None


def _next(known: Known, unit: SlotCase) -> str | None:
    shown = known.shown(unit)
    by = f" By {words.due(shown.next_by, known.case.zone)}." if shown.next_by and shown.next_text else ""
    return shown.next_text + by or None


def _promise_due(known: Known) -> str | None:
    if known.promised is not None:
        return words.due(known.promised, known.case.zone)
    numbers = {None, *(unit.slot.number for unit in known.units)}
    still = [p.due for p in known.weighed.promises if p.state is PromiseState.OPEN and p.slot in numbers]
    return words.due(min(still), known.case.zone) if still else None


def _refund(known: Known) -> str | None:
    booked = [s for s in known.case.statements if is_refund(s) and (known.slot is None or s.covers(known.slot))]
    if not booked or not isinstance(booked[-1].payload, Payment):
        return None
    money = booked[-1].payload
    on = words.moment(booked[-1].latest, known.case.zone)
    return f"{amount_words(money.amount_minor, money.currency)}, booked {on}"


def _address(known: Known) -> str | None:
    return known.on_file.address or None


INSERTS: Final[Mapping[str, Insert]] = {
    "order_number": Insert("Our own number of the order.", "", lambda known: known.case.facts.order.number),
    "customer_name": Insert(
        "Whom the order is for.", "No name is on file.", lambda known: known.on_file.customer_name.strip() or None
    ),
    "address": Insert("The address on file.", "No address is on file.", _address),
    "status": Insert(
        "What the customer's page says.", "The order has no units.", _of_each(lambda known, u: known.shown(u).sentence)
    ),
    "evidence": Insert("The facts that show it.", "Nothing physical is known of it.", _of_each(_evidence)),
    "next": Insert("What happens next, and by when.", "Nothing is due next.", _of_each(_next)),
    "carrier_number": Insert(
        "The carrier and its number, from the label.", "No number is known that a carrier can look up.",
        _of_each(_carrier_number),
    ),
    "carrier_scan": Insert(
        "When the carrier last had it in hand.", "No carrier has had it in hand.", _of_each(_carrier_scan)
    ),
    "left": Insert("When it was first shown to have left us.", "Nothing shows that it left us.", _of_each(_left)),
    "eta": Insert("When the carrier itself expects it.", "The carrier has given no estimate.", _of_each(_eta)),
    "promise_due": Insert(
        "When the promise of this message falls due, or the next open one.", "Nothing is promised.", _promise_due
    ),
    "refund": Insert("The refund that is booked, and when.", "No refund is booked.", _refund),
    "paid_service": Insert(
        "The service that was paid for.", "No service was paid for.",
        lambda known: known.case.facts.order.paid_service or None,
    ),
}  # fmt: skip
"""Every insert there is: `docs/messages.md` lists the same."""

NAMED: Final = re.compile(r"\{([A-Za-z_]{1,40})\}")


@dataclass(frozen=True, slots=True)
class Missing:
    """An insert that could not be filled; `known` False: there is no insert of this name."""

    name: str
    known: bool
    why: str


def fill(text: str, known: Known) -> tuple[str, tuple[Missing, ...]]:
    """The text with every insert filled whose fact exists; the others stay as they are and are listed, once each."""
    missing: dict[str, Missing] = {}

    def filled(match: re.Match[str]) -> str:
        name = match[1]
        insert = INSERTS.get(name)
        words_found = insert.find(known) if insert else None
        if words_found is None:
            why = insert.needs if insert else f"There is no insert {{{name}}}."
            missing[name] = Missing(name, insert is not None, why)
            return match[0]
        return words_found

    return NAMED.sub(filled, text), tuple(missing.values())
