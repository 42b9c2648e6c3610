"""A private system bus: one `dbus-daemon` of our own, which dies with the process that started it.

bleak connects to whatever `DBUS_SYSTEM_BUS_ADDRESS` names, so a bus of our own needs neither root nor the real
system bus, and twenty simulated gateways on one machine can each have a radio that the others do not hear.
"""

from __future__ import annotations

import asyncio
import ctypes
import os
import shutil
import signal
import subprocess
import tempfile
from collections.abc import Callable
from pathlib import Path

DAEMON = "dbus-daemon"
INSTALL_LINE = "apt-get install -y dbus-daemon"
START_TIMEOUT_S = 10.0  # it takes 10 ms; ten seconds is a machine that is on its knees
STOP_TIMEOUT_S = 5.0
SOCKET_PATH_MAX_BYTES = 100  # sun_path holds 108, and the daemon wants a few of them

_CONFIG = """<!DOCTYPE busconfig PUBLIC "-//freedesktop//DTD D-Bus Bus Configuration 1.0//EN"
 "http://www.freedesktop.org/standards/dbus/1.0/busconfig.dtd">
<busconfig>
  <type>system</type>
  <listen>{address}</listen>
  <auth>EXTERNAL</auth>
  <policy context="default">
    <allow user="*"/>
    <allow own="*"/>
    <allow send_destination="*" eavesdrop="true"/>
    <allow eavesdrop="true"/>
  </policy>
</busconfig>
"""

_PR_SET_PDEATHSIG = 1
_libc = ctypes.CDLL(None)  # here, because a child between fork and exec must not load anything


class BusUnavailableError(RuntimeError):
    """The private bus could not be started; the message says what to do."""


class PrivateBus:
    """One dbus-daemon listening on a unix socket in `directory` (a temporary one if none is given).

    Start it from a thread that lives as long as the bus is needed: the kernel ends the daemon with that thread.
    """

    def __init__(self, directory: Path | None = None) -> None:
        self._made_directory = directory is None
        self._directory = directory or Path(tempfile.mkdtemp(prefix="hearsight-bus-"))
        self._socket = self._directory / "bus.sock"
        if len(os.fsencode(self._socket)) > SOCKET_PATH_MAX_BYTES:
            raise BusUnavailableError(
                f"a socket's path may have {SOCKET_PATH_MAX_BYTES} bytes; "
                f"choose a shorter folder than {self._directory}"
            )
        self._process: subprocess.Popen[bytes] | None = None

    @property
    def address(self) -> str:
        """The value for `DBUS_SYSTEM_BUS_ADDRESS` by which bleak meets this bus."""
        return f"unix:path={self._socket}"

    @property
    def pid(self) -> int | None:
        """The daemon's process id while it runs."""
        return self._process.pid if self._process else None

    async def start(self) -> None:
        """Start the daemon; return once it accepts connections. Raises BusUnavailableError."""
        daemon = shutil.which(DAEMON)
        if daemon is None:
            raise BusUnavailableError(f"{DAEMON} is missing. Install it with:  {INSTALL_LINE}")
        self._directory.mkdir(mode=0o700, parents=True, exist_ok=True)
        config, log = self._directory / "bus.conf", self._directory / "bus.log"
        config.write_text(_CONFIG.format(address=self.address))
        with log.open("wb") as log_file:
            self._process = process = subprocess.Popen(  # noqa: ASYNC220 - forks for 1 ms; asyncio's own cannot die with us
                [
                    daemon,
                    f"--config-file={config}",
                    "--nofork",
                    "--nopidfile",
                    "--nosyslog",
                    "--print-address=1",
                ],
                stdin=subprocess.DEVNULL,
                stdout=subprocess.PIPE,
                stderr=log_file,
                start_new_session=True,  # Ctrl-C reaches us; we end the daemon in our own order
                preexec_fn=_dying_with(os.getpid()),
            )
        assert process.stdout is not None
        first_line = asyncio.get_running_loop().run_in_executor(None, process.stdout.readline)
        try:
            ready = await asyncio.wait_for(asyncio.shield(first_line), START_TIMEOUT_S)
        except TimeoutError:
            ready = b""
        if not ready:
            said = log.read_text(errors="replace").strip() or f"nothing for {START_TIMEOUT_S:.0f} s"
            await self.stop()
            raise BusUnavailableError(f"{DAEMON} did not start; it said: {said}")

    async def stop(self) -> None:
        """End the daemon by its own pid and remove its socket. Safe to call twice."""
        await self._end_daemon()
        if self._made_directory:
            shutil.rmtree(self._directory, ignore_errors=True)

    async def restart(self) -> None:
        """The fault "dbus-daemon restarted": every connection breaks, the address stays."""
        await self._end_daemon()
        await self.start()

    async def _end_daemon(self) -> None:
        process, self._process = self._process, None
        if process is not None:
            process.terminate()
            try:
                await asyncio.to_thread(process.wait, STOP_TIMEOUT_S)
            except subprocess.TimeoutExpired:
                process.kill()
                process.wait()
            assert process.stdout is not None
            process.stdout.close()
        if self._socket.is_socket():
            self._socket.unlink()

    async def __aenter__(self) -> PrivateBus:
        await self.start()
        return self

    async def __aexit__(self, *_: object) -> None:
        await self.stop()


def _dying_with(parent_pid: int) -> Callable[[], None]:
    def die_with_parent() -> None:
        _libc.prctl(_PR_SET_PDEATHSIG, signal.SIGTERM)
        if os.getppid() != parent_pid:  # the parent was killed before the line above
            os._exit(1)

    return die_with_parent
