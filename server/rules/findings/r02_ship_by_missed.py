"""R-02: a slot's ship-by is past and nothing shows that it left. An option's lead time counts only if it was shown."""

from __future__ import annotations

from collections.abc import Iterable

from server.rules import business_days, words
from server.rules.case import Case
from server.rules.findings.finding import Found, ended
from server.rules.gone import out_of_our_hands
from server.rules.ship_by import ship_by


def find(case: Case) -> Iterable[Found]:
    """One per slot, open from the end of its ship-by day until it departs."""
    for units in case.units:
        unit = units[-1]
        day = ship_by(case.calendar, case.facts.order.placed_at, unit.slot, case.policy)
        deadline = business_days.end_of_day(case.calendar.zone, day)
        departed = out_of_our_hands(units)
        if (departed is not None and departed <= deadline) or not case.moment.passed(deadline):
            continue
        yield ended(
            unit,
            Found(
                slot=unit.slot.number,
                subject="",
                since=deadline,
                why=f"Ship-by was {words.day(day)}; no carrier had it in hand, nothing heard it elsewhere.",
                cleared_at=departed,
                cleared_because="it left, late" if departed else "",
            ),
        )
