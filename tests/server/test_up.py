"""`python -m server up`: everything starts, dies and is started again, and ends without leaving anybody behind."""

from __future__ import annotations

import json
import os
import signal
import socket
import subprocess
import sys
import tempfile
import time
import urllib.request
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from server.local import children
from server.local.children import RunAs
from server.up import RUNNING_FILE
from tests.fixtures.brokers import Mosquitto

# Two cores shared with others: what takes three seconds alone may take thirty.
PATIENCE_S = 60.0
PARTS = {"up", "postgres", "broker", "ingest", "web"}


class Up:
    """The command as a process, with a data folder of its own."""

    def __init__(self, folder: Path, port: int, run_as: RunAs | None = None, **env: str) -> None:
        self.env = {"HEARSIGHT_DATA": str(folder), "HEARSIGHT_PORT": str(port)} | env
        self.parts = PARTS
        self.folder = folder
        self.port = port
        self.run_as = run_as
        self.process: subprocess.Popen[bytes] | None = None
        self.log = folder.with_suffix(".log")

    def start(self) -> float:
        """Returns after how many seconds pages were served."""
        before = time.monotonic()
        env = os.environ | self.env
        line = children.guarded([sys.executable, "-m", "server", "up"], signal.SIGKILL, self.run_as)
        with self.log.open("ab") as log:
            self.process = subprocess.Popen(line, env=env, stdout=log, stderr=log, start_new_session=True, cwd="/")
        self.wait(self.serves)
        self.wait(lambda: set(self.pids()) == self.parts)
        return time.monotonic() - before

    def serves(self) -> bool:
        assert self.process
        assert self.process.poll() is None, self.words()
        try:
            with urllib.request.urlopen(f"http://127.0.0.1:{self.port}/health", timeout=2) as answer:
                return bool(answer.status == 200)
        except OSError:
            return False

    def pids(self) -> dict[str, int]:
        path = self.folder / RUNNING_FILE
        found: dict[str, int] = json.loads(path.read_text()) if path.exists() else {}
        return found

    def words(self) -> str:
        return self.log.read_text()[-3000:]

    def wait(self, true: Callable[[], bool]) -> None:
        until = time.monotonic() + PATIENCE_S
        while not true():
            assert time.monotonic() < until, self.words()
            time.sleep(0.05)

    def end(self, how: signal.Signals) -> int:
        assert self.process
        self.process.send_signal(how)
        return self.process.wait(PATIENCE_S)


def sessions() -> dict[int, list[int]]:
    """Every process of this machine by its session: each part leads one, with all that it started."""
    found: dict[int, list[int]] = {}
    for stat in Path("/proc").glob("[0-9]*/stat"):
        try:
            fields = stat.read_text().rpartition(")")[2].split()
        except OSError:
            continue
        if fields[0] != "Z":
            found.setdefault(int(fields[3]), []).append(int(stat.parent.name))
    return found


def left_behind(pids: dict[str, int]) -> list[int]:
    living = sessions()
    return [pid for leader in pids.values() for pid in living.get(leader, [])]


@pytest.fixture
def up(tmp_path: Path, free_port: int) -> Iterator[Up]:
    made = Up(tmp_path / "data", free_port)
    yield made
    if made.process and made.process.poll() is None:
        made.process.kill()
        made.process.wait()


@pytest.mark.e2e
def test_it_heals_and_ends_in_order_and_starts_again(up: Up) -> None:
    up.start()
    for part in ("web", "ingest", "broker", "postgres"):
        before = up.pids()
        os.kill(before[part], signal.SIGKILL)
        up.wait(lambda part=part, before=before: up.pids().get(part, before[part]) != before[part])  # type: ignore[misc]
        up.wait(up.serves)
    pids = up.pids()
    assert set(pids) == PARTS
    assert {len(sessions()[pid]) >= 1 for pid in pids.values()} == {True}

    begun = time.monotonic()
    assert up.end(signal.SIGTERM) == 0, up.words()
    assert time.monotonic() - begun < 15
    assert left_behind(pids) == []
    assert not (up.folder / RUNNING_FILE).exists()
    assert not (up.folder / "postgres" / "postmaster.pid").exists(), "PostgreSQL was shut down, not cut off"
    stopped = [line.split("part=")[1].split()[0] for line in up.words().splitlines() if "stopped" in line]
    assert stopped[-4:] == ["web", "ingest", "broker", "postgres"]

    up.start()
    pids = up.pids()
    assert up.process
    up.process.kill()
    up.process.wait()
    up.wait(lambda: left_behind(pids) == [])
    up.start()
    assert up.end(signal.SIGINT) == 0, up.words()


