"""Starts programs that are killed a moment later: forked from a process that has imported everything already.

    python -m tests.e2e.crash.nursery      one order a line on stdin, the new process's id a line on stdout

`python -m server ingest` takes a second to import before it does anything, and these tests start it hundreds of times.
What is forked here runs the same module with the same arguments and environment; only the imports are shared.
"""

from __future__ import annotations

import ctypes
import gc
import json
import os
import runpy
import signal
import subprocess
import sys
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import NoReturn

from tests.conftest import ROOT

_PR_SET_PDEATHSIG = 1
IMPORTED = ("server.cli.app", "server.ingest.run", "server.wiring", "gateway.outbox", "gateway.link", "gateway.courier")


@dataclass(frozen=True, slots=True)
class Born:
    """One living (or dead) process."""

    pid: int

    @property
    def alive(self) -> bool:
        try:
            state = Path(f"/proc/{self.pid}/stat").read_text().rpartition(")")[2].split()[0]
        except OSError:
            return False
        return state != "Z"

    def end(self, how: signal.Signals = signal.SIGKILL, patience_s: float = 20.0) -> None:
        """Signals it and waits until it is gone; it must have been alive."""
        assert self.alive, "it was dead before it was killed"
        os.kill(self.pid, how)
        self.wait(patience_s)

    def wait(self, patience_s: float) -> None:
        until = time.monotonic() + patience_s
        while self.alive:
            assert time.monotonic() < until, f"process {self.pid} did not end within {patience_s} s"
            time.sleep(0.002)


class Nursery:
    """The forking process, as seen by a test."""

    def __init__(self) -> None:
        self._process = subprocess.Popen(
            [sys.executable, "-m", "tests.e2e.crash.nursery"],
            cwd=ROOT, stdin=subprocess.PIPE, stdout=subprocess.PIPE, start_new_session=True,  # Ctrl-C is for us alone
        )  # fmt: skip

    def start(self, arguments: Sequence[str], env: Mapping[str, str], log: Path) -> Born:
        """Runs `python -m arguments…` with this environment added to ours, its output at the end of `log`."""
        assert self._process.stdin is not None
        assert self._process.stdout is not None
        order = json.dumps({"arguments": list(arguments), "env": dict(env), "log": str(log)})
        self._process.stdin.write(order.encode() + b"\n")
        self._process.stdin.flush()
        return Born(int(self._process.stdout.readline()))

    def close(self) -> None:
        """Whatever is still alive in it ends with it."""
        self._process.kill()
        self._process.wait()


def main() -> None:
    for module in IMPORTED:
        __import__(module)
    gc.freeze()
    signal.signal(signal.SIGCHLD, signal.SIG_IGN)  # the dead are not waited for
    for line in sys.stdin.buffer:
        order = json.loads(line)
        pid = os.fork()
        if pid == 0:
            _live(order)
        os.write(1, f"{pid}\n".encode())


def _live(order: dict[str, object]) -> NoReturn:
    """The child: as if it had been started by itself."""
    ctypes.CDLL(None).prctl(_PR_SET_PDEATHSIG, signal.SIGKILL)
    signal.signal(signal.SIGCHLD, signal.SIG_DFL)
    arguments, env = order["arguments"], order["env"]
    assert isinstance(arguments, list)
    assert isinstance(env, dict)
    with Path(str(order["log"])).open("ab") as log, Path("/dev/null").open("rb") as nothing:
        for ours, theirs in ((nothing, 0), (log, 1), (log, 2)):
            os.dup2(ours.fileno(), theirs)
    os.environ.update(env)
    sys.argv = arguments
    code: object = 1
    try:
        runpy.run_module(arguments[0], run_name="__main__", alter_sys=True)
        code = 0
    except SystemExit as end:
        code = end.code
    except BaseException as error:
        sys.excepthook(type(error), error, error.__traceback__)
    finally:
        sys.stdout.flush()
        sys.stderr.flush()
        os._exit(code if isinstance(code, int) else 0 if code is None else 1)


if __name__ == "__main__":
    main()
