"""R-05: "dispatched" was said, and nothing physical shows it although evidence is due."""

from __future__ import annotations

from collections.abc import Iterable, Sequence

from server.rules import words
from server.rules.case import Case, SlotCase
from server.rules.evidence import of_statement
from server.rules.facts import Statement
from server.rules.findings.finding import Found, earliest, ended, until
from server.rules.gone import unshown


def find(case: Case) -> Iterable[Found]:
    """One per slot, from when the first scan was due (or from the words, if they came later) until something shows."""
    for units in case.units:
        said = units[-1].gone_said
        yield from earliest(f for s in said for f in _of_statement(case, units, s))


def _of_statement(case: Case, units: Sequence[SlotCase], said: Statement) -> Iterable[Found]:
    judged = unshown(case, units, said)
    if judged is None:
        return
    found = Found(
        slot=judged.unit.slot.number,
        subject=said.id,
        since=judged.due,
        why=f"“{words.SAID[said.kind]}”, said {words.moment(said.said_at, case.zone)}: nothing physical shows it.",
        evidence=(of_statement(said, case.zone),),
    )
    yield ended(judged.unit, until(found, judged.ends))
