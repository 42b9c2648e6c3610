"""Pages about contacts: a customer's two forms, the call log, who waits, letters that wait, ways to reach us."""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import Final
from urllib.parse import quote

from fastapi import APIRouter, Request
from fastapi.responses import Response

from server.rules.payloads import Wants
from server.service import channel_health, contacts, mail_in, threads, viewing
from server.service.contacts import OWN_WANTS, PHONE_MAX, TEXT_MAX, WHEN_MAX, Asked, Logged, Outcome, Words
from server.service.house import House
from server.service.refusals import refuse
from server.service.threads import Thread
from server.web.api.contacts import ChannelInPath, MailInPath
from server.web.api.models import NumberInPath
from server.web.auth import CustomerAlone, OrderReader, Staff
from server.web.deps import Rates, TheHouse
from server.web.pages.render import Form, go, link_of, page

router = APIRouter(include_in_schema=False)
_KEY: Final = re.compile(r"[0-9a-f]{32}")
# One button each: what it sends, and its words.
CALLS: Final = (
    ("in_talked", "They called, we talked"),
    ("in_no_answer", "They called, nobody took it"),
    ("in_mailbox_full", "They called, our mailbox was full"),
    ("out_talked", "We called, we talked"),
    ("out_no_answer", "We called, no answer"),
    ("out_mailbox_full", "We called, their mailbox was full"),
)


@dataclass(frozen=True, slots=True)
class ContactsOfOrder:
    """What the forms and the thread of one order's page need; the keys make a form sent twice one contact."""

    thread: Thread
    key: str
    call_key: str
    link: str
    calls: tuple[tuple[str, str], ...] = CALLS


def of_customer(request: Request, house: House, thread: Thread) -> ContactsOfOrder:
    """For the order's page, whose forms carry the link by which it was opened."""
    return ContactsOfOrder(thread, house.dice(16).hex(), house.dice(16).hex(), link_of(request))


def of_case(house: House, thread: Thread) -> ContactsOfOrder:
    """For the case page."""
    return ContactsOfOrder(thread, house.dice(16).hex(), house.dice(16).hex(), "")


def _key(fields: dict[str, str]) -> str:
    key = fields.get("key", "")
    if not _KEY.fullmatch(key):
        raise refuse("bad_request", detail="reload the page and send the form again")
    return key


@router.post("/o/{number}/ask")
def ask(
    request: Request, number: NumberInPath, house: TheHouse, rates: Rates, reader: CustomerAlone, fields: Form
) -> Response:
    wants = fields.get("wants", Wants.ANSWER)
    if wants not in OWN_WANTS:
        raise refuse("bad_request", detail="choose what you want from the list")
    asked = Asked(_key(fields), Wants(wants), Words(fields.get("text", "")[:TEXT_MAX]))
    return _asked(request, number, house, rates, reader, asked)


@router.post("/o/{number}/call")
def call(
    request: Request, number: NumberInPath, house: TheHouse, rates: Rates, reader: CustomerAlone, fields: Form
) -> Response:
    words = Words(
        fields.get("text", "")[:TEXT_MAX], fields.get("phone", "")[:PHONE_MAX], fields.get("when", "")[:WHEN_MAX]
    )
    return _asked(request, number, house, rates, reader, Asked(_key(fields), Wants.CALL_BACK, words, call=True))


def _asked(request: Request, number: str, house: House, rates: Rates, reader: OrderReader, asked: Asked) -> Response:
    rates.take("contact", number)
    with house.work() as (tx, now):
        contacts.ask(tx, house, number, asked, reader.who, now)
    return go(f"/o/{quote(number)}{link_of(request)}#contact", "We have it. A person answers; the clock runs.")


@router.post("/s/order/{number}/contact")
def log(number: NumberInPath, house: TheHouse, who: Staff, fields: Form) -> Response:
    """The ten-second call log: one line, one button."""
    pressed = fields.get("call", "")
    if pressed not in dict(CALLS):
        raise refuse("contact_outcome", outcomes=", ".join(dict(CALLS)))
    direction, _, outcome = pressed.partition("_")
    wants = Wants.SUPERVISOR if fields.get("supervisor") == "yes" else Wants.ANSWER
    logged = Logged(_key(fields), direction == "in", "call", Outcome(outcome), wants, fields.get("text", "")[:TEXT_MAX])
    with house.work() as (tx, now):
        contacts.log(tx, house, number, logged, who, who.email, now)
    return go(f"/s/order/{quote(number)}#contacts", "Logged.")


@router.get("/s/waiting")
def waiting(request: Request, house: TheHouse, who: Staff) -> Response:
    with house.work() as (tx, now):
        viewing.note(tx, who, "waiting", now)
        listed = threads.waiting(tx, house.policy, now)
        dead = [way for way in channel_health.ways_in(tx).channels if way.works is False]
    return page(request, "waiting.html", waiting=listed, dead=dead)


@router.get("/s/mail")
def letters(request: Request, house: TheHouse, who: Staff) -> Response:
    with house.work() as (tx, now):
        viewing.note(tx, who, "mail-in", now)
        waits = mail_in.waiting(tx, house)
    return page(request, "mail.html", letters=waits)


@router.post("/s/mail/{no}/settle")
def settle(no: MailInPath, house: TheHouse, who: Staff, fields: Form) -> Response:
    number = fields.get("order", "")[:64]
    with house.work() as (tx, now):
        mail_in.settle(tx, house, no, number, who, who.email, now)
    return go("/s/mail", f"Put to order {number}: its customer waits since the letter came.")


@router.post("/s/mail/{no}/drop")
def drop(no: MailInPath, house: TheHouse, who: Staff, fields: Form) -> Response:
    with house.work() as (tx, now):
        mail_in.drop(tx, no, who, who.email, now)
    return go("/s/mail", "Dropped; what it said is forgotten.")


@router.get("/s/ways-in")
def ways_in(request: Request, house: TheHouse, _: Staff) -> Response:
    with house.work() as (tx, _now):
        ways = channel_health.ways_in(tx)
    return page(request, "ways_in.html", ways=ways)


@router.post("/s/ways-in/{channel}")
def report(channel: ChannelInPath, house: TheHouse, who: Staff, fields: Form) -> Response:
    works = fields.get("works") == "yes"
    with house.work() as (tx, now):
        channel_health.report(tx, who.email, channel, works, fields.get("why", "")[:200], now, who)
    return go("/s/ways-in", "Reported.")


@router.post("/s/public-texts")
def publish(house: TheHouse, who: Staff, fields: Form) -> Response:
    place, text, hours = fields.get("place", "")[:64], fields.get("text", "")[:TEXT_MAX], fields.get("hours", "")
    if not place or not text or (hours and not re.fullmatch("[1-9][0-9]{0,3}", hours)):
        raise refuse("bad_request", detail="say where it stands, what it says, and hours as a number or not at all")
    with house.work() as (tx, now):
        channel_health.publish(tx, who.email, place, text, int(hours) if hours else None, now, who)
    return go("/s/ways-in", "Written down.")
