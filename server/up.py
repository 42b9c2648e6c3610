"""`python -m server up`: everything on one machine, started in order, kept alive, and ended in order.

PostgreSQL and the broker are the server's own unless the settings name others. A part that dies is started again
with growing pauses; at a signal the parts that use the database end before it does. If this process itself is
killed, the kernel ends the parts.
"""

from __future__ import annotations

import json
import os
import select
import signal
import socket
import subprocess
import sys
import time
import urllib.error
import urllib.request
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from types import FrameType
from typing import Final, Protocol

import structlog

from server import wiring
from server.local import children
from server.local.broker import OwnBroker
from server.local.postgres import OwnPostgres
from server.refusal import Kind, Refusal, conflict
from server.service.broker_list import replace_file
from server.settings import Settings, load, variable

log = structlog.get_logger("up")

# A part that died may die of the same thing again at once; half a minute spares the log and the processor.
_PAUSE_FIRST_S: Final = 0.5
_PAUSE_MAX_S: Final = 30.0
# Who lived this long is well: the next death is a new story.
_WELL_AFTER_S: Final = 60.0
_TICK_S: Final = 0.25
# What an ingest or a page under way may need to finish; more, and Ctrl-C seems not to work.
_END_S: Final = 8.0
# A child that ends with this code was refused something that will not change by trying again.
REFUSED: Final = 2
RUNNING_FILE: Final = "running.json"


class Part(Protocol):
    """Something that is started, watched and stopped."""

    @property
    def alive(self) -> bool: ...
    @property
    def pid(self) -> int: ...
    def start(self) -> object: ...
    def stop(self) -> None: ...


class Program:
    """One of our own commands as a child process."""

    def __init__(self, command: str, env: Mapping[str, str]) -> None:
        self.command = command
        self._env = dict(env)
        self._child: subprocess.Popen[bytes] | None = None

    @property
    def alive(self) -> bool:
        return self._child is not None and self._child.poll() is None

    @property
    def pid(self) -> int:
        assert self._child is not None
        return self._child.pid

    @property
    def exit_code(self) -> int | None:
        return self._child.poll() if self._child else None

    def start(self) -> None:
        self._child = children.start([sys.executable, "-m", "server", self.command], env=self._env)

    def ask_to_end(self) -> None:
        """SIGTERM, without waiting: several end at the same time."""
        if self._child is not None and self.alive:
            self._child.terminate()

    def stop(self) -> None:
        if self._child is not None:
            children.end(self._child, ((signal.SIGTERM, _END_S),))


@dataclass(slots=True)
class Watched:
    """A part with its history."""

    name: str
    part: Part
    started_at_s: float = 0.0
    pause_s: float = _PAUSE_FIRST_S
    again_at_s: float | None = None
    restarts: int = 0


