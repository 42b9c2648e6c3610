"""A private claim in a real browser: words, button, and nothing secret leaves it; what fails says what to do."""

from __future__ import annotations

import pytest
from playwright.sync_api import Browser, expect

from owner import phrase
from server.rules.authority import Role
from server.service import private_words
from tests.server.web.far_side import FarSide
from tests.server.web.private_tabs import (
    BERLIN,
    KEPT,
    Traffic,
    claim,
    fits,
    give_back,
    go,
    places,
    ready,
    settle_time,
    to_the_words,
)
from tests.server.web.streams import Web
from tests.server.web.tabs import tab
from tests.server.web.town import PASSWORD, Somebody, Town
from wire import keys

pytestmark = [pytest.mark.browser, pytest.mark.slow]


@pytest.fixture
def ann(town: Town) -> Somebody:
    return town.somebody("ann@example.com", Role.OWNER, PASSWORD)


def test_claim_walk_away_and_look_and_nothing_secret_leaves_the_browser(
    browser: Browser, far_web: Web, town: Town, far: FarSide, ann: Somebody
) -> None:
    with ready(browser, far_web, town, ann) as page:
        traffic = Traffic(page)
        words = claim(page, far_web, far)
        assert far.tag.state.nvm.k_own
        assert len(far.tag.state.nvm.eids) == 366 * 16
        expect(page.locator("#steps li").last).to_have_text("The tag holds its year of identifiers. It is yours alone.")
        settle_time(page, town, hours=1)
        far.heard(*BERLIN)
        settle_time(page, town, minutes=2)
        page.click("#to-tag")
        expect(page.locator("#lead")).to_have_text("Heard 2 min ago within 95 m.")
        assert places(page) == ["52.52000, 13.40500"]
        assert page.locator("#facts a").get_attribute("href") == "geo:52.52,13.405"
        page.click("#share-form button")
        page.wait_for_selector("#share-made")
        kept = page.evaluate(KEPT)
    seed = phrase.seed_of(" ".join(words))
    assert kept["seed"] == seed.hex()
    assert kept["state"] == "owned"
    assert far.tag.state.nvm.k_own == keys.own_key(seed)
    secrets_ = {"S_o": seed, "K_own": keys.own_key(seed), "K_claim": far.tag.state.unit.k_claim}
    secrets_ |= {f"d of {day}": keys.day_private_key(seed, day) for day in far.days}
    assert {name: traffic.holds(secret) for name, secret in secrets_.items() if traffic.holds(secret)} == {}
    assert far.tag.code.encode() not in traffic.sent
    assert not [word for word in (" ".join(words[:4]), "%20".join(words[:4])) if word.encode() in traffic.sent]
    # The net does hold what is meant to leave.
    day = min(far.days)
    assert traffic.holds(keys.day_public_key(seed, day))
    assert traffic.holds(keys.claim_hash(far.tag.state.unit.k_claim)) == "hex"
    assert traffic.holds(keys.fetch_token(seed, day)) == "hex"


def test_the_code_is_never_part_of_what_the_form_sends(
    browser: Browser, far_web: Web, town: Town, far: FarSide, ann: Somebody
) -> None:
    with ready(browser, far_web, town, ann) as page:
        go(page, far_web, f"/c/#{far.tag.code}")
        assert page.url.endswith("/c/"), "not in the address bar"
        sends = "[...new FormData(document.getElementById('claim-form')).keys()]"
        page.check("[value=managed]")
        assert page.evaluate(sends) == ["csrf", "code", "kind"]
        page.check("[value=private]")
        assert page.evaluate(sends) == ["csrf", "kind"]
        page.fill("#code", "AAAAA")
        page.click("#claim-form button")
        expect(page.locator("#claim-wrong")).to_have_text(
            "A character of the code is wrong or missing. Compare it with the code in the box."
        )


