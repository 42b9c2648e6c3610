"""Contacts: what customers ask of an order, the call log, who waits, mail-in, and whether people can reach us."""

from __future__ import annotations

from typing import Annotated, Literal

from fastapi import APIRouter, Path, Query
from pydantic import Field

from server.rules.authority import STAFF
from server.rules.payloads import Wants
from server.service import answers, channel_health, contacts, mail_in, threads, viewing
from server.service.channel_health import WaysIn
from server.service.contacts import KEY_MAX, PHONE_MAX, TEXT_MAX, WHEN_MAX, Asked, Logged, Outcome, Words
from server.service.mail_in import Received, WaitingMail
from server.service.orders import Recorded
from server.service.refusals import refuse
from server.service.threads import WAITING_MAX, Reading, Thread, Waiting
from server.web.api.models import Body, Done, Line, NumberInPath, example, refusals
from server.web.auth import Customer, Operator, OrderReader, Staff
from server.web.deps import Rates, Raw, TheHouse

router = APIRouter(tags=["contacts"])
_STAFF = ("sign_in_needed", "not_yours")
_OF_ORDER = ("sign_in_needed", "view_ended", "order_unknown")
MailInPath = Annotated[int, Path(ge=1, le=2**53 - 1, examples=[7])]
ChannelInPath = Annotated[str, Path(max_length=32, pattern="^[a-z]+$", examples=["call"])]


class ContactIn(Body):
    """A contact; `key` is the sender's own name for it, which makes it idempotent.

    A customer gives `text`, `wants`, or `call_me` with `phone` and `when`. Staff give `direction` and `channel`, for a
    call its `outcome`, and one line as `text`.
    """

    model_config = example(
        key="form-7f3a",
        text="Where is it? It should have been here on Friday.",
        wants="answer",
    )

    key: Annotated[str, Field(min_length=1, max_length=KEY_MAX, examples=["7f1c0a"])]
    text: Annotated[str, Field(max_length=TEXT_MAX, examples=["Where is my tag?"])] = ""
    wants: Literal["answer", "supervisor", "not_received", "gift"] = "answer"
    call_me: bool = False
    phone: Annotated[str, Field(max_length=PHONE_MAX, examples=["+1 305 555 0100"])] = ""
    when: Annotated[str, Field(max_length=WHEN_MAX, examples=["in the evening"])] = ""
    direction: Annotated[Literal["in", "out"] | None, Field(description="Staff only.")] = None
    channel: Annotated[Literal["call", "mail", "chat", "post", "public"] | None, Field(description="Staff only.")] = (
        None
    )
    outcome: Annotated[Outcome | None, Field(description="Staff only: of a call.")] = None


class ReportIn(Body):
    """Whether a way to reach us works. `why` for people: `mailbox_full`, or plain words."""

    model_config = example(
        works=False,
        why="mailbox_full",
    )

    works: bool
    why: Annotated[str, Field(max_length=200, examples=["mailbox_full"])] = ""


class TextIn(Body):
    """What stands somewhere for everybody to read. `hours` None: it promises no time, which is R-20."""

    model_config = example(
        place="shop help page",
        text="We answer within a day.",
        hours=24,
    )

    place: Annotated[str, Field(min_length=1, max_length=64, examples=["contact page"])]
    text: Annotated[str, Field(min_length=1, max_length=TEXT_MAX, examples=["A person answers within 24 hours."])]
    hours: Annotated[int | None, Field(ge=1, le=8760, examples=[24])] = None


class SettleIn(Body):
    """The order that a letter is about."""

    model_config = example(
        order="T-1001",
    )

    order: Annotated[Line, Field(min_length=1, examples=["T-1001"])]


@router.post(
    "/orders/{number}/contacts",
    status_code=201,
    responses=refusals(
        *_OF_ORDER, "too_many", "contact_empty", "phone_missing", "contact_outcome", "statement_conflict", "bad_request"
    ),
)
def contact(number: NumberInPath, body: ContactIn, house: TheHouse, rates: Rates, reader: Customer) -> Recorded:
    """Ask a person or for a call (the order's customer), or log a contact (staff). The reply clock starts by itself."""
    if reader.who is not None and reader.who.role in STAFF:
        return _log(number, body, house, reader)
    if body.direction or body.channel or body.outcome:
        raise refuse("bad_request", detail="direction, channel and outcome are for staff")
    rates.take("contact", number)
    words = Words(body.text, body.phone, body.when) if body.call_me else Words(body.text)
    asked = Asked(body.key, Wants(body.wants), words, body.call_me, via="api")
    with house.work() as (tx, now):
        return contacts.ask(tx, house, number, asked, reader.who, now)


