"""R-09: the service booked, on the label, used or shown is slower than the one that was charged."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from datetime import datetime
from typing import Final

from server.rules import words
from server.rules.case import Case, SlotCase
from server.rules.evidence import of_statement
from server.rules.facts import Source, Statement, StatementKind
from server.rules.findings.finding import Found, earliest, ended, until
from server.rules.payloads import About, Assertion, CarrierScan, Label, Payment
from server.rules.promises import arrived_at
from server.rules.services import is_below, speed_of
from server.rules.spells import Observed, Spell, spells
from server.rules.tracking.decode import decode
from server.rules.tracking.reading import Speed

# Whose word on a service counts; a person's does not.
_VIEWS = frozenset({Source.SYSTEM, Source.CUSTOMER, Source.CARRIER, Source.SHOP, Source.WAREHOUSE})


def paid_for(case: Case, slot: int) -> tuple[str, datetime]:
    """The fastest service that was charged for a slot, and since when that is known; no fulfilment changes it."""
    charged = [
        (speed_of(s.payload.service), s)
        for s in case.statements
        if s.kind is StatementKind.PAYMENT and s.covers(slot) and isinstance(s.payload, Payment) and s.payload.service
    ]
    if not charged:
        return case.facts.order.paid_service, case.facts.order.placed_at
    fastest = max(speed for speed, _ in charged)
    first = min((s for speed, s in charged if speed is fastest), key=lambda s: (s.said_at, s.id))
    assert isinstance(first.payload, Payment), "chosen above"
    return first.payload.service, first.said_at


def find(case: Case) -> Iterable[Found]:
    """One per slot, from the first view below the charge, until a label or the carrier shows what was paid for."""
    for units in case.units:
        unit = units[-1]
        paid, known_at = paid_for(case, unit.slot.number)
        if speed_of(paid) is Speed.UNKNOWN or not case.moment.passed(known_at):
            continue
        views: dict[str, list[tuple[Statement, str]]] = {}
        for view, said, service in _shown(units):
            if speed_of(service) is not Speed.UNKNOWN:
                views.setdefault(view, []).append((said, service))
        booked = [s for v in (_LABEL, _CARRIER) for s, service in views.get(v, ()) if not is_below(service, paid)]
        ends = [*((s.said_at, _BOOKED) for s in booked), *_settled(unit, arrived_at(case, units))]
        found = [
            _found(case, unit, view, paid, spell, ends)
            for view, seen in views.items()
            for spell in spells(Observed(max(s.said_at, known_at), is_below(each, paid), s) for s, each in seen)
        ]
        yield from earliest(ended(unit, each) for each in found)


End = tuple[datetime, str]
_BOOKED: Final = "it is booked as it was paid for"
_LABEL, _CARRIER = "the label", "the carrier"
_OTHERS = {Source.CUSTOMER: "the customer's own page", Source.CARRIER: _CARRIER}


def _shown(units: tuple[SlotCase, ...]) -> Iterator[tuple[str, Statement, str]]:
    """Every service that is known from something other than a person: (view, statement, service in words)."""
    for unit in units:
        for said in unit.labels:
            if isinstance(said.payload, Label):
                yield _LABEL, said, min(_of_label(said.payload), key=speed_of, default="")
        for said in unit.scans:
            if isinstance(said.payload, CarrierScan):
                yield _CARRIER, said, said.payload.service
    for said in units[-1].said:
        view = said.payload
        if isinstance(view, Assertion) and view.about is About.SERVICE and said.source in _VIEWS:
            yield _OTHERS.get(said.source, "our system"), said, view.value


def _of_label(label: Label) -> Iterator[str]:
    """What is written on it and what its number says, as far as either is known."""
    read = decode(label.number).sure
    for service in (label.service, read.service if read else ""):
        if speed_of(service) is not Speed.UNKNOWN:
            yield service


def _settled(unit: SlotCase, arrived: datetime | None) -> list[End]:
    """When nothing is left to repair and the fee is back: after arrival the fee is all that can be made good."""
    fees = [s.said_at for s in unit.of_kind(StatementKind.REFUNDED)]
    return [(max(min(fees), arrived), "it arrived and the fee is back")] if fees and arrived else []


def _found(case: Case, unit: SlotCase, view: str, paid: str, spell: Spell, ends: list[End]) -> Found:
    said = spell.first.by
    assert said is not None, "made from a statement"
    found = Found(
        slot=unit.slot.number,
        subject="",
        since=spell.since,
        why=f"Paid for: {paid}. What {view} shows is slower, {words.moment(said.said_at, case.zone)}.",
        evidence=(of_statement(said, case.zone),),
    )
    return until(found, [*(end for end in ends if end[0] > spell.since), (spell.until, _BOOKED)])
