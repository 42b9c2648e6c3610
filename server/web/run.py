"""Runs the web process: one uvicorn in one process, stopped gracefully by SIGTERM or Ctrl-C."""

from __future__ import annotations

from collections.abc import Callable

import structlog
import uvicorn

from server import wiring
from server.rules.policy import PROFILES
from server.service.house import House
from server.settings import Settings
from server.web.app import Beside, create_app

# A request takes a second; whoever streams longer is cut off, so that a restart does not wait for them.
GRACE_S = 5


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
    config = uvicorn.Config(
        create_app(house, beside),
        host=settings.host,
        port=settings.port,
        log_config=None,  # the log is set up already
        access_log=False,  # addresses hold codes and tokens
        server_header=False,
        timeout_graceful_shutdown=GRACE_S,
    )
    structlog.get_logger(__name__).info("web_starts", url=settings.base_url)
    try:
        uvicorn.Server(config).run()
    finally:
        engine.dispose()
