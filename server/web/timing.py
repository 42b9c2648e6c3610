"""How long answers take, by route: from the request to the first byte of the answer, so that a live stream counts too.

The route is its pattern, never the address: addresses hold codes, and each would be a series of its own.
"""

from __future__ import annotations

from contextlib import ExitStack
from typing import Final

from prometheus_client import Histogram
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from server.web.api import PREFIX

# A page takes a few hundredths of a second; whoever waits longer than ten has gone.
ANSWERED: Final = Histogram(
    "hearsight_web_answer_seconds",
    "Time to the first byte of an answer, by route and status",
    ["route", "status"],
    buckets=[0.003, 0.01, 0.03, 0.1, 0.3, 1, 3, 10],
)
NOWHERE: Final = "none"
_STATIC: Final = "/static"


class Timing:
    """ASGI: measures what the application inside takes."""

    def __init__(self, app: ASGIApp) -> None:
        self._app = app

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http":
            await self._app(scope, receive, send)
            return
        with ExitStack() as running:
            timer = running.enter_context(ANSWERED.time())

            async def noticed(message: Message) -> None:
                if message["type"] == "http.response.start":
                    timer.labels(_route(scope), message["status"])
                    running.close()
                await send(message)

            try:
                await self._app(scope, receive, noticed)
            finally:
                running.pop_all()  # whoever never got an answer is not measured


def _route(scope: Scope) -> str:
    """The pattern of the address as docs/api.md has it; one word for what leads nowhere."""
    path, pattern = scope["path"], getattr(scope.get("route"), "path", NOWHERE)
    if path.startswith(f"{_STATIC}/"):
        return _STATIC
    # A route of the API knows itself without the prefix.
    api = path.startswith(f"{PREFIX}/") and pattern != NOWHERE and not pattern.startswith(PREFIX)
    return f"{PREFIX}{pattern}" if api else pattern
