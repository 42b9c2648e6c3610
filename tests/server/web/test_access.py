"""Who may call what: every route with every kind of caller, against one table. A route without a row is a failure."""

from __future__ import annotations

from typing import Any

from fastapi import FastAPI
from fastapi.dependencies.models import Dependant
from fastapi.routing import iter_route_contexts

from server.rules.authority import Role
from server.service import people
from server.web.auth import COOKIE, Access
from tests.server.web.town import PASSWORD, Somebody, Town, order

OWNER, STAFF, OPERATOR = {"owner"}, {"agent", "lead", "supervisor", "finance", "operator"}, {"operator"}
SIGNED_IN = OWNER | STAFF
EVERYBODY = SIGNED_IN | {"anonymous"}
AUDITORS = STAFF - {"agent"}
SPEAKERS = STAFF - OPERATOR
GRANTING = SPEAKERS
PAYING = {"supervisor", "finance"}

TABLE: dict[str, set[str]] = {
    "POST /api/v1/session": EVERYBODY,
    "DELETE /api/v1/session": SIGNED_IN,
    "GET /api/v1/me": SIGNED_IN,
    "PUT /api/v1/me": SIGNED_IN,
    "POST /api/v1/me/password": SIGNED_IN,
    "GET /api/v1/tokens": SIGNED_IN,
    "POST /api/v1/tokens": SIGNED_IN,
    "DELETE /api/v1/tokens/{no}": SIGNED_IN,
    "POST /api/v1/password-reset": EVERYBODY,
    "POST /api/v1/password-reset/confirm": EVERYBODY,
    "POST /api/v1/sign-up": EVERYBODY,
    "GET /api/v1/accounts": OPERATOR,
    "POST /api/v1/accounts": OPERATOR,
    "GET /api/v1/tags": OWNER,
    "GET /api/v1/tags/{serial}": OWNER,
    "GET /api/v1/tags/{serial}/history": OWNER,
    "GET /api/v1/tags/{serial}/live": OWNER,
    "GET /api/v1/tags/{serial}/receipt": OWNER,
    "PUT /api/v1/tags/{serial}/name": OWNER,
    "POST /api/v1/tags/{serial}/release": OWNER,
    "POST /api/v1/tags/{serial}/transfer": OWNER,
    "GET /api/v1/transfers": OWNER,
    "POST /api/v1/transfers/{transfer_id}/accept": OWNER,
    "POST /api/v1/tags/{serial}/lost": OWNER,
    "POST /api/v1/tags/{serial}/found": OWNER,
    "POST /api/v1/claims": OWNER,
    "GET /api/v1/claims/{claim_id}": OWNER,
    "POST /api/v1/claims/{claim_id}/candidates": OWNER,
    "POST /api/v1/claims/{claim_id}/nonce": OWNER,
    "POST /api/v1/claims/{claim_id}/answer": OWNER,
    "POST /api/v1/claims/{claim_id}/carry": OWNER,
    # Private claims, relays, households
    "POST /api/v1/claims/{claim_id}/challenge": OWNER,
    "PUT /api/v1/tags/{serial}/keys": OWNER,
    "GET /api/v1/tags/{serial}/household": OWNER,
    "POST /api/v1/tags/{serial}/household": OWNER,
    "DELETE /api/v1/tags/{serial}/household/{email}": OWNER,
    "GET /api/v1/household": OWNER,
    "GET /api/v1/household/key": OWNER,
    "PUT /api/v1/household/key": OWNER,
    "POST /api/v1/relays": OWNER,
    "POST /api/v1/relays/{relay_id}/connect": OWNER,
    "POST /api/v1/relays/{relay_id}/write": OWNER,
    "DELETE /api/v1/relays/{relay_id}": OWNER,
    "GET /api/v1/channels": OWNER,
    "POST /api/v1/channels": OWNER,
    "DELETE /api/v1/channels/{no}": OWNER,
    "POST /api/v1/channels/{no}/test": OWNER,
    "GET /api/v1/push/key": OWNER,
    "GET /api/v1/found/{code}": EVERYBODY,
    "POST /api/v1/found/{code}/message": EVERYBODY,
    "POST /api/v1/orders": STAFF,
    "POST /api/v1/orders/{number}/statements": STAFF,
    "GET /api/v1/orders/{number}": STAFF,
    "GET /api/v1/orders/{number}/why": STAFF,
    "GET /api/v1/orders/{number}/recomputed": STAFF,
    "POST /api/v1/orders/{number}/view": EVERYBODY,
    "GET /api/v1/orders/{number}/customer": SIGNED_IN,  # and whoever has a link to it
    "POST /api/v1/ship-by": STAFF,
    "POST /api/v1/orders/{number}/contacts": SIGNED_IN,  # and whoever has a link to it
    "GET /api/v1/orders/{number}/contacts": SIGNED_IN,  # the same
    "GET /api/v1/waiting": STAFF,
    "GET /api/v1/ways-in": STAFF,
    "POST /api/v1/ways-in/{channel}": STAFF,
    "POST /api/v1/public-texts": STAFF,
    "POST /api/v1/mail-in": OPERATOR,
    "GET /api/v1/mail-in": STAFF,
    "POST /api/v1/mail-in/{no}/settle": STAFF,
    "POST /api/v1/mail-in/{no}/drop": STAFF,
    "GET /api/v1/service": EVERYBODY,
    # Remedies
    "GET /api/v1/orders/{number}/remedies": STAFF,
    "POST /api/v1/orders/{number}/remedies": GRANTING,
    "GET /api/v1/orders/{number}/customer/remedies": SIGNED_IN,  # and whoever has a link to it
    "POST /api/v1/orders/{number}/customer/refund": OWNER,  # and whoever has a link to it; staff do not ask for them
    "GET /api/v1/remedies": STAFF,
    "POST /api/v1/remedies/paid": PAYING,
    "POST /api/v1/remedies/{no}/grant": GRANTING,
    "POST /api/v1/remedies/{no}/withdraw": GRANTING,
    "POST /api/v1/remedies/{no}/retry": GRANTING,
    "POST /api/v1/remedy-runs": GRANTING,
    "GET /api/v1/remedy-runs/{no}": STAFF,
    "POST /api/v1/remedy-runs/{no}/approve": GRANTING,
    "POST /api/v1/remedy-runs/{no}/withdraw": GRANTING,
    "GET /api/v1/find": STAFF,
    "GET /api/v1/support/orders": STAFF,
    "GET /api/v1/support/tags/{serial}": STAFF,
    "GET /api/v1/audit": AUDITORS,
    # Messages and lists
    "POST /api/v1/orders/{number}/messages/preview": SPEAKERS,
    "POST /api/v1/orders/{number}/messages": SPEAKERS,
    "GET /api/v1/orders/{number}/promise-templates": STAFF,
    "GET /api/v1/orders/{number}/statements": STAFF,
    "GET /api/v1/orders/{number}/looking": STAFF,
    "GET /api/v1/findings": STAFF,
    "GET /api/v1/promises": STAFF,
    "GET /api/v1/gateways": STAFF,
    "GET /api/v1/ingest": STAFF,
    "GET /api/v1/gateways/{gateway}": STAFF,
    "POST /api/v1/gateways": OPERATOR,
    "POST /api/v1/gateways/enrol": EVERYBODY,
    "POST /api/v1/gateways/{gateway}/token": OPERATOR,
    "POST /api/v1/gateways/{gateway}/revoke": OPERATOR,
    "GET /api/v1/sites": STAFF,
    "POST /api/v1/sites": OPERATOR,
    "POST /api/v1/carriers/{vendor}": EVERYBODY,  # who signed the body
    "POST /api/v1/shop/orders": EVERYBODY,  # who signed the body
    "POST /api/v1/imports/{kind}": STAFF,
    "GET /api/v1/imports": STAFF,
    "GET /api/v1/imports/{import_id}": STAFF,
    "GET /api/v1/imports/{import_id}/result.csv": STAFF,
    # Private finding: reports and the directory
    "GET /api/v1/directory/{day}": EVERYBODY,
    "GET /api/v1/directory/{day}/{sha256}": EVERYBODY,
    "POST /api/v1/reports": EVERYBODY,  # who signed the body
    "POST /api/v1/reports/fetch": EVERYBODY,  # who has the days' tokens
    "GET /health": EVERYBODY,
    "GET /ready": EVERYBODY,
    "GET /ready/ingest": EVERYBODY,
    "GET /metrics": OPERATOR,  # and programs on this machine
}
PAGES: dict[str, set[str]] = {
    "GET /": EVERYBODY,
    "GET /sign-in": EVERYBODY,
    "POST /sign-in": EVERYBODY,
    "POST /sign-out": SIGNED_IN,
    "GET /forgot": EVERYBODY,
    "POST /forgot": EVERYBODY,
    "GET /reset": EVERYBODY,
    "POST /reset": EVERYBODY,
    "GET /settings": SIGNED_IN,
    "POST /settings/profile": SIGNED_IN,
    "POST /settings/password": SIGNED_IN,
    "POST /settings/tokens": SIGNED_IN,
    "POST /settings/tokens/{no}/revoke": SIGNED_IN,
    "POST /settings/channels": OWNER,
    "POST /settings/channels/{no}/test": OWNER,
    "POST /settings/channels/{no}/remove": OWNER,
    "GET /t/{serial}": OWNER,
    "POST /t/{serial}/name": OWNER,
    "POST /t/{serial}/lost": OWNER,
    "POST /t/{serial}/found": OWNER,
    "POST /t/{serial}/release": OWNER,
    "POST /t/{serial}/transfer": OWNER,
    "GET /transfers/{transfer_id}": OWNER,
    "POST /transfers/{transfer_id}": OWNER,
    "GET /c/": OWNER,
    "POST /c/": OWNER,
    "GET /c/{claim_id}": OWNER,
    "POST /c/{claim_id}/carry": OWNER,
    "GET /o": EVERYBODY,
    "POST /o": EVERYBODY,
    "GET /o/{number}": SIGNED_IN,  # and whoever has a link to it
    "POST /o/{number}/ask": OWNER,  # and whoever has a link to it; staff do not speak in a customer's place
    "POST /o/{number}/call": OWNER,  # the same
    "POST /s/order/{number}/contact": STAFF,
    "GET /s/waiting": STAFF,
    "GET /s/mail": STAFF,
    "POST /s/mail/{no}/settle": STAFF,
    "POST /s/mail/{no}/drop": STAFF,
    "GET /s/ways-in": STAFF,
    "POST /s/ways-in/{channel}": STAFF,
    "POST /s/public-texts": STAFF,
    "GET /service": EVERYBODY,
    "GET /shared": EVERYBODY,
    "GET /f/": EVERYBODY,
    "GET /f/{code}": EVERYBODY,
    "POST /f/{code}": EVERYBODY,
    "GET /s": STAFF,
    "GET /s/order/{number}": STAFF,
    "GET /s/order/{number}/why": STAFF,
    "GET /s/tag/{serial}": STAFF,
    "GET /s/gateways": STAFF,
    "GET /s/imports": STAFF,
    "POST /s/imports": STAFF,
    "GET /s/imports/{import_id}": STAFF,
    # Messages and lists
    "GET /s/order/{number}/message": SPEAKERS,
    "POST /s/order/{number}/message": SPEAKERS,
    "GET /s/findings": STAFF,
    "GET /s/promises": STAFF,
    "GET /s/audit": AUDITORS,
    # Remedies
    "GET /s/remedies": STAFF,
    "POST /s/order/{number}/remedies": GRANTING,
    "POST /s/remedies/paid": PAYING,
    "POST /s/remedies/{no}/grant": GRANTING,
    "POST /s/remedies/{no}/withdraw": GRANTING,
    "POST /s/remedies/{no}/retry": GRANTING,
    "POST /s/remedies/runs": GRANTING,
    "GET /s/remedies/runs/{no}": STAFF,
    "POST /s/remedies/runs/{no}/approve": GRANTING,
    "POST /s/remedies/runs/{no}/withdraw": GRANTING,
    "POST /o/{number}/refund": OWNER,  # and whoever has a link to it
}
# Starlette's own, without a declaration, for everybody: the API's description, scripts and styles.
PLAIN = {"GET /api/v1/openapi.json", "ANY /static"}

