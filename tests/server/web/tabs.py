"""A signed-in reader's tab on a town that is served on a socket; whatever the browser complains of fails the test."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from http.cookies import SimpleCookie

from playwright.sync_api import Browser, Page

from server.web.auth import COOKIE
from tests.server.web.streams import Web
from tests.server.web.town import PASSWORD, Somebody, Town

PATIENCE_MS = 30_000


@contextmanager
def tab(
    browser: Browser, web: Web, town: Town, who: Somebody, *, width: int = 1280, js: bool = True,
    expected: str = "status of 401",
) -> Iterator[Page]:  # fmt: skip
    """A signed-in reader's tab. What the browser complains of fails the test, but for the `expected` refusals."""
    asked = {"email": who.email, "password": PASSWORD}
    answer = who.call("POST", "/session", json=asked, headers={"authorization": ""})
    # Not from the client's jar: in a town of another year every cookie has ended long ago.
    cookie = SimpleCookie(answer.headers["set-cookie"])[COOKIE].value
    town.client.cookies.clear()
    context = browser.new_context(viewport={"width": width, "height": 900}, java_script_enabled=js)
    context.add_cookies([{"name": COOKIE, "value": cookie, "url": f"http://127.0.0.1:{web.port}"}])
    page = context.new_page()
    page.set_default_timeout(PATIENCE_MS)
    wrong: list[str] = []
    page.on("pageerror", lambda error: wrong.append(str(error)))
    page.on("console", lambda said: wrong.append(said.text) if said.type == "error" else None)
    yield page
    context.close()
    assert [line for line in wrong if "ERR_" not in line and expected not in line] == []
