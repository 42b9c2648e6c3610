"""The ways by which an owner wants to be told: e-mail addresses and webhooks, both encrypted at rest."""

from __future__ import annotations

import base64
from collections.abc import Callable
from dataclasses import dataclass
from datetime import datetime
from typing import Final
from urllib.parse import urlsplit

from sqlalchemy import Connection

from server.service.caller import Caller
from server.service.people import is_email
from server.service.refusals import refuse
from server.service.webhook_address import is_public
from server.store import keys, lost
from server.store.crypto import Vault
from server.store.lost import NewNotice

# Each hearing of a lost tag writes to all of them.
CHANNELS_MAX: Final = 10
KINDS: Final = ("email", "webhook")
_SECRET_LEN: Final = 32


@dataclass(frozen=True, slots=True)
class ChannelView:
    """A channel as its owner sees it."""

    no: int
    kind: str
    address: str
    made_at: datetime


@dataclass(frozen=True, slots=True)
class NewChannel:
    """A channel just made; a webhook's `secret` (Standard Webhooks) is shown this once."""

    no: int
    kind: str
    address: str
    secret: str | None


def mine(tx: Connection, vault: Vault, who: Caller) -> tuple[ChannelView, ...]:
    """The caller's channels."""
    return tuple(
        ChannelView(each.no, each.kind, vault.open(keys.CHANNEL_ADDRESS.what(), each.address).decode(), each.made_at)
        for each in lost.channels_of(tx, who.account_no)
    )


def add(
    tx: Connection,
    vault: Vault,
    dice: Callable[[int], bytes],
    who: Caller,
    kind: str,
    address: str,
    now: datetime,
    *,
    private_allowed: bool,
) -> NewChannel:
    """Add a channel. Refusals: bad_request, channel_limit, email_invalid, webhook_unsafe."""
    if len(lost.channels_of(tx, who.account_no)) >= CHANNELS_MAX:
        raise refuse("channel_limit", limit=CHANNELS_MAX)
    secret = None
    if kind not in KINDS:
        raise refuse("bad_request", detail="a channel is of kind email or webhook")
    if kind == "email" and not is_email(address):
        raise refuse("email_invalid")
    if kind == "webhook":
        check_webhook(address, private_allowed=private_allowed)
        secret = dice(_SECRET_LEN)
    no = lost.add_channel(
        tx,
        who.account_no,
        kind,
        vault.seal(keys.CHANNEL_ADDRESS.what(), address.encode()),
        vault.seal(keys.CHANNEL_SECRET.what(), secret) if secret else None,
        now,
    )
    return NewChannel(no, kind, address, f"whsec_{base64.b64encode(secret).decode()}" if secret else None)


def remove(tx: Connection, who: Caller, no: int, now: datetime) -> None:
    """Remove a channel of one's own. Refusals: channel_unknown."""
    if not lost.remove_channel(tx, who.account_no, no, now):
        raise refuse("channel_unknown", reference=str(no))


def test(tx: Connection, who: Caller, no: int, base_url: str, now: datetime) -> None:
    """Send a letter that says nothing, to see that it comes. Refusals: channel_unknown."""
    if no not in {each.no for each in lost.channels_of(tx, who.account_no)}:
        raise refuse("channel_unknown", reference=str(no))
    # At most one a minute: the name of the news is the minute.
    once = f"channel_test:{no}:{int(now.timestamp()) // 60}"
    lost.add_notice(tx, NewNotice(who.account_no, no, "channel_test", once, {"url": f"{base_url}/settings"}), now)


def check_webhook(url: str, *, private_allowed: bool) -> None:
    """Refuse what can be seen to be unsafe without a look-up; the delivery looks again at the very address it calls.

    Refusals: webhook_unsafe.
    """
    try:
        parts = urlsplit(url)
        host, _ = parts.hostname, parts.port
    except ValueError:
        raise refuse("webhook_unsafe", detail="it cannot be read") from None
    if parts.scheme != "https" and not (private_allowed and parts.scheme == "http"):
        raise refuse("webhook_unsafe", detail="it does not begin with https://")
    if not host or parts.username is not None or not url.isascii() or any(letter.isspace() for letter in url):
        raise refuse("webhook_unsafe", detail="it does not name a host, or more than that")
    if not private_allowed and _private(host):
        raise refuse("webhook_unsafe", detail="it leads into a private network")


def _private(host: str) -> bool:
    host = host.rstrip(".").lower()
    if host == "localhost" or host.endswith((".localhost", ".local", ".internal", ".home.arpa")) or "." not in host:
        return ":" not in host or not _global(host)
    # Numbers as C libraries read them (127.1, 0x7f.1) are no names that anybody registers.
    return host.rpartition(".")[2][:1].isdigit() and not _global(host)


def _global(host: str) -> bool:
    try:
        return is_public(host)
    except ValueError:
        return False
