"""Mail-in: a customer's letter finds its order and starts the clock; what fits none or several waits for a person.

Nothing here ever answers a letter: two machines that thank one another for their letters do so for ever.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from datetime import datetime, timedelta
from enum import StrEnum
from typing import Final

import msgspec
from sqlalchemy import Connection

from server.rules.authority import Role
from server.rules.facts import Source, StatementKind
from server.rules.payload_json import payload_to
from server.rules.payloads import ChannelState
from server.service import answers, contacts, orders
from server.service.caller import Caller
from server.service.house import House
from server.service.mail_reader import Letter, read
from server.service.orders import Said
from server.service.refusals import refuse
from server.store import audit, keys, mail_in
from server.store import orders as order_store
from server.store.audit import Entry
from server.store.mail_in import StoredMail

# Orders of one sender that are looked at; whoever has more is a shop of its own.
OWN_ORDERS_MAX: Final = 20
# A customer who is this angry is served by a person; a machine that pretends to be one must not fill the ledger.
A_DAY: Final = timedelta(days=1)
LETTERS_A_DAY_MAX: Final = 30
# Two out-of-office notes are a holiday; five in a day are a robot that answers our letters with letters.
LOOP: Final = 5
WAITING_MAX: Final = 200
MAIL_TO_CUSTOMER: Final = "mail to the customer"


class Outcome(StrEnum):
    """What became of a letter: put to an order as a contact, noted as a machine's, a letter of ours that came back,
    one that waits for a person, or dropped by one.
    """

    CONTACT = "contact"
    AUTO_REPLY = "auto_reply"
    BOUNCE = "bounce"
    WAITS = "waits"
    DROPPED = "dropped"


class Why(StrEnum):
    """Why a letter waits for a person."""

    NO_ORDER = "no_order"
    SEVERAL_ORDERS = "several_orders"
    TOO_MANY = "too_many"


@dataclass(frozen=True, slots=True)
class Received:
    """What became of a letter. `new` False: it came before, and nothing happened now."""

    no: int
    outcome: Outcome
    order: str | None
    why: str
    new: bool


@dataclass(frozen=True, slots=True)
class Kept:
    """What is kept, encrypted, of a letter that waits."""

    sender: str
    subject: str
    text: str
    whole: bool


@dataclass(frozen=True, slots=True)
class WaitingMail:
    """A letter that waits for a person, and the orders that it may be about."""

    no: int
    received_at: datetime
    why: str
    candidates: tuple[str, ...]
    attachments: int
    sender: str
    subject: str
    text: str
    whole: bool


def receive(tx: Connection, house: House, raw: bytes, now: datetime) -> Received:
    """Take a letter in. The same letter again changes nothing."""
    letter = read(raw)
    known = mail_in.by_hash(tx, letter.hash)
    if known is not None:
        return _received(known, new=False)
    found = _orders(tx, house, letter, now)
    if len(found) != 1 or not order_store.lock(tx, found[0]):
        return _undecided(tx, house, letter, found, now)
    return _placed(tx, house, letter, found[0], now)


def _undecided(tx: Connection, house: House, letter: Letter, found: tuple[str, ...], now: datetime) -> Received:
    """A machine's letter about nothing we know is no person's work; a person's is."""
    if letter.automatic or letter.bounce:
        return _add(tx, house, letter, Outcome.BOUNCE if letter.bounce else Outcome.AUTO_REPLY, now)
    why = Why.SEVERAL_ORDERS if found else Why.NO_ORDER
    return _add(tx, house, letter, Outcome.WAITS, now, why=why, candidates=found)


