"""The server's API as an owner's client speaks it: a token, JSON, and a refusal in the server's own words."""

from __future__ import annotations

from typing import Any, Final

import httpx

TIMEOUT_S: Final = 20.0


class RefusedError(Exception):
    """The server says no, or cannot be reached: what happened, what to do, and a code."""

    def __init__(self, code: str, message: str, do: str = "") -> None:
        super().__init__(message)
        self.code, self.message, self.do = code, message, do


class Api:
    """One owner at one server. Redirects are not followed: a token goes to nobody else."""

    def __init__(self, server: str, token: str) -> None:
        headers = {"authorization": f"Bearer {token}"}
        self._http = httpx.Client(base_url=f"{server.rstrip('/')}/api/v1", headers=headers, timeout=TIMEOUT_S)

    def get(self, path: str, **query: str) -> Any:
        return self._ask("GET", path, params=query)

    def post(self, path: str, body: Any = None) -> Any:
        return self._ask("POST", path, json=body if body is not None else {})

    def put(self, path: str, body: Any) -> Any:
        return self._ask("PUT", path, json=body)

    def _ask(self, method: str, path: str, **more: Any) -> Any:
        try:
            answer = self._http.request(method, path, **more)
        except httpx.HTTPError as error:
            raise RefusedError(
                "server_unreachable", f"The server does not answer: {error}.", "Is --server right?"
            ) from None
        if answer.is_success:
            return answer.json()
        try:
            said = answer.json()["error"]
            raise RefusedError(said["code"], said["message"], said["do"])
        except (ValueError, KeyError, TypeError):
            raise RefusedError(
                "server_error", f"The server answered {answer.status_code}.", "Try again later."
            ) from None
