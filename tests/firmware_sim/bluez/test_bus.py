"""The private bus: it starts, dies with its parent, needs no root, and says what is missing."""

from __future__ import annotations

import asyncio
import os
import signal
import subprocess
import sys
import tempfile
import time
from pathlib import Path

import pytest

from firmware_sim.bluez import BusUnavailableError, PrivateBus
from firmware_sim.bluez.bus import INSTALL_LINE

NOBODY = 65534

# With an argument the child becomes that user, after everything was imported: the clone may be another's.
CHILD = """
import asyncio, os, sys
from firmware_sim.bluez import SimulatedBluez
async def main():
    async with SimulatedBluez() as bluez:
        print(bluez.bus.pid, bluez.bus_address, flush=True)
        await asyncio.sleep(60)
asyncio.run(asyncio.to_thread(int))
for user in map(int, sys.argv[1:]):
    os.setgroups([])
    os.setgid(user)
    os.setuid(user)
asyncio.run(main())
"""


def simulator(root: Path, folder: Path, *arguments: str) -> tuple[subprocess.Popen[str], int]:
    """A simulator as a process that leaves its things in `folder`, and its bus's process id."""
    child = subprocess.Popen(
        [sys.executable, "-c", CHILD, *arguments],
        stdout=subprocess.PIPE,
        cwd=root,
        text=True,
        env=os.environ | {"TMPDIR": str(folder)},
    )
    assert child.stdout is not None
    return child, int(child.stdout.readline().split()[0])


def end(child: subprocess.Popen[str], how: signal.Signals) -> None:
    child.send_signal(how)
    child.wait()
    assert child.stdout is not None
    child.stdout.close()


def alive(pid: int) -> bool:
    try:
        return Path(f"/proc/{pid}/stat").read_text().split(") ")[1][0] != "Z"
    except FileNotFoundError:
        return False


def test_it_leaves_nothing_behind(tmp_path: Path) -> None:
    async def story() -> None:
        async with PrivateBus(tmp_path / "bus") as bus:
            assert bus.address == f"unix:path={tmp_path}/bus/bus.sock"
            pid = bus.pid
            assert pid is not None
            assert alive(pid)
        assert bus.pid is None
        assert not alive(pid)
        assert not (tmp_path / "bus" / "bus.sock").exists()
        await bus.stop()

    asyncio.run(story())


@pytest.mark.parametrize("how", [signal.SIGKILL, signal.SIGTERM, signal.SIGINT])
def test_a_simulator_that_ends_leaves_no_orphan(root: Path, how: signal.Signals) -> None:
    with tempfile.TemporaryDirectory() as short:  # a socket's path has at most 107 bytes
        _ends_without_orphan(root, Path(short), how)


def _ends_without_orphan(root: Path, folder: Path, how: signal.Signals) -> None:
    child, pid = simulator(root, folder)
    assert alive(pid)
    end(child, how)
    deadline = time.monotonic() + 5
    while alive(pid) and time.monotonic() < deadline:
        time.sleep(0.01)
    if alive(pid):
        os.kill(pid, signal.SIGKILL)  # a failing test leaves no orphan either
        pytest.fail("the bus outlived its simulator")


def test_without_dbus_daemon_the_install_line_is_named(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PATH", str(tmp_path))
    with pytest.raises(BusUnavailableError, match=INSTALL_LINE):
        asyncio.run(PrivateBus(tmp_path).start())


def test_a_daemon_that_does_not_start_is_quoted(tmp_path: Path) -> None:
    (tmp_path / "bus.sock").mkdir()
    (tmp_path / "bus.sock" / "occupied").touch()
    with pytest.raises(BusUnavailableError, match=r"did not start; it said: .*bus\.sock"):
        asyncio.run(PrivateBus(tmp_path).start())


def test_a_folder_too_deep_for_a_socket_is_refused(tmp_path: Path) -> None:
    with pytest.raises(BusUnavailableError, match="shorter folder"):
        PrivateBus(tmp_path / ("x" * 100))


@pytest.mark.skipif(os.geteuid() != 0, reason="every other test shows it when the tests run as an ordinary user")
def test_an_ordinary_user_can_have_one(root: Path) -> None:
    child, pid = simulator(root, Path("/tmp"), str(NOBODY))
    try:
        assert Path(f"/proc/{pid}").stat().st_uid == NOBODY
    finally:
        end(child, signal.SIGINT)
