"""For a shop's checkout: by when each unit leaves us, before anybody pays."""

from __future__ import annotations

from itertools import count
from typing import Annotated

from fastapi import APIRouter
from pydantic import Field

from server.rules.facts import Slot
from server.service import checkout
from server.service.checkout import ShipByAnswer
from server.web.api.models import Body, Line, Moment, example, refusals
from server.web.auth import Staff
from server.web.deps import TheHouse

router = APIRouter(tags=["orders"])


class OptionIn(Body):
    """One physical unit with the business days that its options add, engraving for example."""

    lead_time_bd: Annotated[int, Field(ge=0, le=365, examples=[10])] = 0


class CartLineIn(Body):
    """One line of the cart, with a unit for each physical thing."""

    title: Annotated[Line, Field(examples=["Pet tag, engraved"])] = ""
    slots: Annotated[list[OptionIn], Field(min_length=1, max_length=100)]


class CartIn(Body):
    """A cart as it would be ordered: which of our sites fulfils it, under which law or custom it is sold, and when."""

    model_config = example(
        site="main",
        profile="us_ftc",
        lines=[{"slots": [{"lead_time_bd": 10}, {}]}],
    )

    site: Annotated[str, Field(min_length=1, max_length=32, examples=["wh-east"])]
    profile: Annotated[str, Field(max_length=32, examples=["us_ftc"])] = "standard"
    placed_at: Annotated[Moment | None, Field(description="Without one: now.")] = None
    lines: Annotated[list[CartLineIn], Field(min_length=1, max_length=50)]


@router.post("/ship-by", responses=refusals("sign_in_needed", "not_yours", "site_unknown", "profile_unknown"))
def ship_by(body: CartIn, house: TheHouse, _: Staff) -> ShipByAnswer:
    """By when each unit leaves us, with the sentence to show the customer before they pay. Nothing is recorded."""
    numbers = count(1)
    slots = [
        Slot(next(numbers), line, each.title, lead_bd=unit.lead_time_bd, lead_shown=True)
        for line, each in enumerate(body.lines, 1)
        for unit in each.slots
    ]
    with house.work() as (tx, now):
        return checkout.ship_by(tx, body.site, slots, body.profile, body.placed_at or now, house.policy)
