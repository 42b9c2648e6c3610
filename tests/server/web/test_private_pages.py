"""A private tag's page in a real browser: look, refuse, save, ring, renew, share, and another device."""

from __future__ import annotations

from datetime import timedelta
from pathlib import Path

import pytest
from playwright.sync_api import Browser, expect

from owner import answer, phrase
from owner.keys import TagSecret, owner_ring
from owner.reports import read
from server.rules.authority import Role
from tests.server.web.far_side import FarSide
from tests.server.web.private_tabs import (
    BERLIN,
    KEPT,
    POTSDAM,
    Traffic,
    claim,
    fits,
    go,
    places,
    ready,
    settle_time,
)
from tests.server.web.streams import Web
from tests.server.web.town import PASSWORD, Somebody, Town
from wire import keys
from wire.sealed import Report, seal

pytestmark = [pytest.mark.browser, pytest.mark.slow]


@pytest.fixture
def ann(town: Town) -> Somebody:
    return town.somebody("ann@example.com", Role.OWNER, PASSWORD)


def test_history_by_day_refused_reports_and_files(
    browser: Browser, far_web: Web, town: Town, far: FarSide, ann: Somebody
) -> None:
    with ready(browser, far_web, town, ann) as page:
        words = claim(page, far_web, far)
        settle_time(page, town, hours=2)
        far.heard(*POTSDAM, accuracy_m=80)
        settle_time(page, town, hours=22)
        sealed = far.heard(*BERLIN)
        eid = sealed[1:17]
        day = int(town.now_s) // 86_400
        seed = phrase.seed_of(" ".join(words))
        invented = Report(525_000_000, 134_000_000, int(town.now_s) - 60, 10, -50, 0, b"\0\1\2\3", 3)
        far.file(eid, seal(invented, keys.day_public_key(seed, day)))
        far.file(eid, sealed[:-1] + b"\0" if sealed[-1] else sealed[:-1] + b"\1")
        settle_time(page, town, minutes=5)
        go(page, far_web, f"/t/{far.tag.serial}")
        expect(page.locator("#lead")).to_have_text("Heard 5 min ago within 95 m.")
        assert places(page) == ["52.52000, 13.40500", "52.39000, 13.06500"]
        days = page.locator("#day option").all_inner_texts()
        assert days == ["All days (2)", "Mon 23 Nov (1)", "Sun 22 Nov (1)"]
        page.select_option("#day", index=2)
        assert places(page) == ["52.39000, 13.06500"]
        page.click("#refused-count")
        assert page.inner_text("#refused-count") == "2 reports not believed, and why"
        said = page.inner_text("#refused-list")
        assert "1 × The tag never sent a frame with this ending." in said
        assert "1 × The day's key does not open it" in said
        page.select_option("#day", index=0)
        for kind in ("gpx", "geojson", "csv"):
            with page.expect_download() as coming:
                page.click(f"#save-{kind}")
            assert coming.value.suggested_filename == f"places.{kind}"
            saved = Path(coming.value.path()).read_text(encoding="utf-8")
            assert "52.39" in saved
            assert "52.52" in saved
        assert page.locator("svg.plan circle.dot").count() == 2
        assert "2 places" in (page.locator("svg.plan").get_attribute("aria-label") or "")


