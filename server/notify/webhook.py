"""Letters by webhook, signed as the Standard Webhooks specification says, and never into our own network."""

from __future__ import annotations

import asyncio
import base64
import hashlib
import hmac
from collections.abc import Mapping
from datetime import datetime
from typing import Any, Final

import httpx
import msgspec

from server.service.webhook_address import safe_target

# For all of it: a receiver that sends a letter of its answer every few seconds would hold up everybody's news.
TIMEOUT_S: Final = 10.0


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
    asyncio.run(_send(target.url, body, headers, name))


async def _send(url: str, body: bytes, headers: Mapping[str, str], name: str) -> None:
    tls = {"sni_hostname": name}
    async with (
        asyncio.timeout(TIMEOUT_S),
        httpx.AsyncClient(timeout=TIMEOUT_S, follow_redirects=False, trust_env=False) as client,
        client.stream("POST", url, content=body, headers=headers, extensions=tls) as answer,
    ):
        if not answer.is_success:
            raise httpx.HTTPStatusError(f"answered {answer.status_code}", request=answer.request, response=answer)
