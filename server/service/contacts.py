"""Contacts about an order, however they come: they start the reply clock by themselves, and all of them are one case.

A customer writes on the order's page, by mail, or calls; staff note a call in ten seconds. Each is a statement
`contact` that rules read; its words stand encrypted beside it, because no rule needs them. Only what came by
the order's page is shown again, and only to its account: words of staff never reach an order's page this way.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from datetime import datetime, timedelta
from enum import StrEnum
from typing import Any, Final

import msgspec
from sqlalchemy import Connection

from server.rules.authority import Role
from server.rules.facts import Source, StatementKind
from server.rules.payload_json import payload_to
from server.rules.payloads import Contact, PromiseKind, PromiseMade, Wants
from server.rules.policy import Policy
from server.rules.promises import PromiseState
from server.service import answers, channel_health, orders
from server.service.caller import Caller
from server.service.house import House
from server.service.orders import Recorded, Said
from server.service.refusals import refuse
from server.store import audit, contacts, keys, statements
from server.store import orders as order_store
from server.store.audit import Entry
from server.store.crypto import Vault

# A letter to a person; more is a file.
TEXT_MAX: Final = 2000
PHONE_MAX: Final = 40
WHEN_MAX: Final = 100
KEY_MAX: Final = 64
# So long before the answer a call began that was taken: a question and its answer are two facts, one after the other.
CALL_BEGAN: Final = timedelta(seconds=1)
# Keys of contacts stand apart: nobody with a link to an order may take the key under which a scan of it will come.
_KEY, _KEY_OF_CALL, _KEY_OF_ANSWER = "contact:", "contact-call:", "contact-answer:"
HOUSE_ITSELF: Final = "Hearsight"
OWN_WANTS: Final = (Wants.ANSWER, Wants.SUPERVISOR, Wants.NOT_RECEIVED, Wants.GIFT)
"""What a customer may ask for in words; a call back is asked for by `Call`."""


class Outcome(StrEnum):
    """What became of a call."""

    TALKED = "talked"
    NO_ANSWER = "no_answer"
    MAILBOX_FULL = "mailbox_full"


@dataclass(frozen=True, slots=True)
class Words:
    """What is kept, encrypted, of a contact: a text, and for a call the number and the time that suits."""

    text: str = ""
    phone: str = ""
    when: str = ""


@dataclass(frozen=True, slots=True)
class Asked:
    """A customer wants something. `call`: that somebody calls, at `words.phone` or (empty) the number on file."""

    key: str
    wants: Wants
    words: Words
    call: bool = False
    via: str = "page"


@dataclass(frozen=True, slots=True)
class Logged:
    """Staff note a contact. A call needs its outcome; on other channels inbound is a message, outbound an answer."""

    key: str
    inbound: bool
    channel: str
    outcome: Outcome | None = None
    wants: Wants = Wants.ANSWER
    text: str = ""
    via: str = "page"


def ask(tx: Connection, house: House, number: str, asked: Asked, who: Caller | None, now: datetime) -> Recorded:
    """Ask a person, or ask for a call: the reply clock starts. The same key with the same contents is one contact.

    Refusals: order_unknown, contact_empty, phone_missing, statement_conflict.
    """
    _check(asked)
    if not order_store.lock(tx, number):
        raise refuse("order_unknown", number=number, reference=number)
    wants = Wants.CALL_BACK if asked.call else asked.wants
    said = Said(
        key=_KEY + asked.key,
        kind=StatementKind.CONTACT,
        said_at=now,
        by="customer",
        source=Source.CUSTOMER,
        via=asked.via,
        payload=payload_to(Contact(True, "page", wants=wants)),
    )
    if (known := _known(tx, house.vault, number, said, asked.words)) is not None:
        return known
    if asked.call and not asked.words.phone and not _phone(tx, number):
        raise refuse("phone_missing")
    given = list(orders.state(tx, number, [said], Role.OWNER, now))
    _keep(tx, house.vault, given[0], asked.words, own=True)
    if asked.call and not _calls_promised(tx, number, house.policy, now):
        given += _promise_call(tx, number, asked, house.policy, now)
    _sign(tx, number, given, who, now)
    answers.weighing(tx, number, house.policy, now)  # so that the list of those who wait knows at once
    return given[0]


def _check(asked: Asked) -> None:
    if not asked.call and asked.wants is Wants.ANSWER and not asked.words.text:
        raise refuse("contact_empty")
    if asked.words.phone and sum(letter.isdigit() for letter in asked.words.phone) < 5:
        raise refuse("phone_missing")


def _calls_promised(tx: Connection, number: str, policy: Policy, now: datetime) -> bool:
    """A call that is promised already is not promised anew: the first due time stays the one that counts."""
    made = answers.weighing(tx, number, policy, now)[1].promises
    return any(each.what is PromiseKind.CALL_BACK and each.state is PromiseState.OPEN for each in made)


def _promise_call(tx: Connection, number: str, asked: Asked, policy: Policy, now: datetime) -> tuple[Recorded, ...]:
    """Policy promises the call, in calendar hours: R-12 judges it like anybody's promise."""
    due = now + timedelta(seconds=policy.reply_s)
    promise = Said(
        key=_KEY_OF_CALL + asked.key,
        kind=StatementKind.PROMISE,
        said_at=now,
        by=HOUSE_ITSELF,
        source=Source.SYSTEM,
        via=asked.via,
        payload=payload_to(PromiseMade(PromiseKind.CALL_BACK, due)),
    )
    # The system speaks by the server itself here, as an operator's adapter would.
    return orders.state(tx, number, [promise], Role.OPERATOR, now)


