"""What a notice says: one short letter for each kind of news, written for the worried person who reads it.

A letter never holds a place: it says *that* a tag was heard and where to look, because mail travels in the open
and lies about for years.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from datetime import datetime
from typing import Any, Final
from zoneinfo import ZoneInfo

Payload = Mapping[str, Any]


@dataclass(frozen=True, slots=True)
class Letter:
    """Plain text, ready for a mail or a webhook."""

    subject: str
    text: str


def clock(moment_iso: str, zone: str) -> str:
    """A moment as its reader says it: `Sun 22 Nov 2026, 14:10 (Europe/Berlin)`."""
    moment = datetime.fromisoformat(moment_iso).astimezone(ZoneInfo(zone))
    return f"{moment:%a} {moment.day} {moment:%b %Y, %H:%M} ({zone})"


def _lost_heard(payload: Payload, zone: str) -> Letter:
    name, heard = payload["name"], clock(payload["heard_at"], zone)
    if payload.get("private"):
        return Letter(
            f"Your tag “{name}” was heard",
            # The moment at which the report reached us: when the tag was heard is sealed in it, too.
            f"“{name}”, which you reported lost, was heard: a report of it reached us on {heard}.\n\n"
            f"Where, only you can read: open {payload['url']}\n\n"
            "You get this message once for each time you report a tag lost.",
        )
    return Letter(
        f"Your lost tag “{name}” was heard",
        f"“{name}”, which you reported lost, was heard on {heard}.\n\n"
        f"See where it is: {payload['url']}\n\n"
        "You get this message once for each time you report a tag lost.",
    )


def _found_message(payload: Payload, zone: str) -> Letter:
    return Letter(
        f"Somebody found “{payload['name']}”",
        f"Somebody who found “{payload['name']}” wrote on {clock(payload['at'], zone)}:\n\n"
        f"{payload['message']}\n\n"
        f"How to reach them: {payload.get('contact') or 'they left no address'}\n\n"
        "We checked nothing of this. Meet in a public place, and send nobody money or codes.",
    )


def _transfer_offer(payload: Payload, zone: str) -> Letter:
    return Letter(
        f"A tag is handed over to you: “{payload['name']}”",
        f"{payload['from']} wants to hand over the tag “{payload['name']}” to you.\n\n"
        f"To take it, accept until {clock(payload['until'], zone)}: {payload['url']}\n\n"
        "From then on we show only you where it is. Is it a private tag? Then claim it at once with the code from its "
        "box: until then its former owner may still be able to read where it is. If you do nothing, it stays theirs.",
    )


def _password_reset(payload: Payload, zone: str) -> Letter:
    return Letter(
        "Set your password",
        "Somebody, probably you, asked for a new password or a new account with this address.\n\n"
        f"Set it here until {clock(payload['until'], zone)}: {payload['url']}\n\n"
        "If it was not you, do nothing: nothing changes.",
    )


def _order_letter(payload: Payload, zone: str) -> Letter:
    return Letter(
        f"Your order {payload['number']}",
        f"{payload['text']}\n\nWhat was said of your order, and what shows it: {payload['url']}",
    )


def _channel_test(payload: Payload, zone: str) -> Letter:
    return Letter("This is what a message from us looks like", f"You asked for this test. {payload['url']}")


_KINDS: Final[Mapping[str, Callable[[Payload, str], Letter]]] = {
    "lost_heard": _lost_heard,
    "found_message": _found_message,
    "transfer_offer": _transfer_offer,
    "password_reset": _password_reset,
    "order_letter": _order_letter,
    "channel_test": _channel_test,
}


def compose(kind: str, payload: Payload, zone: str) -> Letter:
    """The letter for one notice, times in its reader's zone. An unknown kind is a bug."""
    return _KINDS[kind](payload, zone)
