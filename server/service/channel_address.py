"""Which addresses an owner may give us to write to. Each comes from a customer, so each is hostile.

Here is refused what can be seen without a look-up; the delivery looks again at the very network address it calls.
"""

from __future__ import annotations

import base64
import binascii
import re
from dataclasses import dataclass
from typing import Final
from urllib.parse import urlsplit

from cryptography.hazmat.primitives.asymmetric.ec import SECP256R1, EllipticCurvePublicKey

from server.service.refusals import refuse
from server.service.webhook_address import is_public

_SCHEME: Final = re.compile(r"([a-z][a-z0-9]*)://\S+", re.ASCII)
_POINT_LEN: Final = 65  # 04 ‖ x ‖ y of a point on P-256
_AUTH_LEN: Final = 16


@dataclass(frozen=True, slots=True)
class Service:
    """A service that apprise speaks to. `own_host`: the address names the machine, which its owner may run."""

    name: str
    example: str
    own_host: bool = False


def _run_by_oneself(name: str, scheme: str, rest: str) -> dict[str, Service]:
    """Such a service speaks https by the name with an s, and plain http by the one without."""
    return {f"{scheme}{s}": Service(name, f"{scheme}{s}://{rest}", own_host=True) for s in ("s", "")}


# By scheme. Of some 200 that apprise knows only those that speak HTTP, to a public service whose address is a constant
# in apprise or to a host that we can judge. None that reaches a desktop, a bus, a log, a file or a mail server.
SERVICES: Final[dict[str, Service]] = {
    "discord": Service("Discord", "discord://WEBHOOK_ID/WEBHOOK_TOKEN"),
    "gchat": Service("Google Chat", "gchat://WORKSPACE/KEY/TOKEN"),
    "pbul": Service("Pushbullet", "pbul://ACCESS_TOKEN"),
    "pover": Service("Pushover", "pover://USER_KEY@APP_TOKEN"),
    "prowl": Service("Prowl", "prowl://API_KEY"),
    "signl4": Service("SIGNL4", "signl4://TEAM_SECRET"),
    "slack": Service("Slack", "slack://TOKEN_A/TOKEN_B/TOKEN_C"),
    "tgram": Service("Telegram", "tgram://BOT_TOKEN/CHAT_ID"),
    **_run_by_oneself("ntfy", "ntfy", "HOST/TOPIC"),
    **_run_by_oneself("Gotify", "gotify", "HOST/TOKEN"),
    **_run_by_oneself("Mattermost", "mmost", "HOST/TOKEN"),
    **_run_by_oneself("Nextcloud Talk", "nctalk", "USER:PASSWORD@HOST/ROOM"),
    **_run_by_oneself("Rocket.Chat", "rocket", "USER:PASSWORD@HOST/ROOM"),
    **_run_by_oneself("a program that takes JSON", "json", "HOST/PATH"),
    **_run_by_oneself("a program that takes XML", "xml", "HOST/PATH"),
    **_run_by_oneself("a program that takes a form", "form", "HOST/PATH"),
}


def check_web(url: str, *, private_allowed: bool) -> None:
    """Of a webhook, or where a browser's push service takes messages. Refusals: webhook_unsafe."""
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


def check_apprise(url: str, *, private_allowed: bool) -> None:
    """Refuse what apprise must not be given. Refusals: apprise_unsafe."""
    read = _SCHEME.fullmatch(url) if url.isascii() and url.isprintable() else None
    service = SERVICES.get(read[1]) if read else None
    if read is None or service is None:
        raise refuse("apprise_unsafe", detail="its first word is none of " + ", ".join(sorted(SERVICES)))
    if private_allowed or not service.own_host:
        return
    try:
        parts = urlsplit(url)
        host, path, _ = parts.hostname, parts.path.strip("/"), parts.port
    except ValueError:
        raise refuse("apprise_unsafe", detail="it cannot be read") from None
    if service.name == "ntfy" and not path:
        return  # ntfy://TOPIC: no host, it goes to ntfy.sh by https
    if f"{read[1]}s" in SERVICES:
        raise refuse("apprise_unsafe", detail=f"it is not encrypted; it must begin with {read[1]}s://")
    if not host or _private(host):
        raise refuse("apprise_unsafe", detail="it leads into a private network, or names no host")


def push_secret(p256dh: str, auth: str) -> bytes:
    """A subscription's keys as they are kept: its public point (65 bytes) and its secret (16). Refusals: push_invalid.

    Both come as the browser gives them, in base64url.
    """
    try:
        point, secret = _unbase64(p256dh), _unbase64(auth)
        if len(point) != _POINT_LEN or len(secret) != _AUTH_LEN:
            raise ValueError
        EllipticCurvePublicKey.from_encoded_point(SECP256R1(), point)
    except (ValueError, binascii.Error):
        raise refuse("push_invalid", detail="its keys are no point of P-256 and 16 bytes") from None
    return point + secret


def _unbase64(text: str) -> bytes:
    plain = text.rstrip("=")
    return base64.b64decode(plain + "=" * (-len(plain) % 4), altchars=b"-_", validate=True)


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