FILLED = {
    "{serial}": "1", "{no}": "999", "{number}": "T-1", "{claim_id}": "0" * 32, "{transfer_id}": "0" * 32,
    "{vendor}": "nobody", "{kind}": "orders", "{import_id}": "0" * 24,
    "{day}": "20779", "{sha256}": "0" * 64,
    "{relay_id}": "0" * 32, "{email}": "no@example.com",
    "{code}": "NOSUCHCODE", "{gateway}": "no-such-gateway", "{channel}": "call",
}  # fmt: skip
BODIES = {
    "POST /api/v1/session": {"email": "no@example.com", "password": "x"},
    "PUT /api/v1/me": {"name": "x", "zone": "UTC"},
    "POST /api/v1/me/password": {"old": "x", "new": "y"},
    "POST /api/v1/tokens": {"name": "x"},
    "POST /api/v1/password-reset": {"email": "no@example.com"},
    "POST /api/v1/password-reset/confirm": {"token": "x", "password": "correct horse battery"},
    "POST /api/v1/sign-up": {"email": "new@example.com"},
    "POST /api/v1/accounts": {"email": "new@example.com", "role": "agent"},
    "PUT /api/v1/tags/{serial}/name": {"name": "x"},
    "POST /api/v1/tags/{serial}/transfer": {"to_email": "no@example.com"},
    "POST /api/v1/claims": {"code": "x"},
    "POST /api/v1/claims/{claim_id}/candidates": {"frames": []},
    "POST /api/v1/claims/{claim_id}/nonce": {"nonce": "00" * 8},
    "POST /api/v1/claims/{claim_id}/answer": {"answer": "00" * 91},
    "POST /api/v1/claims/{claim_id}/challenge": {"nonce": "00" * 8, "owner_public_key": "00" * 32},
    "PUT /api/v1/tags/{serial}/keys": {"first_day": 1, "days": "AAAA"},
    "POST /api/v1/tags/{serial}/household": {"email": "no@example.com", "sealed": "01" + "00" * 89},
    "PUT /api/v1/household/key": {"public_key": "09" + "00" * 31},
    "POST /api/v1/relays": {"serial": 1},
    "POST /api/v1/relays/{relay_id}/connect": {"frame": "00" * 24},
    "POST /api/v1/relays/{relay_id}/write": {"message": "00" * 11},
    "POST /api/v1/channels": {"kind": "email", "address": "no"},
    "POST /api/v1/found/{code}/message": {"message": "x"},
    "POST /api/v1/ship-by": {"site": "no-such", "lines": [{"slots": [{}]}]},
    "POST /api/v1/orders/{number}/view": {"email": "no@example.com"},
    "POST /api/v1/orders/{number}/contacts": {"key": "x", "text": "x"},
    "POST /api/v1/ways-in/{channel}": {"works": True},
    "POST /api/v1/public-texts": {"place": "x", "text": "x"},
    "POST /api/v1/mail-in/{no}/settle": {"order": "T-1"},
    "POST /api/v1/orders/{number}/messages/preview": {"text": "x"},
    "POST /api/v1/orders/{number}/messages": {"text": "x", "key": "x"},
    "POST /api/v1/orders/{number}/remedies": {"action": "full_refund"},
    "POST /api/v1/remedies/paid": {"key": "x"},
    "POST /api/v1/remedy-runs": {"key": "x", "action": "full_refund", "cause": "x", "customer_text": "x"},
    "POST /api/v1/gateways": {"gateway": "x y", "gateway_class": "crowd"},
    "POST /api/v1/sites": {"site": "x y", "name": "x", "zone": "UTC", "lat": 0, "lon": 0},
}
QUERIES = {
    "GET /api/v1/tags/{serial}/history": "?from=2026-01-01T00:00:00Z&to=2026-01-02T00:00:00Z",
    "GET /api/v1/find": "?q=x",
    "GET /api/v1/household/key": "?email=no@example.com",
    "GET /api/v1/audit": "?subject=x",
}