def log(
    tx: Connection, house: House, number: str, logged: Logged, who: Caller | None, actor: str, now: datetime
) -> Recorded:
    """Staff note a call or another contact. A call that was taken is a question and its answer.

    Refusals: order_unknown, contact_outcome, statement_conflict.
    """
    if (logged.channel == "call") != (logged.outcome is not None):
        raise refuse("contact_outcome", outcomes=", ".join(Outcome))
    if not order_store.lock(tx, number):
        raise refuse("order_unknown", number=number, reference=number)
    parts = _parts(logged, actor, now)
    if (known := _known(tx, house.vault, number, parts[0], Words(logged.text))) is not None:
        return known
    if logged.inbound and logged.outcome is Outcome.MAILBOX_FULL:
        # First: it holds the weighings of all who wait and this order's one, by number; stating holds that one, too.
        channel_health.report(tx, actor, "call", False, str(Outcome.MAILBOX_FULL), now, who, number)
    given = orders.state(tx, number, parts, Role.OPERATOR, now)
    _keep(tx, house.vault, given[0], Words(logged.text), own=False)
    _sign(tx, number, given, who, now, actor)
    answers.weighing(tx, number, house.policy, now)
    return given[0]


def _parts(logged: Logged, actor: str, now: datetime) -> list[Said]:
    talked = logged.outcome in (None, Outcome.TALKED)
    answered = logged.inbound and logged.outcome is Outcome.TALKED
    first = Said(
        key=_KEY + logged.key,
        kind=StatementKind.CONTACT,
        said_at=now - CALL_BEGAN if answered else now,
        by="customer" if logged.inbound else actor,
        source=Source.CUSTOMER if logged.inbound else Source.STAFF,
        via=logged.via,
        payload=payload_to(Contact(logged.inbound, logged.channel, talked or logged.inbound, wants=logged.wants)),
    )
    if not answered:
        return [first]
    answer = payload_to(Contact(False, logged.channel))
    return [
        first,
        replace(first, key=_KEY_OF_ANSWER + logged.key, said_at=now, by=actor, source=Source.STAFF, payload=answer),
    ]


def receive(
    tx: Connection, house: House, number: str, key: str, text: str, person: bool, wrote_at: datetime, now: datetime
) -> Recorded:
    """A letter that came by mail about an order. Whoever can forge a sender can write this: nobody but staff reads it.

    Refusals: order_unknown.
    """
    contact = payload_to(Contact(True, "mail", person))
    said = Said(key, StatementKind.CONTACT, wrote_at, "customer", Source.CUSTOMER, via="mail", payload=contact)
    [given] = orders.state(tx, number, [said], Role.OWNER, now)
    if given.new:
        _keep(tx, house.vault, given, Words(text), own=False)
        answers.weighing(tx, number, house.policy, now)
    return given


# --- Words and keys --------------------------------------------------------------------------------------------


def _known(tx: Connection, vault: Vault, number: str, said: Said, words: Words) -> Recorded | None:
    """The contact of this key, if it was recorded before. Moments are not compared: the second sending is later."""
    known = statements.by_key(tx, number, said.key)
    if known is None:
        return None
    same = known.kind == said.kind and known.payload == said.payload and known.source == said.source
    if not same or read_words(vault, contacts.words_of(tx, known.no)) != words:
        raise refuse("statement_conflict", key=said.key, reference=said.key)
    return Recorded(said.key, str(known.no), False)


def _keep(tx: Connection, vault: Vault, given: Recorded, words: Words, *, own: bool) -> None:
    if given.new and words != Words():
        sealed = vault.seal(keys.CONTACT_WORDS.what(), msgspec.json.encode(words))
        contacts.keep_words(tx, int(given.id), sealed, own=own)


def read_words(vault: Vault, stored: contacts.StoredWords | None) -> Words:
    """What was written; empty words if nothing was."""
    if stored is None:
        return Words()
    return msgspec.json.decode(vault.open(keys.CONTACT_WORDS.what(), stored.words), type=Words)


def _sign(
    tx: Connection, number: str, given: Sequence[Recorded], who: Caller | None, now: datetime, actor: str = ""
) -> None:
    new: dict[str, Any] = {"statements": [each.id for each in given if each.new]}
    by = who.email if who else actor or "customer"
    audit.add(tx, Entry(now, by, "contacted", f"order:{number}", new, who.account_no if who else None))


def _phone(tx: Connection, number: str) -> str:
    order = order_store.order(tx, number)
    return (order.phone or "") if order else ""
