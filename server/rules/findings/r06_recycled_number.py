"""R-06: under our number the carrier shows an earlier parcel: older than the label, or under another unique id."""

from __future__ import annotations

from collections.abc import Iterable
from datetime import datetime
from typing import Final

from server.rules import words
from server.rules.case import Case, SlotCase
from server.rules.evidence import of_statement
from server.rules.facts import Statement, StatementKind
from server.rules.findings.finding import Found, ended, until
from server.rules.payloads import CarrierScan, Label, NumberGiven


def find(case: Case) -> Iterable[Found]:
    """One per slot and number, since number and history are both known, until the carrier has this parcel in hand."""
    for units in case.units:
        for unit in units:
            for number, given in _numbers(unit).items():
                yield from _of_number(case, unit, number, given)


def _numbers(unit: SlotCase) -> dict[str, Statement]:
    """Each number of the parcel with the first statement that gave it."""
    numbers: dict[str, Statement] = {}
    given = (*unit.labels, *unit.of_kind(StatementKind.NUMBER_GIVEN))
    for said in sorted(given, key=lambda s: (s.said_at, s.id)):
        if isinstance(said.payload, NumberGiven | Label):
            numbers.setdefault(said.payload.number, said)
    return numbers


def _of_number(case: Case, unit: SlotCase, number: str, given: Statement) -> Iterable[Found]:
    older = [s for s in unit.quarantined if _shows(s, number) and _foreign(case, unit, s, number)]
    others = list(_other_ids(unit, number))
    known = [(max(given.said_at, s.said_at), s) for s in (*older, *others)]
    if not known:
        return
    since, first = min(known, key=lambda each: (each[0], each[1].id))
    found = Found(
        slot=unit.slot.number,
        subject=number,
        since=since,
        why=f"Under {number} the carrier shows an event of {words.moment(first.latest, case.zone)},"
        " which is not this parcel's.",
        evidence=(of_statement(given, case.zone), of_statement(first, case.zone)),
    )
    ours = [s for s in unit.physical_scans if _shows(s, number) and s not in others]
    if first in others:  # it was in hand before the id changed; only a scan after that shows that it still is
        ours = [s for s in ours if s.said_at > since]
    yield ended(unit, until(found, [*((s.said_at, _IN_HAND) for s in ours), *_later_numbers(unit, number, given)]))


_IN_HAND: Final = "the carrier has had this parcel in hand under it"


def _shows(said: Statement, number: str) -> bool:
    return isinstance(said.payload, CarrierScan) and said.payload.found and said.payload.number == number


def _foreign(case: Case, unit: SlotCase, said: Statement, number: str) -> bool:
    """An earlier parcel's: of a labelled number every event of its carrier that is not ours, of a given one by age."""
    assert isinstance(said.payload, CarrierScan), "not a carrier's event"
    carriers = {label.carrier for label in _labels(unit) if label.number == number}
    return said.payload.carrier in carriers if carriers else said.latest < case.facts.order.placed_at


def _labels(unit: SlotCase) -> list[Label]:
    return [s.payload for s in unit.labels if isinstance(s.payload, Label)]


def _other_ids(unit: SlotCase, number: str) -> Iterable[Statement]:
    """Events of this parcel whose unique id is not the one that its first event carried."""
    first = ""
    for said in sorted(unit.scans, key=lambda s: (s.said_at, s.latest, s.id)):
        scan = said.payload
        if isinstance(scan, CarrierScan) and _shows(said, number) and scan.unique_id:
            first = first or scan.unique_id
            if scan.unique_id != first:
                yield said


def _later_numbers(unit: SlotCase, number: str, given: Statement) -> Iterable[tuple[datetime, str]]:
    legs = {label.leg for label in _labels(unit) if label.number == number} or {1}
    for said in (s for s in unit.labels if s.said_at > given.said_at):
        if isinstance(said.payload, Label) and said.payload.number != number and said.payload.leg in legs:
            yield said.said_at, "another number was given"
