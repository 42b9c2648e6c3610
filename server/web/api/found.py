"""For whoever found a tag: what its owner wants them to read, and a way to write back without knowing who that is."""

from __future__ import annotations

from typing import Annotated

from fastapi import APIRouter, Path
from pydantic import Field

from server.service import lost
from server.service.lost import FoundPage
from server.web.api.models import Body, Done, Line, example, refusals
from server.web.auth import Anybody
from server.web.deps import Address, Rates, TheHouse

router = APIRouter(prefix="/found", tags=["found"])
FoundCode = Annotated[str, Path(pattern="^[A-Za-z0-9-]{4,32}$", examples=["7KQ2M9XW4T"])]


class FinderWrites(Body):
    """What the finder wants to say, and how to reach them if they like."""

    model_config = example(message="It hangs on the fence of the school.", contact="+1 555 0117")

    message: Annotated[str, Field(min_length=1, max_length=2000)]
    contact: Line = ""


@router.get("/{code}", responses=refusals("found_code_unknown", "too_many"))
def page(code: FoundCode, house: TheHouse, rates: Rates, address: Address, _: Anybody) -> FoundPage:
    """The owner's message, if the tag is reported lost; otherwise nothing about it."""
    rates.take("found", address)
    with house.work() as (tx, _now):
        return lost.found_page(tx, code)


@router.post("/{code}/message", status_code=202, responses=refusals("found_code_unknown", "not_lost", "too_many"))
def write(code: FoundCode, body: FinderWrites, house: TheHouse, rates: Rates, address: Address, _: Anybody) -> Done:
    """Pass a message on to the owner."""
    rates.take("found_message", address)
    with house.work() as (tx, now):
        lost.relay(tx, code, body.message, body.contact, house.settings.base_url, now)
    return Done()
