"""Child processes kept alive: started in order, started again with growing pauses when they die, ended together.

If this process itself is killed, the kernel ends the children (`server/local/children.py`).
"""

from __future__ import annotations

import os
import select
import signal
import subprocess
import sys
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from types import FrameType
from typing import Final, Protocol

import structlog

from server.local import children
from server.refusal import Refusal, invalid

log = structlog.get_logger("supervise")

# A part that died may die of the same thing again at once; half a minute spares the log and the processor.
_PAUSE_FIRST_S: Final = 0.5
_PAUSE_MAX_S: Final = 30.0
# Who lived this long is well: the next death is a new story.
_WELL_AFTER_S: Final = 60.0
TICK_S: Final = 0.25
# What an ingest or a page under way may need to finish; more, and Ctrl-C seems not to work.
END_S: Final = 8.0
# A child that ends with this code was refused something that will not change by trying again.
REFUSED: Final = 2


class Part(Protocol):
    """Something that is started, watched and stopped."""

    @property
    def alive(self) -> bool: ...
    @property
    def pid(self) -> int: ...
    def start(self) -> object: ...
    def stop(self) -> None: ...


class Program:
    """One of our own commands as a child process: `python -m server` and these arguments."""

    def __init__(self, arguments: Sequence[str], env: Mapping[str, str]) -> None:
        self.arguments = tuple(arguments)
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
        self._child = children.start([sys.executable, "-m", "server", *self.arguments], env=self._env)

    def ask_to_end(self) -> None:
        """SIGTERM, without waiting: several end at the same time."""
        if self._child is not None and self.alive:
            self._child.terminate()

    def stop(self, patience_s: float = END_S) -> None:
        if self._child is not None:
            children.end(self._child, ((signal.SIGTERM, patience_s),))


def _nothing_more(_pause_s: float) -> None:
    pass


@dataclass(slots=True)
class Watched:
    """A part with its history. `died` is told for how many seconds it will be away."""

    name: str
    part: Part
    died: Callable[[float], None] = _nothing_more
    started_at_s: float = 0.0
    pause_s: float = _PAUSE_FIRST_S
    again_at_s: float | None = None


@dataclass(slots=True)
class Crew:
    """Everything that runs, in the order in which it was started. `changed` is called whenever a part has started."""

    monotonic: Callable[[], float]
    changed: Callable[[], None] = lambda: None
    parts: list[Watched] = field(default_factory=list)

    def begin(self, watched: Watched) -> None:
        """Starts a part and watches it from now on."""
        self.parts.append(watched)
        self._start(watched)

    def pids(self) -> dict[str, int]:
        """The process of each part that is alive."""
        return {each.name: each.part.pid for each in self.parts if each.part.alive}

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

    def stop(self) -> None:
        """Programs first, together: `END_S` for all of them, however many hang; then the rest, the first one last."""
        for watched in self.parts:
            if isinstance(watched.part, Program):
                watched.part.ask_to_end()
        until_s = self.monotonic() + END_S
        for watched in reversed(self.parts):
            if isinstance(watched.part, Program):
                watched.part.stop(max(0.0, until_s - self.monotonic()))
            else:
                watched.part.stop()
            log.info("stopped", part=watched.name)

    def _start(self, watched: Watched) -> None:
        before = self.monotonic()
        watched.part.start()
        watched.started_at_s, watched.again_at_s = self.monotonic(), None
        self.changed()
        log.info("started", part=watched.name, pid=watched.part.pid, seconds=round(watched.started_at_s - before, 1))

    def _died(self, watched: Watched, now: float) -> None:
        program = watched.part if isinstance(watched.part, Program) else None
        code = program.exit_code if program else None
        if program and code == REFUSED:
            command = " ".join(program.arguments)
            raise invalid(
                "part_refused", f"`python -m server {command}` cannot run; what it said stands above.",
                "Correct that and start again.",
            )  # fmt: skip
        log.warning("died", part=watched.name, exit_code=code, again_in_s=watched.pause_s)
        watched.again_at_s = now + watched.pause_s
        watched.died(watched.pause_s)
        watched.pause_s = min(watched.pause_s * 2, _PAUSE_MAX_S)

    def _again(self, watched: Watched, now: float) -> None:
        try:
            watched.part.stop()
            self._start(watched)
        except (Refusal, OSError) as error:
            log.error("start_failed", part=watched.name, why=str(error), again_in_s=watched.pause_s)
            watched.again_at_s = now + watched.pause_s
            watched.pause_s = min(watched.pause_s * 2, _PAUSE_MAX_S)


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
