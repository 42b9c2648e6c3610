"""R-35: "dispatched" was said of a slot to which no serial was bound: nobody had picked a unit."""

from __future__ import annotations

from collections.abc import Iterable

from server.rules import words
from server.rules.case import Case
from server.rules.evidence import of_statement
from server.rules.findings.finding import Found, earliest, ended


def find(case: Case) -> Iterable[Found]:
    """One per slot, since the words, until a serial is bound or the parcel is seen on its way."""
    for units in case.units:
        unit = units[-1]
        bound = [u.binding.latest for u in units if u.binding is not None]
        found = []
        for said in unit.gone_said:
            if not any(at <= said.said_at for at in bound):
                cleared_at = min([*bound, *unit.departures], default=None)
                found.append(
                    Found(
                        slot=unit.slot.number,
                        subject=said.id,
                        since=said.said_at,
                        why=f"“{words.SAID[said.kind]}” was said {words.moment(said.said_at, case.zone)};"
                        " no serial was bound to this unit.",
                        evidence=(of_statement(said, case.zone),),
                        cleared_at=max(cleared_at, said.said_at) if cleared_at else None,
                        cleared_because="a unit was bound or seen since" if cleared_at else "",
                    )
                )
        yield from earliest(ended(unit, f) for f in found)
