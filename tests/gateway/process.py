"""`python -m gateway …` as a process, as people and systemd start it."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
from pathlib import Path
from typing import Any

from tests.conftest import ROOT


class GatewayProcess:
    """One gateway's folder and the process that runs on it. Quick windows, so that tests need not wait a minute."""

    def __init__(self, folder: Path, bus_address: str = "unix:path=/nonexistent", **settings: str) -> None:
        self.folder = folder
        self.data = folder / "gateway"
        self.environment = {
            **{name: value for name, value in os.environ.items() if not name.startswith("HEARSIGHT_")},
            "DBUS_SYSTEM_BUS_ADDRESS": bus_address,
            "HEARSIGHT_GATEWAY_DATA": str(self.data),
            "HEARSIGHT_GATEWAY_WINDOW_S": "1",
            "HEARSIGHT_GATEWAY_CLOCK": "good: test",
            "HEARSIGHT_GATEWAY_LOG_FORMAT": "json",
            **{f"HEARSIGHT_GATEWAY_{name}": value for name, value in settings.items()},
        }
        self.process: subprocess.Popen[bytes] | None = None
        folder.mkdir(parents=True, exist_ok=True)

    def command(self, *words: str, **environment: str) -> subprocess.CompletedProcess[str]:
        """Run one command to its end."""
        return subprocess.run(
            [sys.executable, "-m", "gateway", *words],
            cwd=ROOT,
            env={**self.environment, **environment},
            capture_output=True,
            text=True,
            timeout=60,
        )

    def start(self) -> None:
        with (self.folder / "gateway.log").open("ab") as log:
            self.process = subprocess.Popen(
                [sys.executable, "-m", "gateway", "run"],
                cwd=ROOT, env=self.environment, stdin=subprocess.DEVNULL, stdout=log, stderr=log,
            )  # fmt: skip

    def end(self, how: signal.Signals = signal.SIGTERM) -> int:
        process, self.process = self.process, None
        assert process is not None
        process.send_signal(how)
        return process.wait(20)

    def log(self) -> list[dict[str, Any]]:
        """The events logged so far."""
        lines = (self.folder / "gateway.log").read_text().splitlines()
        return [json.loads(line) for line in lines if line.startswith("{")]

    def status(self) -> dict[str, Any]:
        """What the running process said of itself in status.json; empty before it did."""
        path = self.data / "status.json"
        told: dict[str, Any] = json.loads(path.read_bytes()) if path.exists() else {}
        return told if self.process is not None and told.get("pid") == self.process.pid else {}
