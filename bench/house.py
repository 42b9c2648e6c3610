"""Everything that runs while ingest is measured: PostgreSQL, a broker, the ingest itself, as in production.

PostgreSQL is our own and durable, with `track_commit_timestamp` on: when a row became safe is read from the database,
not guessed by asking again and again. The limits per gateway are raised, because 25 gateways stand for a thousand;
they are still asked for every batch.
"""

from __future__ import annotations

import base64
import contextlib
import os
import random
import secrets
import shutil
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any, Final

import psutil  # type: ignore[import-untyped]
from sqlalchemy import Engine, text

from bench.load import Load
from server.local import children
from server.local.broker import OwnBroker
from server.local.postgres import OwnPostgres
from server.settings import variable
from server.store import db, keys, partitions
from server.store.crypto import Vault
from server.store.migrations import migrate
from server.store.tables import gateways
from wire.batch import GatewayClass

SEED: Final = 20261122
LOTS: Final = 25
SENDERS: Final = 25
_BOUNDLESS: Final = "1000000000"
MOSQUITTO: Final = """listener {port} 127.0.0.1
allow_anonymous true
max_queued_messages 0
max_inflight_messages 0
set_tcp_nodelay true
persistence true
persistence_location {folder}/
"""


@dataclass(slots=True)
class House:
    """What a round needs. `processes`: what is running now, by name; PostgreSQL's and the ingest's with children."""

    folder: Path
    engine: Engine
    superuser: Engine
    database_url: str
    load: Load
    broker_port: int
    env: Mapping[str, str]
    workers: int
    processes: dict[str, int] = field(default_factory=dict)
    _ingest: subprocess.Popen[bytes] | None = None

    def start_ingest(self, *, wait: bool = True) -> None:
        """Returns once each worker is connected to the broker, or with `wait=False` at once."""
        argv = [sys.executable, "-m", "server", "ingest"]
        argv += ["--workers", str(self.workers)] if self.workers > 1 else []
        with self._log.open("wb") as output:
            self._ingest = children.start(argv, env=self.env, output=output)
        self.processes["ingest"] = self._ingest.pid
        if wait:
            self._wait_for_workers(self._ingest)

    def _wait_for_workers(self, ingest: subprocess.Popen[bytes]) -> None:
        until = time.monotonic() + 60
        while (connected := self._log.read_bytes().count(b"broker_connected")) < self.workers:
            ended = ingest.poll() is not None or time.monotonic() > until
            assert not ended, f"{connected} workers connected:\n{self.last_words()}"
            time.sleep(0.02)
        time.sleep(0.5)  # for the broker to take the subscriptions

    def end_ingest(self) -> None:
        if self._ingest is not None:
            children.end(self._ingest, ((signal.SIGTERM, 15),))
            self._ingest = None
            del self.processes["ingest"]

    @property
    def _log(self) -> Path:
        return self.folder / "ingest.log"

    def last_words(self) -> str:
        """What the ingest wrote last, for whoever has to tell why a round failed."""
        return self._log.read_text()[-2000:]

    def clear(self, *tables: str) -> None:
        """Empties tables, and has all that is written so far flushed, so that no round pays for the one before."""
        with db.transaction(self.engine) as tx:
            tx.execute(text(f"truncate {', '.join(tables)}"))
        with self.superuser.connect() as session:
            session.execution_options(isolation_level="AUTOCOMMIT").execute(text("checkpoint"))

    def cpu_s(self) -> dict[str, float]:
        """Processor time so far of each process with its children, ended ones included."""
        used = {"publisher": (own := os.times()).children_user + own.children_system}
        for name, pid in self.processes.items():
            used[name] = sum(_cpu_s(each) for each in _tree(pid))
        return used

    def peak_mib(self) -> dict[str, int]:
        """The most memory each had at once: the sum of its processes; of PostgreSQL the largest session, because all
        of them count the shared buffers.
        """
        peaks = {}
        for name, pid in self.processes.items():
            each = [_peak_kib(process.pid) for process in _tree(pid)]
            peaks[name] = round((max(each) if name == "postgres" else sum(each)) / 1024)
        return peaks


