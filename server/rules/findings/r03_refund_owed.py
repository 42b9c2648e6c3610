"""R-03: the stated day or the profile's limit is over, it did not ship, and the customer did not agree to wait.

A conditional keep (a promise whose lapse is the refund) suspends it; when the condition lapses, it is owed again.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from datetime import datetime
from typing import Final

from server.rules import words
from server.rules.case import Case, SlotCase
from server.rules.facts import Slot, Source, Statement, StatementKind
from server.rules.findings.finding import Found, earliest, ended, until
from server.rules.gone import out_of_our_hands
from server.rules.promises import Promise, PromiseState, keeps_on_condition, promises_of
from server.rules.sale_profiles import profile_of
from server.rules.ship_by import refund_owed_at

_AGREES: Final = {
    StatementKind.CONSENT_TO_DELAY: "the customer agreed to wait",
    StatementKind.REFUND_WITHDRAWN: "the customer keeps the order",
}


def limit(case: Case, slot: Slot) -> datetime:
    """From when on the money of a slot is owed."""
    order = case.facts.order
    profile = profile_of(order.profile)
    return refund_owed_at(case.calendar, order.placed_at, order.zone, slot, profile, case.policy)


def find(case: Case) -> Iterable[Found]:
    """One per slot, from the limit (or the lapse of a keep) until it leaves, the customer agrees or is refunded."""
    promises = promises_of(case)
    for units in case.units:
        unit = units[-1]
        owed_at, left = limit(case, unit.slot), out_of_our_hands(units)
        agreed = any(s.said_at <= owed_at for s in unit.of_kind(StatementKind.CONSENT_TO_DELAY) if _agrees(s))
        if agreed or (left is not None and left <= owed_at) or not case.moment.passed(owed_at):
            continue
        keeps = keeps_on_condition(promises, unit.slot.number)
        yield from earliest(ended(unit, f) for f in _stretches(case, unit, owed_at, keeps, left))


def _stretches(
    case: Case, unit: SlotCase, owed_at: datetime, keeps: Sequence[Promise], left: datetime | None
) -> Iterable[Found]:
    """Owed since the limit and again since each lapse, each time until something ends or suspends it."""
    ends = [(said.said_at, _AGREES[said.kind]) for said in unit.said if _agrees(said)]
    ends += [(left, "it left, late")] if left else []
    lapses = [k.breaks_at for k in keeps if k.state is PromiseState.BROKEN and k.breaks_at > owed_at]
    for since in (owed_at, *(at for at in lapses if left is None or left > at)):
        kept = [(k.made_at, _KEPT) for k in keeps if k.breaks_at > since]
        later = [end for end in ends if end[0] >= since]
        found = Found(slot=unit.slot.number, subject="", since=since, why=_why(case, unit, owed_at, since))
        yield until(found, [*later, *kept])


_KEPT: Final = "the customer keeps it on a condition"


def _why(case: Case, unit: SlotCase, owed_at: datetime, since: datetime) -> str:
    stated = "The stated day" if unit.slot.ship_by is not None else "The limit of the sale"
    text = f"{stated} was {words.due(owed_at, case.zone)}; nothing shows that it left us, and nobody agreed to wait."
    lapsed = f" The condition on which it was kept lapsed at {words.due(since, case.zone)}."
    return text + (lapsed if since > owed_at else "")


def _agrees(said: Statement) -> bool:
    """Only the customer can agree to a delay; nobody of ours can do it for them."""
    return said.kind in _AGREES and said.source is Source.CUSTOMER
