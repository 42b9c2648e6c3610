"""The demo as a newcomer starts it: one run of the whole product for every test that only looks at it."""

from __future__ import annotations

import json
import os
import re
import signal
import subprocess
import sys
import time
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import httpx
import pytest

from server.service.broker_list import password_hash
from tests.conftest import ROOT
from tests.fixtures.brokers import Mosquitto
from tests.fixtures.ports import free_ports
from tests.fixtures.wiretap import Wiretap

READY = "Five lines to try"
# A first start takes 40 seconds on a quiet machine; a busy one is no failure.
START_S = 300
END_S = 60
HEARD_S = 120
TERMINAL_COLOURS = re.compile(r"\x1b\[[0-9;?]*[A-Za-z]")


@dataclass
class Demo:
    """A running `python -m demo`. `tap` listens to what its gateways say to the broker, where that is ours."""

    data: Path
    port: int
    child: subprocess.Popen[bytes]
    tap: Wiretap | None = None

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.port}"

    @property
    def memory(self) -> dict[str, str]:
        known: dict[str, str] = json.loads((self.data / "demo.json").read_text())
        return known

    def said(self) -> str:
        return TERMINAL_COLOURS.sub("", (self.data.parent / "demo.out").read_text(errors="replace"))

    def wait_ready(self) -> None:
        until = time.monotonic() + START_S
        while READY not in self.said():
            assert self.child.poll() is None, self.said()
            assert time.monotonic() < until, self.said()
            time.sleep(0.2)

    def wait_heard(self, account: str, serial: int) -> dict[str, Any]:
        """Until the tag was heard live since it has its owner: a beacon, a gateway's window, the way here."""
        until = time.monotonic() + HEARD_S
        while True:
            answer: dict[str, Any] = self.api(account).get(f"/tags/{serial}").json()
            if answer["last"] and answer["age"] == "fresh":
                return answer
            assert time.monotonic() < until, answer
            time.sleep(1)

    def stop(self) -> int:
        """Ctrl-C."""
        self.child.send_signal(signal.SIGINT)
        return self.child.wait(END_S)

    def api(self, account: str) -> httpx.Client:
        headers = {"authorization": f"Bearer {self.memory[f'token {account}']}"}
        return httpx.Client(base_url=f"{self.url}/api/v1", headers=headers, timeout=20, trust_env=False)


def start_demo(data: Path, port: int, settings: Mapping[str, str] | None = None) -> Demo:
    """Starts it in a session of its own, as a terminal would."""
    env = {name: value for name, value in os.environ.items() if not name.startswith("HEARSIGHT_")}
    env |= {"HEARSIGHT_DATA": str(data), "HEARSIGHT_PORT": str(port), "COLUMNS": "100", **(settings or {})}
    with (data.parent / "demo.out").open("wb") as out:
        child = subprocess.Popen(
            [sys.executable, "-m", "demo"], cwd=ROOT, env=env, stdout=out, stderr=out, start_new_session=True
        )
    return Demo(data, port, child)


def processes_of(data: Path) -> list[str]:
    """Every living process whose environment names this folder: the demo's own and whatever it started."""
    found = []
    for folder in Path("/proc").glob("[0-9]*"):
        try:
            if str(data).encode() in (folder / "environ").read_bytes() and int(folder.name) != os.getpid():
                found.append((folder / "cmdline").read_bytes().replace(b"\0", b" ").decode(errors="replace"))
        except OSError:
            continue
    return found


@pytest.fixture(scope="package", params=["embedded"])
def demo(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Demo]:
    """The demo on the server's own broker, or (`mosquitto`) on Debian's with passwords and access lists."""
    folder = tmp_path_factory.mktemp("demo")
    mosquitto = _mosquitto(folder) if request.param == "mosquitto" else None
    tap = Wiretap(mosquitto.port) if mosquitto else None
    settings = _settings(mosquitto, tap) if mosquitto and tap else {}
    running = start_demo(folder / "data", free_ports(), settings)
    running.tap = tap
    try:
        running.wait_ready()
        yield running
    finally:
        if running.child.poll() is None:
            running.stop()
        if mosquitto and tap:
            tap.close()
            mosquitto.stop()


def _mosquitto(folder: Path) -> Mosquitto:
    passwords, acl = folder / "passwd", folder / "acl"
    # The server's own line must be there before it can connect; it writes the gateways' lines itself.
    passwords.write_text(f"Server:{password_hash('only for this test', os.urandom(12))}\n")
    acl.write_text((ROOT / "deploy" / "mosquitto.acl").read_text())
    for file in (passwords, acl):
        file.chmod(0o600)
    lines = f"allow_anonymous false\npassword_file {passwords}\nacl_file {acl}\n"
    broker = Mosquitto(folder, free_ports(), lines)
    broker.start()
    return broker


def _settings(broker: Mosquitto, tap: Wiretap) -> dict[str, str]:
    return {
        "HEARSIGHT_MQTT_PUBLIC_URL": f"mqtt://127.0.0.1:{tap.port}",
        "HEARSIGHT_MQTT_URL": f"mqtt://Server:only%20for%20this%20test@127.0.0.1:{broker.port}",
        "HEARSIGHT_MQTT_PASSWD_FILE": str(broker.folder / "passwd"),
        "HEARSIGHT_MQTT_PID_FILE": str(broker.pid_file),
    }