def test_both_ways_say_their_consequence_and_without_scripts_only_one_is_open(
    browser: Browser, far_web: Web, town: Town, far: FarSide, ann: Somebody
) -> None:
    with tab(browser, far_web, town, ann, js=False, width=320) as page:
        page.goto(f"http://127.0.0.1:{far_web.port}/c/")
        shown = page.inner_text("#claim-form")
        for sentence in (private_words.PRIVATE_MEANS, private_words.MANAGED_MEANS, private_words.NEEDS_SCRIPT):
            assert sentence in shown
        assert page.is_disabled("[value=private]")
        assert not page.is_disabled("[value=managed]")
        page.check("[value=managed]")
        page.fill("#code", far.tag.code)
        page.click("#claim-form button")
        assert "/c/" in page.url
        expect(page.locator("h1")).to_have_text(f"Claiming tag {far.tag.serial}")


def test_a_form_that_says_private_is_refused(town: Town, far: FarSide, ann: Somebody) -> None:
    fields = {"code": far.tag.code, "kind": "private"}
    answer = town.client.post("/c/", data=fields, headers=ann.headers(), follow_redirects=False)
    assert answer.status_code == 422
    assert "with JavaScript" in answer.text


def test_words_must_come_back_and_every_failure_says_what_to_do(
    browser: Browser, far_web: Web, town: Town, far: FarSide, ann: Somebody
) -> None:
    with ready(browser, far_web, town, ann, width=320) as page:
        words = to_the_words(page, far_web, far)
        assert fits(page)
        page.click("#written")
        page.fill("#word-0", "zebra")
        page.fill("#word-1", "zebra")
        page.click("#check-form button:not([type])")
        expect(page.locator("#check-wrong")).to_contain_text("on your paper is another one. Look at the words again")
        page.click("#words-again")
        assert page.locator("#words li").all_inner_texts() == words
        give_back(page, words)
        assert fits(page)
        page.click("#go")  # without the button
        expect(page.locator("#carry-wrong")).to_have_text(
            "The tag's button was not pressed in the last minute. Press the button, then try again at once."
        )
        far.press()
        far.faults = ["", "not_reachable"]  # the line breaks once: it goes on by itself
        page.click("#go")
        expect(page.locator("#done")).to_be_visible()
        expect(page.locator("#done")).to_contain_text("For half an hour the tag says that it is near its owner")
        expect(page.locator("#steps")).to_contain_text("The link to the tag was cut off. Once more.")
        assert fits(page)
        assert page.evaluate("document.activeElement.textContent") == "This tag is yours, and private"


def test_a_claim_that_was_cut_off_goes_on_where_it_was(
    browser: Browser, far_web: Web, town: Town, far: FarSide, ann: Somebody
) -> None:
    with ready(browser, far_web, town, ann) as page:
        words = to_the_words(page, far_web, far)
        go(page, far_web, "/c/")
        page.click("#unfinished >> text=Go on with it")
        assert page.locator("#words li").all_inner_texts() == words
        give_back(page, words)
        far.press()
        # open, connect and write for the signature, then the list: cut off in its middle, and no gateway any more
        far.faults = [""] * 7 + ["gateway_unreachable"] * 2
        page.click("#go")
        expect(page.locator("#carry-wrong")).to_contain_text("No gateway can carry this just now.")
        assert page.evaluate(KEPT)["state"] == "activated"
        go(page, far_web, "/c/")
        page.click("#unfinished >> text=Go on with it")
        town.wait(minutes=5)  # no second press is needed
        page.click("#go")
        expect(page.locator("#done")).to_be_visible()
        assert far.tag.state.nvm.k_own == keys.own_key(phrase.seed_of(" ".join(words)))
        go(page, far_web, "/c/")
        expect(page.locator("#unfinished")).to_be_hidden()


def test_a_former_owner_is_forgotten_first(
    browser: Browser, far_web: Web, town: Town, far: FarSide, ann: Somebody
) -> None:
    bob = town.owner("bob@example.com")
    town.claim(bob, far.tag)
    bob.post(f"/tags/{far.tag.serial}/release")
    with ready(browser, far_web, town, ann) as page:
        words = claim(page, far_web, far)
        expect(page.locator("#steps")).to_contain_text("The tag forgets its former owner.")
    assert far.tag.state.nvm.k_own == keys.own_key(phrase.seed_of(" ".join(words)))
