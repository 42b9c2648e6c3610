"""The way out to an address that a customer gave: one HTTPS request to the very network address that was looked at."""

from __future__ import annotations

import asyncio
from collections.abc import Mapping
from typing import Final

import httpx

from server.service.webhook_address import safe_target

# For all of it: a receiver that sends a letter of its answer every few seconds would hold up everybody's news.
TIMEOUT_S: Final = 10.0


def post(url: str, body: bytes, headers: Mapping[str, str], *, private_allowed: bool) -> None:
    """Sends one body. Raises UnsafeAddressError for good; OSError, TimeoutError or httpx.HTTPError: try again later.

    Of the answer nothing is read but its status, and no redirection is followed.
    """
    target = safe_target(url, private_allowed=private_allowed)
    name = target.host.rsplit(":", 1)[0] if not target.host.endswith("]") else target.host
    asyncio.run(_send(target.url, body, {"host": target.host, **headers}, name))


async def _send(url: str, body: bytes, headers: Mapping[str, str], name: str) -> None:
    tls = {"sni_hostname": name}
    async with (
        asyncio.timeout(TIMEOUT_S),
        httpx.AsyncClient(timeout=TIMEOUT_S, follow_redirects=False, trust_env=False) as client,
        client.stream("POST", url, content=body, headers=headers, extensions=tls) as answer,
    ):
        if not answer.is_success:
            raise httpx.HTTPStatusError(f"answered {answer.status_code}", request=answer.request, response=answer)