DENIED = {"sign_in_needed", "not_yours", "token_invalid"}


def routes(app: FastAPI) -> dict[str, object]:
    """Every route as `METHOD path`, with its dependencies (None for what is not FastAPI's)."""
    return {
        f"{method} {context.path}": getattr(context, "dependant", None)
        for context in iter_route_contexts(app.routes)
        for method in sorted((context.methods or {"ANY"}) - {"HEAD"})
    }


def accesses(dependant: Dependant) -> list[Access]:
    """Every declaration of who may call it."""
    mine: list[Access] = [dependant.call] if isinstance(dependant.call, Access) else []
    return mine + [access for inner in dependant.dependencies for access in accesses(inner)]


def callers(town: Town) -> dict[str, Somebody]:
    people = {role: town.somebody(f"{role}@example.com", role) for role in Role}
    return {"anonymous": town.nobody(), **{str(role): who for role, who in people.items()}}


def call(who: Somebody, route: str) -> tuple[int, str]:
    """Status and code of the refusal; of a page the status alone."""
    method, _, path = route.partition(" ")
    for blank, value in FILLED.items():
        path = path.replace(blank, value)
    path += QUERIES.get(route, "")
    more: dict[str, Any] = {"json": BODIES.get(route, {})} if method in ("POST", "PUT") else {}
    if route in PAGES and method == "POST":
        more = {"data": {"x": "y"}}
    answer = who.client.request(method, path, headers=who.headers(), follow_redirects=False, **more)
    assert answer.status_code < 500 or answer.status_code == 503, f"{route} broke: {answer.text}"
    is_json = answer.headers.get("content-type", "").startswith("application/json")
    body = answer.json() if is_json else {}
    return answer.status_code, body["error"]["code"] if "error" in body else ""


