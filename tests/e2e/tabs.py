"""A signed-in reader's tab on the running demo; whatever the browser complains of fails the test."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

from playwright.sync_api import Browser, Page

from tests.e2e.conftest import Demo


@contextmanager
def tab(browser: Browser, demo: Demo, account: str, *, width: int = 375, scheme: str = "light") -> Iterator[Page]:
    """A page that is signed in and fails the test on a script error or a request to anywhere else."""
    context = browser.new_context(viewport={"width": width, "height": 800}, color_scheme=scheme)  # type: ignore[arg-type]
    page = context.new_page()
    wrong: list[str] = []
    page.on("pageerror", lambda error: wrong.append(str(error)))
    page.on("console", lambda said: wrong.append(said.text) if said.type == "error" else None)
    page.on("request", lambda asked: None if asked.url.startswith((demo.url, "data:")) else wrong.append(asked.url))
    if account:
        sign_in(page, demo, account)
    yield page
    context.close()
    assert wrong == []


def sign_in(page: Page, demo: Demo, account: str) -> None:
    page.goto(f"{demo.url}/sign-in")
    page.fill("#email", account)
    page.fill("#password", demo.memory[f"password {account}"])
    page.click("main button")
