"""Child processes that cannot outlive us, and that can run as another user.

A supervisor may be killed so hard that it cannot say goodbye; the kernel then signals its children (pdeathsig).
setpriv (util-linux, on every Debian) sets that before the program starts, and changes the user where wanted.
"""

from __future__ import annotations

import contextlib
import os
import shutil
import signal
import subprocess
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import IO

from server.refusal import Kind, Refusal


@dataclass(frozen=True, slots=True)
class RunAs:
    """Another user to run as. `reach_all`: keeps the right to pass folders that this user could not enter."""

    uid: int
    gid: int
    reach_all: bool = False


def guarded(argv: Sequence[str], when_parent_dies: signal.Signals, run_as: RunAs | None = None) -> list[str]:
    """The command line that runs `argv` so that `when_parent_dies` reaches it when the starting thread is gone."""
    setpriv = shutil.which("setpriv")
    if setpriv is None:
        raise Refusal(
            Kind.LATER, "setpriv_missing", "The program setpriv is not installed here.",
            "Install it with: apt-get install -y util-linux",
        )  # fmt: skip
    line = [setpriv, f"--pdeathsig={when_parent_dies.name.removeprefix('SIG')}"]
    if run_as:
        line += [f"--reuid={run_as.uid}", f"--regid={run_as.gid}", "--clear-groups"]
        right = ",+dac_override" if run_as.reach_all else ""
        # Everything that root could do is given up for good, but perhaps this one right. access(2) would hide even
        # that one, and PostgreSQL asks it for its own programs: hence no_setuid_fixup.
        if run_as.reach_all:
            line.append("--securebits=+no_setuid_fixup")
        line += [f"--inh-caps=-all{right}", f"--bounding-set=-all{right}", f"--ambient-caps=-all{right}"]
    return [*line, "--", *argv]


def start(
    argv: Sequence[str],
    *,
    when_parent_dies: signal.Signals = signal.SIGTERM,
    run_as: RunAs | None = None,
    env: Mapping[str, str] | None = None,
    output: IO[bytes] | None = None,
    cwd: Path | None = None,
) -> subprocess.Popen[bytes]:
    """Starts a child in a session of its own: Ctrl-C in the terminal reaches only us, and we end the children in
    the right order. Call it from a thread that lives as long as the child should.
    """
    return subprocess.Popen(
        guarded(argv, when_parent_dies, run_as),
        stdin=subprocess.DEVNULL,
        stdout=output,
        stderr=subprocess.STDOUT if output else None,
        env=env,
        cwd=cwd,
        start_new_session=True,
    )


def end(child: subprocess.Popen[bytes], steps: Sequence[tuple[signal.Signals, float]]) -> int:
    """Ends a child: each signal in turn with the seconds it is given, then SIGKILL. Returns its exit code."""
    for how, patience_s in steps:
        if child.poll() is None:
            with contextlib.suppress(ProcessLookupError):
                child.send_signal(how)
            with contextlib.suppress(subprocess.TimeoutExpired):
                child.wait(patience_s)
    if child.poll() is None:
        child.kill()
    return child.wait()


def wait_gone(pid: int, patience_s: float) -> bool:
    """Whether a process that is not our child ended within so many seconds."""
    until = time.monotonic() + patience_s
    while Path(f"/proc/{pid}").exists():
        if time.monotonic() > until:
            return False
        time.sleep(0.05)
    return True


def command_line(pid: int) -> list[str]:
    """The command line of a living process; empty if there is none or we may not see it."""
    try:
        return os.fsdecode(Path(f"/proc/{pid}/cmdline").read_bytes()).split("\0")
    except OSError:
        return []
