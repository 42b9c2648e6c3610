"""Letters by webhook, signed as the Standard Webhooks specification says, and never into our own network.

The address comes from a customer, so it is hostile: it is resolved once, every address it resolves to must be
public, and the connection goes to that very address (a second look-up could answer differently).
"""

from __future__ import annotations

import base64
import hashlib
import hmac
import ipaddress
import socket
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime
from typing import Any, Final
from urllib.parse import urlsplit, urlunsplit

import httpx
import msgspec

TIMEOUT_S: Final = 10.0


class UnsafeAddressError(ValueError):
    """A webhook's address that leads into a private network, or is no web address at all."""


@dataclass(frozen=True, slots=True)
class Target:
    """A webhook's address after the look-up: `url` names the very network address, `host` who is spoken to."""

    url: str
    host: str


def safe_target(url: str, *, private_allowed: bool) -> Target:
    """Resolves a customer's address. Raises UnsafeAddressError for good, or OSError (no such name now)."""
    parts = urlsplit(url)
    if parts.scheme not in ("https", "http") or not parts.hostname or parts.username:
        raise UnsafeAddressError("a webhook's address begins with https:// and names a host")
    if parts.scheme == "http" and not private_allowed:
        raise UnsafeAddressError("a webhook's address begins with https://")
    port = parts.port or (443 if parts.scheme == "https" else 80)
    found = [str(info[4][0]) for info in socket.getaddrinfo(parts.hostname, port, type=socket.SOCK_STREAM)]
    if not private_allowed and not all(ipaddress.ip_address(ip).is_global for ip in found):
        raise UnsafeAddressError("a webhook's address must lead to a public network address")
    ip = f"[{found[0]}]" if ":" in found[0] else found[0]
    return Target(urlunsplit((parts.scheme, f"{ip}:{port}", parts.path or "/", parts.query, "")), parts.netloc)


def signature(secret: bytes, message_id: str, at: datetime, body: bytes) -> str:
    """`v1,` and the base64 of HMAC-SHA256 over `id.timestamp.body` (Standard Webhooks)."""
    signed = f"{message_id}.{int(at.timestamp())}.".encode() + body
    return "v1," + base64.b64encode(hmac.digest(secret, signed, hashlib.sha256)).decode()


def post(
    url: str,
    secret: bytes,
    kind: str,
    payload: Mapping[str, Any],
    *,
    message_id: str,
    at: datetime,
    private_allowed: bool = False,
) -> None:
    """Sends one notice. Raises UnsafeAddressError, OSError or httpx.HTTPError: the last two are tried again later.

    `webhook-id` stays the same over repetitions: the receiver drops what it already has.
    """
    target = safe_target(url, private_allowed=private_allowed)
    body = msgspec.json.encode({"type": kind, "timestamp": at.isoformat(), "data": payload})
    headers = {
        "host": target.host,
        "content-type": "application/json",
        "webhook-id": message_id,
        "webhook-timestamp": str(int(at.timestamp())),
        "webhook-signature": signature(secret, message_id, at, body),
    }
    name = target.host.rsplit(":", 1)[0] if not target.host.endswith("]") else target.host
    with (
        httpx.Client(timeout=TIMEOUT_S, follow_redirects=False, trust_env=False) as client,
        client.stream("POST", target.url, content=body, headers=headers, extensions={"sni_hostname": name}) as answer,
    ):
        if not answer.is_success:
            raise httpx.HTTPStatusError(f"answered {answer.status_code}", request=answer.request, response=answer)
