"""The server's API as an owner's client speaks it: a token or none, JSON, and a refusal in the server's own words."""

from __future__ import annotations

import json
from collections.abc import AsyncGenerator, Iterator
from dataclasses import dataclass
from typing import Any, Final

import httpx

TIMEOUT_S: Final = 20.0
# The server says something every fifteen seconds; after three times that nobody is there any more.
SILENCE_S: Final = 45.0
# The longest honest answer is a page of reports: 31 days of 2,000, in base64. More is not read into memory.
ANSWER_MAX: Final = 16 * 2**20


class RefusedError(Exception):
    """The server says no, or cannot be reached: what happened, what to do, and a code."""

    def __init__(self, code: str, message: str, do: str = "") -> None:
        super().__init__(message)
        self.code, self.message, self.do = code, message, do


@dataclass(frozen=True, slots=True)
class Event:
    """One event of an open answer: `kind`, its JSON, and the id by which one comes back ("" without one)."""

    kind: str
    data: Any
    id: str


class Api:
    """One owner at one server; without a token anybody. Redirects are not followed: a token goes to nobody else."""

    def __init__(self, server: str, token: str = "") -> None:
        headers = {"authorization": f"Bearer {token}"} if token else {}
        self._base: dict[str, Any] = {"base_url": f"{server.rstrip('/')}/api/v1", "headers": headers}
        self._http = httpx.Client(**self._base, timeout=TIMEOUT_S)

    def get(self, path: str, **query: str) -> Any:
        return self._ask("GET", path, params=query)

    def post(self, path: str, body: Any = None, timeout_s: float = TIMEOUT_S) -> Any:
        return self._ask("POST", path, json=body if body is not None else {}, timeout=timeout_s)

    def put(self, path: str, body: Any) -> Any:
        return self._ask("PUT", path, json=body)

    def delete(self, path: str) -> Any:
        return self._ask("DELETE", path)

    async def events(self, path: str, last_id: str = "") -> AsyncGenerator[Event, None]:
        """Server-sent events of one open answer, from after `last_id`, until the server ends it or the line is cut."""
        patience = httpx.Timeout(TIMEOUT_S, read=SILENCE_S)
        seen = {"last-event-id": last_id} if last_id else {}
        try:
            async with (
                httpx.AsyncClient(**self._base, timeout=patience) as http,
                http.stream("GET", path, headers=seen) as answer,
            ):
                if not answer.is_success:
                    raise _refusal(await answer.aread(), answer.status_code)
                fields: dict[str, str] = {}
                async for line in _lines(answer):
                    name, _, value = line.partition(": ")
                    if line:
                        fields[name] = value
                    elif "event" in fields:
                        yield Event(fields["event"], json.loads(fields.get("data", "null")), fields.get("id", ""))
                    if not line:
                        fields = {}
        except httpx.HTTPError as error:
            raise _unreachable(error) from None

    def _ask(self, method: str, path: str, **more: Any) -> Any:
        try:
            with self._http.stream(method, path, **more) as answer:
                body = b"".join(_bounded(answer))
        except httpx.HTTPError as error:
            raise _unreachable(error) from None
        if not answer.is_success:
            raise _refusal(body, answer.status_code)
        try:
            return json.loads(body)
        except ValueError:
            raise foreign() from None


def _bounded(answer: httpx.Response) -> Iterator[bytes]:
    length = 0
    for piece in answer.iter_bytes():
        length += len(piece)
        if length > ANSWER_MAX:
            raise foreign()
        yield piece


async def _lines(answer: httpx.Response) -> AsyncGenerator[str, None]:
    """Lines as events have them. (httpx also breaks a line where a name holds U+2028 or the like.)"""
    rest = ""
    async for piece in answer.aiter_text():
        *whole, rest = (rest + piece).split("\n")
        for line in whole:
            yield line


def _unreachable(error: httpx.HTTPError) -> RefusedError:
    return RefusedError("server_unreachable", f"The server does not answer: {error}.", "Is --server right?")


def foreign() -> RefusedError:
    """The server said something that no server of ours says."""
    return RefusedError("server_error", "The server does not speak our language.", "Is --server right?")


def _refusal(body: bytes, status: int) -> RefusedError:
    try:
        said = json.loads(body)["error"]
        return RefusedError(str(said["code"]), str(said["message"]), str(said["do"]))
    except (ValueError, KeyError, TypeError):
        return RefusedError("server_error", f"The server answered {status}.", "Try again later.")
