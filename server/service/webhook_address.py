"""Where a customer's webhook may lead: to a public address, and nowhere into our own network.

The address comes from a customer, so it is hostile: it is resolved once, every address it resolves to must be
public, and the connection goes to that very address (a second look-up could answer differently).
"""

from __future__ import annotations

import ipaddress
import socket
from dataclasses import dataclass
from urllib.parse import urlsplit, urlunsplit


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
