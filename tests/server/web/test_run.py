"""`python -m server web` as a process: it becomes ready, answers over a real socket, and ends when told to."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import httpx


def test_the_process_serves_and_stops(database_url: str, free_port: int, tmp_path: Path, root: Path) -> None:
    told = {
        "HEARSIGHT_DATABASE_URL": database_url,
        "HEARSIGHT_PORT": str(free_port),
        "HEARSIGHT_DATA": str(tmp_path / "data"),
        "HEARSIGHT_LOG_FORMAT": "json",
    }
    with (tmp_path / "log").open("wb") as log:
        child = subprocess.Popen(
            [sys.executable, "-m", "server", "web"], cwd=root, env={**os.environ, **told}, stderr=log, stdout=log
        )  # fmt: skip
    try:
        with httpx.Client(base_url=f"http://127.0.0.1:{free_port}", trust_env=False) as http:
            _until_ready(child, http, tmp_path / "log")
            assert http.get("/health").json() == {"status": "ok"}
            assert http.get("/api/v1/me").status_code == 401
            assert "hearsight_web_refusals_total" in http.get("/metrics").text
            child.send_signal(signal.SIGTERM)
            # uvicorn ends in good order and then by the signal itself, so that a parent can tell why.
            assert child.wait(timeout=20) in (0, -signal.SIGTERM)
    finally:
        child.kill()
        child.wait()
    text = (tmp_path / "log").read_text()
    assert "web_starts" in text
    assert "Traceback" not in text


def _until_ready(child: subprocess.Popen[bytes], http: httpx.Client, log: Path) -> None:
    until = time.monotonic() + 60
    while True:
        assert child.poll() is None, log.read_text()
        try:
            if http.get("/ready").status_code == 200:
                return
        except httpx.TransportError:
            pass
        assert time.monotonic() < until, log.read_text()
        time.sleep(0.1)
