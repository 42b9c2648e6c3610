"""R-33: "never arrived" was said, and the customer's own account activated the tag. A person decides, never a rule."""

from __future__ import annotations

from collections.abc import Iterable

from server.rules import words
from server.rules.case import Case
from server.rules.contacts import asks
from server.rules.evidence import of_act, of_statement
from server.rules.facts import ActKind
from server.rules.findings.finding import Found
from server.rules.payloads import Contact, Wants


def find(case: Case) -> Iterable[Found]:
    """One per tag; the message and the activation in either order."""
    customer = case.facts.order.account
    said = [s for s in asks(case) if isinstance(s.payload, Contact) and s.payload.wants is Wants.NOT_RECEIVED]
    if customer is None or not said:
        return
    for unit in case.slots:
        message = next((s for s in said if s.covers(unit.slot.number)), None)
        acts = [a for a in unit.acts if a.kind is ActKind.ACTIVATED and a.account == customer]
        if message is not None and acts:
            said_at = words.moment(message.said_at, case.zone)
            yield Found(
                slot=unit.slot.number,
                subject=str(unit.serial),
                since=max(message.said_at, acts[0].at),
                why=f"“Never arrived”, said {said_at}; the same account activated the tag.",
                evidence=(of_statement(message, case.zone), of_act(acts[0], case.zone)),
            )
