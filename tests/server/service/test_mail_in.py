"""Mail-in below the web: a letter says the same whoever puts it to its order, and an order has one address."""

from __future__ import annotations

from dataclasses import replace

import pytest

from server.rules.authority import Role
from server.service import answers, mail_in
from server.service import orders as stating
from server.service.threads import Reading, thread
from server.store import orders
from tests.server.service.remedy_town import place, refused, somebody
from tests.server.service.test_mail_reader import letter
from tests.server.web.town import Town


def words(town: Town, number: str) -> list[str]:
    with town.house.work() as (tx, now):
        looked = answers.weighing(tx, number, town.house.policy, now)
        return [each.words.text for each in thread(tx, town.house, looked, Reading.STAFF).messages]


def test_a_letter_that_waited_reads_like_one_that_did_not(town: Town) -> None:
    place(town, "T-1", email="ann@example.com")
    place(town, "T-2", email="bob@example.com")
    photo = letter("See the photo", subject="T-1")
    photo.add_attachment(b"\x89PNG", maintype="image", subtype="png", filename="a.png")
    agent = somebody(town, Role.AGENT)
    with town.house.work() as (tx, now):
        assert mail_in.receive(tx, town.house, bytes(photo), now).order == "T-1"
    photo.replace_header("Subject", "No number")
    photo.replace_header("From", "eve@example.com")
    with town.house.work() as (tx, now):
        waits = mail_in.receive(tx, town.house, bytes(photo), now)
        assert (waits.outcome, waits.order) == ("waits", None)
        for _ in range(2):
            mail_in.settle(tx, town.house, waits.no, "T-2", agent, agent.email, now)
    assert words(town, "T-1") == ["From: ann@example.com\nT-1\n\nSee the photo\n[1 attachments, not kept]"]
    assert words(town, "T-2") == ["From: eve@example.com\nNo number\n\nSee the photo\n[1 attachments, not kept]"]


@pytest.mark.parametrize("email", ["a@b,evil", "a@b\r\nBcc: evil@c", "a b@c", "", "ann"])
def test_an_order_is_not_recorded_for_what_is_no_address(town: Town, email: str) -> None:
    place(town, "T-1")
    with town.house.work() as (tx, _):
        known = orders.order(tx, "T-1")
        assert known is not None
        with refused("email_invalid"):
            stating.record(tx, replace(known, number="T-2", email=email))
        assert orders.order(tx, "T-2") is None
