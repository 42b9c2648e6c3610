"""Writing to a customer: preview with what speaks against it beside the text, then send. Works without JavaScript."""

from __future__ import annotations

from typing import Annotated

from fastapi import APIRouter, Query, Request
from fastapi.responses import Response

from server.refusal import Refusal
from server.service import answers, messages, viewing
from server.service.caller import Caller
from server.service.house import House
from server.service.messages import Preview, out_of
from server.service.refusals import refuse
from server.store import orders
from server.web.api.models import NumberInPath
from server.web.auth import Speaker
from server.web.deps import Rates, TheHouse
from server.web.errors import status_of
from server.web.pages import render
from server.web.pages.compose_form import CHOICES, Form
from server.web.pages.render import go, page

router = APIRouter(prefix="/s", include_in_schema=False)
# What the preview explains: the form is shown again with it.
_EXPLAINED = frozenset({"message_stopped", "message_needs_reason", "promise_repeated", "promise_without_due"})


@router.get("/order/{number}/message")
def write(
    request: Request, number: NumberInPath, house: TheHouse, who: Speaker, template: Annotated[str, Query()] = ""
) -> Response:
    """The form by itself, filled from a template if one is named."""
    key = house.dice(8).hex()
    with house.work() as (tx, now):
        viewing.note(tx, who, f"order:{number}", now)
        offered = messages.templates(answers.collect(tx, number, house.policy, now), house.policy, now)
        order = orders.order(tx, number)
        assert order is not None, "its templates were made a moment ago"
    units = len(order.slots)
    chosen = next((each for each in offered if each.template == template), None)
    form = Form.of_template(key, units, chosen, who.zone) if chosen else Form.empty(key, units)
    return _page(request, number, form, offered)


@router.post("/order/{number}/message")
def look_or_send(
    request: Request, number: NumberInPath, house: TheHouse, rates: Rates, who: Speaker, fields: render.Form
) -> Response:
    """Preview, or with `do=send` send; what stops it or wants a reason is shown beside the text."""
    sends = fields.get("do") == "send"
    rates.take("message" if sends else "preview", who.email)
    with house.work() as (tx, _):
        order = orders.order(tx, number)
    if order is None:
        raise refuse("order_unknown", number=number, reference=number)
    form = Form.typed(fields, len(order.slots))
    refusal = _send(house, who, number, form) if sends else None
    if sends and refusal is None:
        return go(f"/s/order/{number}", "Sent to the customer, and written down.")
    with house.work() as (tx, now):
        viewing.note(tx, who, f"order:{number}", now)
        looked = messages.preview(tx, who, number, form.draft(who.zone), house.policy, now)
        offered = messages.templates(answers.collect(tx, number, house.policy, now), house.policy, now)
    return _page(request, number, form, offered, looked, refusal)


def _send(house: House, who: Caller, number: str, form: Form) -> Refusal | None:
    """None if it went out; else what the preview explains. Other refusals are raised."""
    draft = form.draft(who.zone)
    try:
        with house.work() as (tx, now):
            messages.send(tx, who, number, draft, form.key, form.reason, house.policy, out_of(house), now, via="page")
    except Refusal as refusal:
        if refusal.code not in _EXPLAINED:
            raise
        return refusal
    return None


def _page(
    request: Request,
    number: str,
    form: Form,
    offered: tuple[messages.Offered, ...],
    looked: Preview | None = None,
    refusal: Refusal | None = None,
) -> Response:
    status = status_of(refusal) if refusal else 200
    values = {"number": number, "form": form, "offered": offered, "looked": looked, "refusal": refusal}
    return page(request, "compose.html", status=status, choices=CHOICES, **values)
