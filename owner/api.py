"""The server's API as an owner's client speaks it: a token or none, JSON, and a refusal in the server's own words.

What comes is text for a terminal, of a server that may be anybody's, and of strangers who chose an address or a name.
"""

from __future__ import annotations

import codecs
import json
import re
from collections.abc import AsyncGenerator, Iterator
from dataclasses import dataclass
from typing import Any, Final

import httpx

TIMEOUT_S: Final = 20.0
# The server says something every fifteen seconds; after three times that nobody is there any more.
SILENCE_S: Final = 45.0
# The longest honest answer is a page of reports: 31 days of 2,000, in base64. More is not read into memory.
ANSWER_MAX: Final = 16 * 2**20
# One tag, with all that is said of it, is a few kilobytes.
LINE_MAX: Final = 2**20
# What moves a cursor, hides or repaints lines, or turns their direction, and is no part of any name.
_COMMANDS: Final = re.compile("[\x00-\x08\x0b-\x1f\x7f-\x9f\u202a-\u202e\u2066-\u2069]")


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
        # As it is: a few packed kilobytes could be gigabytes, and are unpacked before anybody can count them.
        headers = {"accept-encoding": "identity"} | ({"authorization": f"Bearer {token}"} if token else {})
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
                    raise _refusal(await _whole(answer), answer.status_code)
                fields: dict[str, str] = {}
                async for line in _lines(answer):
                    name, _, value = line.partition(": ")
                    if line:
                        fields[name] = value
                    elif "event" in fields:
                        yield Event(fields["event"], _read(fields.get("data", "null")), fields.get("id", ""))
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
        return _read(body)


def _bounded(answer: httpx.Response) -> Iterator[bytes]:
    length = 0
    for piece in answer.iter_raw():
        length += len(piece)
        if length > ANSWER_MAX:
            raise foreign()
        yield piece


async def _lines(answer: httpx.Response) -> AsyncGenerator[str, None]:
    """Lines as events have them. (httpx also breaks a line where a name holds U+2028 or the like.)"""
    rest, decoder = "", codecs.getincrementaldecoder("utf-8")("replace")
    async for piece in answer.aiter_raw():
        *whole, rest = (rest + decoder.decode(piece)).split("\n")
        if len(rest) > LINE_MAX:
            raise foreign()
        for line in whole:
            yield line


async def _whole(answer: httpx.Response) -> bytes:
    body = b""
    async for piece in answer.aiter_raw():
        body += piece
        if len(body) > LINE_MAX:
            raise foreign()
    return body


def _read(text: bytes | str) -> Any:
    """JSON, its texts without commands for a terminal. Raises RefusedError `server_error`."""
    try:
        return _plain(json.loads(text))
    except (ValueError, RecursionError):
        raise foreign() from None


def _plain(value: Any) -> Any:
    if isinstance(value, str):
        return _COMMANDS.sub("\ufffd", value)
    if isinstance(value, list):
        return [_plain(each) for each in value]
    if isinstance(value, dict):
        return {key: _plain(each) for key, each in value.items()}
    return value


def _unreachable(error: httpx.HTTPError) -> RefusedError:
    return RefusedError("server_unreachable", f"The server does not answer: {error}.", "Is --server right?")


def foreign() -> RefusedError:
    """The server said something that no server of ours says."""
    return RefusedError("server_error", "The server does not speak our language.", "Is --server right?")


def _refusal(body: bytes, status: int) -> RefusedError:
    try:
        said = _read(body)["error"]
        return RefusedError(str(said["code"]), str(said["message"]), str(said["do"]))
    except (RefusedError, KeyError, TypeError):
        return RefusedError("server_error", f"The server answered {status}.", "Try again later.")