def _log(number: str, body: ContactIn, house: TheHouse, reader: OrderReader) -> Recorded:
    assert reader.who is not None, "staff"
    if body.direction is None or body.channel is None or body.call_me:
        raise refuse("bad_request", detail="staff give direction and channel; nobody asks in a customer's place")
    logged = Logged(
        key=body.key,
        inbound=body.direction == "in",
        channel=body.channel,
        outcome=body.outcome,
        wants=Wants(body.wants),
        text=body.text,
        via="api",
    )
    with house.work() as (tx, now):
        return contacts.log(tx, house, number, logged, reader.who, reader.who.email, now)


@router.get("/orders/{number}/contacts", responses=refusals(*_OF_ORDER))
def thread(number: NumberInPath, house: TheHouse, reader: Customer) -> Thread:
    """Everything written and called about an order, with the clock that both sides see; for customers without names."""
    with house.work() as (tx, now):
        looked = answers.weighing(tx, number, house.policy, now)
        if reader.who is None:
            return threads.thread(tx, house, looked, Reading.LINK)
        viewing.note(tx, reader.who, f"order:{number}", now)
        return threads.thread(tx, house, looked, Reading.STAFF if reader.who.role in STAFF else Reading.ACCOUNT)


@router.get("/waiting", responses=refusals(*_STAFF))
def waiting(house: TheHouse, who: Staff, limit: Annotated[int, Query(ge=1, le=WAITING_MAX)] = WAITING_MAX) -> Waiting:
    """Who waits for a person's answer, the longest first, and how many letters wait to be put to an order."""
    with house.work() as (tx, now):
        viewing.note(tx, who, "waiting", now)
        return threads.waiting(tx, house.policy, now, limit)


# --- Ways to reach us ------------------------------------------------------------------------------------------


@router.get("/ways-in", responses=refusals(*_STAFF))
def ways_in(house: TheHouse, _: Staff) -> WaysIn:
    """Whether each way to reach us works, since when, by whose report; and what we say in public about answers."""
    with house.work() as (tx, _now):
        return channel_health.ways_in(tx)


@router.post("/ways-in/{channel}", status_code=201, responses=refusals(*_STAFF, "channel_name"))
def report(channel: ChannelInPath, body: ReportIn, house: TheHouse, who: Staff) -> Done:
    """Report that a way to reach us works or does not: R-24 for everybody who waits meanwhile."""
    with house.work() as (tx, now):
        channel_health.report(tx, who.email, channel, body.works, body.why, now, who)
    return Done()


@router.post("/public-texts", status_code=201, responses=refusals(*_STAFF, "too_many_texts"))
def publish(body: TextIn, house: TheHouse, who: Staff) -> Done:
    """Write down what stands somewhere for everybody to read; the newest of a place is in force."""
    with house.work() as (tx, now):
        channel_health.publish(tx, who.email, body.place, body.text, body.hours, now, who)
    return Done()


# --- Mail-in ---------------------------------------------------------------------------------------------------


_LETTER = {"requestBody": {"required": True, "content": {"application/octet-stream": {"schema": {"type": "string"}}}}}


@router.post("/mail-in", status_code=201, responses=refusals(*_STAFF, "too_large"), openapi_extra=_LETTER)
def receive(house: TheHouse, _: Operator, raw: Raw) -> Received:
    """Take in one letter as it came (RFC 822, at most 1 MiB): it finds its order, or waits for a person."""
    with house.work() as (tx, now):
        return mail_in.receive(tx, house, raw, now)


@router.get("/mail-in", responses=refusals(*_STAFF))
def letters(house: TheHouse, who: Staff) -> tuple[WaitingMail, ...]:
    """Letters that fit no order or several, the oldest first."""
    with house.work() as (tx, now):
        viewing.note(tx, who, "mail-in", now)
        return mail_in.waiting(tx, house)


@router.post(
    "/mail-in/{no}/settle",
    status_code=201,
    responses=refusals(*_STAFF, "mail_unknown", "mail_settled", "order_unknown"),
)
def settle(no: MailInPath, body: SettleIn, house: TheHouse, who: Staff) -> Received:
    """Say which order a letter is about: its customer waits since it came."""
    with house.work() as (tx, now):
        return mail_in.settle(tx, house, no, body.order, who, who.email, now)


@router.post("/mail-in/{no}/drop", status_code=201, responses=refusals(*_STAFF, "mail_unknown", "mail_settled"))
def drop(no: MailInPath, house: TheHouse, who: Staff) -> Received:
    """Say that a letter is about nothing of ours; what it said is forgotten."""
    with house.work() as (tx, now):
        return mail_in.drop(tx, no, who, who.email, now)
