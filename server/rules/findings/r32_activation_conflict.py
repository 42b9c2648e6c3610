"""R-32: activated before the parcel had left us, or by another account than the customer's. A gift clears it."""

from __future__ import annotations

from collections.abc import Iterable
from datetime import datetime
from typing import Final

from server.rules import words
from server.rules.case import Case, SlotCase
from server.rules.evidence import of_act
from server.rules.facts import Act, ActKind, Statement
from server.rules.findings.finding import Found
from server.rules.payloads import Contact, Wants

_PASSED_ON: Final = frozenset({ActKind.TRANSFERRED, ActKind.RELEASED})


def find(case: Case) -> Iterable[Found]:
    """One per activation that does not fit. Ownership is not touched: the first valid receipt stays the owner's."""
    for unit in case.slots:
        for act in unit.acts:
            why = _odd(case, unit, act)
            if why:
                cleared_at, because = _cleared(case, unit, act)
                yield Found(
                    slot=unit.slot.number,
                    subject=act.id,
                    since=act.at,
                    why=f"Activated {words.moment(act.at, case.zone)}{why}.",
                    evidence=(of_act(act, case.zone),),
                    cleared_at=cleared_at,
                    cleared_because=because,
                )


def _odd(case: Case, unit: SlotCase, act: Act) -> str:
    if act.kind is not ActKind.ACTIVATED or unit.binding is None or act.at < unit.binding.latest:
        return ""
    if not any(at <= act.at for at in unit.departures) and _could_be_seen(case, unit, unit.binding, act.at):
        return " before anything showed that it had left us"
    customer = case.facts.order.account
    if any(a.kind in _PASSED_ON and unit.binding.latest <= a.at <= act.at for a in unit.acts):
        return ""  # second hand is ordinary
    return " by another account than the customer's" if customer and act.account not in (None, customer) else ""


def _could_be_seen(case: Case, unit: SlotCase, binding: Statement, until: datetime) -> bool:
    """Absence of a departure says something only if a carrier's label or a receiver of ours could have shown it then:
    who listens only from the activation on has not missed anything.
    """
    labelled = any(label.said_at <= until for label in unit.labels)
    return labelled or any(at < until for at in case.listening(unit, binding.latest))


def _cleared(case: Case, unit: SlotCase, act: Act) -> tuple[datetime | None, str]:
    gifts = [s.said_at for s in unit.said if isinstance(s.payload, Contact) and s.payload.wants is Wants.GIFT]
    passed_on = [a.at for a in unit.acts if a.kind in _PASSED_ON and a.at >= act.at]
    ends = [(max(at, act.at), "it was a gift") for at in gifts] + [(at, "it was passed on") for at in passed_on]
    return min(ends, default=(None, ""))
