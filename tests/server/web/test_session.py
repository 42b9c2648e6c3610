"""Signing in and out over HTTP: cookies, CSRF, tokens, reset links, sign-up; nothing tells who has an account."""

from __future__ import annotations

import base64

import pytest
from fastapi.testclient import TestClient

from server.rules.authority import Role
from server.service import letters
from tests.server.web.test_tags import waiting
from tests.server.web.town import PASSWORD, Town

BASE = "/api/v1"


def browser(town: Town) -> TestClient:
    return TestClient(town.client.app, base_url="http://tags.test")


def sign_in(client: TestClient, email: str = "ann@example.com", password: str = PASSWORD) -> dict[str, str]:
    answer = client.post(f"{BASE}/session", json={"email": email, "password": password})
    assert answer.status_code == 201, answer.text
    me: dict[str, str] = answer.json()
    return me


def test_a_session_and_its_csrf_token(town: Town) -> None:
    town.somebody("ann@example.com", Role.OWNER, PASSWORD)
    client = browser(town)
    answer = client.post(f"{BASE}/session", json={"email": "Ann@Example.com ", "password": PASSWORD})
    cookie = answer.headers["set-cookie"]
    assert "HttpOnly" in cookie
    assert "SameSite=lax" in cookie
    csrf = answer.json()["csrf"]
    assert client.get(f"{BASE}/me").json()["csrf"] == csrf
    change = {"name": "Ann", "zone": "Europe/Berlin"}
    assert client.put(f"{BASE}/me", json=change).json()["error"]["code"] == "csrf"
    assert client.put(f"{BASE}/me", json=change, headers={"x-csrf-token": "guess"}).status_code == 403
    assert client.put(f"{BASE}/me", json=change, headers={"x-csrf-token": csrf}).status_code == 200
    assert client.get(f"{BASE}/me").json()["zone"] == "Europe/Berlin"
    assert client.delete(f"{BASE}/session", headers={"x-csrf-token": csrf}).status_code == 200
    stolen = client.get(f"{BASE}/me", headers={"cookie": cookie.partition(";")[0]})
    assert stolen.json()["error"]["code"] == "sign_in_needed"


def test_https_makes_the_cookie_secure(town: Town) -> None:
    from dataclasses import replace

    from server.web.app import create_app

    town.somebody("ann@example.com", Role.OWNER, PASSWORD)
    town.house.settings = replace(town.house.settings, base_url="https://tags.test")
    client = TestClient(create_app(town.house), base_url="https://tags.test")
    answer = client.post(f"{BASE}/session", json={"email": "ann@example.com", "password": PASSWORD})
    assert "Secure" in answer.headers["set-cookie"]
    assert answer.headers["strict-transport-security"].startswith("max-age=")


def test_a_session_ends(town: Town) -> None:
    town.somebody("ann@example.com", Role.OWNER, PASSWORD)
    client = browser(town)
    sign_in(client)
    town.wait(days=15)
    assert client.get(f"{BASE}/me").status_code == 401


def test_wrong_password_and_unknown_address_are_one_answer(town: Town) -> None:
    town.somebody("ann@example.com", Role.OWNER, PASSWORD)
    nobody = town.nobody()
    wrong = {"json": {"email": "ann@example.com", "password": "wrong horse battery"}}
    unknown = {"json": {"email": "eve@example.com", "password": "wrong horse battery"}}
    first = nobody.refused("POST", "/session", 401, "sign_in_failed", **wrong)
    assert first == nobody.refused("POST", "/session", 401, "sign_in_failed", **unknown)
    assert "wrong horse" not in str(first)


def test_guessing_is_throttled(town: Town) -> None:
    town.somebody("ann@example.com", Role.OWNER, PASSWORD)
    wrong = {"json": {"email": "ann@example.com", "password": "wrong horse battery"}}
    for _ in range(10):
        town.nobody().refused("POST", "/session", 401, "sign_in_failed", **wrong)
    right = {"json": {"email": "ann@example.com", "password": PASSWORD}}
    error = town.nobody().refused("POST", "/session", 429, "sign_in_throttled", **right)
    assert "seconds" in error["do"]
    town.wait(minutes=16)
    assert sign_in(browser(town))["email"] == "ann@example.com"


def test_tokens_are_shown_once_and_can_be_revoked(town: Town) -> None:
    ann = town.owner()
    made = ann.post("/tokens", {"name": "laptop", "expires_at": (town.now).replace(year=2027).isoformat()})
    listed = ann.get("/tokens")
    assert [each["name"] for each in listed] == ["laptop", "test"]
    assert made["token"] not in str(listed)
    laptop = town.owner("x@example.com")
    laptop.token = made["token"]
    assert laptop.get("/me")["email"] == "ann@example.com"
    ann.delete(f"/tokens/{made['about']['no']}")
    laptop.refused("GET", "/me", 401, "token_invalid")
    ann.refused("DELETE", f"/tokens/{made['about']['no']}", 404, "token_unknown")