def test_every_route_declares_who_may_call_it(town: Town) -> None:
    found = routes(town.client.app)  # type: ignore[arg-type]
    assert set(found) == set(TABLE) | set(PAGES) | PLAIN
    for route, dependant in found.items():
        if route not in PLAIN:
            assert isinstance(dependant, Dependant)
            assert len(accesses(dependant)) == 1, f"{route} needs exactly one declaration of who may call it"


def test_every_route_with_every_role(town: Town) -> None:
    for name, who in callers(town).items():
        for route, allowed in TABLE.items():
            if route in ("DELETE /api/v1/session", "POST /api/v1/sign-up"):
                continue  # tested by themselves: they change who there is
            status, code = call(who, route)
            if name in allowed:
                assert code not in DENIED, f"{name} must be able to call {route}, got {status} {code}"
            else:
                wanted = (401, "sign_in_needed") if name == "anonymous" else (403, "not_yours")
                assert (status, code) == wanted, f"{name} must not call {route}"


def test_every_page_with_every_role(town: Town) -> None:
    for name, who in callers(town).items():
        for route, allowed in PAGES.items():
            if route in ("POST /sign-out", "POST /settings/password", "POST /sign-in"):
                continue  # they change who is there, or answer 401 themselves
            status, _ = call(who, route)
            if name in allowed:
                assert status not in (401, 403), f"{name} must be able to open {route}, got {status}"
            elif name == "anonymous":
                assert status == (303 if route.startswith("GET") else 401), f"anonymous must not open {route}"
            else:
                assert status == 403, f"{name} must not open {route}, got {status}"


