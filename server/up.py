"""`python -m server up`: everything on one machine, started in order, kept alive, and ended in order.

PostgreSQL and the broker are the server's own unless the settings name others. A part that dies is started again
with growing pauses; at a signal the parts that use the database end before it does. If this process itself is
killed, the kernel ends the parts.
"""

from __future__ import annotations

import json
import os
import socket
import time
import urllib.error
import urllib.request
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Final

import structlog

from server import wiring
from server.ingest.seats import seats
from server.ingest.several import watched_workers
from server.local.broker import OwnBroker
from server.local.postgres import OwnPostgres
from server.refusal import conflict
from server.service.broker_list import replace_file
from server.settings import Settings, load, variable
from server.supervise import END_S, TICK_S, Crew, Program, Signals, Watched

log = structlog.get_logger("up")

RUNNING_FILE: Final = "running.json"


@dataclass(slots=True)
class House:
    """Everything that runs, in the order in which it was started."""

    settings: Settings
    environ: Mapping[str, str]
    monotonic: Callable[[], float] = time.monotonic
    crew: Crew = field(init=False)

    def __post_init__(self) -> None:
        self.crew = Crew(self.monotonic, self._write_running)

    def start(self, stopping: Callable[[], bool]) -> Settings:
        """Starts every part in order; returns the settings with the URLs of the own ones.

        Refusals: port_taken, workers_need_mosquitto, and those of the parts.
        """
        seats(self.settings)  # refused before anything is started
        _check_port(self.settings)
        data, env = wiring.data_folder(self.settings), dict(self.environ)
        if self.settings.database_url is None:
            own = OwnPostgres(data / "postgres")
            self.crew.begin(Watched("postgres", own))
            env[variable("database_url")] = own.url
        if self.settings.mqtt_url is None and not stopping():
            broker = OwnBroker(data / "broker")
            self.crew.begin(Watched("broker", broker))
            env[variable("mqtt_url")] = broker.url
        settings = load(env)
        if not stopping():
            self._prepare(settings)
        for program in (*watched_workers(settings, env), Watched("web", Program(["web"], env))):
            if not stopping():
                self.crew.begin(program)
        return settings

    def _prepare(self, settings: Settings) -> None:
        engine = wiring.open_engine(settings, "hearsight up")
        try:
            done = wiring.prepare(settings, engine)
        finally:
            engine.dispose()
        log.info("database_ready", version=done.after, was=done.before or "empty")

    def stop(self) -> None:
        """Programs first, together; then the broker; the database last."""
        self.crew.stop()
        (self.settings.data / RUNNING_FILE).unlink(missing_ok=True)

    def _write_running(self) -> None:
        """Which process is which, for whoever looks after this machine."""
        replace_file(self.settings.data / RUNNING_FILE, json.dumps({"up": os.getpid()} | self.crew.pids()) + "\n")


def run(settings: Settings, environ: Mapping[str, str]) -> int:
    """Runs everything until a signal; returns the exit code."""
    signals, house, told = Signals(), House(settings, environ), False
    try:
        house.start(lambda: signals.stopping)
        while not signals.stopping:
            signals.wait(TICK_S)
            house.crew.look()
            if not told and _answers(settings):
                told = True
                log.info("ready", pages=settings.base_url, data=str(settings.data))
    finally:
        house.stop()
    return 0


def _check_port(settings: Settings) -> None:
    """Told at the start: a web server that cannot listen would be started again and again. The one of a predecessor
    that was killed, and so left its file, may take a moment to end.
    """
    until = time.monotonic() + (END_S if (settings.data / RUNNING_FILE).exists() else 0)
    while (why := _cannot_listen(settings)) and time.monotonic() < until:
        time.sleep(TICK_S)
    if why:
        where = f"{settings.host}:{settings.port}"
        raise conflict(
            "port_taken", f"The web server cannot listen on {where}: {why}.",
            "End the program that does, or set HEARSIGHT_PORT to another port.", where,
        )  # fmt: skip


def _cannot_listen(settings: Settings) -> str:
    with socket.socket(socket.AF_INET6 if ":" in settings.host else socket.AF_INET) as probe:
        probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            probe.bind((settings.host, settings.port))
        except OSError as error:
            return error.strerror or "unknown"
    return ""


def _answers(settings: Settings) -> bool:
    host = "127.0.0.1" if settings.host in ("0.0.0.0", "::", "") else settings.host  # noqa: S104
    try:
        with urllib.request.urlopen(f"http://{host}:{settings.port}/health", timeout=1) as answer:
            return bool(answer.status == 200)
    except (OSError, urllib.error.URLError):
        return False
