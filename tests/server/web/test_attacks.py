"""What somebody tries who is not content with the doors: other addresses, words in the address line, odd days."""

from __future__ import annotations

import asyncio

import pytest
from fastapi.testclient import TestClient
from paho.mqtt.client import MQTTMessage
from sqlalchemy import text
from sqlalchemy.exc import DBAPIError
from starlette.types import Message
from structlog.testing import capture_logs

from server.commands.link import DROPPED, PAYLOAD_MAX, Link
from server.rules.authority import Role
from server.service.accounts import household
from tests.server.web.town import PASSWORD, Town
from wire import topics


@pytest.mark.parametrize(
    ("address", "counted_as"),
    [
        ("192.0.2.7", "192.0.2.7"),
        ("2001:db8:1:2:3:4:5:6", "2001:db8:1:2::/64"),
        ("fe80::1%eth0", "fe80::/64"),
        ("::ffff:192.0.2.7", "192.0.2.7"),
        ("testclient", "unknown"),
    ],
)
def test_whose_tries_are_counted_together(address: str, counted_as: str) -> None:
    assert household(address) == counted_as
    assert household(counted_as) == counted_as


def test_another_address_of_the_same_network_is_no_new_guesser(town: Town) -> None:
    def guess(address: str) -> int:
        body = {"number": "T-1", "email": "ann@example.com"}
        return TestClient(town.client.app, client=(address, 50_000)).post("/o", data=body).status_code

    assert {guess(f"2001:db8::{n:x}") for n in range(1, 11)} == {404}
    assert guess("2001:db8::ffff") == 429
    assert guess("2001:db8:0:1::1") == 404


@pytest.mark.parametrize("header", ["x-forwarded-for", "x-real-ip", "x-forwarded-host", "forwarded", "via"])
def test_whoever_comes_through_a_proxy_is_not_on_this_machine(town: Town, header: str) -> None:
    here = TestClient(town.client.app, client=("127.0.0.1", 50_000))
    assert here.get("/metrics", headers={header: "198.51.100.9"}).status_code == 401


def test_a_page_says_no_words_out_of_an_address(town: Town) -> None:
    ann = town.somebody("ann@example.com", Role.OWNER, PASSWORD)
    browser = TestClient(town.client.app)
    assert "Call" not in browser.get("/sign-in?done=Call+0900+1234").text
    said = browser.post("/forgot", data={"email": ann.email}).text
    assert "one with a link is on its way" in said
    assert "is on its way" not in browser.get("/sign-in").text, "it is said once"


@pytest.mark.parametrize("day", ["9999-12-31", "0001-01-01", "1999-12-31", "22 Nov"])
def test_a_day_outside_of_our_calendar_is_refused(town: Town, day: str) -> None:
    ann, tag = town.owner(), town.tag()
    town.claim(ann, tag)
    assert town.client.get(f"/t/{tag.serial}?day={day}", headers=ann.headers()).status_code == 422
    assert town.client.get(f"/t/{tag.serial}?day=2026-11-22", headers=ann.headers()).status_code == 200


@pytest.mark.parametrize("day", ["9999-12-31", "0001-01-01"])
def test_an_order_to_be_shipped_outside_of_our_calendar_is_refused(town: Town, day: str) -> None:
    lines = [{"sku": "TAG-1", "title": "Tag", "slots": [{"ship_by": day}]}]
    order = {"number": "T-1", "email": "ann@example.com", "customer_name": "Ann", "lines": lines, "ship_to": {}}
    order |= {"placed_at": "2026-11-16T09:30:00-05:00", "zone": "Pacific/Auckland"}
    town.staff(Role.AGENT).refused("POST", "/orders", 422, "bad_request", json=order)


@pytest.mark.parametrize("grace", ["1e999", "1e30", "-1", "604801"])
def test_a_calendar_that_would_break_the_orders_of_a_site_is_refused(town: Town, grace: str) -> None:
    site = '{"site":"x","name":"X","zone":"UTC","lat":1,"lon":1,"calendar":{"pickup_grace_s":0}}'
    body = site.replace(":0}", f":{grace}}}")  # as text: JSON writers refuse such numbers
    headers = {"content-type": "application/json"}
    operator = town.staff(Role.OPERATOR)
    operator.refused("POST", "/sites", 422, "site_invalid", content=body, headers=headers)


def test_our_test_letters_are_no_way_to_fill_a_strangers_mailbox(town: Town) -> None:
    ann = town.owner()
    no = ann.post("/channels", {"kind": "email", "address": "stranger@example.org"})["no"]
    for _ in range(10):
        ann.post(f"/channels/{no}/test")
        town.wait(seconds=1)
    ann.refused("POST", f"/channels/{no}/test", 429, "too_many")


def test_an_error_of_the_database_does_not_repeat_what_was_to_be_written(town: Town) -> None:
    with pytest.raises(DBAPIError) as error, town.house.work() as (tx, _):
        tx.execute(text("select cast(:secret as integer) / 0"), {"secret": 271828})
    assert "271828" not in str(error.value)


def test_whoever_hangs_up_in_the_middle_of_a_form_breaks_nothing(town: Town) -> None:
    coming: list[Message] = [
        {"type": "http.request", "body": b"email=", "more_body": True},
        {"type": "http.disconnect"},
    ]
    answers: list[Message] = []

    async def receive() -> Message:
        return coming.pop(0)

    async def send(message: Message) -> None:
        answers.append(message)

    form = [(b"content-type", b"application/x-www-form-urlencoded"), (b"content-length", b"1000")]
    scope = {
        "type": "http", "method": "POST", "path": "/forgot", "raw_path": b"/forgot", "query_string": b"",
        "headers": form, "client": ("192.0.2.1", 5), "server": ("tags.test", 80), "scheme": "http",
        "http_version": "1.1",
    }  # fmt: skip

    async def call() -> None:
        await town.client.app(scope, receive, send)

    with capture_logs() as logged:
        asyncio.run(call())
    assert (answers, logged) == ([], [])


def test_a_message_larger_than_any_of_ours_is_not_even_queued() -> None:
    link = Link("mqtt://127.0.0.1:1", "attacked", log=print)
    before = DROPPED.labels("oversized")._value.get()
    for size in (PAYLOAD_MAX, PAYLOAD_MAX + 1):
        message = MQTTMessage(topic=topics.answer("dock-1").encode())
        message.payload = bytes(size)
        link._on_message(link._client, None, message)
    assert link._inbox.qsize() == 1
    assert DROPPED.labels("oversized")._value.get() == before + 1