@dataclass(slots=True)
class House:
    """Everything that runs, in the order in which it was started."""

    settings: Settings
    environ: Mapping[str, str]
    monotonic: Callable[[], float] = time.monotonic
    parts: list[Watched] = field(default_factory=list)

    # --- starting

    def start(self, stopping: Callable[[], bool]) -> Settings:
        """Starts every part in order; returns the settings with the URLs of the own ones.

        Refusals: port_taken, and those of the parts.
        """
        _check_port(self.settings)
        data, env = wiring.data_folder(self.settings), dict(self.environ)
        if self.settings.database_url is None:
            own = OwnPostgres(data / "postgres")
            self._begin("postgres", own)
            env[variable("database_url")] = own.url
        if self.settings.mqtt_url is None and not stopping():
            broker = OwnBroker(data / "broker")
            self._begin("broker", broker)
            env[variable("mqtt_url")] = broker.url
        settings = load(env)
        if not stopping():
            self._prepare(settings)
        for command in ("ingest", "web"):
            if not stopping():
                self._begin(command, Program(command, env))
        return settings

    def _begin(self, name: str, part: Part) -> None:
        watched = Watched(name, part)
        self.parts.append(watched)
        self._start(watched)

    def _start(self, watched: Watched) -> None:
        before = self.monotonic()
        watched.part.start()
        watched.started_at_s, watched.again_at_s = self.monotonic(), None
        self._write_running()
        log.info("started", part=watched.name, pid=watched.part.pid, seconds=round(watched.started_at_s - before, 1))

    def _prepare(self, settings: Settings) -> None:
        engine = wiring.open_engine(settings, "hearsight up")
        try:
            done = wiring.prepare(settings, engine)
        finally:
            engine.dispose()
        log.info("database_ready", version=done.after, was=done.before or "empty")

    # --- watching

    def look(self) -> None:
        """One look at every part: who died is started again when its pause is over. Raises Refusal `part_refused`."""
        now = self.monotonic()
        for watched in self.parts:
            if watched.part.alive:
                if now - watched.started_at_s > _WELL_AFTER_S:
                    watched.pause_s = _PAUSE_FIRST_S
            elif watched.again_at_s is None:
                self._died(watched, now)
            elif now >= watched.again_at_s:
                self._again(watched, now)

    def _died(self, watched: Watched, now: float) -> None:
        code = watched.part.exit_code if isinstance(watched.part, Program) else None
        if code == REFUSED:
            raise Refusal(
                Kind.LATER, "part_refused", f"`python -m server {watched.name}` cannot run; what it said stands above.",
                "Correct that and start again.",
            )  # fmt: skip
        log.warning("died", part=watched.name, exit_code=code, again_in_s=watched.pause_s)
        watched.again_at_s = now + watched.pause_s
        watched.pause_s = min(watched.pause_s * 2, _PAUSE_MAX_S)
        watched.restarts += 1

    def _again(self, watched: Watched, now: float) -> None:
        try:
            watched.part.stop()
            self._start(watched)
        except (Refusal, OSError) as error:
            log.error("start_failed", part=watched.name, why=str(error), again_in_s=watched.pause_s)
            watched.again_at_s = now + watched.pause_s
            watched.pause_s = min(watched.pause_s * 2, _PAUSE_MAX_S)

    # --- ending

    def stop(self) -> None:
        """Programs first, together; then the broker; the database last."""
        programs = [each.part for each in self.parts if isinstance(each.part, Program)]
        for program in programs:
            program.ask_to_end()
        for watched in reversed(self.parts):
            watched.part.stop()
            log.info("stopped", part=watched.name)
        (self.settings.data / RUNNING_FILE).unlink(missing_ok=True)

    def _write_running(self) -> None:
        """Which process is which, for whoever looks after this machine."""
        pids = {each.name: each.part.pid for each in self.parts if each.part.alive}
        replace_file(self.settings.data / RUNNING_FILE, json.dumps({"up": os.getpid()} | pids) + "\n")


class Signals:
    """SIGINT and SIGTERM ask us to stop; a child's end wakes us. A handler only notes; the loop acts."""

    def __init__(self) -> None:
        self.stopping = False
        self._read, self._write = os.pipe()
        os.set_blocking(self._write, False)
        signal.set_wakeup_fd(self._write, warn_on_full_buffer=False)
        for number in (signal.SIGINT, signal.SIGTERM):
            signal.signal(number, self._stop)
        signal.signal(signal.SIGCHLD, lambda *_: None)

    def _stop(self, _number: int, _frame: FrameType | None) -> None:
        self.stopping = True

    def wait(self, seconds: float) -> None:
        """Until a signal comes, at most so long."""
        if select.select([self._read], [], [], seconds)[0]:
            os.read(self._read, 512)


def run(settings: Settings, environ: Mapping[str, str]) -> int:
    """Runs everything until a signal; returns the exit code."""
    signals, house, told = Signals(), House(settings, environ), False
    try:
        house.start(lambda: signals.stopping)
        while not signals.stopping:
            signals.wait(_TICK_S)
            house.look()
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
    until = time.monotonic() + (_END_S if (settings.data / RUNNING_FILE).exists() else 0)
    while (why := _cannot_listen(settings)) and time.monotonic() < until:
        time.sleep(_TICK_S)
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
