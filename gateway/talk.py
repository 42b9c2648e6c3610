"""HTTP as every part of the gateway speaks it: short patience, no redirects, bounded answers, one shape of error."""

from __future__ import annotations

import asyncio
import ssl
from collections.abc import Mapping
from pathlib import Path
from typing import Final, NamedTuple

import httpx
import msgspec

from gateway.errors import Refusal

TIMEOUT_S: Final = 15.0
# From the first byte asked to the last one answered, however slowly they drip: the largest answer over a poor mobile.
WHOLE_S: Final = 60.0


class _Error(msgspec.Struct):
    code: str
    message: str
    do: str = ""


class _Body(msgspec.Struct):
    error: _Error


def tls(ca_file: Path | None) -> ssl.SSLContext:
    """Trusts the system's certificates, or only those of the given file. Raises Refusal `ca_file`."""
    try:
        return ssl.create_default_context(cafile=ca_file)
    except OSError as error:
        raise Refusal("ca_file", f"{ca_file} cannot be used: {error}", "Give a file of PEM certificates.") from None


def client(url: str, ca_file: Path | None = None, *, token: str | None = None) -> httpx.Client:
    """A client for one server. Redirects are not followed: whoever redirects is not whom we asked."""
    headers = {"authorization": f"Bearer {token}"} if token else {}
    return httpx.Client(base_url=url, timeout=TIMEOUT_S, verify=tls(ca_file), headers=headers)


class AwayError(Exception):
    """No whole answer; try again later. The message says why."""


class Answer(NamedTuple):
    """What somebody answered, its content not longer than was asked for."""

    status: int
    headers: Mapping[str, str]
    content: bytes


def async_client(url: str, ca_file: Path | None = None) -> httpx.AsyncClient:
    """As `client`, for a running gateway. Content comes as it is: nothing is unpacked before it was believed."""
    headers = {"accept-encoding": "identity"}
    return httpx.AsyncClient(base_url=url, timeout=TIMEOUT_S, verify=tls(ca_file), headers=headers)


async def ask(
    http: httpx.AsyncClient,
    path: str,
    max_bytes: int,
    *,
    content: bytes | None = None,
    headers: Mapping[str, str] | None = None,
) -> Answer:
    """GET, or POST of `content`. Raises AwayError, also for an answer that does not end within `max_bytes`."""
    method = "GET" if content is None else "POST"
    got = bytearray()
    try:
        async with asyncio.timeout(WHOLE_S), http.stream(method, path, content=content, headers=headers) as answer:
            async for piece in answer.aiter_raw():
                got += piece
                if len(got) > max_bytes:
                    raise AwayError(f"the answer is longer than {max_bytes} bytes")
            return Answer(answer.status_code, answer.headers, bytes(got))
    except (httpx.HTTPError, httpx.InvalidURL, TimeoutError) as error:
        raise AwayError(f"no answer: {type(error).__name__} {error}".rstrip()) from None


def refusal_of(answer: httpx.Response) -> Refusal:
    """What the server says of itself, or at least its status."""
    try:
        error = msgspec.json.decode(answer.content, type=_Body).error
    except (msgspec.DecodeError, ValueError):
        message = f"the server answered {answer.status_code} {answer.reason_phrase}"
        return Refusal("server_error", message, "Try again later; if it stays, tell the operator.")
    return Refusal(error.code, error.message, error.do)
