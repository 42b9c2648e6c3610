"""Real brokers as processes of their own on free loopback ports: Debian's Mosquitto and the embedded iotcore."""

from __future__ import annotations

import shutil
import signal
import socket
import subprocess
import sys
import time
from pathlib import Path

from tests.fixtures.ports import free_ports

MOSQUITTO = shutil.which("mosquitto") or "/usr/sbin/mosquitto"


class Broker:
    """One broker. `start` again after `stop` or `kill` listens on the same port."""

    def __init__(self, folder: Path, port: int | None = None) -> None:
        self.folder = folder
        self.folder.mkdir(parents=True, exist_ok=True)
        self.port = port or free_ports()
        self.process: subprocess.Popen[bytes] | None = None

    @property
    def url(self) -> str:
        return f"mqtt://127.0.0.1:{self.port}"

    def command(self) -> list[str]:
        raise NotImplementedError

    def start(self) -> None:
        with (self.folder / "broker.log").open("ab") as log:
            self.process = subprocess.Popen(self.command(), stdin=subprocess.DEVNULL, stdout=log, stderr=log)
        until = time.monotonic() + 15
        while time.monotonic() < until:
            with socket.socket() as probe:
                if probe.connect_ex(("127.0.0.1", self.port)) == 0:
                    return
            time.sleep(0.02)
        raise AssertionError((self.folder / "broker.log").read_text())

    def end(self, how: signal.Signals = signal.SIGTERM) -> None:
        process, self.process = self.process, None
        if process is not None:
            process.send_signal(how)
            process.wait(10)


class Mosquitto(Broker):
    """With a password file, if users are given, and without persistence, so that it forgets what a kill takes."""

    def __init__(self, folder: Path, port: int | None = None, users: dict[str, str] | None = None) -> None:
        super().__init__(folder, port)
        self.users = users

    def command(self) -> list[str]:
        lines = [f"listener {self.port} 127.0.0.1", "max_queued_messages 0", "max_inflight_messages 0"]
        lines += ["persistence false", "set_tcp_nodelay true", "log_type warning"]
        if self.users is None:
            lines.append("allow_anonymous true")
        else:
            passwords = self.folder / "passwd"
            passwords.unlink(missing_ok=True)
            passwords.touch(0o600)
            for user, password in self.users.items():
                command = ["mosquitto_passwd", "-b", str(passwords), user, password]
                subprocess.run(command, check=True, capture_output=True)
            lines += ["allow_anonymous false", f"password_file {passwords}", "user root"]
        config = self.folder / "mosquitto.conf"
        config.write_text("\n".join(lines) + "\n")
        return [MOSQUITTO, "-c", str(config)]


class Iotcore(Broker):
    """rumqttd with one listener, either for MQTT 5 (`v5`) or for 3.1.1 (`v4`)."""

    def __init__(self, folder: Path, port: int | None = None, *, speaks: str = "v5") -> None:
        super().__init__(folder, port)
        self.speaks = speaks

    def command(self) -> list[str]:
        config = self.folder / f"{self.speaks}.toml"
        config.write_text(
            f"""id = 0
[router]
id = 0
max_connections = 100
max_outgoing_packet_count = 200
max_segment_size = 10485760
max_segment_count = 10
[{self.speaks}.1]
name = "only"
listen = "127.0.0.1:{self.port}"
next_connection_delay_ms = 1
[{self.speaks}.1.connections]
connection_timeout_ms = 60000
max_payload_size = 1048576
max_inflight_count = 500
"""
        )
        script = "import sys; from iotcore.iotcore import IotCoreBroker as B; B(config_path=sys.argv[1]).run_forever()"
        return [sys.executable, "-c", script, str(config)]