@pytest.mark.e2e
@pytest.mark.mosquitto
def test_several_workers_are_parts_of_the_house(tmp_path: Path, free_port: int, mosquitto: Mosquitto) -> None:
    up = Up(tmp_path / "data", free_port, HEARSIGHT_MQTT_URL=mosquitto.url, HEARSIGHT_INGEST_WORKERS="2")
    up.parts = {"up", "postgres", "ingest-1", "ingest-2", "web"}
    try:
        up.start()
        before = up.pids()
        os.kill(before["ingest-2"], signal.SIGKILL)
        up.wait(lambda: up.pids().get("ingest-2", before["ingest-2"]) != before["ingest-2"])
        pids = up.pids()
        assert pids["ingest-1"] == before["ingest-1"]
    finally:
        assert up.end(signal.SIGTERM) == 0, up.words()
    assert left_behind(pids) == []


@pytest.mark.e2e
def test_a_signal_during_the_start(up: Up) -> None:
    env = os.environ | {"HEARSIGHT_DATA": str(up.folder), "HEARSIGHT_PORT": str(up.port)}
    with up.log.open("ab") as log:
        up.process = subprocess.Popen(
            [sys.executable, "-m", "server", "up"], env=env, stdout=log, stderr=log, start_new_session=True
        )
    up.wait(lambda: "postgres" in up.pids())
    pids = up.pids()
    assert up.end(signal.SIGINT) == 0, up.words()
    assert left_behind(pids) == []


@pytest.mark.e2e
@pytest.mark.skipif(os.geteuid() != 0, reason="only root can become nobody")
def test_as_an_ordinary_user(free_port: int) -> None:
    with tempfile.TemporaryDirectory() as name:
        Path(name).chmod(0o777)
        up = Up(Path(name) / "data", free_port, RunAs(65534, 65534, reach_all=True))
        try:
            up.start()
            pids = up.pids()
            assert {Path(f"/proc/{pid}").stat().st_uid for pid in pids.values()} == {65534}
        finally:
            assert up.end(signal.SIGTERM) == 0, up.words()
        assert left_behind(pids) == []


def refused(folder: Path, **env: str) -> str:
    done = subprocess.run(
        [sys.executable, "-m", "server", "up"], env=os.environ | {"HEARSIGHT_DATA": str(folder)} | env,
        capture_output=True, text=True, timeout=PATIENCE_S, check=False,
    )  # fmt: skip
    assert done.returncode == 2, done.stderr
    return done.stderr


def test_a_taken_port_is_told(tmp_path: Path) -> None:
    with socket.create_server(("127.0.0.1", 0)) as taken:
        assert "(port_taken)" in refused(tmp_path / "data", HEARSIGHT_PORT=str(taken.getsockname()[1]))


def test_several_workers_are_refused_on_the_own_broker(tmp_path: Path, free_port: int) -> None:
    told = refused(tmp_path / "data", HEARSIGHT_PORT=str(free_port), HEARSIGHT_INGEST_WORKERS="2")
    assert "(workers_need_mosquitto)" in told
    assert "HEARSIGHT_MQTT_URL" in told
    assert not (tmp_path / "data").exists(), "nothing was started"


def test_one_data_folder_one_server(tmp_path: Path, free_port: int) -> None:
    from server.local.postgres import OwnPostgres

    with OwnPostgres(tmp_path / "postgres", durable=False):
        assert "(data_in_use)" in refused(tmp_path, HEARSIGHT_PORT=str(free_port))
