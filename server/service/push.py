"""Web Push from the house's side: the key to which browsers subscribe, and whom a push service may ask about us."""

from __future__ import annotations

import base64
from dataclasses import dataclass
from datetime import datetime
from email.utils import parseaddr

from cryptography.hazmat.primitives.serialization import Encoding, PublicFormat
from sqlalchemy import Connection

from server.settings import Settings
from server.store import keys
from server.store.crypto import Vault


@dataclass(frozen=True, slots=True)
class PushKey:
    """The house's public point on P-256, 65 bytes in base64url without padding, as browsers take it."""

    public_key: str


def public_key(tx: Connection, vault: Vault, now: datetime) -> PushKey:
    """The key to which a browser subscribes; made at the first call."""
    point = keys.push_key(tx, vault, now).public_key().public_bytes(Encoding.X962, PublicFormat.UncompressedPoint)
    return PushKey(base64.urlsafe_b64encode(point).rstrip(b"=").decode())


def contact(settings: Settings) -> str:
    """Where a push service finds whoever runs this house: its site, or without https the sender of its letters."""
    if settings.base_url.startswith("https:"):
        return settings.base_url
    return f"mailto:{parseaddr(settings.mail_from)[1]}"
