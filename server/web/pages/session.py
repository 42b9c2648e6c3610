"""Pages of who somebody is: the front door, signing in and out, passwords, settings."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Annotated, Final

from fastapi import APIRouter, Path, Request
from fastapi.responses import Response

from server.rules.authority import Role
from server.service import accounts, channels, letters, owning, people, whereabouts
from server.service.caller import Caller
from server.service.channel_address import SERVICES
from server.store import accounts as account_store
from server.web.api.session import set_cookie
from server.web.auth import COOKIE, Anybody, Owner
from server.web.auth import SignedIn as Signed
from server.web.deps import Address, Rates, TheHouse
from server.web.pages.render import Form, go, page

router = APIRouter(include_in_schema=False)
No = Annotated[int, Path(ge=1, le=2**31 - 1)]
HOME: Final = "/"
# Once each, as it is written with https.
SERVICES_SHOWN: Final = tuple(each for scheme, each in SERVICES.items() if f"{scheme}s" not in SERVICES)


@dataclass(frozen=True, slots=True)
class _Secret:
    """Something that is shown once."""

    about: str
    value: str


@router.get(HOME)
def front(request: Request, house: TheHouse, who: Anybody) -> Response:
    """Owners see their tags, staff their search, strangers what this is."""
    if who is None:
        return page(request, "welcome.html")
    if who.role is not Role.OWNER:
        return go("/s")
    with house.work() as (tx, now):
        mine, offers = whereabouts.tags(tx, who, house.policy, now), owning.offers_to(tx, who, now)
    return page(request, "tags.html", tags=mine, offers=offers)


@router.get("/sign-in")
def ask_sign_in(request: Request, _: Anybody, next: str = HOME) -> Response:  # noqa: A002 - the name in the address
    return page(request, "sign_in.html", next=_ours(next))


@router.post("/sign-in")
def sign_in(
    request: Request, house: TheHouse, rates: Rates, address: Address, _: Anybody, fields: Form
) -> Response:  # fmt: skip
    rates.take("sign_in", address)
    made = accounts.sign_in(
        house.engine, house.passwords, house.dice, fields.get("email", ""), fields.get("password", ""), address,
        house.clock(),
    )  # fmt: skip
    answer = go(_ours(fields.get("next", HOME)))
    set_cookie(answer, made, secure=house.settings.base_url.startswith("https:"))
    return answer


@router.post("/sign-out")
def sign_out(request: Request, house: TheHouse, _: Signed, fields: Form) -> Response:
    token = request.cookies.get(COOKIE)
    if token:
        with house.work() as (tx, now):
            accounts.sign_out(tx, token[:256], now)
    answer = go(HOME)
    answer.delete_cookie(COOKIE, path="/")
    return answer


@router.get("/forgot")
def ask_forgot(request: Request, _: Anybody) -> Response:
    return page(request, "forgot.html")


@router.post("/forgot")
def forgot(house: TheHouse, rates: Rates, address: Address, _: Anybody, fields: Form) -> Response:
    """A link to this address; a new owner's account begins the same way, so the answer tells nobody which it was."""
    rates.take("reset", address)
    email = fields.get("email", "").lower()
    with house.work() as (tx, now):
        if account_store.by_email(tx, email) is None:
            people.create(tx, email, "", Role.OWNER, now, actor="public")
        letters.send_reset(tx, house, accounts.ask_reset(tx, house.dice, email, now), now)
    return go("/sign-in", "If this address can get letters, one with a link is on its way.")


@router.get("/reset")
def ask_reset(request: Request, _: Anybody) -> Response:
    return page(request, "reset.html")


@router.post("/reset")
def reset(house: TheHouse, rates: Rates, address: Address, _: Anybody, fields: Form) -> Response:
    rates.take("sign_in", address)
    accounts.reset_password(
        house.engine, house.passwords, fields.get("token", ""), fields.get("password", ""), house.clock()
    )
    return go("/sign-in", "Your password is set. Sign in with it.")


@router.get("/settings")
def settings(request: Request, house: TheHouse, who: Signed) -> Response:
    return _settings(request, house, who)


def _settings(request: Request, house: TheHouse, who: Caller, secret: _Secret | None = None) -> Response:
    with house.work() as (tx, _now):
        tokens = accounts.api_tokens(tx, who)
        ways = channels.mine(tx, house.vault, who) if who.role is Role.OWNER else ()
    return page(request, "settings.html", tokens=tokens, channels=ways, services=SERVICES_SHOWN, secret=secret)


@router.post("/settings/profile")
def set_profile(house: TheHouse, who: Signed, fields: Form) -> Response:
    with house.work() as (tx, _now):
        people.set_profile(tx, who, fields.get("name", "")[:200], fields.get("zone", ""))
    return go("/settings", "Kept.")


@router.post("/settings/password")
def set_password(house: TheHouse, rates: Rates, address: Address, who: Signed, fields: Form) -> Response:
    rates.take("sign_in", address)
    made = accounts.change_password(
        house.engine, house.passwords, house.dice, who, fields.get("old", ""), fields.get("new", ""), house.clock()
    )
    answer = go("/settings", "Your password is changed; every other session has ended.")
    set_cookie(answer, made, secure=house.settings.base_url.startswith("https:"))
    return answer


@router.post("/settings/tokens")
def new_token(request: Request, house: TheHouse, who: Signed, fields: Form) -> Response:
    with house.work() as (tx, now):
        token, about = accounts.new_api_token(tx, house.dice, who, fields.get("name", "")[:200], now)
    return _settings(request, house, who, _Secret(f"Your API token “{about.name}”.", token))


@router.post("/settings/tokens/{no}/revoke")
def revoke_token(no: No, house: TheHouse, who: Signed, fields: Form) -> Response:
    with house.work() as (tx, now):
        accounts.revoke_api_token(tx, who, no, now)
    return go("/settings", "The token works no more.")


@router.post("/settings/channels")
def add_channel(request: Request, house: TheHouse, who: Owner, fields: Form) -> Response:
    kind, where = fields.get("kind", ""), fields.get("address", "")
    with house.work() as (tx, now):
        made = channels.add(
            tx, house.vault, house.dice, who, kind, where, now, private_allowed=house.settings.webhooks_private
        )
    if made.secret is None:
        return go("/settings", "Added.")
    return _settings(
        request, house, who, _Secret("The secret that signs this webhook (Standard Webhooks).", made.secret)
    )


@router.post("/settings/channels/{no}/test")
def test_channel(no: No, house: TheHouse, rates: Rates, who: Owner, fields: Form) -> Response:
    rates.take("channel_test", who.email)
    with house.work() as (tx, now):
        channels.test(tx, who, no, house.settings.base_url, now)
    return go("/settings", "A test is on its way. If it does not come within minutes, remove this one and add it anew.")


@router.post("/settings/channels/{no}/remove")
def remove_channel(no: No, house: TheHouse, who: Owner, fields: Form) -> Response:
    with house.work() as (tx, now):
        channels.remove(tx, who, no, now)
    return go("/settings", "Removed.")


def _ours(to: str) -> str:
    """An address within this site: a link must not lead a freshly signed-in reader elsewhere."""
    return to if to.startswith("/") and not to.startswith(("//", "/\\")) else HOME
