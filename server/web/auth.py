"""Who may call a route: one explicit declaration each, and a test that walks all routes with every role.

A browser shows a session cookie, and for anything that changes something the CSRF token too; a program shows a
personal API token; a customer without an account shows the token of a link to one order.
"""

from __future__ import annotations

import hmac
from dataclasses import dataclass
from datetime import datetime
from typing import Annotated, Final

from fastapi import Depends, Path, Request
from sqlalchemy import Connection

from server.rules.authority import GRANTING, STAFF, TABLE, Action, Role
from server.service import accounts
from server.service.caller import Caller
from server.service.house import House
from server.service.orders import order_of_link
from server.service.refusals import refuse
from server.store import orders
from server.web.deps import address_of, house_of, household_of, rates_of

COOKIE: Final = "hearsight_session"
CSRF_HEADER: Final = "x-csrf-token"
LINK_HEADER: Final = "x-order-link"
_SAFE: Final = frozenset({"GET", "HEAD", "OPTIONS"})
ANONYMOUS: Final = "anonymous"
# Each proxy tells of itself in its own way; one that tells nothing at all looks like a program on this machine.
_OF_PROXIES: Final = ("forwarded", "via", "x-forwarded-for", "x-forwarded-host", "x-forwarded-proto", "x-real-ip")


class Access:
    """One declaration of who may call a route; every route has exactly one of these among its dependencies."""

    def __init__(self, *allowed: Role | str) -> None:
        self.allowed = frozenset(str(each) for each in allowed)

    def check(self, who: Caller | None) -> None:
        """Refusals: sign_in_needed, not_yours."""
        if who is None:
            if ANONYMOUS not in self.allowed:
                raise refuse("sign_in_needed")
        elif str(who.role) not in self.allowed:
            raise refuse("not_yours", role=who.role, allowed=", ".join(sorted(self.allowed - {ANONYMOUS})))


class Only(Access):
    """For accounts of these roles; gives the caller."""

    def __call__(self, request: Request) -> Caller:
        who = caller_of(request)
        self.check(who)
        assert who is not None, "checked"
        return who


class Public(Access):
    """For everybody; gives the caller if one is signed in."""

    def __init__(self) -> None:
        super().__init__(ANONYMOUS, *Role)

    def __call__(self, request: Request) -> Caller | None:
        return caller_of(request, must_be_ours=False)


@dataclass(frozen=True, slots=True)
class OrderReader:
    """Somebody who may read this order as its customer: by a link, by the account of its address, or as staff."""

    number: str
    who: Caller | None


class CustomerOf(Access):
    """For the customer of the order in the path, and for staff, who read the same (where they speak too: not)."""

    def __init__(self, *, staff_too: bool = True) -> None:
        super().__init__(*(Role if staff_too else (Role.OWNER,)), "order_link")

    def __call__(self, request: Request, number: Annotated[str, Path(examples=["T-1001"])]) -> OrderReader:
        house = house_of(request)
        token = request.headers.get(LINK_HEADER) or request.query_params.get("link")
        if token:
            with house.work() as (tx, now):
                if not hmac.compare_digest(order_of_link(tx, token[:128], now).encode(), number.encode()):
                    raise refuse("view_ended")
            return OrderReader(number, None)
        who = caller_of(request)
        self.check(who)
        assert who is not None, "checked"
        if who.role is Role.OWNER:
            with house.work() as (tx, _):
                order = orders.order(tx, number)
            if order is None or order.email != who.email:
                raise refuse("order_unknown", number=number, reference=number)
        return OrderReader(number, who)


class LoopbackOr(Access):
    """For programs on this machine (no proxy in between), and for accounts of these roles."""

    def __init__(self, *allowed: Role) -> None:
        super().__init__(*allowed, "loopback")

    def __call__(self, request: Request) -> Caller | None:
        proxied = any(name in request.headers for name in _OF_PROXIES)
        if address_of(request) in ("127.0.0.1", "::1") and not proxied:
            return None
        who = caller_of(request)
        self.check(who)
        return who


def only(*roles: Role) -> Only:
    """Declare a route for these roles."""
    return Only(*roles)


def public() -> Public:
    """Declare a route for everybody."""
    return Public()


OWNERS: Final = only(Role.OWNER)
Owner = Annotated[Caller, Depends(OWNERS)]
Staff = Annotated[Caller, Depends(only(*STAFF))]
# Whoever may write to customers (`authority.Action.SAY`): the operator keeps the machinery.
Speaker = Annotated[Caller, Depends(only(*TABLE[Action.SAY]))]
# Whoever may ask for a remedy; the table says who may grant which.
Granting = Annotated[Caller, Depends(only(*GRANTING))]
Operator = Annotated[Caller, Depends(only(Role.OPERATOR))]
SignedIn = Annotated[Caller, Depends(only(*Role))]
Anybody = Annotated[Caller | None, Depends(public())]
Customer = Annotated[OrderReader, Depends(CustomerOf())]
# Nobody speaks in a customer's place: staff have forms of their own.
CustomerAlone = Annotated[OrderReader, Depends(CustomerOf(staff_too=False))]


def caller_of(request: Request, *, must_be_ours: bool = True) -> Caller | None:
    """Who shows what: a token before a cookie. Refusals: token_invalid, csrf, too_many.

    A cookie without its CSRF token is refused where something changes; on a public route it only stays unread.
    """
    if hasattr(request.state, "caller"):
        known: Caller | None = request.state.caller
        return known
    request.state.caller = None  # whoever is refused below is nobody to the page that says so
    house = house_of(request)
    scheme, _, token = request.headers.get("authorization", "").partition(" ")
    who = (
        _by_token(request, house, token.strip())
        if scheme.lower() == "bearer"
        else _by_cookie(request, house, must_be_ours)
    )
    rates_of(request).take("any", f"account {who.account_no}" if who else household_of(request))
    request.state.caller = who
    return who


def still(request: Request, tx: Connection, now: datetime, access: Access) -> None:
    """Whoever opened an answer that goes on may still read it. Refusals: sign_in_needed, token_invalid, not_yours."""
    scheme, _, token = request.headers.get("authorization", "").partition(" ")
    if scheme.lower() == "bearer":
        account = accounts.account_of_api_token(tx, token.strip()[:256], now)
        if account is None:
            raise refuse("token_invalid")
    else:
        session = accounts.session(tx, request.cookies.get(COOKIE, "")[:256], now)
        account = session.account if session else None
    access.check(accounts.caller(account) if account else None)


def _by_token(request: Request, house: House, token: str) -> Caller:
    with house.work() as (tx, now):
        account = accounts.account_of_api_token(tx, token[:256], now)
    if account is None:
        rates_of(request).take("bad_token", household_of(request))
        raise refuse("token_invalid")
    return accounts.caller(account)


def _by_cookie(request: Request, house: House, must_be_ours: bool) -> Caller | None:
    token = request.cookies.get(COOKIE)
    if not token:
        return None
    with house.work() as (tx, now):
        session = accounts.session(tx, token[:256], now)
    if session is None:
        return None
    shown = request.headers.get(CSRF_HEADER, "")
    # Pages check the token of their forms themselves: the body is theirs to read.
    wants_header = request.method not in _SAFE and request.url.path.startswith("/api/")
    if wants_header and not hmac.compare_digest(shown.encode(), session.csrf.encode()):
        if must_be_ours:
            raise refuse("csrf")
        return None
    request.state.csrf = session.csrf
    return accounts.caller(session.account)
