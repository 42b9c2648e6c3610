"""A message to a customer before it goes out: what it says, what it promises, and everything that speaks against it.

The facts are weighed once more together with what the draft would state, so the same rules judge a sentence before
anybody reads it that would find it wrong afterwards. What evidence denies stops a message; where nothing settles it,
its writer may send it with a reason that is kept.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Final

from server.rules import payload_json
from server.rules.authority import Action, Role
from server.rules.facts import OrderFacts, Source, Statement, StatementKind, interval
from server.rules.payloads import About, Assertion, Contact, Nothing, NumberGiven, Offer, Payload, PromiseKind
from server.rules.payloads import PromiseMade as Made

# A letter of two pages; a contact's payload keeps no more.
TEXT_MAX: Final = payload_json.TEXT_MAX
# More things at once than these are several messages.
SAYS_MAX, PROMISES_MAX, OFFERS_MAX, NUMBERS_MAX = 4, 3, 3, 3


@dataclass(frozen=True, slots=True)
class Says:
    """What the message asserts, in a form that rules read: where it is (`payloads.STEPS_SAID`), the service, or when it
    arrives. `at_least_ago` is for words such as "weeks ago".
    """

    about: About
    value: str = ""
    by_when: datetime | None = None
    at_least_ago: timedelta | None = None


@dataclass(frozen=True, slots=True)
class Promises:
    """What the message promises. `due` None is refused: nobody could say when it is broken."""

    what: PromiseKind
    due: datetime | None
    number: str = ""
    lapse: str = ""


@dataclass(frozen=True, slots=True)
class Draft:
    """One message to an order's customer. `text` may hold inserts (`inserts.INSERTS`); `slot` None = the whole order.

    `remedy` goes with it: what its sender grants together with these words.
    """

    text: str
    slot: int | None = None
    says: tuple[Says, ...] = ()
    promises: tuple[Promises, ...] = ()
    offers: tuple[Offer, ...] = ()
    numbers: tuple[str, ...] = ()
    remedy: Action | None = None


@dataclass(frozen=True, slots=True)
class Sender:
    """Who is about to say it: `by` stands in the ledger, `name` must not stand in the letter."""

    by: str
    role: Role
    name: str = ""


@dataclass(frozen=True, slots=True)
class Part:
    """One statement that a message makes; `name` tells it from the others of the same message."""

    name: str
    kind: StatementKind
    slot: int | None
    payload: Payload
    at_least_ago: timedelta | None = None


CHANNEL: Final = "mail"


def parts(draft: Draft) -> tuple[Part, ...]:
    """What sending the draft would put into the ledger: the letter as it was written, and everything it states."""
    letter = Contact(inbound=False, channel=CHANNEL, person=True, text=draft.text)
    return (
        Part("letter", StatementKind.CONTACT, draft.slot, letter),
        *(_said(f"says-{n}", draft.slot, each) for n, each in enumerate(draft.says, 1)),
        *(
            Part(f"promise-{n}", StatementKind.PROMISE, draft.slot, Made(p.what, p.due, number=p.number, lapse=p.lapse))
            for n, p in enumerate(draft.promises, 1)
            if p.due is not None
        ),
        *(Part(f"offer-{n}", StatementKind.OFFER, draft.slot, offer) for n, offer in enumerate(draft.offers, 1)),
        *(
            Part(f"number-{n}", StatementKind.NUMBER_GIVEN, draft.slot, NumberGiven(number))
            for n, number in enumerate(draft.numbers, 1)
        ),
    )


def _said(name: str, slot: int | None, says: Says) -> Part:
    """ "It has left" is the ledger's `dispatched`; every other view of how it stands is an assertion."""
    if says.about is About.STEP and says.value == "left":
        return Part(name, StatementKind.DISPATCHED, slot, Nothing(), says.at_least_ago)
    return Part(name, StatementKind.ASSERTION, slot, Assertion(says.about, says.value, says.by_when), says.at_least_ago)


DRAFT: Final = "draft:"
"""Before its name, in the id of a statement that nobody has made yet."""


def as_said(facts: OrderFacts, made: Iterable[Part], by: str, now: datetime) -> tuple[Statement, ...]:
    """These parts as statements of staff, as if they were said now."""
    statements = []
    for part in made:
        earliest, latest = interval(now, at_least_ago=part.at_least_ago)
        statements.append(
            Statement(
                id=DRAFT + part.name,
                kind=part.kind,
                order=facts.order.number,
                slot=part.slot,
                said_at=now,
                earliest=earliest,
                latest=latest,
                by=by,
                source=Source.STAFF,
                learnt_at=now,
                payload=part.payload,
            )
        )
    return tuple(statements)