@contextlib.contextmanager
def house(folder: Path, load: Load, *, embedded: bool = False, workers: int = 1) -> Iterator[House]:
    """Database, broker and keys, the ingest not yet started; ended in the opposite order."""
    folder.chmod(0o711)  # PostgreSQL and Mosquitto may be other users
    with contextlib.ExitStack() as stack:
        own = _postgres(stack, folder)
        engine, superuser = db.engine(own.url), db.engine(own.superuser_url)
        stack.callback(engine.dispose)
        stack.callback(superuser.dispose)
        migrate(engine)
        master_key = secrets.token_bytes(32)
        _furnish(engine, Vault(master_key, secrets.token_bytes), load)
        port, broker = _broker(stack, folder, embedded)
        env = os.environ | {
            "HEARSIGHT_DATA": str(folder),
            "HEARSIGHT_DATABASE_URL": own.url,
            "HEARSIGHT_MQTT_URL": f"mqtt://127.0.0.1:{port}",
            "HEARSIGHT_MASTER_KEY": base64.b64encode(master_key).decode(),
            variable("ingest_gateway_batches_per_s"): _BOUNDLESS,
            variable("ingest_gateway_bytes_per_s"): _BOUNDLESS,
        }
        processes = {"postgres": own.pid, "broker": broker}
        running = House(folder, engine, superuser, own.url, load, port, env, workers, processes)
        stack.callback(running.end_ingest)
        yield running


def new_load(dice: random.Random, tags: int) -> Load:
    """The same gateways and lots for every bench."""
    return Load(dice, LOTS, SENDERS, tags)


def _postgres(stack: contextlib.ExitStack, folder: Path) -> OwnPostgres:
    own = stack.enter_context(OwnPostgres(folder / "postgres"))
    engine = db.engine(own.superuser_url)
    with engine.connect() as session:
        session.execution_options(isolation_level="AUTOCOMMIT").execute(
            text("alter system set track_commit_timestamp = on")
        )
    engine.dispose()
    own.stop()
    own.start()
    return own


def _furnish(engine: Engine, vault: Vault, load: Load) -> None:
    """Keys of the factory and the lots, the gateways, and the partitions of today and yesterday."""
    now = datetime.now(UTC)
    with db.transaction(engine) as tx:
        partitions.cover(tx, {(now + timedelta(days=days)).date() for days in (-1, 0, 1)}, now)
    with db.transaction(engine) as tx:
        keys.keep_secret(tx, vault, keys.K_FACTORY, load.k_factory, now)
        for number, key in enumerate(load.lot_keys):
            keys.add_lot(tx, vault, f"lot-{number}", key, now)
        for sender in load.gateways:
            row: dict[str, Any] = {
                "gateway": sender.name, "gateway_class": GatewayClass.OWN_SITE, "owner": "bench", "created_at": now,
                "public_key": sender.key.public_key().public_bytes_raw(), "enrolled_at": now,
            }  # fmt: skip
            tx.execute(gateways.insert().values(row))


def _broker(stack: contextlib.ExitStack, folder: Path, embedded: bool) -> tuple[int, int]:
    """Port and process of the broker."""
    if embedded:
        own = stack.enter_context(OwnBroker(folder / "broker"))
        return own.port, own.pid
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port = int(probe.getsockname()[1])
    config = folder / "mosquitto.conf"
    config.write_text(MOSQUITTO.format(port=port, folder=folder) + ("user root\n" if os.geteuid() == 0 else ""))
    program = shutil.which("mosquitto", path=f"{os.environ.get('PATH', '')}:/usr/sbin")
    assert program, "Mosquitto is not installed; --embedded measures with the server's own broker"
    with (folder / "mosquitto.log").open("wb") as output:
        process = children.start([program, "-c", str(config)], output=output)
    stack.callback(lambda: children.end(process, ((signal.SIGTERM, 20),)))
    return port, process.pid


def _tree(pid: int) -> list[psutil.Process]:
    process = psutil.Process(pid)
    return [process, *process.children(recursive=True)]


def _cpu_s(process: psutil.Process) -> float:
    """Its own and its ended children's; 0 of one that has just ended, whose parent has its time by now."""
    try:
        return float(sum(process.cpu_times()[:4]))
    except psutil.NoSuchProcess:
        return 0.0


def _peak_kib(pid: int) -> int:
    """0 of a process that has just ended."""
    try:
        status = Path(f"/proc/{pid}/status").read_text()
    except (FileNotFoundError, ProcessLookupError):
        return 0
    return int(next((line.split()[1] for line in status.splitlines() if line.startswith("VmHWM")), 0))