def mailed_link(town: Town) -> str:
    letter = waiting(town, "password_reset")[-1]
    sealed = base64.b64decode(letter["payload"]["sealed_url"])
    assert "reset#" not in str(letter)  # whoever reads the database cannot sign in with it
    return town.house.vault.open(letters.SEALED_LINK, sealed).decode()


def test_password_reset(town: Town) -> None:
    town.somebody("ann@example.com", Role.OWNER, PASSWORD)
    old = browser(town)
    sign_in(old)
    nobody = town.nobody()
    known = nobody.call("POST", "/password-reset", json={"email": "ann@example.com"})
    unknown = nobody.call("POST", "/password-reset", json={"email": "eve@example.com"})
    assert (known.status_code, known.text) == (unknown.status_code, unknown.text)
    assert len(waiting(town, "password_reset")) == 1
    token = mailed_link(town).partition("#")[2]
    new = "wholly new passphrase"
    weak = {"json": {"token": token, "password": "short"}}
    nobody.refused("POST", "/password-reset/confirm", 422, "password_weak", **weak)
    nobody.post("/password-reset/confirm", {"token": token, "password": new})
    nobody.refused(
        "POST", "/password-reset/confirm", 422, "reset_invalid", json={"token": token, "password": new}
    )  # fmt: skip
    assert old.get(f"{BASE}/me").status_code == 401
    assert sign_in(browser(town), password=new)["email"] == "ann@example.com"


def test_a_reset_link_ends(town: Town) -> None:
    town.somebody("ann@example.com", Role.OWNER, PASSWORD)
    town.nobody().post("/password-reset", {"email": "ann@example.com"})
    token = mailed_link(town).partition("#")[2]
    town.wait(hours=1, minutes=1)
    body = {"token": token, "password": "wholly new passphrase"}
    town.nobody().refused("POST", "/password-reset/confirm", 422, "reset_invalid", json=body)


def test_sign_up_begins_with_the_mailed_link(town: Town) -> None:
    nobody = town.nobody()
    nobody.post("/sign-up", {"email": "New@Example.com", "name": "New"})
    token = mailed_link(town).partition("#")[2]
    nobody.post("/password-reset/confirm", {"token": token, "password": "wholly new passphrase"})
    client = browser(town)
    assert sign_in(client, "new@example.com", "wholly new passphrase")["role"] == "owner"
    before = nobody.call("POST", "/sign-up", json={"email": "another@example.com"})
    again = nobody.call("POST", "/sign-up", json={"email": "new@example.com"})
    assert (before.status_code, before.text) == (again.status_code, again.text)


def test_an_operator_invites_staff(town: Town) -> None:
    operator = town.staff(Role.OPERATOR)
    invited = operator.post("/accounts", {"email": "bob@shop.example", "role": "agent", "name": "Bob"})
    token = invited["link"].partition("#")[2]
    town.nobody().post("/password-reset/confirm", {"token": token, "password": "wholly new passphrase"})
    assert sign_in(browser(town), "bob@shop.example", "wholly new passphrase")["role"] == "agent"
    operator.refused(
        "POST", "/accounts", 409, "email_taken", json={"email": "bob@shop.example", "role": "lead"}
    )  # fmt: skip
    assert "bob@shop.example" in [each["email"] for each in operator.get("/accounts")]


@pytest.mark.parametrize("header", ["Bearer", "Bearer ", "Bearer hsp_nonsense", "bearer x", "Basic YTpi"])
def test_odd_authorization_headers(town: Town, header: str) -> None:
    answer = town.client.get(f"{BASE}/me", headers={"authorization": header})
    assert answer.status_code == 401
    assert answer.headers["www-authenticate"] == "Bearer"


def test_changing_the_password_ends_other_sessions(town: Town) -> None:
    town.somebody("ann@example.com", Role.OWNER, PASSWORD)
    here, there = browser(town), browser(town)
    csrf = sign_in(here)["csrf"]
    sign_in(there)
    body = {"old": PASSWORD, "new": "wholly new passphrase"}
    answer = here.post(f"{BASE}/me/password", json=body, headers={"x-csrf-token": csrf})
    assert answer.status_code == 200, answer.text
    assert here.get(f"{BASE}/me").status_code == 200
    assert there.get(f"{BASE}/me").status_code == 401
