"""The web application: routes, limits, headers and one error shape around a house."""

from __future__ import annotations

from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from importlib.metadata import version
from typing import Protocol

from fastapi import FastAPI

from server.service.house import House
from server.web import document, errors, pages
from server.web.api import PREFIX, health, router
from server.web.errors import Breakage
from server.web.headers import SecurityHeaders
from server.web.limits import BodyLimit, RateLimiter
from server.web.live import Live
from server.web.timing import Timing


class Beside(Protocol):
    """What the web process does beside answering: the line to the gateways, letters, sweeps."""

    def start(self) -> None:
        """Begin, each part on its own thread."""
        ...  # pragma: no cover - a protocol

    def stop(self) -> None:
        """End all of it."""
        ...  # pragma: no cover - a protocol


def create_app(house: House, beside: Callable[[House], Beside] | None = None) -> FastAPI:
    """The application; `beside` is started and stopped with it."""
    live = Live(house.engine, house.dice(8).hex())

    @asynccontextmanager
    async def lifespan(_: FastAPI) -> AsyncIterator[None]:
        company = beside(house) if beside else None
        if company:
            company.start()
        try:
            async with live.running():
                yield
        finally:
            if company:
                company.stop()

    app = FastAPI(
        title="Hearsight",
        version=version("hearsight"),
        summary="Where is my tag; did it ship, is it alive.",
        openapi_url=f"{PREFIX}/openapi.json",
        docs_url=None,  # its page loads scripts from elsewhere
        redoc_url=None,
        lifespan=lifespan,
    )
    app.state.house = house
    app.state.rates = RateLimiter(house.clock)
    app.state.live = live
    errors.install(app)
    # The last one added is the outermost.
    app.add_middleware(BodyLimit)
    app.add_middleware(Breakage, new_reference=lambda: house.dice(6).hex())
    app.add_middleware(Timing)
    app.add_middleware(SecurityHeaders, https=house.settings.base_url.startswith("https:"))
    app.include_router(router())
    app.include_router(health.router)
    pages.install(app)
    document.install(app)
    return app
