"""Whoever of staff looks at a customer's order or tag leaves a trace, by every way there is to look."""

from __future__ import annotations

import pytest

from server.rules.authority import Role
from tests.server.web.test_access import PAGES, STAFF, TABLE
from tests.server.web.test_orders import refuted
from tests.server.web.town import Town

# Lists that name orders or their customers.
LISTS = ("findings", "promises", "waiting", "remedies", "mail-in")
# Ways to look at one order or one tag. Asking who else looks is none: it shows nothing of the customer.
LOOKS = sorted(
    route
    for route, allowed in (TABLE | PAGES).items()
    if route.startswith("GET ")
    and not route.endswith("/looking")
    and allowed & STAFF
    and ("{number}" in route or ("tag" in route and "{serial}" in route))
)
NUMBER = "T-1"


def test_there_are_ways_to_look() -> None:
    assert "GET /api/v1/orders/{number}" in LOOKS
    assert "GET /s/tag/{serial}" in LOOKS


@pytest.mark.parametrize("route", LOOKS)
def test_every_look_is_written_down(town: Town, route: str) -> None:
    _, tag = refuted(town)
    who = town.staff(Role.AGENT)
    reader = town.staff(Role.SUPERVISOR)
    path = route.removeprefix("GET ").format(number=NUMBER, serial=tag.serial)
    answer = town.client.get(path, headers=who.headers())
    assert answer.status_code == 200, answer.text
    subject = f"order:{NUMBER}" if "{number}" in route else f"tag:{tag.serial}"
    entries = reader.get("/audit", params={"subject": subject})
    assert [(each["actor"], each["action"]) for each in entries if each["actor"] == who.email] == [
        (who.email, "viewed")
    ]


@pytest.mark.parametrize("name", LISTS)
def test_every_look_at_a_list_is_written_down(town: Town, name: str) -> None:
    who, reader = town.staff(Role.AGENT), town.staff(Role.SUPERVISOR)
    page = {"mail-in": "mail"}.get(name, name)
    for seen, path in enumerate((f"/api/v1/{name}", f"/s/{page}"), 1):
        town.wait(hours=1)
        assert town.client.get(path, headers=who.headers()).status_code == 200
        actors = [each["actor"] for each in reader.get("/audit", params={"subject": name})]
        assert actors.count(who.email) == seen, path
