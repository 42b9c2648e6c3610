"""The tag's page in a real browser: it keeps itself true while it is looked at, and does not disturb who uses it."""

from __future__ import annotations

import pytest
from playwright.sync_api import Browser, Page, expect
from sqlalchemy import text

from server.rules.authority import Role
from tests.server.web.streams import Web, heard, until
from tests.server.web.tabs import PATIENCE_MS, tab
from tests.server.web.town import PASSWORD, Somebody, Tag, Town

pytestmark = [pytest.mark.browser, pytest.mark.slow]


@pytest.fixture
def ann(town: Town) -> Somebody:
    town.gateway("gw")
    return town.somebody("ann@example.com", Role.OWNER, PASSWORD)


@pytest.fixture
def tag(town: Town, ann: Somebody) -> Tag:
    made = town.tag()
    town.claim(ann, made)
    return made


def shows(page: Page, selector: str, words: str) -> None:
    expect(page.locator(selector)).to_contain_text(words, timeout=PATIENCE_MS)


def clock(at: str) -> str:
    return at[11:16]


@pytest.mark.parametrize("width", [320, 1280])
def test_a_hearing_stands_on_the_page_without_a_reload(
    browser: Browser, town: Town, ann: Somebody, tag: Tag, free_port: int, width: int
) -> None:
    with Web(town.house, free_port) as web, tab(browser, web, town, ann, width=width) as page:
        page.goto(f"http://127.0.0.1:{free_port}/t/{tag.serial}")
        shows(page, ".sign", "Live")
        page.evaluate("window.before = performance.timeOrigin")
        page.fill("#message", "half a sentence")
        page.focus("#message")
        for _ in range(2):
            at = heard(town, tag.serial)
            shows(page, "#now .lead", f"(today {clock(at)})")
            shows(page, "#past tbody", clock(at))
            shows(page, ".sign", "Live – updated today")
        assert page.input_value("#message") == "half a sentence"
        assert page.evaluate("document.activeElement.id") == "message"
        assert page.evaluate("window.before === performance.timeOrigin"), "it was loaded again"
        assert page.evaluate("document.documentElement.scrollWidth <= document.documentElement.clientWidth")
        assert page.locator(".sign").get_attribute("aria-live") == "polite"


def test_what_was_heard_while_the_page_came_here_is_read_at_once(
    browser: Browser, town: Town, ann: Somebody, tag: Tag, free_port: int
) -> None:
    with Web(town.house, free_port) as web, tab(browser, web, town, ann) as page:
        page.route("**/live", lambda route: (heard(town, tag.serial), route.continue_()))
        page.goto(f"http://127.0.0.1:{free_port}/t/{tag.serial}")
        shows(page, "#now .lead", "Heard")


def test_it_says_when_it_is_not_live_and_comes_back_by_itself(
    browser: Browser, town: Town, ann: Somebody, tag: Tag, free_port: int
) -> None:
    with Web(town.house, free_port) as web, tab(browser, web, town, ann) as page:
        page.goto(f"http://127.0.0.1:{free_port}/t/{tag.serial}")
        shows(page, ".sign", "Live")
        web.__exit__()
        shows(page, ".sign", "Reconnecting – showing last known")
        at = heard(town, tag.serial)
        with Web(town.house, free_port):
            shows(page, "#now .lead", f"(today {clock(at)})")
            shows(page, ".sign", "Live")
            with town.engine.begin() as tx:
                tx.execute(text("update sessions set revoked_at = now()"))
            heard(town, tag.serial)
            shows(page, ".sign", "Not live any more. This needs somebody who is signed in.")


def test_a_tab_that_nobody_sees_holds_no_line(
    browser: Browser, town: Town, ann: Somebody, tag: Tag, free_port: int
) -> None:
    hide = "Object.defineProperty(document, 'hidden', {{get: () => {0}, configurable: true}});"
    hide += "document.dispatchEvent(new Event('visibilitychange'))"
    with Web(town.house, free_port) as web, tab(browser, web, town, ann) as page:
        page.goto(f"http://127.0.0.1:{free_port}/t/{tag.serial}")
        shows(page, ".sign", "Live")
        page.evaluate(hide.format("true"))
        until(lambda: web.live._by_account.total() == 0)
        at = heard(town, tag.serial)
        page.evaluate(hide.format("false"))
        shows(page, "#now .lead", f"(today {clock(at)})")
        shows(page, ".sign", "Live")


def test_eight_tabs_at_once_all_load(browser: Browser, town: Town, ann: Somebody, tag: Tag, free_port: int) -> None:
    """One line a tab and six connections to a server: without a limit below six the seventh would hang."""
    with Web(town.house, free_port) as web, tab(browser, web, town, ann) as first:
        for page in [first, *(first.context.new_page() for _ in range(7))]:
            page.goto(f"http://127.0.0.1:{free_port}/t/{tag.serial}", timeout=PATIENCE_MS)
            expect(page.locator(".sign")).to_contain_text("ive", timeout=PATIENCE_MS)
        assert web.live._by_account.total() == 5


def test_without_javascript_it_is_the_page_it_was(
    browser: Browser, town: Town, ann: Somebody, tag: Tag, free_port: int
) -> None:
    with Web(town.house, free_port) as web, tab(browser, web, town, ann, js=False) as page:
        page.goto(f"http://127.0.0.1:{free_port}/t/{tag.serial}")
        assert not page.locator(".sign").is_visible()
        at = heard(town, tag.serial)
        page.reload()
        shows(page, "#now .lead", f"(today {clock(at)})")
