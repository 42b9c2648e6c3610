"""An owner's tab in tests of private finding: what it sends, the claim step by step, and what stands in it."""

from __future__ import annotations

import json
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

from playwright.sync_api import Browser, Page, Request, expect

from tests.fixtures.wiretap import shape_of
from tests.server.web.far_side import FarSide
from tests.server.web.streams import Web
from tests.server.web.tabs import tab
from tests.server.web.town import Somebody, Town

BERLIN, POTSDAM = (52.52, 13.405), (52.39, 13.065)
# What the browser keeps of its first tag.
KEPT = """async () => {
    const { find, all } = await import("/static/private-store.js"), { hex } = await import("/static/private.js");
    const [tag] = await all();
    return tag ? { ...tag, seed: hex(tag.seed), claimKey: tag.claimKey && hex(tag.claimKey) } : null;
}"""


class Traffic:
    """Everything that a browser sent: addresses, headers, bodies."""

    def __init__(self, page: Page) -> None:
        self.sent = bytearray()
        self.posted: list[tuple[str, str]] = []
        page.on("request", self._note)

    def _note(self, request: Request) -> None:
        body = request.post_data_buffer or b""
        self.sent += request.url.encode() + b"\n" + json.dumps(request.all_headers()).encode() + b"\n" + body + b"\n"
        if request.method != "GET":
            self.posted.append((request.url, body.decode("latin-1")))

    def holds(self, secret: bytes) -> str:
        """In which shape this stands in what was sent; empty if it does not."""
        return shape_of(secret, bytes(self.sent))


@contextmanager
def ready(browser: Browser, web: Web, town: Town, who: Somebody, **how: Any) -> Iterator[Page]:
    with tab(browser, web, town, who, expected="responded with a status of", **how) as page:
        page.clock.set_fixed_time(town.now)
        yield page


def go(page: Page, web: Web, path: str) -> None:
    page.goto(f"http://127.0.0.1:{web.port}{path}")
    page.wait_for_selector("html[data-ready]", state="attached")


def settle_time(page: Page, town: Town, **later: float) -> None:
    town.wait(**later)
    page.clock.set_fixed_time(town.now)


def fits(page: Page) -> bool:
    return bool(page.evaluate("document.documentElement.scrollWidth <= document.documentElement.clientWidth"))


def to_the_words(page: Page, web: Web, far: FarSide) -> list[str]:
    go(page, web, f"/c/#{far.tag.code}")
    page.check("[value=private]")
    page.click("#claim-form button")
    expect(page.locator("#secret")).to_be_visible()
    words = page.locator("#words li").all_inner_texts()
    assert len(words) == 24
    return words


def give_back(page: Page, words: list[str]) -> None:
    page.click("#written")
    for n in range(2):
        place = int(page.inner_text(f"label[for=word-{n}]").removeprefix("Word "))
        page.fill(f"#word-{n}", words[place - 1])
    page.click("#check-form button:not([type])")
    expect(page.locator("#carry")).to_be_visible()


def claim(page: Page, web: Web, far: FarSide) -> list[str]:
    words = to_the_words(page, web, far)
    give_back(page, words)
    far.press()
    page.click("#go")
    expect(page.locator("#done")).to_be_visible()
    return words


def places(page: Page) -> list[str]:
    return page.locator("#places td[data-label=Place]").all_inner_texts()
