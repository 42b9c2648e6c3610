"""Where a customer's webhook may lead: to a public address, and nowhere into our own network.

The address comes from a customer, so it is hostile: it is resolved once, every address it resolves to must be
public, and the connection goes to that very address (a second look-up could answer differently).
"""

from __future__ import annotations

import ipaddress
import socket
from dataclasses import dataclass
from typing import Final
from urllib.parse import urlsplit, urlunsplit

# Unicast addresses of the Internet are here and nowhere else; the library's `is_global` is more generous.
_UNICAST_6: Final = ipaddress.ip_network("2000::/3")
# In networks without IPv4 a translator stands behind this prefix and calls the IPv4 address in the last four bytes.
_TRANSLATED: Final = ipaddress.ip_network("64:ff9b::/96")


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
    if not private_allowed and not all(is_public(ip) for ip in found):
        raise UnsafeAddressError("a webhook's address must lead to a public network address")
    ip = f"[{found[0]}]" if ":" in found[0] else found[0]
    return Target(urlunsplit((parts.scheme, f"{ip}:{port}", parts.path or "/", parts.query, "")), parts.netloc)


def is_public(ip: str) -> bool:
    """Whether a network address is one machine on the Internet; also of the IPv4 address that an IPv6 one wraps."""
    at = ipaddress.ip_address(ip)
    if isinstance(at, ipaddress.IPv6Address):
        if at in _TRANSLATED:
            at = ipaddress.IPv4Address(at.packed[12:])
        elif at.sixtofour is not None or at.teredo is not None or at not in _UNICAST_6:
            return False
    return at.is_global and not at.is_multicast
