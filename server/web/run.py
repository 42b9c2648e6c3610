"""Runs the web process: one uvicorn in one process, stopped gracefully by SIGTERM or Ctrl-C."""

from __future__ import annotations

import socket
from collections.abc import Callable

import structlog
import uvicorn
from fastapi import FastAPI

from server import wiring
from server.rules.policy import PROFILES
from server.service.house import House
from server.settings import Settings
from server.web.app import Beside, create_app

# A request takes a second; whoever takes longer is cut off, so that a restart does not wait for them.
GRACE_S = 5


class Server(uvicorn.Server):
    """Says goodbye to the live streams before it waits for open answers: those would never end by themselves."""

    def __init__(self, config: uvicorn.Config, app: FastAPI) -> None:
        super().__init__(config)
        self._app = app

    async def shutdown(self, sockets: list[socket.socket] | None = None) -> None:
        self._app.state.live.close()
        await super().shutdown(sockets)


def run(settings: Settings, beside: Callable[[House], Beside] | None = None) -> None:
    """Serve until told to stop. `beside` makes what runs along with it."""
    engine = wiring.open_engine(settings, "hearsight web")
    with engine.begin() as tx:
        vault = wiring.vault(settings, tx)
    house = House(
        settings=settings,
        engine=engine,
        vault=vault,
        clock=wiring.clock,
        dice=wiring.dice,
        policy=PROFILES[settings.policy_profile],
    )
    app = create_app(house, beside)
    config = uvicorn.Config(
        app,
        host=settings.host,
        port=settings.port,
        log_config=None,  # the log is set up already
        access_log=False,  # addresses hold codes and tokens
        server_header=False,
        timeout_graceful_shutdown=GRACE_S,
    )
    structlog.get_logger(__name__).info("web_starts", url=settings.base_url)
    try:
        Server(config, app).run()
    finally:
        engine.dispose()
