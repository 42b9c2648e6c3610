"""R-17 ★: said to be gone, and our own receivers still hear it after the pickup it should have left with."""

from __future__ import annotations

from collections.abc import Iterable, Sequence

from server.rules import words
from server.rules.case import Case, SlotCase
from server.rules.evidence import of_sightings
from server.rules.facts import Statement
from server.rules.findings.finding import Found, earliest, ended, until
from server.rules.gone import REPLACED, proofs_inside, refuted_at, replaced_at


def find(case: Case) -> Iterable[Found]:
    """One per slot, from the moment at which words and frames together refute, until it leaves."""
    for units in case.units:
        said = units[-1].gone_said
        yield from earliest(f for s in said for f in _of_statement(case, units, s))


def _of_statement(case: Case, units: Sequence[SlotCase], said: Statement) -> Iterable[Found]:
    unit = case.witness(units[0].slot.number, said.said_at)
    proofs = proofs_inside(case, unit, said)
    if not proofs:
        return
    left_at = min((d for d in unit.departures if d > proofs[-1].at), default=None)
    last = words.moment(proofs[-1].at, case.zone)
    found = Found(
        slot=unit.slot.number,
        subject=str(unit.serial),
        since=refuted_at(case, proofs, said),
        why=f"“{words.SAID[said.kind]}” was said, and our own receivers heard the tag inside, last {last}.",
        evidence=of_sightings(proofs, case.sites, case.zone),
    )
    ends = [(left_at, "it has left since"), (replaced_at(units, unit), REPLACED)]
    yield ended(unit, until(found, ends))
