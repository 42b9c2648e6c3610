"""The shop's webhook: signed as Standard Webhooks says, once each, and a shop speaks for itself alone."""

from __future__ import annotations

import base64
import hashlib
import hmac
import json
from dataclasses import replace
from datetime import timedelta
from typing import Any

import pytest
from httpx import Response

from tests.server.web.town import Somebody, Town, order, said

SECRET = bytes(range(32))


@pytest.fixture
def shop(town: Town) -> Somebody:
    town.house.settings = replace(town.house.settings, shop_webhook_secret=SECRET)
    return town.nobody()


def post(
    town: Town, who: Somebody, kind: str, data: Any, name: str = "msg_1", key: bytes = SECRET, **wrong: Any
) -> Response:
    raw = json.dumps({"type": kind, "timestamp": town.now.isoformat(), "data": data}).encode()
    at = str(int((town.now + wrong.get("off", timedelta())).timestamp()))
    signature = base64.b64encode(hmac.new(key, f"{name}.{at}.".encode() + raw, hashlib.sha256).digest()).decode()
    headers = {
        "webhook-id": name, "webhook-timestamp": at, "content-type": "application/json",
        "webhook-signature": wrong.get("signature", f"v1,{'A' * 43}= v1a,xyz v1,{signature}"),
    }  # fmt: skip
    return who.call("POST", "/shop/orders", content=wrong.get("raw", raw), headers=headers)


def code(answer: Response) -> str:
    return str(answer.json()["error"]["code"])


def test_an_order_comes_once_however_often_it_is_sent(town: Town, shop: Somebody) -> None:
    assert post(town, shop, "order.placed", order("T-1")).json() == {"new": True, "orders": ["T-1"], "events": 0}
    assert post(town, shop, "order.placed", order("T-1")).json()["new"] is False
    assert post(town, shop, "order.placed", order("T-1"), "msg_2").json()["new"] is True, "another id, the same order"
    conflict = post(town, shop, "order.placed", order("T-1", email="ben@example.com"), "msg_3")
    assert (conflict.status_code, code(conflict)) == (409, "order_conflict")
    assert town.staff().get("/orders/T-1")["shown"]["sentence"]


def test_what_the_shop_may_say_and_what_not(town: Town, shop: Somebody) -> None:
    post(town, shop, "order.placed", order("T-1"))
    paid = said("pay-1", "payment", town.now, "shop", payload={"amount_minor": 3778, "currency": "USD"})
    cancelled = said("c-1", "order_cancelled", town.now, "shop")
    answer = post(town, shop, "order.stated", {"number": "T-1", "statements": [paid, cancelled]}, "msg_2")
    assert answer.json() == {"new": True, "orders": ["T-1"], "events": 2}
    scan = {"carrier": "DHL", "number": "1234567890", "status": "in_transit", "physical": True}
    for count, forbidden in enumerate(
        (
            said("x", "dispatched", town.now, "shop"),
            said("x", "payment", town.now, "staff", payload={"amount_minor": 1, "currency": "USD"}),
            said("x", "carrier_scan", town.now, "carrier", payload=scan),
        )
    ):
        answer = post(town, shop, "order.stated", {"number": "T-1", "statements": [forbidden]}, f"msg_x{count}")
        assert (answer.status_code, code(answer)) == (403, "source_not_yours")
    # What was refused left no trace, so that the same id may come again, right.
    assert post(town, shop, "order.stated", {"number": "T-1", "statements": [paid]}, "msg_x0").json()["new"] is True


@pytest.mark.parametrize(
    "wrong",
    [
        {"key": bytes(32)}, {"signature": ""}, {"signature": "v1,"}, {"raw": b"{}"}, {"signature": "é".encode()},
        {"off": timedelta(minutes=5, seconds=1)}, {"off": -timedelta(minutes=5, seconds=1)},
    ],
)  # fmt: skip
def test_nobody_else_speaks_for_the_shop(town: Town, shop: Somebody, wrong: dict[str, Any]) -> None:
    answer = post(town, shop, "order.placed", order("T-1"), **wrong)
    assert answer.status_code == 401
    assert code(answer) == ("webhook_old" if "off" in wrong else "signature_invalid")
    town.staff().refused("GET", "/orders/T-1", 404, "order_unknown")


def test_without_a_secret_nobody_is_believed(town: Town) -> None:
    assert code(post(town, town.nobody(), "order.placed", order("T-1"), key=b"")) == "signature_invalid"


@pytest.mark.parametrize(
    "raw", [b"", b"[]", b'{"type": "order.eaten", "data": {}}', b'{"type": "order.placed"}', b"\xff"]
)
def test_a_signed_body_that_is_nothing_is_refused(town: Town, shop: Somebody, raw: bytes) -> None:
    at = str(int(town.now.timestamp()))
    signature = base64.b64encode(hmac.new(SECRET, f"m.{at}.".encode() + raw, hashlib.sha256).digest()).decode()
    headers = {"webhook-id": "m", "webhook-timestamp": at, "webhook-signature": f"v1,{signature}"}
    answer = shop.call("POST", "/shop/orders", content=raw, headers=headers)
    assert (answer.status_code, code(answer)) == (422, "webhook_unreadable")
