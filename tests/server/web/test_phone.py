"""Support on a telephone, on the day on which an agent has told the customer of story T "dispatched weeks ago".

One search, one look, one click: what is true, what to say and what settles it stand on the first screens, and the click
sends it again at once.
"""

from __future__ import annotations

from datetime import datetime
from pathlib import Path

import pytest
from playwright.sync_api import Browser, Locator, Page, expect

from server.rules.authority import Role
from server.service.ports import house_ports_of
from server.service.remedy_work import Shop
from server.sweep.remedies import sweep_remedies
from tests.server.web.streams import Web
from tests.server.web.tabs import tab
from tests.server.web.telling import tell
from tests.server.web.town import PASSWORD, Town

pytestmark = [pytest.mark.browser, pytest.mark.slow]
SAID_DISPATCHED = datetime(2016, 12, 2, 15, 0)  # noqa: DTZ001 - local time of the story
NUMBER, EMAIL = "HS-2016-0311", "dana.whitlock@example.org"
SCREEN_PX = 812


def top(what: Locator) -> float:
    box = what.bounding_box()
    assert box is not None, "it is shown"
    return box["y"]


def test_from_an_e_mail_address_to_the_click_that_settles_it(
    browser: Browser, town: Town, free_port: int, tmp_path: Path
) -> None:
    tell(town, "T", SAID_DISPATCHED)
    agent = town.somebody("ash@shop.example", Role.AGENT, PASSWORD)
    with Web(town.house, free_port) as web, tab(browser, web, town, agent, width=375, js=False) as page:
        base = f"http://127.0.0.1:{free_port}"
        page.goto(f"{base}/s")
        page.fill("input[name=q]", EMAIL)
        page.keyboard.press("Enter")
        expect(page.locator("main")).to_contain_text("our own receivers still hear it")
        page.click(f"text={NUMBER}")
        read_and_settle(page, town)
    shows_what_follows(town)


def read_and_settle(page: Page, town: Town) -> None:
    """The whole of it within three screens of a telephone, in this order: true, say, the one click."""
    true = page.get_by_text("Nothing shows that it left us: our own receivers still hear it.").first
    say = page.get_by_text("Your tag is still with us.").first
    click = page.get_by_role("button", name="Express reship").first
    assert top(true) < top(say) < top(click) < 3 * SCREEN_PX
    assert page.evaluate("document.documentElement.scrollWidth <= document.documentElement.clientWidth")
    click.click()
    expect(page.locator("main")).to_contain_text("Granted. Until it is tried it can be taken back here.")
    expect(
        page.get_by_role("button", name="Ask for it").first
    ).to_be_hidden()  # to act against the evidence is no click


def shows_what_follows(town: Town) -> None:
    """Once its moment has come it is carried out: a new label, and one letter to the customer."""
    house = town.house
    town.wait(hours=1)
    shop = Shop(
        house.engine, house_ports_of(house.engine, house.settings), house.policy, house.clock, "http://tags.test"
    )
    assert sweep_remedies(shop)["done"] == 1
    assert "done" not in sweep_remedies(shop), "once"
    answer = town.staff().get(f"/orders/{NUMBER}")
    assert [row for row in answer["tracking"] if row["number"].startswith("HSL-")]
    assert answer["shown"]["slots"][0]["shown"] != "left", "a label is not a shipment"