def _placed(tx: Connection, house: House, letter: Letter, number: str, now: datetime) -> Received:
    key, words = _key(letter.hash), _words(_kept_of(letter), letter.attachments)
    if letter.bounce:
        given = _add(tx, house, letter, Outcome.BOUNCE, now, number)
        if given.new:
            _channel(tx, house, number, f"{key}:bounce", letter.bounce, now)
        return given
    if letter.automatic:
        before = mail_in.lately(tx, number, now, [Outcome.AUTO_REPLY], A_DAY)
        given = _add(tx, house, letter, Outcome.AUTO_REPLY, now, number)
        if given.new and before < LOOP:
            contacts.receive(tx, house, number, key, words, False, now, now)
        if given.new and before == LOOP - 1:
            _channel(tx, house, number, f"{key}:loop", "bot_loop", now)
        return given
    if mail_in.lately(tx, number, now, [Outcome.CONTACT], A_DAY) >= LETTERS_A_DAY_MAX:
        return _add(tx, house, letter, Outcome.WAITS, now, why=Why.TOO_MANY, candidates=(number,))
    given = _add(tx, house, letter, Outcome.CONTACT, now, number)
    if given.new:
        contacts.receive(tx, house, number, key, words, True, now, now)
    return given


def _key(message_hash: bytes) -> str:
    """The contact's key: placed at once or by a person, it is one contact."""
    return f"mail:{message_hash.hex()[:32]}"


def _kept_of(letter: Letter) -> Kept:
    return Kept(letter.sender, letter.subject, letter.text, letter.whole)


def _words(kept: Kept, attachments: int) -> str:
    heading = "\n".join(filter(None, (f"From: {kept.sender}", kept.subject)))
    more = f"\n[{attachments} attachments, not kept]" if attachments else ""
    broken = "" if kept.whole else "\n[A part of this letter could not be read.]"
    return f"{heading}\n\n{kept.text}{more}{broken}"


def _channel(tx: Connection, house: House, number: str, key: str, why: str, now: datetime) -> None:
    """Mail between this customer and us goes wrong: the server itself saw it (R-24)."""
    state = payload_to(ChannelState(MAIL_TO_CUSTOMER, False, why))
    said = Said(key, StatementKind.CHANNEL_STATE, now, "mail-in", Source.SYSTEM, via="mail", payload=state)
    orders.state(tx, number, [said], Role.OPERATOR, now)
    answers.weighing(tx, number, house.policy, now)


def _add(
    tx: Connection,
    house: House,
    letter: Letter,
    outcome: Outcome,
    now: datetime,
    number: str | None = None,
    why: Why | None = None,
    candidates: tuple[str, ...] = (),
) -> Received:
    kept = msgspec.json.encode(_kept_of(letter))
    mail = StoredMail(
        message_hash=letter.hash,
        received_at=now,
        outcome=outcome,
        order_number=number,
        letter=house.vault.seal(keys.MAIL_IN_LETTER.what(), kept) if outcome is Outcome.WAITS else None,
        why=why,
        candidates=candidates[:OWN_ORDERS_MAX],
        attachments=letter.attachments,
    )
    no = mail_in.add(tx, mail)
    if no is None:  # the same letter by another way, a moment ago
        known = mail_in.by_hash(tx, letter.hash)
        assert known is not None, "in conflict with it"
        return _received(known, new=False)
    return Received(no, outcome, number, str(why or ""), True)


def _received(mail: StoredMail, *, new: bool) -> Received:
    why = mail.why or "" if mail.outcome == Outcome.WAITS else ""
    return Received(mail.no, Outcome(mail.outcome), mail.order_number, why, new)


# --- Which order it means --------------------------------------------------------------------------------------


