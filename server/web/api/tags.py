"""The owner's tags: where they are and were, what they are called, releasing, handing over, losing and finding."""

from __future__ import annotations

from typing import Annotated

from fastapi import APIRouter
from pydantic import Field

from server.service import lost, owning, whereabouts
from server.service.owning import Offer
from server.service.receipts import Activated
from server.service.whereabouts import LostState, TagAnswer, TagHistory
from server.web.api.models import Body, Done, Email, FromAt, Line, Serial, Text, ToAt, TransferInPath, example, refusals
from server.web.auth import Owner
from server.web.deps import Rates, TheHouse

router = APIRouter(tags=["tags"])
_ALWAYS = ("sign_in_needed", "not_yours", "tag_unknown")


class Named(Body):
    """The owner's own word for a tag."""

    model_config = example(name="Bicycle")

    name: Annotated[str, Field(min_length=1, max_length=80)]


class Lost(Body):
    """What a finder reads. Both are shown to anybody who has the tag in hand."""

    model_config = example(message="My red bicycle. Thank you!", contact="ann@example.com")

    message: Text = ""
    contact: Line = ""


class HandOver(Body):
    """Who is to have the tag."""

    model_config = example(to_email="bob@example.com")

    to_email: Email


@router.get("/tags", responses=refusals("sign_in_needed", "not_yours"))
def tags(house: TheHouse, who: Owner) -> tuple[TagAnswer, ...]:
    """Every tag of the caller: where it is and since when, or why that is not known."""
    with house.work() as (tx, now):
        return whereabouts.tags(tx, who, house.policy, now)


@router.get("/tags/{serial}", responses=refusals(*_ALWAYS))
def tag(serial: Serial, house: TheHouse, who: Owner) -> TagAnswer:
    """One tag. Two clocks: when it was heard, and when that reached us."""
    with house.work() as (tx, now):
        return whereabouts.tag(tx, who, serial, house.policy, now)


@router.get("/tags/{serial}/history", responses=refusals(*_ALWAYS, "private", "period_invalid"))
def history(serial: Serial, from_at: FromAt, to_at: ToAt, house: TheHouse, who: Owner) -> TagHistory:
    """Points and stays of a period of at most 31 days; impossible jumps stand apart, with the reason."""
    with house.work() as (tx, now):
        return whereabouts.history(tx, who, serial, from_at, to_at, house.policy, now)


@router.get("/tags/{serial}/receipt", responses=refusals(*_ALWAYS, "no_receipt"))
def receipt(serial: Serial, house: TheHouse, who: Owner) -> Activated:
    """The activation receipt: check it offline with `python -m wire verify-receipt`."""
    with house.work() as (tx, _):
        return whereabouts.receipt(tx, who, serial)


@router.put("/tags/{serial}/name", responses=refusals(*_ALWAYS))
def rename(serial: Serial, body: Named, house: TheHouse, who: Owner) -> Done:
    """Call a tag by one's own word."""
    with house.work() as (tx, _):
        owning.rename(tx, who, serial, body.name)
    return Done()


@router.post("/tags/{serial}/release", responses=refusals(*_ALWAYS))
def release(serial: Serial, house: TheHouse, who: Owner) -> Done:
    """Give a tag up for good. Whoever claims it next does not see its past."""
    with house.work() as (tx, now):
        owning.release(tx, who, serial, now)
    return Done()


@router.post(
    "/tags/{serial}/transfer",
    status_code=201,
    responses=refusals(*_ALWAYS, "account_unknown", "transfer_to_self", "too_many"),
)
def transfer(serial: Serial, body: HandOver, house: TheHouse, rates: Rates, who: Owner) -> Offer:
    """Offer a tag to another account, which has seven days to accept."""
    rates.take("transfer", who.email)
    with house.work() as (tx, now):
        return owning.offer(tx, who, serial, body.to_email, house.dice, house.settings.base_url, now)


@router.get("/transfers", responses=refusals("sign_in_needed", "not_yours"))
def transfers(house: TheHouse, who: Owner) -> tuple[Offer, ...]:
    """Tags that others want to hand over to the caller."""
    with house.work() as (tx, now):
        return owning.offers_to(tx, who, now)


@router.post("/transfers/{transfer_id}/accept", responses=refusals("sign_in_needed", "not_yours", "transfer_unknown"))
def accept(
    transfer_id: TransferInPath,
    house: TheHouse,
    who: Owner,
) -> TagAnswer:
    """Take a tag over: from now on only the caller sees where it is."""
    with house.work() as (tx, now):
        serial = owning.accept(tx, who, transfer_id, now)
        return whereabouts.tag(tx, who, serial, house.policy, now)


@router.post("/tags/{serial}/lost", responses=refusals(*_ALWAYS))
def mark_lost(serial: Serial, body: Lost, house: TheHouse, who: Owner) -> LostState:
    """Report a tag lost: its found page shows the message, and the next hearing is told on every channel."""
    with house.work() as (tx, now):
        mark = lost.mark(tx, who, serial, body.message, body.contact, now)
    return LostState(mark.since, mark.message, mark.contact)


@router.post("/tags/{serial}/found", responses=refusals(*_ALWAYS, "not_lost"))
def mark_found(serial: Serial, house: TheHouse, who: Owner) -> Done:
    """The tag is back."""
    with house.work() as (tx, now):
        lost.unmark(tx, who, serial, now)
    return Done()
