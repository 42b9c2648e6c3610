"""Every page in a real browser on the running demo: nothing sticks out, nothing is loaded from elsewhere, no error."""

from __future__ import annotations

import pytest
from playwright.sync_api import Browser

from tests.e2e.conftest import Demo
from tests.e2e.tabs import sign_in, tab

pytestmark = [pytest.mark.e2e, pytest.mark.browser, pytest.mark.slow, pytest.mark.timeout(600)]
AGENT, CUSTOMER, OPERATOR = "ash.agent@example.org", "rowan.ellery@example.org", "olga.operator@example.org"
GOOD, BAD, TAG = "HS-2026-1107", "HS-2016-0311", 7001001
SUPPORT = ["/s", f"/s?q={BAD}", f"/s/order/{BAD}", f"/s/order/{GOOD}", f"/s/order/{BAD}/why", f"/s/tag/{TAG}"]
DESK = [
    f"/s/order/{BAD}/message",
    "/s/waiting",
    "/s/mail",
    "/s/ways-in",
    "/s/findings",
    "/s/promises",
    "/s/remedies",
    "/s/imports",
]
PAGES = {
    "": ["/", "/o", "/sign-in", "/forgot", "/reset", "/service"],
    CUSTOMER: ["/", f"/t/{TAG}", "/c/", "/settings"],
    AGENT: [*SUPPORT, *DESK, "/s/gateways", "/settings"],
    OPERATOR: ["/s/gateways", "/s/audit"],
}


@pytest.mark.parametrize(("width", "scheme"), [(320, "light"), (375, "dark"), (1280, "light")])
@pytest.mark.parametrize("account", PAGES)
def test_no_page_sticks_out_or_asks_elsewhere(
    browser: Browser, demo: Demo, account: str, width: int, scheme: str
) -> None:
    with tab(browser, demo, account, width=width, scheme=scheme) as page:
        for path in PAGES[account]:
            answer = page.goto(demo.url + path)
            assert answer is not None
            assert answer.ok, path
            assert page.title().endswith("Hearsight")
            assert page.locator("h1").count() == 1, path
            sticking_out = page.evaluate("document.documentElement.scrollWidth - document.documentElement.clientWidth")
            assert sticking_out <= 0, f"{path} at {width} px"
            unnamed = page.evaluate(
                "[...document.querySelectorAll('input:not([type=hidden]),textarea,select')]"
                ".filter(field => !field.labels.length).map(field => field.name)"
            )
            assert unnamed == [], path


def test_text_twice_as_large_still_fits(browser: Browser, demo: Demo) -> None:
    with tab(browser, demo, AGENT, width=640) as page:
        for path in SUPPORT:
            page.goto(demo.url + path)
            page.evaluate("document.documentElement.style.fontSize = '200%'")
            assert page.evaluate("document.documentElement.scrollWidth <= document.documentElement.clientWidth"), path


def test_a_worried_customer_reads_what_is_true(browser: Browser, demo: Demo) -> None:
    with tab(browser, demo, "") as page:
        page.goto(f"{demo.url}/o")
        page.fill("#number", BAD)
        page.fill("#email", "dana.whitlock@example.org")
        page.click("main button")
        lead = page.locator(".lead").first.inner_text()
        assert lead.startswith("Our record says dispatched. Nothing shows that it left us")
        assert page.get_by_text("contradicted").count() >= 2
        assert page.get_by_text("agent O").count() == 0, "no person's name"


def test_support_finds_the_order_by_the_customers_address(browser: Browser, demo: Demo) -> None:
    with tab(browser, demo, AGENT) as page:
        page.goto(f"{demo.url}/s")
        page.fill("#q", "dana.whitlock@example.org")
        page.click("form.search button")
        page.click(f"text={BAD}")
        page.wait_for_url(f"**/s/order/{BAD}")
        assert page.get_by_role("heading", name="Said to be gone, heard inside").count() == 1
        assert page.get_by_text("The customer reads exactly this.").count() == 1


def test_owner_names_loses_and_finds_a_tag_without_javascript(browser: Browser, demo: Demo) -> None:
    context = browser.new_context(java_script_enabled=False, viewport={"width": 375, "height": 800})
    page = context.new_page()
    sign_in(page, demo, CUSTOMER)
    page.goto(f"{demo.url}/t/{TAG}")
    page.fill("#name", "Bicycle")
    page.click("text=Rename")
    assert page.locator("h1").inner_text() == "Bicycle"
    if page.get_by_text("It is back").count():
        page.click("text=It is back")
    page.fill("#message", "Please write to me")
    page.click("button:has-text('Report it lost')")
    assert page.get_by_text("You get a message when it is heard").count() == 1
    code = demo.api(CUSTOMER).get(f"/tags/{TAG}").json()["found_code"]
    finder = browser.new_context(java_script_enabled=False).new_page()
    finder.goto(f"{demo.url}/f/{code}")
    assert finder.get_by_text("Please write to me").count() == 1
    assert "35.6" not in finder.content()
    page.click("text=It is back")
    finder.reload()
    assert finder.get_by_text("not reported lost").count() == 1
    context.close()


def test_the_code_of_a_box_goes_from_the_address_into_the_field(browser: Browser, demo: Demo) -> None:
    with tab(browser, demo, CUSTOMER) as page:
        page.goto(f"{demo.url}/c/#ABCDE-FGHJK")
        page.wait_for_function("document.querySelector('#code').value === 'ABCDE-FGHJK'")
        assert page.url == f"{demo.url}/c/"


def test_no_page_of_support_shows_where_a_claimed_tag_is(browser: Browser, demo: Demo) -> None:
    place = demo.api(CUSTOMER).get(f"/tags/{TAG}").json()["last"]
    assert place is not None
    with tab(browser, demo, AGENT) as page:
        for path in [*SUPPORT, f"/s?q={TAG}", "/s?q=home-elm", "/s/gateways"]:
            page.goto(demo.url + path)
            assert f"{place['lat']:.3f}" not in page.content(), path
