"""The ways by which an owner wants to be told: e-mail, webhook, apprise, Web Push; addresses are encrypted at rest."""

from __future__ import annotations

import base64
from collections.abc import Callable
from dataclasses import dataclass, field
from datetime import datetime
from typing import Final
from urllib.parse import urlsplit

from sqlalchemy import Connection

from server.service.caller import Caller
from server.service.channel_address import SERVICES, check_apprise, check_web, push_secret
from server.service.people import is_email
from server.service.refusals import refuse
from server.store import audit, keys, lost
from server.store.audit import Entry
from server.store.crypto import Vault
from server.store.lost import NewNotice

# Each hearing of a lost tag writes to all of them.
CHANNELS_MAX: Final = 10
KINDS: Final = ("email", "webhook", "apprise", "webpush")
_SECRET_LEN: Final = 32


@dataclass(frozen=True, slots=True)
class ChannelView:
    """A channel as its owner sees it. Of apprise the service and of Web Push the host: the rest opens a door."""

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


@dataclass(frozen=True, slots=True)
class PushKeys:
    """What a browser's subscription has besides its endpoint, in base64url (RFC 8291)."""

    p256dh: str
    auth: str = field(repr=False)


def mine(tx: Connection, vault: Vault, who: Caller) -> tuple[ChannelView, ...]:
    """The caller's channels."""
    return tuple(
        ChannelView(each.no, each.kind, _shown(each.kind, _address(vault, each)), each.made_at)
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
    push: PushKeys | None = None,
) -> NewChannel:
    """Add a channel. A browser that subscribed before has its channel already, with new keys if it made new ones.

    Refusals: bad_request, channel_limit, email_invalid, webhook_unsafe, apprise_unsafe, push_invalid.
    """
    secret = _check(kind, address, push, dice, private_allowed=private_allowed)
    there = lost.channels_of(tx, who.account_no)
    again = [each for each in there if kind == each.kind == "webpush" and _address(vault, each) == address]
    if len(there) - len(again) >= CHANNELS_MAX:
        raise refuse("channel_limit", limit=CHANNELS_MAX)
    for each in again:
        if each.secret and secret == vault.open(keys.CHANNEL_SECRET.what(), each.secret):
            return NewChannel(each.no, kind, _shown(kind, address), None)
        lost.remove_channel(tx, who.account_no, each.no, now)
    no = lost.add_channel(
        tx,
        who.account_no,
        kind,
        vault.seal(keys.CHANNEL_ADDRESS.what(), address.encode()),
        vault.seal(keys.CHANNEL_SECRET.what(), secret) if secret else None,
        now,
    )
    _note(tx, who, "channel_added", no, kind, now)
    signs = f"whsec_{base64.b64encode(secret).decode()}" if secret and kind == "webhook" else None
    return NewChannel(no, kind, _shown(kind, address), signs)


def _check(
    kind: str, address: str, push: PushKeys | None, dice: Callable[[int], bytes], *, private_allowed: bool
) -> bytes | None:
    """The secret to keep beside an address that may be used."""
    if (kind == "webpush") != (push is not None):
        raise refuse("bad_request", detail="the keys of a subscription belong to kind webpush, and to no other")
    if kind == "email":
        if not is_email(address):
            raise refuse("email_invalid")
        return None
    if kind == "webhook":
        check_web(address, private_allowed=private_allowed)
        return dice(_SECRET_LEN)
    if kind == "apprise":
        check_apprise(address, private_allowed=private_allowed)
        return None
    if push is None:
        raise refuse("bad_request", detail="a channel is of kind " + ", ".join(KINDS))
    check_web(address, private_allowed=private_allowed)
    return push_secret(push.p256dh, push.auth)


def _address(vault: Vault, channel: lost.Channel) -> str:
    return vault.open(keys.CHANNEL_ADDRESS.what(), channel.address).decode()


def _shown(kind: str, address: str) -> str:
    if kind == "apprise":
        scheme = address.partition("://")[0]
        return f"{SERVICES[scheme].name} ({scheme}://…)" if scheme in SERVICES else f"{scheme}://…"
    if kind == "webpush":
        return f"a browser, by {urlsplit(address).hostname}"
    return address


def remove(tx: Connection, who: Caller, no: int, now: datetime) -> None:
    """Remove a channel of one's own. Refusals: channel_unknown."""
    if not lost.remove_channel(tx, who.account_no, no, now):
        raise refuse("channel_unknown", reference=str(no))
    _note(tx, who, "channel_removed", no, None, now)


def test(tx: Connection, who: Caller, no: int, base_url: str, now: datetime) -> None:
    """Send a letter that says nothing, to see that it comes. Refusals: channel_unknown."""
    if no not in {each.no for each in lost.channels_of(tx, who.account_no)}:
        raise refuse("channel_unknown", reference=str(no))
    # At most one a minute: the name of the news is the minute.
    once = f"channel_test:{no}:{int(now.timestamp()) // 60}"
    lost.add_notice(tx, NewNotice(who.account_no, no, "channel_test", once, {"url": f"{base_url}/settings"}), now)


def _note(tx: Connection, who: Caller, what: str, no: int, kind: str | None, now: datetime) -> None:
    """Whoever got into an account and has its news sent elsewhere leaves a trace; the address itself stays sealed."""
    detail = {"channel": no} | ({"kind": kind} if kind else {})
    audit.add(tx, Entry(now, who.email, what, f"account:{who.email}", detail, who.account_no))
