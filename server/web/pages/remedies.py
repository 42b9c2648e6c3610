"""Pages of remedies: what waits for people, asking and granting by plain forms, runs over many orders."""

from __future__ import annotations

from decimal import Decimal, InvalidOperation
from urllib.parse import quote

from fastapi import APIRouter, Request
from fastapi.responses import Response

from server.rules.authority import Action
from server.service import remedies, remedy_desk, remedy_runs, viewing
from server.service.ports import house_ports_of
from server.service.refusals import refuse
from server.service.remedies import Ask
from server.service.remedy_runs import RunAsk
from server.store.remedies import StoredRemedy
from server.web.api.models import NumberInPath
from server.web.api.remedies import Paying, RemedyNo
from server.web.api.remedy_runs import RunNo
from server.web.auth import CustomerAlone, Granting, Staff
from server.web.deps import Address, Rates, TheHouse
from server.web.pages.render import Form, go, link_of, page

router = APIRouter(include_in_schema=False)


@router.get("/s/remedies")
def desk(request: Request, house: TheHouse, who: Staff) -> Response:
    """What waits for people."""
    with house.work() as (tx, now):
        waiting = remedy_desk.desk(tx)
        viewing.note(tx, who, "remedies", now)
    return page(request, "remedies.html", desk=waiting, pays=who.role in remedy_desk.PAYING, key=house.dice(8).hex())


@router.post("/s/order/{number}/remedies")
def ask(number: NumberInPath, house: TheHouse, who: Granting, fields: Form) -> Response:
    """Ask for a remedy at the order's page, and grant it if the role may."""
    slots = _slots(fields.get("slots", ""))
    slow = fields.get("although_slow") == "yes"
    wanted = Ask(_action(fields), fields.get("reason", "")[:500], slots, _amount(fields), "", slow)
    with house.work() as (tx, now):
        ports = house_ports_of(house.engine, house.settings)
        done = remedies.take(tx, who, number, wanted, ports, house.policy, now)
    return go(f"/s/order/{quote(number)}", _told(done))


@router.post("/s/remedies/{no}/grant")
def grant(no: RemedyNo, house: TheHouse, who: Granting, fields: Form) -> Response:
    with house.work() as (tx, now):
        done = remedies.grant(tx, who, no, house.policy, now)
    return go(f"/s/order/{quote(done.order_number)}", _told(done))


@router.post("/s/remedies/{no}/withdraw")
def withdraw(no: RemedyNo, house: TheHouse, who: Granting, fields: Form) -> Response:
    with house.work() as (tx, now):
        done = remedies.withdraw(tx, who, no, fields.get("reason", "")[:500], now)
    return go(f"/s/order/{quote(done.order_number)}", _told(done))


@router.post("/s/remedies/{no}/retry")
def retry(no: RemedyNo, house: TheHouse, who: Granting, fields: Form) -> Response:
    with house.work() as (tx, now):
        done = remedies.retry(tx, who, no, now)
    return go(f"/s/order/{quote(done.order_number)}", _told(done))


@router.post("/s/remedies/paid")
def paid(house: TheHouse, who: Paying, fields: Form) -> Response:
    with house.work() as (tx, now):
        entry = remedy_desk.mark_paid(tx, who, fields.get("key", "")[:200], now)
    return go("/s/remedies", f"Paid: order {entry.order_number}. Its customer gets a letter now.")


# --- Runs ------------------------------------------------------------------------------------------------------


@router.post("/s/remedies/runs")
def preview(house: TheHouse, rates: Rates, who: Granting, fields: Form) -> Response:
    """Make a preview; nothing is done by it."""
    rates.take("run_preview", f"account {who.account_no}")
    cohort = fields.get("cohort", "")
    cause, text = fields.get("cause", "")[:500], fields.get("customer_text", "")[:2000]
    if not cause or not text:
        raise refuse("bad_request", detail="say why these orders, and what their customers read")
    named = tuple(fields.get("orders", "")[:100_000].replace(",", " ").split())
    wanted = RunAsk(
        key=fields.get("key", "")[:128] or house.dice(8).hex(),
        action=_action(fields),
        cause=cause,
        customer_text=text,
        orders=named,
        cohort=int(cohort) if cohort.isascii() and cohort.isdecimal() and len(cohort) < 10 else None,
    )
    with house.work() as (tx, now):
        made = remedy_runs.preview(tx, who, wanted, house.policy, now)
    return go(f"/s/remedies/runs/{made.run.no}", "This is a preview: nothing was done.")


@router.get("/s/remedies/runs/{no}")
def run(request: Request, no: RunNo, house: TheHouse, who: Staff) -> Response:
    """A run: who gets how much, who does not and why, how far it is."""
    with house.work() as (tx, now):
        found = remedy_runs.answer(tx, who.role, no, house.policy)
        viewing.note(tx, who, f"run:{no}", now)
    return page(request, "remedy_run.html", it=found)


@router.post("/s/remedies/runs/{no}/approve")
def approve(no: RunNo, house: TheHouse, who: Granting, fields: Form) -> Response:
    with house.work() as (tx, now):
        done = remedy_runs.approve(tx, who, no, house.policy, now)
    told = "Looked at once. Look again after the delay." if done.state == "previewed" else "Approved."
    return go(f"/s/remedies/runs/{no}", told)


@router.post("/s/remedies/runs/{no}/withdraw")
def withdraw_run(no: RunNo, house: TheHouse, who: Granting, fields: Form) -> Response:
    with house.work() as (tx, now):
        remedy_runs.withdraw(tx, who, no, house.policy, now)
    return go(f"/s/remedies/runs/{no}", "Taken back: nothing was done.")


# --- The customer ----------------------------------------------------------------------------------------------


@router.post("/o/{number}/refund")
def ask_refund(
    request: Request,
    number: NumberInPath,
    house: TheHouse,
    rates: Rates,
    address: Address,
    reader: CustomerAlone,
    _: Form,
) -> Response:
    """One click: the customer takes the refund that is owed."""
    rates.take("refund_ask", address)
    with house.work() as (tx, now):
        remedy_desk.ask_refund(tx, number, reader.who, house.policy, now)
    return go(f"/o/{quote(number)}{link_of(request)}", "Noted: you asked for your money back.")


def _action(fields: dict[str, str]) -> Action:
    try:
        return Action(fields.get("action", ""))
    except ValueError:
        raise refuse("bad_request", detail="choose a remedy") from None


def _slots(text: str) -> tuple[int, ...]:
    parts = [part for part in text[:1000].split(",") if part]
    if not all(part.isascii() and part.isdecimal() and len(part) < 6 for part in parts):
        raise refuse("bad_request", detail="units are numbers")
    return tuple(int(part) for part in parts)


def _amount(fields: dict[str, str]) -> int | None:
    text = fields.get("amount", "")[:12].replace(",", ".")
    if not text:
        return None
    try:
        minor = Decimal(text) * 100
        whole = int(minor)
    except (InvalidOperation, ValueError, OverflowError):
        raise refuse("bad_request", detail="an amount is written 16.00") from None
    if minor != whole or not 0 < whole <= 100_000_000:
        raise refuse("bad_request", detail="an amount is written 16.00")
    return whole


def _told(remedy: StoredRemedy) -> str:
    """What happens next, in a sentence."""
    words = {
        "proposed": "Asked for; it waits for somebody who may grant it, or for the second look.",
        "granted": "Granted. Until it is tried it can be taken back here.",
        "withdrawn": "Taken back; nothing was done.",
    }
    return words.get(remedy.state, f"It is {remedy.state}.")
