"""The programs of the demo as processes: started with a log each, ended in order, never left behind.

Each runs in a session of its own, so that Ctrl-C in the terminal reaches only us and we end them one after
another; should we be killed outright, the kernel ends them (setpriv --pdeathsig).
"""

from __future__ import annotations

import contextlib
import os
import shutil
import signal
import subprocess
import sys
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from types import TracebackType
from typing import Final

# A gateway hands its last batch to the disk, the server closes its database: seconds each, not minutes.
PATIENCE_S: Final = 20.0
TAIL_LINES: Final = 15


class DemoError(Exception):
    """The demo cannot go on; the message says what happened and what to do."""


@dataclass(slots=True)
class Programs:
    """Every process of the demo, in the order in which it was started."""

    logs: Path
    running: dict[str, subprocess.Popen[bytes]] = field(default_factory=dict)

    def __enter__(self) -> Programs:
        self.logs.mkdir(parents=True, exist_ok=True)
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        for name in reversed(list(self.running)):
            self.end(name)

    def start(self, name: str, module: Sequence[str], env: Mapping[str, str]) -> None:
        """Start `python -m MODULE…` with our environment and `env`; its output goes to the log of that name."""
        with self.log(name).open("ab") as log:
            self.running[name] = subprocess.Popen(
                guarded(module),
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=subprocess.STDOUT,
                env={**os.environ, **env},
                start_new_session=True,
            )

    def end(self, name: str) -> None:
        """Ask it to end, and after a while end it."""
        child = self.running.pop(name)
        if child.poll() is None:
            child.send_signal(signal.SIGTERM)
            with contextlib.suppress(subprocess.TimeoutExpired):
                child.wait(PATIENCE_S)
        if child.poll() is None:
            child.kill()
            child.wait()

    def check(self) -> None:
        """Raises DemoError with the last lines of its log if a program has ended by itself."""
        for name, child in self.running.items():
            if child.poll() is not None:
                raise DemoError(
                    f"{name} ended with code {child.returncode}. The end of {self.log(name)}:\n{self.tail(name)}"
                )

    def log(self, name: str) -> Path:
        return self.logs / f"{name}.log"

    def tail(self, name: str) -> str:
        lines = self.log(name).read_text(errors="replace").splitlines() if self.log(name).exists() else []
        return "\n".join(lines[-TAIL_LINES:])


def run(
    module: Sequence[str], env: Mapping[str, str], *, stdin: str | None = None, log: Path | None = None
) -> str:  # fmt: skip
    """Run `python -m MODULE…` to its end and return what it printed. Raises DemoError with what it said."""
    done = subprocess.run(
        guarded(module),
        input=stdin,
        stdin=None if stdin is not None else subprocess.DEVNULL,
        capture_output=True,
        text=True,
        env={**os.environ, **env},
        start_new_session=True,
        check=False,
    )
    if log is not None:
        with log.open("a") as file:
            file.write(done.stdout + done.stderr)
    if done.returncode:
        said = "\n".join((done.stderr or done.stdout).splitlines()[-TAIL_LINES:])
        raise DemoError(f"`python -m {' '.join(module[:3])}` ended with code {done.returncode}:\n{said}")
    return done.stdout


def guarded(module: Sequence[str]) -> list[str]:
    """The command line of `python -m MODULE…` that the kernel ends when we are gone."""
    setpriv = shutil.which("setpriv")
    if setpriv is None:
        raise DemoError("setpriv is not installed. Install it with: apt-get install -y util-linux")
    return [setpriv, "--pdeathsig=TERM", "--", sys.executable, "-m", *module]
