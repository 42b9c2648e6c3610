"""HTTP as enrolment and activation speak it: short patience, no redirects, one shape of error."""

from __future__ import annotations

import ssl
from pathlib import Path
from typing import Final

import httpx
import msgspec

from gateway.errors import Refusal

TIMEOUT_S: Final = 15.0


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


def refusal_of(answer: httpx.Response) -> Refusal:
    """What the server says of itself, or at least its status."""
    try:
        error = msgspec.json.decode(answer.content, type=_Body).error
    except (msgspec.DecodeError, ValueError):
        message = f"the server answered {answer.status_code} {answer.reason_phrase}"
        return Refusal("server_error", message, "Try again later; if it stays, tell the operator.")
    return Refusal(error.code, error.message, error.do)
