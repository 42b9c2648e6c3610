"""Pages for people without an account: their order by number and e-mail address, and a tag that somebody found."""

from __future__ import annotations

import re
from typing import Final
from urllib.parse import quote

from fastapi import APIRouter, Request
from fastapi.responses import Response

from server.rules.authority import Role
from server.rules.service_record import COUNT_MIN
from server.service import answers, lost, orders, private_words, remedy_desk, service_record, threads, viewing
from server.service.refusals import refuse
from server.service.threads import Reading
from server.store import orders as order_store
from server.web.api.found import FoundCode
from server.web.api.models import NumberInPath
from server.web.auth import Anybody, Customer
from server.web.deps import Address, Rates, TheHouse
from server.web.pages.contacts import of_customer
from server.web.pages.render import Form, go, page
from server.web.pages.timeline import fold

router = APIRouter(include_in_schema=False)
# What an address can carry at all; whether a tag has this code is asked of the database.
_FOUND_CODE: Final = re.compile("[A-Z0-9]{4,32}")


@router.get("/o")
def ask_order(request: Request, _: Anybody) -> Response:
    return page(request, "order_lookup.html")


@router.post("/o")
def open_order(house: TheHouse, rates: Rates, address: Address, _: Anybody, fields: Form) -> Response:
    """A read-only link for whoever knows both, fit to be forwarded."""
    rates.take("order_view", address)
    typed = fields.get("number", "")[:64]
    token = orders.new_link_token(house.dice)
    with house.work() as (tx, now):
        number, _until = orders.open_link(tx, typed, fields.get("email", ""), token, now)
    return go(f"/o/{quote(number)}?link={token}")


@router.get("/o/{number}")
def order(request: Request, number: NumberInPath, house: TheHouse, reader: Customer) -> Response:
    """The order as its customer reads it, by a link, by the account of its address, or as staff."""
    with house.work() as (tx, now):
        if reader.who is not None and reader.who.role is not Role.OWNER:
            viewing.note(tx, reader.who, f"order:{number}", now)
        looked = answers.weighing(tx, number, house.policy, now)
        answer = answers.for_customer(tx, looked, house.policy)
        own = reader.who is not None and reader.who.role is Role.OWNER
        thread = threads.thread(tx, house, looked, Reading.ACCOUNT if own else Reading.LINK)
        stored = order_store.order(tx, number)
        remedies = remedy_desk.for_customer(tx, looked, house.policy)
    assert stored is not None, "answered a moment ago"
    return page(
        request, "order.html", order=answer, items=fold(answer.timeline), zone=stored.zone,
        contacts=of_customer(request, house, thread), speaks=own or reader.who is None,
        remedies=remedies,
    )  # fmt: skip


@router.get("/service")
def service(request: Request, house: TheHouse, _: Anybody) -> Response:
    """Our service in figures."""
    with house.work() as (tx, now):
        record = service_record.read(tx, now)
    return page(request, "service.html", record=record, least=COUNT_MIN)


@router.get("/shared")
def shared(request: Request, _: Anybody) -> Response:
    """Days of a private tag that its owner shared: the fragment of the link, which we never see, opens them."""
    return page(request, "shared.html", private_words=private_words)


@router.get("/f/")
def found_by_form(_: Anybody, code: str = "") -> Response:
    """The form of the front page."""
    wanted = lost.plain_code(code)
    if not wanted:
        return go("/")
    if not _FOUND_CODE.fullmatch(wanted):
        raise refuse("found_code_unknown")
    return go(f"/f/{wanted}")


@router.get("/f/{code}")
def found(request: Request, code: FoundCode, house: TheHouse, rates: Rates, address: Address, _: Anybody) -> Response:
    rates.take("found", address)
    with house.work() as (tx, _now):
        seen = lost.found_page(tx, code)
    return page(request, "found.html", found=seen)


@router.post("/f/{code}")
def write_to_owner(
    code: FoundCode, house: TheHouse, rates: Rates, address: Address, _: Anybody, fields: Form
) -> Response:  # fmt: skip
    rates.take("found_message", address)
    message, contact = fields.get("message", "")[:2000], fields.get("contact", "")[:200]
    with house.work() as (tx, now):
        lost.relay(tx, code, message, contact, house.settings.base_url, now)
    return go(f"/f/{code}", "Sent. Thank you.")
