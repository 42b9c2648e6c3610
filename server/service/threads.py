"""Everything that was written and called about one order, in one thread with one clock; and who waits the longest."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime
from enum import StrEnum
from typing import Any, Final

from sqlalchemy import Connection

from server.rules.case import lay_out
from server.rules.contacts import ReplyClock, is_answer, reply_due, waits
from server.rules.facts import Statement
from server.rules.moment import Moment
from server.rules.payloads import Contact, PromiseKind
from server.rules.policy import Policy
from server.rules.promises import PromiseState
from server.service import answers, channel_health, contacts
from server.service.answers import Looked
from server.service.contacts import Words
from server.service.house import House
from server.store import contacts as contact_store
from server.store import mail_in, weighings
from server.store import orders as order_store

# A list that nobody reads to its end is no list.
WAITING_MAX: Final = 100


@dataclass(frozen=True, slots=True)
class Message:
    """One contact. For customers `by` is None; `words` are only for the order's account, what came by its page.

    `person` False: a machine's receipt, or a call that nobody took.
    """

    at: datetime
    reached_at: datetime
    inbound: bool
    channel: str
    person: bool
    wants: str
    words: Words
    by: str | None


@dataclass(frozen=True, slots=True)
class Waited:
    """One wait: asked, due, answered (None: not yet); `late`: the answer was due before it came."""

    asked_at: datetime
    due: datetime
    answered_at: datetime | None
    late: bool


@dataclass(frozen=True, slots=True)
class Thread:
    """All contacts about an order. `clock` None: nobody waits. `call_by`: until then a person calls, as was promised.

    `dead`: ways to reach us that do not work just now.
    """

    number: str
    as_of: datetime
    reply_hours: int
    clock: ReplyClock | None
    call_by: datetime | None
    phone_on_file: str
    dead: tuple[str, ...]
    messages: tuple[Message, ...]
    waits: tuple[Waited, ...]


@dataclass(frozen=True, slots=True)
class WaitingRow:
    """An order whose customer waits."""

    number: str
    customer: str
    since: datetime
    due: datetime
    late: bool
    channel: str
    wants: tuple[str, ...]
    messages: int


@dataclass(frozen=True, slots=True)
class Waiting:
    """Who waits for a person's answer, the longest first; `mails`: letters that nobody has put to an order yet."""

    as_of: datetime
    rows: tuple[WaitingRow, ...]
    count: int
    mails: int
    oldest_mail_at: datetime | None


class Reading(StrEnum):
    """Who reads a thread. A link may be forwarded, so whoever has one reads that something was asked, not the words."""

    STAFF = "staff"
    ACCOUNT = "account"
    LINK = "link"


def thread(tx: Connection, house: House, looked: Looked, reading: Reading) -> Thread:
    """The contacts of an order as staff or its customer may read them."""
    staff = reading is Reading.STAFF
    facts, weighed = looked
    number, now = facts.order.number, weighed.as_of
    stored = order_store.order(tx, number)
    assert stored is not None, "weighed a moment ago"
    case = lay_out(facts, house.policy, Moment(now))
    kept = contact_store.words_of_order(tx, number)
    told = [said for said in case.statements if _belongs(said, staff)]
    calls = [p for p in weighed.promises if p.what is PromiseKind.CALL_BACK and p.state is not PromiseState.KEPT]
    return Thread(
        number=number,
        as_of=now,
        reply_hours=house.policy.reply_s // 3600,
        clock=weighed.reply,
        call_by=min((p.due for p in calls if p.met_at is None and p.let_go_at is None), default=None),
        phone_on_file=_hint(stored.phone or "") if not staff else stored.phone or "",
        # Whoever reads this page reads it: customers are not told that it fails.
        dead=tuple(
            way.name
            for way in channel_health.ways_in(tx).channels
            if way.works is False and (staff or way.channel != channel_health.PAGE)
        ),
        messages=tuple(
            _message(said, kept.get(int(said.id)), house, reading)
            for said in sorted(told, key=lambda s: (s.said_at, s.id))
        ),
        waits=tuple(_waited(each.asked.said_at, reply_due(case, each), each.answered, now) for each in waits(case)),
    )


def _belongs(said: Statement, staff: bool) -> bool:
    """Messages and what one of us told; of what machines sent only staff read."""
    if isinstance(said.payload, Contact):
        return staff or said.payload.person
    return is_answer(said)


def _message(said: Statement, stored: contact_store.StoredWords | None, house: House, reading: Reading) -> Message:
    staff = reading is Reading.STAFF
    readable = staff or (reading is Reading.ACCOUNT and stored is not None and stored.own)
    words = contacts.read_words(house.vault, stored) if readable else Words()
    # What was told in another form stands in the timeline with what evidence says of it: here, bare, a customer would
    # read "dispatched".
    contact = said.payload if isinstance(said.payload, Contact) else Contact(False, str(said.kind) if staff else "")
    if staff and not words.text and contact.text:  # stated by a program, which keeps its words with the statement
        words = Words(contact.text)
    return Message(
        at=said.said_at,
        reached_at=said.learnt_at,
        inbound=contact.inbound,
        channel=contact.channel,
        person=contact.person,
        wants=str(contact.wants) if contact.inbound else "",
        words=words,
        by=said.by if staff else None,
    )


def _waited(asked_at: datetime, due: datetime, answered: Statement | None, now: datetime) -> Waited:
    if answered is None:
        return Waited(asked_at, due, None, now >= due)
    return Waited(asked_at, due, answered.said_at, answered.said_at > due)


def _hint(phone: str) -> str:
    """Enough to know one's own number by; a link to an order may be forwarded."""
    digits = "".join(letter for letter in phone if letter.isdigit())
    return f"ending in {digits[-2:]}" if len(digits) >= 5 else ""


def waiting(tx: Connection, policy: Policy, now: datetime, limit: int = WAITING_MAX) -> Waiting:
    """Who waits the longest, from the index of waits; each is judged anew if something came in since."""
    numbers = sorted(weighings.waiting(tx, limit))  # weighing holds them: whoever weighs several goes by number
    rows = [row for number in numbers if (row := _row(tx, number, policy, now)) is not None]
    mails, oldest = mail_in.how_many_wait(tx)
    return Waiting(
        as_of=now,
        rows=tuple(sorted(rows, key=lambda row: (row.since, row.number))),
        count=weighings.how_many_wait(tx),
        mails=mails,
        oldest_mail_at=oldest,
    )


def _row(tx: Connection, number: str, policy: Policy, now: datetime) -> WaitingRow | None:
    reply: dict[str, Any] | None = answers.kept(tx, number, policy, now).get("reply")
    if reply is None:
        return None
    order = order_store.order(tx, number)
    assert order is not None, "weighed a moment ago"
    return WaitingRow(
        number=number,
        customer=order.customer_name,
        since=datetime.fromisoformat(reply["since"]),
        due=datetime.fromisoformat(reply["due"]),
        late=reply["late"],
        channel=reply["channel"],
        wants=tuple(reply["wants"]),
        messages=reply["messages"],
    )
