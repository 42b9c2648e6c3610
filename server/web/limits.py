"""Limits at the door: how large a request may be, and how often somebody may ask for what can be guessed or annoys.

Counted in memory of the one web process; a restart forgives. Sign-ins are counted in the database as well, because
there a restart must not forgive.
"""

from __future__ import annotations

import threading
from collections import OrderedDict
from collections.abc import Callable, Mapping
from contextlib import suppress
from dataclasses import dataclass
from datetime import datetime
from typing import Final

from starlette.datastructures import Headers
from starlette.responses import JSONResponse
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from server.service.refusals import refuse
from server.web.errors import as_json

# A thousand statements of an import fit; a form or a claim is a hundredth of it.
BODY_MAX: Final = 1024 * 1024
# More callers than this at once are an attack, and the oldest entry is then the least harm to forget.
CALLERS_MAX: Final = 50_000


@dataclass(frozen=True, slots=True)
class Rate:
    """At most `burst` at once, refilled evenly over `per_s` seconds."""

    burst: int
    per_s: int


RATES: Final[Mapping[str, Rate]] = {
    "any": Rate(600, 60),  # eight open tabs and a script
    "bad_token": Rate(60, 600),  # a script whose token was revoked; 256 bits cannot be guessed
    "sign_in": Rate(20, 300),  # an office behind one address
    "reset": Rate(5, 3600),  # each sends a mail
    "claim": Rate(20, 900),  # codes are 128 bits: this is against noise, not against guessing
    "carry": Rate(60, 900),
    "transfer": Rate(20, 3600),
    # Private finding: days, households, lines to tags
    "day_keys": Rate(30, 3600),  # a year each, with a scalar multiplication a day
    "household_key": Rate(30, 3600),  # addresses can be guessed
    "relay": Rate(90, 900),  # each asks a gateway what it hears; whoever waits for a tag asks every few seconds
    "relay_step": Rate(300, 900),  # a year of identifiers takes twenty steps
    "channel_test": Rate(10, 3600),  # it writes to an address that nobody has confirmed
    "found": Rate(60, 60),
    "found_message": Rate(5, 3600),
    "contact": Rate(10, 3600),  # of one order: somebody in despair, not a script
    "order_view": Rate(10, 600),  # number and e-mail can be guessed
    "enrol": Rate(20, 600),
    "import": Rate(20, 300),  # each may work for half a minute
    "fetch_reports": Rate(600, 60),  # days: a look-back is nine, a busy one thirty; a household has several tags
    "bad_signature": Rate(60, 600),  # a secret that was changed on one side only; nobody guesses an HMAC
    "preview": Rate(60, 60),  # each weighs the order several times
    "message": Rate(60, 600),  # each sends a mail
    "run_preview": Rate(20, 600),  # each may weigh a thousand orders
    "refund_ask": Rate(10, 600),  # asked twice it is one, but each asking weighs an order
}


class RateLimiter:
    """Token buckets by (rate, caller); `clock` gives the moment."""

    def __init__(
        self, clock: Callable[[], datetime], rates: Mapping[str, Rate] = RATES, limit: int = CALLERS_MAX
    ) -> None:
        self._clock = clock
        self._rates = rates
        self._limit = limit
        self._level: OrderedDict[tuple[str, str], tuple[float, float]] = OrderedDict()
        self._lock = threading.Lock()
        self.refused: dict[str, int] = dict.fromkeys(rates, 0)

    def take(self, rate: str, caller: str, count: int = 1) -> None:
        """Count one request, or one that is worth as many as `count` (at most the burst). Refusals: too_many."""
        allowed = self._rates[rate]
        now_s = self._clock().timestamp()
        with self._lock:
            left, then_s = self._level.pop((rate, caller), (float(allowed.burst), now_s))
            left = min(allowed.burst, left + max(now_s - then_s, 0) * allowed.burst / allowed.per_s)
            while len(self._level) >= self._limit:
                self._level.popitem(last=False)
            self._level[rate, caller] = (left - count if left >= count else left, now_s)
            if left >= count:
                return
            self.refused[rate] += 1
        wait_s = max(1, round((count - left) * allowed.per_s / allowed.burst))
        raise refuse("too_many", wait_s=wait_s)


class BodyLimit:
    """ASGI: refuses a body above the limit, announced or not, before anything reads it whole."""

    def __init__(self, app: ASGIApp, limit: int = BODY_MAX) -> None:
        self._app = app
        self._limit = limit

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http":
            await self._app(scope, receive, send)
            return
        announced = Headers(scope=scope).get("content-length", "")
        if announced.isdecimal() and int(announced) > self._limit:
            await self._refuse(scope, receive, send)
            return
        held, started = 0, False

        async def counted() -> Message:
            nonlocal held
            message = await receive()
            held += len(message.get("body", b""))
            if held > self._limit:
                raise _TooLarge
            return message

        async def noticed(message: Message) -> None:
            nonlocal started
            if held <= self._limit:  # else whatever the application makes of it is not what happened
                started = True
                await send(message)

        with suppress(_TooLarge):
            await self._app(scope, counted, noticed)
        if held > self._limit and not started:
            await self._refuse(scope, receive, send)

    async def _refuse(self, scope: Scope, receive: Receive, send: Send) -> None:
        refusal = refuse("too_large", limit=self._limit)
        await JSONResponse(as_json(refusal), 413)(scope, receive, send)


class _TooLarge(Exception):  # noqa: N818 - it never leaves this page
    """More bytes came than were announced."""
