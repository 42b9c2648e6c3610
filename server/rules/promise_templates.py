"""Promises ready to be made: the words, the kind and when it falls due, so that nobody promises without all three.

What proves each one kept is `promises.CONDITIONS`: a template can promise nothing that no machine could check.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Final

from server.rules.facts import OrderFacts
from server.rules.first_sign import calendar_of, first_sign_due
from server.rules.payloads import PromiseKind
from server.rules.policy import Policy
from server.rules.promises import CONDITIONS


@dataclass(frozen=True, slots=True)
class Template:
    """`hours` until it is due, counted from now as a customer counts; None: by the first sign of the next pickup."""

    title: str
    what: PromiseKind
    hours: int | None
    text: str

    @property
    def closes(self) -> str:
        """What will close it, by itself and by nothing else."""
        return CONDITIONS[self.what].words


TEMPLATES: Final[Mapping[str, Template]] = {
    "reship_next_pickup": Template(
        "Send another one with the next pickup",
        PromiseKind.RESHIP,
        None,
        "We are sending another one to {address}. You can see that it left by {promise_due}.",
    ),
    "ship_next_pickup": Template(
        "Leave with the next pickup",
        PromiseKind.SHIP,
        None,
        "Your order leaves with the next pickup. You can see that it left by {promise_due}.",
    ),
    "number_live": Template(
        "The number works",
        PromiseKind.NUMBER_LIVE,
        24,
        "The carrier's number is {carrier_number}. Its own page shows your parcel by {promise_due}.",
    ),
    "call_back": Template("Call back", PromiseKind.CALL_BACK, 4, "A person calls you by {promise_due}."),
    "reply": Template("Answer", PromiseKind.REPLY, 24, "You have an answer from a person by {promise_due}."),
    "refund_booked": Template(
        "Book the refund", PromiseKind.REFUND, 72, "Your refund is booked by {promise_due}; you need not ask again."
    ),
}
"""By their names; `docs/messages.md` lists the same."""


def due_of(template: Template, facts: OrderFacts, policy: Policy, now: datetime) -> datetime:
    """When this promise falls due if it is made now.

    By the next pickup means: when the carrier's first scan after it must be there, for only that closes the promise.
    """
    if template.hours is not None:
        return now + timedelta(hours=template.hours)
    return first_sign_due(calendar_of(facts), now, policy)
