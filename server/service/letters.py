"""Letters to people: to an order's customer, and those with a secret link, which lies encrypted in the queue, because
whoever reads it can sign in.
"""

from __future__ import annotations

import base64
from datetime import datetime
from typing import Final

from sqlalchemy import Connection

from server.service import accounts
from server.service.accounts import ResetLink
from server.service.house import House
from server.store import lost
from server.store.lost import NewNotice

# What the vault is told about a sealed link in the queue of notices.
SEALED_LINK: Final = "notices.payload"


def reset_url(house: House, link: ResetLink) -> str:
    """The address behind which somebody sets a new password; the token stays in the fragment, out of every log."""
    return accounts.reset_url(house.settings.base_url, link)


def send_reset(tx: Connection, house: House, link: ResetLink | None, now: datetime) -> None:
    """Queue the letter with a reset link; without a link (no such account) nothing happens."""
    if link is None:
        return
    sealed = house.vault.seal(SEALED_LINK, reset_url(house, link).encode())
    payload = {"until": link.expires_at.isoformat(), "sealed_url": base64.b64encode(sealed).decode()}
    once = f"password_reset:{link.account.no}:{link.expires_at.timestamp()}"
    lost.add_notice(tx, NewNotice(link.account.no, None, "password_reset", once, payload), now)


def write_customer(tx: Connection, number: str, text: str, once: str, base_url: str, now: datetime) -> bool:
    """Queue a letter to whoever placed the order; False if the one of this name (`once`) was queued before."""
    payload = {"number": number, "text": text, "url": f"{base_url}/o/{number}"}
    return lost.add_notice(tx, NewNotice(None, None, "order_letter", once, payload, order_number=number), now)