def test_the_page_and_the_terminal_say_the_same_of_a_report(
    browser: Browser, far_web: Web, town: Town, far: FarSide, ann: Somebody
) -> None:
    """Where the tag was: around the receiver, by its accuracy and the radio's reach."""
    with ready(browser, far_web, town, ann) as page:
        seed = phrase.seed_of(" ".join(claim(page, far_web, far)))
        settle_time(page, town, hours=1)
        sealed = far.heard(*BERLIN, accuracy_m=15)
        settle_time(page, town, minutes=2)
        go(page, far_web, f"/t/{far.tag.serial}")
        expect(page.locator("#lead")).to_have_text("Heard 2 min ago within 75 m.")
        (place,) = places(page)
    now_s = int(town.now_s)
    ring = owner_ring(TagSecret(far.tag.serial, seed), [now_s // 86_400])
    told = answer.where(far.tag.serial, read([sealed], ring, now_s), now_s)
    assert "heard 2 min ago (" in told
    assert f") within 75 m: {place}" in told


def test_no_locations_says_why(browser: Browser, far_web: Web, town: Town, far: FarSide, ann: Somebody) -> None:
    with ready(browser, far_web, town, ann, width=320) as page:
        claim(page, far_web, far)
        go(page, far_web, f"/t/{far.tag.serial}")
        expect(page.locator("#lead")).to_have_text("No locations, because no receiver reported the tag in these days.")
        eid = keys.eid(far.days[min(far.days)][0])
        far.file(eid, b"\1" + eid + bytes(72))
        page.click("#again")
        expect(page.locator("#lead")).to_have_text("No locations, because no report that came is believed.")
        expect(page.locator("#refused")).to_be_visible()
        assert fits(page)
        page.route("**/reports/fetch", lambda route: route.abort())
        page.click("#again")
        expect(page.locator("#wrong")).to_have_text(
            "Our server does not answer. Look at your connection, and try again."
        )


def test_another_device_types_the_words(
    browser: Browser, far_web: Web, town: Town, far: FarSide, ann: Somebody
) -> None:
    with ready(browser, far_web, town, ann) as page:
        words = claim(page, far_web, far)
        settle_time(page, town, hours=1)
        far.heard(*BERLIN)
    fetches: list[int] = []
    with ready(browser, far_web, town, ann) as page:
        page.on("response", lambda told: fetches.append(told.status) if told.url.endswith("/reports/fetch") else None)
        go(page, far_web, f"/t/{far.tag.serial}")
        expect(page.locator("#no-keys")).to_be_visible()
        for typed, said in (
            (" ".join(words[:23]), "A recovery phrase has 24 words, this one 23."),
            (" ".join(["hearsight", *words[1:]]), "Word 1 is not on the list."),
            (phrase.phrase_of(bytes(32)), "Our server has no keys of these days for this tag."),
        ):
            page.fill("#phrase", typed)
            page.click("#phrase-form button")
            expect(page.locator("#phrase-wrong")).to_contain_text(said)
        page.fill("#phrase", " ".join(word[:4] for word in words))
        page.click("#phrase-form button")
        expect(page.locator("#lead")).to_contain_text("Heard")
        assert places(page) == ["52.52000, 13.40500"]
        # Another tag's words, the right ones, and the look with them: one request each, whatever days are not known.
        assert fetches == [200] * 3
        expect(page.locator("#no-keys")).to_be_hidden()
        # It has no code yet, which the tag asks for.
        page.fill("#ring-gateway", "home-elm")
        page.fill("#code", far.tag.code)
        page.click("#ring")
        expect(page.locator("#steps")).to_contain_text("It rings for 10 seconds.")
        assert page.evaluate(KEPT)["claimKey"] == far.tag.state.unit.k_claim.hex()
        page.check("#forget-form input")
        page.click("#forget-form button")
        expect(page.locator("#no-keys")).to_be_visible()
        expect(page.locator("#answer")).to_be_hidden()
        assert page.evaluate(KEPT) is None


def test_ring_and_renew(browser: Browser, far_web: Web, town: Town, far: FarSide, ann: Somebody) -> None:
    with ready(browser, far_web, town, ann) as page:
        claim(page, far_web, far)
        go(page, far_web, f"/t/{far.tag.serial}")
        expect(page.locator("#renew-notice")).to_be_hidden()
        page.fill("#ring-gateway", "home-elm")
        page.click("#ring")
        expect(page.locator("#steps")).to_contain_text("It rings for 10 seconds.")
        assert far.tag.state.ram is not None
        assert far.tag.state.ram.sound_until_at_s == pytest.approx(town.now_s + 10, abs=31)
        before_ = dict(far.days)
        settle_time(page, town, days=2)
        ends = far.renew_due()
        go(page, far_web, f"/t/{far.tag.serial}")
        expect(page.locator("#renew-notice")).to_contain_text(f"The tag's identifiers end on {ends}")
        page.fill("#ring-gateway", "home-elm")
        far.press()
        page.click("#renew")
        expect(page.locator("#steps")).to_contain_text("The tag holds the days of another year.")
        assert max(far.days) == max(before_) + 2
        assert far.tag.state.nvm.first_day == min(before_) + 2


# --- A share ----------------------------------------------------------------------------------------------


def test_a_share_is_opened_without_an_account_and_ends(
    browser: Browser, far_web: Web, town: Town, far: FarSide, ann: Somebody
) -> None:
    with ready(browser, far_web, town, ann) as page:
        claim(page, far_web, far)
        settle_time(page, town, hours=3)
        far.heard(*BERLIN)
        settle_time(page, town, days=1)
        far.heard(*POTSDAM)
        go(page, far_web, f"/t/{far.tag.serial}")
        page.select_option("#share-days", "7")
        page.click("#share-form button")
        page.wait_for_selector("#share-made")
        link = page.input_value("#share-link")
    context = browser.new_context(viewport={"width": 320, "height": 800})
    guest = context.new_page()
    guest.clock.set_fixed_time(town.now + timedelta(minutes=2))
    traffic = Traffic(guest)
    guest.goto(link)
    expect(guest.locator("#lead")).to_have_text("Heard 2 min ago within 95 m.")
    assert places(guest) == ["52.39000, 13.06500"], "yesterday was not shared"
    expect(guest.locator("#share-words")).to_contain_text("Mon 23 Nov to Mon 30 Nov (days in UTC)")
    expect(guest.locator("#unchecked")).to_be_visible()
    assert guest.url.endswith("/shared")
    assert link.split("#")[1].encode()[:40] not in traffic.sent
    assert fits(guest)
    guest.clock.set_fixed_time(town.now + timedelta(days=7, seconds=1))
    guest.click("#again")
    expect(guest.locator("#wrong")).to_have_text("This share has ended. Ask the owner for a new one.")
    expect(guest.locator("#answer")).to_be_hidden()
    guest.fill("#share-link", link[:-3])
    guest.click("#share-form button")
    expect(guest.locator("#wrong")).to_have_text("This is not a whole share. Was the link cut off? Copy all of it.")
    context.close()
