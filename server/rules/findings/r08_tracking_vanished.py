"""R-08: the carrier showed the number before, and now has no record of it."""

from __future__ import annotations

from collections.abc import Iterable

from server.rules import words
from server.rules.case import Case, SlotCase
from server.rules.evidence import of_statement
from server.rules.facts import Source, Statement
from server.rules.findings.finding import Found, earliest, ended, until
from server.rules.payloads import CarrierScan
from server.rules.promises import arrived_at
from server.rules.spells import Observed, Spell, spells


def find(case: Case) -> Iterable[Found]:
    """One per slot and number, whosever history it was, until the carrier shows the number again."""
    for units in case.units:
        unit = units[-1]
        looks: dict[tuple[str, str], list[Statement]] = {}
        for said in sorted(unit.said, key=lambda s: (s.said_at, s.id)):
            if isinstance(said.payload, CarrierScan) and said.source is Source.CARRIER:
                looks.setdefault((said.payload.carrier, said.payload.number), []).append(said)
        arrived = arrived_at(case, units)  # carriers forget what was delivered long ago
        for (carrier, number), seen in looks.items():
            found = [_vanished(case, unit, carrier, number, each) for each in _spells(seen)]
            yield from earliest(ended(unit, until(each, [(arrived, "it arrived")])) for each in found)


def _spells(seen: list[Statement]) -> tuple[Spell, ...]:
    """The stretches in which the carrier had no record, after it had had one."""
    shown = [s for s in seen if _found(s)]
    gone = [s for s in seen if not _found(s) and any(x.said_at < s.said_at for x in shown)]
    return spells([*(Observed(s.said_at, True, s) for s in gone), *(Observed(s.said_at, False, s) for s in shown)])


def _vanished(case: Case, unit: SlotCase, carrier: str, number: str, spell: Spell) -> Found:
    assert spell.first.by is not None, "made from a statement"
    found = Found(
        slot=unit.slot.number,
        subject=number,
        since=spell.since,
        why=f"{carrier} showed {number} before and had no record of it {words.moment(spell.since, case.zone)}.",
        evidence=(of_statement(spell.first.by, case.zone),),
    )
    return until(found, [(spell.until, "the carrier shows it again")])


def _found(said: Statement) -> bool:
    return isinstance(said.payload, CarrierScan) and said.payload.found
