"""R-07: the ZIP in the number, on the label or in the carrier's words is not the ship-to's. None given says nothing."""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator
from datetime import datetime

from server.rules.case import Case, SlotCase
from server.rules.evidence import of_statement
from server.rules.facts import ActKind, ShipTo, Source, Statement, StatementKind
from server.rules.findings.finding import Found, earliest, ended, until
from server.rules.payloads import CarrierScan, Label, LegEnded, NumberGiven
from server.rules.tracking.decode import decode


def find(case: Case) -> Iterable[Found]:
    """One per slot and number, whichever of its units bears it, from the words that name the other place on, until
    another number or the tag at home.
    """
    ship_to = case.facts.order.ship_to
    if ship_to is None or not ship_to.postcode:
        return
    for units in case.units:
        by_number: dict[str, list[Found]] = {}
        for unit in units:
            for said, number, postcode in _named(case, unit):
                if differs(ship_to, postcode):
                    found = _found(case, unit, said, number, postcode)
                    by_number.setdefault(number, []).append(ended(unit, found))
        for of_number in by_number.values():
            yield from earliest(of_number)


def differs(ship_to: ShipTo, postcode: str) -> bool:
    """True if a postcode is certainly another one than the address's: of a ZIP the first five digits count."""
    ours, theirs = _plain(ship_to.postcode), _plain(postcode)
    if ship_to.country.upper() in ("US", "USA", "") and re.match(r"\d{5}", ours) and re.match(r"\d{5}", theirs):
        ours, theirs = ours[:5], theirs[:5]
    return bool(ours and theirs) and ours != theirs


def _plain(postcode: str) -> str:
    return re.sub(r"[^0-9A-Z]", "", postcode.upper())


def _named(case: Case, unit: SlotCase) -> Iterator[tuple[Statement, str, str]]:
    """Every place that words about this parcel name: (statement, number, postcode)."""
    told = [s for s in unit.of_kind(StatementKind.NUMBER_GIVEN) if _about(case, unit, s)]
    for said in (*unit.labels, *unit.scans, *told):
        match said.payload:
            case Label(number=number, destination_postcode=postcode):
                yield said, number, postcode
                yield said, number, _decoded(number)
            case CarrierScan(number=number, destination_postcode=postcode):
                if said.source is Source.CARRIER:
                    yield said, number, postcode
            case NumberGiven(number=number):
                yield said, number, _decoded(number)


def _about(case: Case, unit: SlotCase, told: Statement) -> bool:
    """True if a number was told of this unit, not of one that took its place later."""
    return case.witness(unit.slot.number, told.said_at).binding is unit.binding


def _decoded(number: str) -> str:
    """The ZIP in a number, if every way to read it that has one says the same."""
    postcodes = {reading.postcode for reading in decode(number).readings if reading.postcode}
    return postcodes.pop() if len(postcodes) == 1 else ""


def _found(case: Case, unit: SlotCase, said: Statement, number: str, postcode: str) -> Found:
    ship_to = case.facts.order.ship_to
    assert ship_to is not None, "asked before"
    found = Found(
        slot=unit.slot.number,
        subject=number,
        since=said.said_at,
        why=f"{number} goes to {postcode}; the order goes to {ship_to.postcode}.",
        evidence=(of_statement(said, case.zone),),
    )
    return until(found, _ends(case, unit, said, number))


def _later_legs(unit: SlotCase, leg: int) -> Iterator[datetime]:
    ended_legs = unit.of_kind(StatementKind.LEG_ENDED)
    yield from (s.said_at for s in ended_legs if isinstance(s.payload, LegEnded) and s.payload.leg >= leg)
    yield from (s.said_at for s in unit.labels if isinstance(s.payload, Label) and s.payload.leg > leg)


def _ends(case: Case, unit: SlotCase, said: Statement, number: str) -> Iterator[tuple[datetime, str]]:
    """What settles it. A label of an earlier leg leads to where the parcel is handed on, so it names no wrong place."""
    legs = [s.payload.leg for s in unit.labels if isinstance(s.payload, Label) and s.payload.number == number]
    for leg in legs:
        yield from ((at, "the next carrier takes it on from there") for at in _later_legs(unit, leg))
    for other in (s for s in unit.of_kind(StatementKind.LABEL_PRINTED) if s.said_at > said.said_at):
        if isinstance(other.payload, Label) and other.payload.number != number and other.payload.leg in (legs or [1]):
            yield other.said_at, "another label was printed"
    yield from ((s.at, "the tag was heard at the address") for s in unit.away if case.near_ship_to(s))
    yield from ((a.at, "the tag is in its owner's hand") for a in unit.acts if a.kind is ActKind.ACTIVATED)
