"""The browser's module as a browser gets it: in headless Chromium, under the product's own content security policy, and
from a server on localhost, for WebCrypto asks for a secure context.
"""

from __future__ import annotations

import functools
import http.server
import json
import threading
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from playwright.sync_api import Browser, Page

from server.web.headers import CONTENT_SECURITY

Ask = Callable[..., Any]
MODULES = ("private", "private-read", "private-phrase", "private-tag", "private-export", "private-map", "private-store")


class _Static(http.server.SimpleHTTPRequestHandler):
    def end_headers(self) -> None:
        self.send_header("Content-Security-Policy", CONTENT_SECURITY)
        super().end_headers()

    def do_GET(self) -> None:
        if self.path != "/":
            super().do_GET()
            return
        self.send_response(200)
        self.send_header("Content-Type", "text/html")
        self.end_headers()
        self.wfile.write(b"<!doctype html><title>private finding</title>")

    def log_message(self, *_: object) -> None:
        """Says nothing."""


@pytest.fixture(scope="module")
def origin(root_of_static: Path) -> Iterator[str]:
    handler = functools.partial(_Static, directory=str(root_of_static))
    with http.server.ThreadingHTTPServer(("127.0.0.1", 0), handler) as server:
        threading.Thread(target=server.serve_forever, daemon=True).start()
        yield f"http://127.0.0.1:{server.server_port}"
        server.shutdown()


@pytest.fixture(scope="module")
def root_of_static() -> Path:
    return Path(__file__).resolve().parents[2] / "server" / "web" / "static"


@pytest.fixture(scope="module")
def page(browser: Browser, origin: str) -> Iterator[Page]:
    tab = browser.new_page()
    tab.goto(origin)
    yield tab
    tab.close()


@pytest.fixture(scope="module")
def ask(page: Page) -> Ask:
    """Evaluates `async (m, given) => …`: `m` holds what all modules export, `given` is a value from here."""

    def run(function: str, given: Any = None) -> Any:
        script = f"""async (given) => {{
            const modules = await Promise.all({json.dumps(MODULES)}.map((name) => import(`/${{name}}.js`)));
            const m = Object.assign({{}}, ...modules);
            return await ({function})(m, given);
        }}"""
        return page.evaluate(script, given)

    return run
