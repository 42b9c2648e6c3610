"""Messages to an order's customer: looked at first, sent once. Around an order: its raw rows, and who else looks."""

from __future__ import annotations

from datetime import timedelta
from typing import Annotated, Literal, Self

from fastapi import APIRouter, Query
from pydantic import Field, model_validator

from server.rules import drafts
from server.rules.authority import Action
from server.rules.drafts import Draft, Promises, Says
from server.rules.facts import Source
from server.rules.payloads import STEPS_SAID, About, Offer, OfferKind, PromiseKind
from server.service import answers, desk, messages, viewing
from server.service.desk import Looking, RawStatement
from server.service.messages import Offered, Preview, Sent, out_of
from server.web.api.models import Body, Line, Moment, NumberInPath, example, refusals
from server.web.auth import Speaker, Staff
from server.web.deps import Rates, TheHouse

router = APIRouter(prefix="/orders/{number}", tags=["messages"])
_STAFF = ("sign_in_needed", "not_yours", "order_unknown")


class SaysIn(Body):
    """Something that the message asserts: where the parcel is, its service, or when it arrives."""

    about: About = Field(examples=["step"])
    value: Annotated[Line, Field(description=f"Of a step one of {', '.join(STEPS_SAID)}.", examples=["with_us"])] = ""
    by_when: Annotated[Moment | None, Field(description="Of an arrival.")] = None
    at_least_ago_s: Annotated[int | None, Field(ge=0, le=315_360_000, description="“Weeks ago”: 604800.")] = None

    @model_validator(mode="after")
    def _whole(self) -> Self:
        if self.about is About.STEP and self.value not in STEPS_SAID:
            raise ValueError(f"value: of a step one of {', '.join(STEPS_SAID)}")
        if self.about is About.SERVICE and not self.value:
            raise ValueError("value: which service")
        if self.about is About.ARRIVAL and self.by_when is None:
            raise ValueError("by_when: of an arrival")
        return self


class PromiseIn(Body):
    """Something that the message promises. Without `due` it is refused."""

    what: PromiseKind = Field(examples=["reship"])
    due: Annotated[Moment | None, Field(examples=["2026-11-24T23:00:00Z"])] = None
    number: Annotated[Line, Field(description="Of number_live: the carrier's number.")] = ""
    lapse: Annotated[Literal["", "refund"], Field(description="What falls due by itself if it is broken.")] = ""


class OfferIn(Body):
    """Something that the message offers."""

    what: OfferKind = Field(examples=["repair"])
    text: Line = ""
    amount_minor: Annotated[int, Field(ge=0, le=100_000_000)] = 0
    currency: Annotated[str, Field(max_length=3)] = ""


class MessageIn(Body):
    """A message to an order's customer. Inserts such as {carrier_number} are filled while their fact exists."""

    model_config = example(
        text="{status} You hear from us by {promise_due}.",
        promises=[{"what": "reply", "due": "2026-11-23T17:00:00-05:00"}],
    )

    text: Annotated[str, Field(max_length=drafts.TEXT_MAX, examples=["{status} You have an answer by {promise_due}."])]
    slot: Annotated[int | None, Field(ge=1, le=5000, description="One unit; without it the whole order.")] = None
    says: Annotated[list[SaysIn], Field(max_length=drafts.SAYS_MAX, default_factory=list)]
    promises: Annotated[list[PromiseIn], Field(max_length=drafts.PROMISES_MAX, default_factory=list)]
    offers: Annotated[list[OfferIn], Field(max_length=drafts.OFFERS_MAX, default_factory=list)]
    numbers: Annotated[list[Line], Field(max_length=drafts.NUMBERS_MAX, default_factory=list)]
    remedy: Annotated[Action | None, Field(description="Granted together with these words.")] = None

    def draft(self) -> Draft:
        """The message as the rules read it."""
        return Draft(
            text=self.text,
            slot=self.slot,
            says=tuple(
                Says(
                    each.about,
                    each.value,
                    each.by_when,
                    None if each.at_least_ago_s is None else timedelta(seconds=each.at_least_ago_s),
                )
                for each in self.says
            ),
            promises=tuple(Promises(each.what, each.due, each.number, each.lapse) for each in self.promises),
            offers=tuple(Offer(each.what, each.text, each.amount_minor, each.currency) for each in self.offers),
            numbers=tuple(self.numbers),
            remedy=self.remedy,
        )


class SendIn(MessageIn):
    """The message, the sender's own name for it (`key`: sending it twice is once), and an answer to warnings."""

    model_config = example(
        key="m-1",
        text="{status} You hear from us by {promise_due}.",
        promises=[{"what": "reply", "due": "2026-11-23T17:00:00-05:00"}],
    )

    key: Annotated[str, Field(min_length=1, max_length=messages.KEY_MAX, pattern="^[A-Za-z0-9._-]+$", examples=["m-1"])]
    reason: Annotated[str, Field(max_length=messages.REASON_MAX)] = ""


@router.post("/messages/preview", responses=refusals(*_STAFF, "slot_unknown", "too_many"))
def preview(number: NumberInPath, body: MessageIn, house: TheHouse, rates: Rates, who: Speaker) -> Preview:
    """The letter as it would go out, and everything that speaks against it, before anybody reads it."""
    rates.take("preview", who.email)
    with house.work() as (tx, now):
        viewing.note(tx, who, f"order:{number}", now)
        return messages.preview(tx, who, number, body.draft(), house.policy, now)


@router.post(
    "/messages",
    status_code=201,
    responses=refusals(
        *_STAFF,
        "slot_unknown",
        "promise_repeated",
        "promise_without_due",
        "message_stopped",
        "message_needs_reason",
        "statement_conflict",
        "remedy_not_yours",
        "remedy_not_eligible",
        "remedy_amount",
        "replacement_no_faster",
        "port_failed",
        "too_many",
    ),
)
def send(number: NumberInPath, body: SendIn, house: TheHouse, rates: Rates, who: Speaker) -> Sent:
    """Write to the order's customer, once; what the message states and promises is recorded with it."""
    rates.take("message", who.email)
    with house.work() as (tx, now):
        return messages.send(tx, who, number, body.draft(), body.key, body.reason, house.policy, out_of(house), now)


@router.get("/promise-templates", responses=refusals(*_STAFF))
def templates(number: NumberInPath, house: TheHouse, who: Staff) -> tuple[Offered, ...]:
    """Promises ready to be made about this order, with their due moments and what will close them."""
    with house.work() as (tx, now):
        viewing.note(tx, who, f"order:{number}", now)
        return messages.templates(answers.collect(tx, number, house.policy, now), house.policy, now)


@router.get("/statements", responses=refusals(*_STAFF))
def raw(
    number: NumberInPath,
    house: TheHouse,
    who: Staff,
    source: Annotated[Source | None, Query(description="Only what this source said.")] = None,
) -> tuple[RawStatement, ...]:
    """Everything that was said about the order as it came in, with its payload."""
    with house.work() as (tx, now):
        viewing.note(tx, who, f"order:{number}", now)
        return desk.raw(tx, number, source)


@router.get("/looking", responses=refusals("sign_in_needed", "not_yours"))
def looking(number: NumberInPath, house: TheHouse, who: Staff) -> tuple[Looking, ...]:
    """Who else opened the order in the last ten minutes."""
    with house.work() as (tx, now):
        return desk.looking(tx, who, number, now)
