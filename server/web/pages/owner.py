"""The owner's pages: a tag with its history, lost and found, handing over, claiming."""

from __future__ import annotations

from datetime import UTC, date, datetime, time, timedelta
from zoneinfo import ZoneInfo

from fastapi import APIRouter, Request
from fastapi.responses import Response

from server.refusal import Refusal
from server.rules.payload_json import FIRST_YEAR, LAST_YEAR
from server.service import claims, lost, owning, private_words, whereabouts
from server.service.caller import Caller
from server.service.house import House
from server.service.receipts import Activated
from server.service.refusals import refuse
from server.web.api.models import ClaimInPath, Serial, TransferInPath
from server.web.auth import Owner
from server.web.deps import Rates, TheHouse
from server.web.pages.render import Form, go, page

router = APIRouter(include_in_schema=False)
# The last step of a claim is one of these while a carrier is at work.
UNDER_WAY = ("code_accepted", "heard", "clearing", "asked")


@router.get("/t/{serial}")
def tag(request: Request, serial: Serial, house: TheHouse, who: Owner, day: str = "") -> Response:
    """Where it is, and one day of where it was (today, unless another day is asked for)."""
    zone = ZoneInfo(who.zone)
    with house.work() as (tx, now):
        today = now.astimezone(zone).date()
        chosen = _day(day) or today
        from_at = datetime.combine(chosen, time(), zone).astimezone(UTC)
        to_at = datetime.combine(chosen + timedelta(days=1), time(), zone).astimezone(UTC)
        answer = whereabouts.tag(tx, who, serial, house.policy, now)
        history = None
        if not answer.private:  # of a private tag there is none here
            history = whereabouts.history(tx, who, serial, from_at, to_at, house.policy, now)
    receipt = _receipt(house, who, serial)
    # A private tag's places are opened by its page, with keys that the server does not have.
    template = "tag_private.html" if answer.private else "tag.html"
    return page(
        request, template, tag=answer, history=history, receipt=receipt, day=chosen, today=today,
        private_words=private_words,
    )  # fmt: skip


def _day(text: str) -> date | None:
    if not text:
        return None
    try:
        day = date.fromisoformat(text)
    except ValueError:
        raise refuse("period_invalid", detail="a day is written 2026-11-22") from None
    if not FIRST_YEAR <= day.year < LAST_YEAR:
        raise refuse("period_invalid", detail=f"a day is from {FIRST_YEAR} to {LAST_YEAR}")
    return day


def _receipt(house: House, who: Caller, serial: int) -> Activated | None:
    """None if it was handed over: then another's receipt stands in the ledger."""
    try:
        with house.work() as (tx, _):
            return whereabouts.receipt(tx, who, serial)
    except Refusal as refusal:
        if refusal.code != "no_receipt":
            raise
        return None


@router.post("/t/{serial}/name")
def rename(serial: Serial, house: TheHouse, who: Owner, fields: Form) -> Response:
    with house.work() as (tx, _):
        owning.rename(tx, who, serial, fields.get("name", "")[:80] or f"Tag {serial}")
    return go(f"/t/{serial}", "Renamed.")


@router.post("/t/{serial}/lost")
def mark_lost(serial: Serial, house: TheHouse, who: Owner, fields: Form) -> Response:
    with house.work() as (tx, now):
        lost.mark(tx, who, serial, fields.get("message", "")[:2000], fields.get("contact", "")[:200], now)
    return go(f"/t/{serial}", "Reported lost. You are told when it is heard.")


@router.post("/t/{serial}/found")
def mark_found(serial: Serial, house: TheHouse, who: Owner, fields: Form) -> Response:
    with house.work() as (tx, now):
        lost.unmark(tx, who, serial, now)
    return go(f"/t/{serial}", "Good that it is back.")


@router.post("/t/{serial}/release")
def release(serial: Serial, house: TheHouse, who: Owner, fields: Form) -> Response:
    if fields.get("sure") != "yes":
        raise refuse("bad_request", detail="tick the box to give the tag up for good")
    with house.work() as (tx, now):
        owning.release(tx, who, serial, now)
    return go("/", f"Tag {serial} is released.")


@router.post("/t/{serial}/transfer")
def transfer(serial: Serial, house: TheHouse, rates: Rates, who: Owner, fields: Form) -> Response:
    rates.take("transfer", who.email)
    to = fields.get("to_email", "").lower()
    with house.work() as (tx, now):
        owning.offer(tx, who, serial, to, house.dice, house.settings.base_url, now)
    return go(f"/t/{serial}", f"{to} has seven days to accept.")


@router.get("/transfers/{transfer_id}")
def offered(request: Request, transfer_id: TransferInPath, house: TheHouse, who: Owner) -> Response:
    with house.work() as (tx, now):
        offers = {each.transfer_id: each for each in owning.offers_to(tx, who, now)}
    if transfer_id not in offers:
        raise refuse("transfer_unknown", reference=transfer_id)
    return page(request, "transfer.html", offer=offers[transfer_id])


@router.post("/transfers/{transfer_id}")
def accept(transfer_id: TransferInPath, house: TheHouse, who: Owner, fields: Form) -> Response:
    with house.work() as (tx, now):
        serial = owning.accept(tx, who, transfer_id, now)
    return go(f"/t/{serial}", "It is yours now.")


# --- Claiming ----------------------------------------------------------------------------------------------


@router.get("/c/")
def ask_code(request: Request, _: Owner) -> Response:
    return page(request, "claim.html", private_words=private_words)


@router.post("/c/")
def start(house: TheHouse, rates: Rates, who: Owner, fields: Form) -> Response:
    if fields.get("kind") == "private":
        raise refuse("bad_request", detail="a private claim is made by the page itself, with JavaScript")
    rates.take("claim", who.email)
    with house.work() as (tx, now):
        claim = claims.start(tx, house.claims, house.dice, who, fields.get("code", ""), now)
    return go(f"/c/{claim.claim}")


@router.get("/c/{claim_id}")
def claiming(request: Request, claim_id: ClaimInPath, house: TheHouse, who: Owner, gateway: str = "") -> Response:
    """Where the claim stands; the page looks again by itself while a receiver is at work."""
    with house.work() as (tx, now):
        view = claims.view(tx, house.claims, claims.mine(tx, who.account_no, claim_id), now)
    under_way = bool(gateway) and (not view.steps or view.steps[-1].step in UNDER_WAY)
    return page(request, "claiming.html", claim=view, under_way=under_way, gateway=gateway[:32])


@router.post("/c/{claim_id}/carry")
def carry(claim_id: ClaimInPath, house: TheHouse, rates: Rates, who: Owner, fields: Form) -> Response:
    rates.take("carry", who.email)
    with house.work() as (tx, now):
        claim = claims.mine(tx, who.account_no, claim_id)
        house.claims.key(claim.claim, now)
        claims.must_be_free(tx, claim)
    if house.carrier is None:
        raise refuse("gateway_unreachable", reference=claim_id)
    gateway = house.carrier.carry(claim.claim, who.account_no, fields.get("gateway") or None)
    return go(f"/c/{claim_id}?gateway={gateway}")
