"""R-10: the carrier itself expects it after the promised day. An event of our own never makes an estimate."""

from __future__ import annotations

from collections.abc import Iterable

from server.rules import words
from server.rules.case import Case, SlotCase
from server.rules.etas import estimates, late_spells
from server.rules.evidence import of_statement
from server.rules.findings.finding import Found, earliest, ended, until
from server.rules.payloads import PromiseKind
from server.rules.promises import Promise, about, promises_of
from server.rules.spells import Spell


def find(case: Case) -> Iterable[Found]:
    """One per slot and promise to arrive, from the estimate on, until a better one or the end of the promise."""
    promises = promises_of(case)
    for units in case.units:
        every = estimates(case, units)
        for promise in about(promises, PromiseKind.ARRIVE, units[0].slot.number):
            spells = late_spells(every, promise)
            yield from earliest(ended(units[-1], _found(case, units[-1], promise, spell)) for spell in spells)


def _found(case: Case, unit: SlotCase, promise: Promise, spell: Spell) -> Found:
    said = spell.last.by
    assert said is not None, "made from an estimate"
    found = Found(
        slot=unit.slot.number,
        subject=promise.id,
        since=spell.since,
        why=f"Promised by {words.due(promise.due, case.zone)}; the carrier expects it later"
        f" (its word of {words.moment(said.said_at, case.zone)}).",
        evidence=(of_statement(said, case.zone),),
    )
    ends = [(spell.until, "the carrier expects it in time"), *([promise.over] if promise.over else [])]
    return until(found, ends)
