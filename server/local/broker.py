"""The server's own MQTT broker: rumqttd from the wheel `iotcore`, on loopback, for one machine and for tries.

It speaks MQTT 5 only, keeps nothing on disk and has no access lists, hence loopback and nothing else: whoever may
start programs on this machine may publish. Batches are signed all the same, and a gateway keeps each until its
receipt, so a broker that forgets loses nothing. Production uses Mosquitto (deploy/mosquitto.conf).

    python -m server.local.broker CONFIG.toml     the child process itself
"""

from __future__ import annotations

import hashlib
import logging
import os
import signal
import socket
import subprocess
import sys
import time
from pathlib import Path
from types import TracebackType
from typing import Final
from urllib.parse import urlsplit

from server.local import children
from server.refusal import Kind, Refusal, conflict

# Not 1883, where a distribution's Mosquitto may already listen; and below the ports that the kernel gives to
# outgoing connections, because the port must be free again at the next start: gateways were told it. Which of them
# follows from the folder, so that two servers on one machine do not take each other's while one is stopped.
_PORTS: Final = range(20_000, 30_000)
_START_S: Final = 15.0
_PREDECESSOR_S: Final = 3.0
# Larger than a batch may be, so that it is the ingest which refuses an oversized one and counts it.
_MAX_PAYLOAD_BYTES: Final = 1024 * 1024
_CONFIG: Final = """id = 0
[router]
id = 0
max_connections = 4096
max_outgoing_packet_count = 200
# Per topic, in memory: ten segments of 10 MB hold what an absent ingest has not yet fetched.
max_segment_size = 10485760
max_segment_count = 10
[v5.1]
name = "v5"
listen = "127.0.0.1:{port}"
next_connection_delay_ms = 1
[v5.1.connections]
connection_timeout_ms = 60000
max_payload_size = {max_payload}
max_inflight_count = 500
"""


class OwnBroker:
    """One embedded broker; `folder` keeps its port and its log. `port` fixes the port (tests)."""

    def __init__(self, folder: Path, port: int | None = None) -> None:
        self.folder = folder.absolute()
        self._port = port
        self._child: subprocess.Popen[bytes] | None = None

    @property
    def port(self) -> int:
        assert self._port is not None
        return self._port

    @property
    def url(self) -> str:
        return f"mqtt://127.0.0.1:{self.port}"

    @property
    def alive(self) -> bool:
        return self._child is not None and self._child.poll() is None

    @property
    def pid(self) -> int:
        assert self._child is not None
        return self._child.pid

    def start(self) -> str:
        """Starts it and returns its URL once it takes connections.

        Raises Refusal `broker_port_taken`, `broker_failed`.
        """
        self.folder.mkdir(parents=True, exist_ok=True)
        remembered = self.folder / "port"
        if self._port is None and remembered.exists():
            self._port = int(remembered.read_text())
        if self._port is None:
            self._port = _port_for(self.folder)
        elif not _becomes_free(self._port):
            raise conflict(
                "broker_port_taken", f"Another program listens on port {self._port}, which gateways were told.",
                f"End that program, or remove {remembered} and enrol the gateways anew.", str(self._port),
            )  # fmt: skip
        config = self.folder / "rumqttd.toml"
        config.write_text(_CONFIG.format(port=self._port, max_payload=_MAX_PAYLOAD_BYTES))
        with (self.folder / "broker.log").open("wb") as log:
            self._child = children.start(
                [sys.executable, "-m", "server.local.broker", str(config)],
                output=log, cwd=self.folder,
            )  # fmt: skip
        self._wait_until_it_listens()
        remembered.write_text(str(self._port))
        return self.url

    def stop(self) -> None:
        """It keeps nothing, so there is nothing to wait for."""
        if self._child is not None:
            children.end(self._child, ((signal.SIGTERM, 2),))
            self._child = None

    def __enter__(self) -> OwnBroker:
        self.start()
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, at: TracebackType | None) -> None:
        self.stop()

    def _wait_until_it_listens(self) -> None:
        until = time.monotonic() + _START_S
        while self.alive and time.monotonic() < until:
            try:
                socket.create_connection(("127.0.0.1", self.port), timeout=1).close()
            except OSError:
                time.sleep(0.02)
            else:
                return
        self.stop()
        last_words = (self.folder / "broker.log").read_text(errors="replace")[-800:]
        raise Refusal(
            Kind.LATER, "broker_failed", f"The broker did not start: {last_words.strip()}",
            "Set HEARSIGHT_MQTT_URL to a broker of your own.",
        )  # fmt: skip


def is_own(url: str, folder: Path) -> bool:
    """Whether a URL leads to the embedded broker that keeps its port in this folder."""
    where, remembered = urlsplit(url), folder / "port"
    here = where.hostname in ("127.0.0.1", "localhost") and remembered.exists()
    return here and remembered.read_text().strip() == str(where.port)


def _port_for(folder: Path) -> int:
    first = int.from_bytes(hashlib.sha256(os.fsencode(folder)).digest()[:4], "big")
    return next(port for step in range(len(_PORTS)) if is_free(port := _PORTS[(first + step) % len(_PORTS)]))


def _becomes_free(port: int) -> bool:
    """Whether nobody listens, or whoever does ends within moments, as the broker of a predecessor that was killed."""
    until = time.monotonic() + _PREDECESSOR_S
    while not is_free(port):
        if time.monotonic() > until:
            return False
        time.sleep(0.05)
    return True


def is_free(port: int) -> bool:
    """True if nobody has this port on loopback."""
    with socket.socket() as probe:
        probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            probe.bind(("127.0.0.1", port))
        except OSError:
            return False
    return True


def main(config: str) -> None:
    """Runs the broker in this process until a signal ends it."""
    from iotcore.iotcore import IotCoreBroker

    signal.signal(signal.SIGTERM, signal.SIG_DFL)
    signal.signal(signal.SIGINT, signal.SIG_DFL)
    logging.basicConfig(level=logging.WARNING, format="%(asctime)s %(levelname)s %(name)s: %(message)s")
    # rumqttd logs every packet inside `error` spans: several lines a message.
    logging.getLogger("rumqttd").setLevel(logging.CRITICAL)
    IotCoreBroker(config_path=config).run_forever()


if __name__ == "__main__":
    main(sys.argv[1])
