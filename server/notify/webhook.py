"""Letters by webhook, signed as the Standard Webhooks specification says, and never into our own network."""

from __future__ import annotations

import base64
import hashlib
import hmac
from collections.abc import Mapping
from datetime import datetime
from typing import Any

import msgspec

from server.notify import outward


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
    """Sends one notice. Raises as `outward.post` does.

    `webhook-id` stays the same over repetitions: the receiver drops what it already has.
    """
    body = msgspec.json.encode({"type": kind, "timestamp": at.isoformat(), "data": payload})
    headers = {
        "content-type": "application/json",
        "webhook-id": message_id,
        "webhook-timestamp": str(int(at.timestamp())),
        "webhook-signature": signature(secret, message_id, at, body),
    }
    outward.post(url, body, headers, private_allowed=private_allowed)