def test_a_form_without_its_csrf_token_does_nothing(town: Town) -> None:
    """A browser's cookie alone changes nothing, on any page and in all of the API."""
    ann = town.somebody("ann@example.com", Role.OWNER, PASSWORD)
    staff = {"operator": town.somebody("op@example.com", Role.OPERATOR, PASSWORD)}
    staff["operator"].post("/orders", order("T-1"))  # hers
    for who in (ann, *staff.values()):
        who.post("/session", {"email": who.email, "password": PASSWORD}, headers={"authorization": ""})
        cookie = f"{COOKIE}={town.client.cookies[COOKIE]}"
        town.client.cookies.clear()
        browser = Somebody(who.email, who.role, town.client)
        browser.headers = lambda more=None, shown=cookie: {"cookie": shown}  # type: ignore[method-assign,misc]
        for route, allowed in (TABLE | PAGES).items():
            changes = not route.startswith("GET")
            # What anybody may do without an account needs no account's consent.
            if changes and str(who.role) in allowed and allowed != EVERYBODY:
                status, code = call(browser, route)
                assert status == 403, f"{route}: {status} {code}"
        assert call(browser, "GET /api/v1/me")[0] == 200


def test_a_revoked_token_opens_nothing(town: Town) -> None:
    who = town.staff(Role.OPERATOR)
    [token] = who.get("/tokens")
    assert who.get("/me")["role"] == "operator"
    who.delete(f"/tokens/{token['no']}")
    for route in TABLE | PAGES:
        if route not in ("GET /sign-in", "GET /"):
            town.wait(minutes=1)  # so that the rates forget
            assert call(who, route)[0] == 401, route


def test_a_disabled_account_opens_nothing(town: Town) -> None:
    who = town.staff(Role.AGENT)
    with town.house.work() as (tx, now):
        people.disable(tx, who.email, now, actor="test")
    who.refused("GET", "/me", 401, "token_invalid")
