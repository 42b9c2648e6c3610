"""The button "Tell me on this device" in Chromium: what it says when it may not, and what happens when it may.

Google's push service is not asked: PushManager alone is replaced, by one that gives what a browser would. The service
worker is ours and real, and shows what the browser hands it.
"""

from __future__ import annotations

import base64
import json
from collections.abc import Iterator

import pytest
from playwright.sync_api import Browser, Page, expect

from server.notify.webpush import plain
from server.notify.words import Letter
from server.rules.authority import Role
from tests.server.web.streams import Web
from tests.server.web.tabs import PATIENCE_MS, tab
from tests.server.web.town import PASSWORD, Somebody, Town

pytestmark = [pytest.mark.browser, pytest.mark.slow]

# What the push service gives: RFC 8291's own browser.
SUBSCRIBED = {
    "endpoint": "https://push.example.com/send/abc",
    "keys": {
        "p256dh": "BCVxsr7N_eNgVRqvHtD0zTZsEc6-VV-JvLexhqUzORcxaOzi6-AYWXvTBHm4bjyPjs7Vd8pZGH6SRpkNtoIAiw4",
        "auth": "BTBZMqHH6r4Tts7J_aSIgg",
    },
}
PUSH_SERVICE = (
    "PushManager.prototype.subscribe = async (asked) => {"
    " window.askedKey = btoa(String.fromCharCode(...new Uint8Array(asked.applicationServerKey)));"
    f" return {{ toJSON: () => ({json.dumps(SUBSCRIBED)}) }}; }};"
    "PushManager.prototype.getSubscription = async () => null;"
)
NO_PUSH_SERVICE = (
    "PushManager.prototype.subscribe = async () => { throw new DOMException('no push service', 'AbortError'); };"
    "PushManager.prototype.getSubscription = async () => null;"
)


@pytest.fixture
def ann(town: Town) -> Somebody:
    return town.somebody("ann@example.com", Role.OWNER, PASSWORD)


@pytest.fixture(params=[320, 1280])
def page(browser: Browser, town: Town, ann: Somebody, free_port: int, request) -> Iterator[Page]:
    with Web(town.house, free_port) as web, tab(browser, web, town, ann, width=request.param) as opened:
        yield opened


def press(page: Page, port: int, *, leave: bool, script: str = "") -> None:
    """By keyboard."""
    site = f"http://127.0.0.1:{port}"
    if leave:
        page.context.grant_permissions(["notifications"], origin=site)
    if script:
        page.add_init_script(script)
    page.goto(f"{site}/settings")
    button = page.get_by_role("button", name="Tell me on this device")
    button.focus()
    page.keyboard.press("Enter")


def says(page: Page, words: str) -> None:
    expect(page.locator("#push [role=status]")).to_contain_text(words, timeout=PATIENCE_MS)


def test_a_browser_that_refuses_says_so_and_what_to_do(page: Page, ann: Somebody, free_port: int) -> None:
    press(page, free_port, leave=False)
    says(page, "Allow notifications in its settings for this site")
    assert page.evaluate("document.documentElement.scrollWidth <= document.documentElement.clientWidth")
    assert ann.get("/channels") == []


def test_a_browser_that_may_becomes_a_channel_once(page: Page, town: Town, ann: Somebody, free_port: int) -> None:
    press(page, free_port, leave=True, script=PUSH_SERVICE)
    says(page, "This device will be told.")
    key = base64.b64decode(page.evaluate("window.askedKey"))
    assert base64.urlsafe_b64encode(key).rstrip(b"=").decode() == ann.get("/push/key")["public_key"]
    page.keyboard.press("Enter")
    expect(page.locator("#push button")).to_be_enabled()
    says(page, "This device will be told.")
    [channel] = ann.get("/channels")
    assert (channel["kind"], channel["address"]) == ("webpush", "a browser, by push.example.com")
    page.reload()
    expect(page.get_by_text("device: a browser, by push.example.com")).to_be_visible()
    assert page.evaluate("document.documentElement.scrollWidth <= document.documentElement.clientWidth")


def test_without_a_push_service_nothing_changes(page: Page, ann: Somebody, free_port: int) -> None:
    press(page, free_port, leave=True, script=NO_PUSH_SERVICE)
    says(page, "could not subscribe: no push service Nothing has changed")
    assert ann.get("/channels") == []


def test_the_worker_shows_what_comes(browser: Browser, town: Town, ann: Somebody, free_port: int) -> None:
    """Handed over by Chromium itself, as it hands over what a push service brought."""
    site = f"http://127.0.0.1:{free_port}"
    with Web(town.house, free_port) as web, tab(browser, web, town, ann) as page:
        press(page, free_port, leave=True, script=PUSH_SERVICE)
        says(page, "This device will be told.")
        assert page.evaluate("navigator.serviceWorker.ready.then((r) => r.scope)") == f"{site}/"
        devtools = page.context.new_cdp_session(page)
        versions: list[str] = []
        devtools.on(
            "ServiceWorker.workerRegistrationUpdated",
            lambda said: versions.extend(each["registrationId"] for each in said["registrations"]),
        )
        devtools.send("ServiceWorker.enable")
        for _ in range(PATIENCE_MS // 50):
            if versions:
                break
            page.wait_for_timeout(50)  # its events come in while it waits
        news = plain(Letter("Your tag “Bicycle” was heard", "Open the page."), f"{site}/t/1", "notice-7@hearsight")
        for data in (news.decode(), "not ours"):
            devtools.send(
                "ServiceWorker.deliverPushMessage", {"origin": site, "registrationId": versions[-1], "data": data}
            )
        shown = (
            "navigator.serviceWorker.ready.then((r) => r.getNotifications())"
            ".then((all) => all.map((n) => [n.title, n.body, n.tag, n.data.url]))"
        )
        seen: list[list[str]] = []
        for _ in range(PATIENCE_MS // 50):
            if len(seen := page.evaluate(shown)) == 2:
                break
            page.wait_for_timeout(50)
        assert sorted(seen) == [
            ["News from Hearsight", "Open the page to read it.", "", "/"],
            ["Your tag “Bicycle” was heard", "Open the page.", "notice-7@hearsight", f"{site}/t/1"],
        ]
