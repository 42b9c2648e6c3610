"""R-13: a number was given that no carrier can look up, or that is our own order number."""

from __future__ import annotations

import re
from collections.abc import Iterable, Sequence

from server.rules.case import Case, SlotCase
from server.rules.evidence import of_statement
from server.rules.facts import Statement
from server.rules.findings.finding import Found, ended, until
from server.rules.payloads import Label, NumberGiven
from server.rules.tracking import decode

# Whose numbers we can read. A label of another carrier says nothing, unless it carries our own order number.
_KNOWN = re.compile(r"ups|usps|fedex|dhl", re.IGNORECASE)


def find(case: Case) -> Iterable[Found]:
    """One per slot and number, since it was given, until a number is given that a carrier can look up."""
    for units in case.units:
        given = sorted(_given(units), key=lambda s: (s.said_at, s.id))
        no_use = {s.id for s in given if useless(case, s)}
        good = [s for s in given if s.id not in no_use]
        told: set[str] = set()
        for said in given:
            number = _number(said)
            if number not in told and said.id in no_use:
                told.add(number)
                yield ended(units[-1], _found(case, units[-1], said, good))


def _given(units: Sequence[SlotCase]) -> Iterable[Statement]:
    for unit in units:
        yield from unit.labels
    yield from (s for s in units[-1].said if isinstance(s.payload, NumberGiven))


def _number(said: Statement) -> str:
    assert isinstance(said.payload, Label | NumberGiven), "gives no number"
    return said.payload.number


def useless(case: Case, said: Statement) -> bool:
    """True if nobody can look up the number of this label or of this word to the customer."""
    decoded = decode.decode(_number(said))
    if decoded.plain == decode.decode(case.facts.order.number).plain:
        return True
    unknown = isinstance(said.payload, Label) and not _KNOWN.search(said.payload.carrier)
    return not decoded.readings and not unknown


def _found(case: Case, unit: SlotCase, said: Statement, good: Sequence[Statement]) -> Found:
    number = _number(said)
    decoded = decode.decode(number)
    ours = decoded.plain == decode.decode(case.facts.order.number).plain
    what = "It is our own order number." if ours else decode.words(decoded)
    found = Found(
        slot=unit.slot.number,
        subject=number,
        since=said.said_at,
        why=f"{number} was given as a number to look up. {what} {_right(good)}",
        evidence=(of_statement(said, case.zone),),
    )
    better = next((s.said_at for s in good if s.said_at >= said.said_at), None)
    return until(found, [(better, "a carrier's number was given")])


def _right(good: Sequence[Statement]) -> str:
    """The number to quote: of the last carrier in the chain, the newest."""
    labels = [(s.payload.leg, s.said_at, s.id, s.payload) for s in good if isinstance(s.payload, Label)]
    if labels:
        label = max(labels, key=lambda each: each[:3])[-1]
        return f"Quote {label.carrier} {label.number}."
    return f"Quote {_number(good[-1])}." if good else "No carrier's number is known yet."
