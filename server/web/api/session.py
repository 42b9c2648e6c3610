"""Signing in and out, one's own data, API tokens, password reset, and how a customer gets an account."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime
from typing import Annotated

from fastapi import APIRouter, Path, Request, Response

from server.rules.authority import Role
from server.service import accounts, letters, people
from server.service.accounts import SignedIn
from server.store import accounts as account_store
from server.store.accounts import ApiToken
from server.web.api.models import Body, Done, Email, Line, Moment, Secret, Zone, example, refusals
from server.web.auth import COOKIE, Anybody
from server.web.auth import SignedIn as Signed
from server.web.deps import Address, Rates, TheHouse

router = APIRouter(tags=["session"])


class SignIn(Body):
    """Who signs in."""

    model_config = example(email="ann@example.com", password="correct horse battery")  # noqa: S106

    email: Email
    password: Secret


class NewPassword(Body):
    """The old password and the new one."""

    model_config = example(old="correct horse battery", new="staple correct horse")

    old: Secret
    new: Secret


class ResetAsked(Body):
    """Whose password is to be set anew."""

    model_config = example(email="ann@example.com")

    email: Email


class ResetDone(Body):
    """The token of the reset link, and the new password."""

    model_config = example(token="from-the-link", password="staple correct horse")  # noqa: S106

    token: Secret
    password: Secret


class SignUp(Body):
    """A new customer. The account begins with the link that is mailed to the address."""

    model_config = example(email="ann@example.com", name="Ann", zone="Europe/Berlin")

    email: Email
    name: Line = ""
    zone: Zone = "UTC"


class Profile(Body):
    """One's own name and zone."""

    model_config = example(name="Ann", zone="Europe/Berlin")

    name: Line
    zone: Zone


class NewToken(Body):
    """What the token is for, and until when it works (for ever if not said)."""

    model_config = example(name="the script on my laptop", expires_at="2027-01-01T00:00:00Z")

    name: Line
    expires_at: Moment | None = None


@dataclass(frozen=True, slots=True)
class Me:
    """Who is signed in. `csrf` goes into the header X-CSRF-Token of everything that changes something."""

    email: str
    name: str
    role: Role
    zone: str
    csrf: str | None
    expires_at: datetime | None = None


@dataclass(frozen=True, slots=True)
class ShownOnce:
    """A new token: it cannot be shown again."""

    token: str
    about: ApiToken


@router.post("/session", status_code=201, responses=refusals("sign_in_failed", "sign_in_throttled", "too_many"))
def sign_in(
    request: Request, response: Response, body: SignIn, house: TheHouse, rates: Rates, address: Address, _: Anybody
) -> Me:
    """Sign in with e-mail address and password; sets the session cookie."""
    rates.take("sign_in", address)
    made = accounts.sign_in(
        house.engine, house.passwords, house.dice, body.email, body.password, address, house.clock()
    )
    set_cookie(response, made, secure=house.settings.base_url.startswith("https:"))
    return _me(made)


@router.delete("/session", responses=refusals("sign_in_needed", "csrf"))
def sign_out(request: Request, response: Response, house: TheHouse, _: Signed) -> Done:
    """End this session."""
    token = request.cookies.get(COOKIE)
    if token:
        with house.work() as (tx, now):
            accounts.sign_out(tx, token[:256], now)
    response.delete_cookie(COOKIE, path="/")
    return Done()


@router.get("/me", responses=refusals("sign_in_needed"))
def me(request: Request, who: Signed) -> Me:
    """Who is signed in."""
    return Me(who.email, who.name, who.role, who.zone, getattr(request.state, "csrf", None))


@router.put("/me", responses=refusals("sign_in_needed", "csrf"))
def set_me(body: Profile, house: TheHouse, who: Signed) -> Done:
    """Change one's own name and zone."""
    with house.work() as (tx, _):
        people.set_profile(tx, who, body.name, body.zone)
    return Done()


@router.post("/me/password", responses=refusals("sign_in_failed", "password_weak", "csrf"))
def set_password(
    response: Response, body: NewPassword, house: TheHouse, rates: Rates, address: Address, who: Signed
) -> Me:
    """Change one's own password; every other session ends."""
    rates.take("sign_in", address)
    made = accounts.change_password(
        house.engine, house.passwords, house.dice, who, body.old, body.new, house.clock()
    )  # fmt: skip
    set_cookie(response, made, secure=house.settings.base_url.startswith("https:"))
    return _me(made)


@router.get("/tokens", responses=refusals("sign_in_needed"))
def tokens(house: TheHouse, who: Signed) -> tuple[ApiToken, ...]:
    """One's own API tokens, newest first, without themselves."""
    with house.work() as (tx, _):
        return accounts.api_tokens(tx, who)


@router.post("/tokens", status_code=201, responses=refusals("sign_in_needed", "token_limit", "csrf"))
def new_token(body: NewToken, house: TheHouse, who: Signed) -> ShownOnce:
    """Make a personal API token; it is shown this once."""
    with house.work() as (tx, now):
        token, about = accounts.new_api_token(tx, house.dice, who, body.name, now, body.expires_at)
    return ShownOnce(token, about)


@router.delete("/tokens/{no}", responses=refusals("sign_in_needed", "token_unknown", "csrf"))
def revoke_token(no: Annotated[int, Path(ge=1, le=2**31 - 1, examples=[7])], house: TheHouse, who: Signed) -> Done:
    """Revoke one of one's own tokens: it works no more from now on."""
    with house.work() as (tx, now):
        accounts.revoke_api_token(tx, who, no, now)
    return Done()


@router.post("/password-reset", status_code=202, responses=refusals("too_many"))
def ask_reset(body: ResetAsked, house: TheHouse, rates: Rates, address: Address, _: Anybody) -> Done:
    """Ask for a link to a new password. The answer is the same whether the address has an account or not."""
    rates.take("reset", address)
    with house.work() as (tx, now):
        letters.send_reset(tx, house, accounts.ask_reset(tx, house.dice, body.email, now), now)
    return Done()


@router.post("/password-reset/confirm", responses=refusals("reset_invalid", "password_weak", "too_many"))
def confirm_reset(body: ResetDone, house: TheHouse, rates: Rates, address: Address, _: Anybody) -> Done:
    """Set the new password by the link's token; every session and every API token ends."""
    rates.take("sign_in", address)
    accounts.reset_password(house.engine, house.passwords, body.token, body.password, house.clock())
    return Done()


@router.post("/sign-up", status_code=202, responses=refusals("too_many", "email_invalid"))
def sign_up(body: SignUp, house: TheHouse, rates: Rates, address: Address, _: Anybody) -> Done:
    """Ask for an owner's account. Its link goes to the address; the answer is the same if there is one already."""
    rates.take("reset", address)
    with house.work() as (tx, now):
        known = account_store.by_email(tx, body.email.lower())
        if known is None:
            people.create(tx, body.email, body.name, Role.OWNER, now, actor="public", zone=body.zone)
        letters.send_reset(tx, house, accounts.ask_reset(tx, house.dice, body.email, now), now)
    return Done()


def set_cookie(response: Response, made: SignedIn, *, secure: bool) -> None:
    """Give the browser its session: out of reach of scripts, never sent by another site's form."""
    response.set_cookie(
        COOKIE, made.token, expires=made.expires_at, path="/", httponly=True, samesite="lax", secure=secure
    )


def _me(made: SignedIn) -> Me:
    account = made.account
    return Me(account.email, account.name, account.role, account.zone, made.csrf, made.expires_at)