def _orders(tx: Connection, house: House, letter: Letter, now: datetime) -> tuple[str, ...]:
    """The orders that a letter may be about: one is certain, several or none are a person's to decide.

    The address that we gave for one order says most, then the letter of ours that is answered, then a number that is
    named, then whose letter it is. Where several are named, the sender's own one counts.
    """
    for named in (tuple(mail_in.existing(tx, letter.plus)), mail_in.orders_of_notices(tx, letter.notices)):
        if named:
            return named
    numbers = mail_in.existing(tx, letter.numbers)
    own = tuple(number for number, email in numbers.items() if email == letter.sender)
    if len(own) == 1 or len(numbers) == 1:
        return own or tuple(numbers)
    if numbers:
        return tuple(sorted(numbers))
    theirs = order_store.numbers_of_email(tx, letter.sender, OWN_ORDERS_MAX) if letter.sender else ()
    if len(theirs) <= 1:
        return theirs
    # Weighing them holds them; so everybody who holds several goes by number, and orders before their weighings.
    for number in sorted(theirs):
        order_store.lock(tx, number)
    living = {number for number in sorted(theirs) if _open(tx, house, number, now)}
    return tuple(number for number in theirs if number in living) or theirs


# As far as a parcel can come: what is asked about afterwards is asked about an order by its number.
_OVER: Final = frozenset({"delivered", "claimed", "activated", "returned"})


def _open(tx: Connection, house: House, number: str, now: datetime) -> bool:
    """Whether something of it is still to come, as evidence shows it."""
    slots: Iterable[dict[str, str | None]] = answers.kept(tx, number, house.policy, now)["shown"]["slots"]
    return any(slot["shown"] not in _OVER for slot in slots)


# --- Letters that wait for a person ----------------------------------------------------------------------------


def waiting(tx: Connection, house: House) -> tuple[WaitingMail, ...]:
    """Letters that wait, the oldest first."""
    return tuple(_opened(house, mail) for mail in mail_in.waiting(tx, WAITING_MAX))


def _opened(house: House, mail: StoredMail) -> WaitingMail:
    kept = _kept(house, mail)
    return WaitingMail(
        no=mail.no,
        received_at=mail.received_at,
        why=mail.why or "",
        candidates=mail.candidates,
        attachments=mail.attachments,
        sender=kept.sender,
        subject=kept.subject,
        text=kept.text,
        whole=kept.whole,
    )


def _kept(house: House, mail: StoredMail) -> Kept:
    assert mail.letter is not None, "only what waits is kept"
    return msgspec.json.decode(house.vault.open(keys.MAIL_IN_LETTER.what(), mail.letter), type=Kept)


def settle(
    tx: Connection, house: House, no: int, number: str, who: Caller | None, actor: str, now: datetime
) -> Received:
    """A person says which order a letter is about: its customer waits since the letter came.

    Saying it twice is once. Refusals: mail_unknown, mail_settled, order_unknown.
    """
    mail = mail_in.hold(tx, no)
    if mail is None:
        raise refuse("mail_unknown", no=no, reference=str(no))
    if mail.outcome != Outcome.WAITS:
        if mail.order_number == number:
            return _received(mail, new=False)
        raise refuse("mail_settled", no=no, reference=str(no))
    key, words = _key(mail.message_hash), _words(_kept(house, mail), mail.attachments)
    contacts.receive(tx, house, number, key, words, True, mail.received_at, now)
    mail_in.settle(tx, no, Outcome.CONTACT, number, now)
    audit.add(tx, Entry(now, actor, "mail_settled", f"order:{number}", {"mail": no}, who.account_no if who else None))
    return Received(no, Outcome.CONTACT, number, "", True)


def drop(tx: Connection, no: int, who: Caller | None, actor: str, now: datetime) -> Received:
    """A person says that a letter is about nothing of ours. Refusals: mail_unknown, mail_settled."""
    mail = mail_in.hold(tx, no)
    if mail is None:
        raise refuse("mail_unknown", no=no, reference=str(no))
    if mail.outcome == Outcome.DROPPED:
        return _received(mail, new=False)
    if mail.outcome != Outcome.WAITS:
        raise refuse("mail_settled", no=no, reference=str(no))
    mail_in.settle(tx, no, Outcome.DROPPED, None, now)
    audit.add(tx, Entry(now, actor, "mail_dropped", f"mail:{no}", None, who.account_no if who else None))
    return Received(no, Outcome.DROPPED, None, "", True)
