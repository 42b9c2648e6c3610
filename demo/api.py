"""The server's API as the demo speaks it: JSON in, JSON out, a refusal in the server's own words."""

from __future__ import annotations

import time
from collections.abc import Callable
from typing import Any, Final

import httpx

from demo.processes import DemoError

TIMEOUT_S: Final = 30.0


class Api:
    """One caller. Without a token: a stranger."""

    def __init__(self, base_url: str, token: str = "") -> None:
        headers = {"authorization": f"Bearer {token}"} if token else {}
        self._http = httpx.Client(base_url=f"{base_url}/api/v1", headers=headers, timeout=TIMEOUT_S, trust_env=False)

    def get(self, path: str) -> Any:
        return self._told(self._http.get(path))

    def post(self, path: str, body: Any = None) -> Any:
        return self._told(self._http.post(path, json=body if body is not None else {}))

    def put(self, path: str, body: Any) -> Any:
        return self._told(self._http.put(path, json=body))

    def _told(self, answer: httpx.Response) -> Any:
        if answer.is_success:
            return answer.json()
        try:
            error = answer.json()["error"]
        except (ValueError, KeyError, TypeError):
            raise DemoError(f"{answer.request.url} answered {answer.status_code}") from None
        raise DemoError(f"{answer.request.url.path}: {error['message']} {error['do']} ({error['code']})")


def wait_until(true: Callable[[], bool], seconds: float, what: str, check: Callable[[], None]) -> None:
    """Looks five times a second; `check` may raise sooner. Raises DemoError when the time is over."""
    until = time.monotonic() + seconds
    while not true():
        check()
        if time.monotonic() > until:
            raise DemoError(f"{what} took longer than {seconds:.0f} seconds")
        time.sleep(0.2)
