"""R-33: "never arrived" was said, and the customer's own account activated the tag. A person decides, never a rule."""

from __future__ import annotations

from collections.abc import Iterable

from server.rules import words
from server.rules.case import Case
from server.rules.contacts import asks, decided_at
from server.rules.evidence import of_act, of_statement
from server.rules.facts import ActKind
from server.rules.findings.finding import Found, ended, until
from server.rules.payloads import Contact, Wants


def find(case: Case) -> Iterable[Found]:
    """One per tag, if the tag was activated before the words; afterwards it has simply come, late.

    It ends when a person decided (a remedy was granted) or the money is back.
    """
    customer = case.facts.order.account
    said = [s for s in asks(case) if isinstance(s.payload, Contact) and s.payload.wants is Wants.NOT_RECEIVED]
    if customer is None or not said:
        return
    for unit in case.slots:
        acts = [a for a in unit.acts if a.kind is ActKind.ACTIVATED and a.account == customer]
        message = next((s for s in said if s.covers(unit.slot.number) and acts and s.said_at >= acts[0].at), None)
        if message is not None:
            said_at = words.moment(message.said_at, case.zone)
            found = Found(
                slot=unit.slot.number,
                subject=str(unit.serial),
                since=message.said_at,
                why=f"“Never arrived”, said {said_at}; the same account had activated the tag.",
                evidence=(of_statement(message, case.zone), of_act(acts[0], case.zone)),
            )
            yield ended(unit, until(found, [(decided_at(case, message), "a person decided")]))
