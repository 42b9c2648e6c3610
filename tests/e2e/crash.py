"""What the crash tests share: the ingest as a process that is killed, the outboxes, and the comparison at the end."""

from __future__ import annotations

import base64
import json
import os
import secrets
import signal
import subprocess
import sys
import time
from collections import Counter
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path

import psycopg
from sqlalchemy import Engine

from server.local import children
from server.store import keys
from server.store.crypto import Vault
from tests.server.ingest.parties import K_FACTORY, LOTS, NOW, Gateway, enrol, furnish

GATEWAYS = 4
BATCHES = 2_000
PATIENCE_S = 240


@dataclass
class Ingest:
    """`python -m server ingest`, to be killed."""

    database_url: str
    master_key: bytes
    folder: Path
    port: int
    env: dict[str, str] = field(default_factory=dict)
    kills: int = 0
    child: subprocess.Popen[bytes] | None = field(default=None, repr=False)

    def start(self) -> None:
        env = os.environ | {
            "HEARSIGHT_DATA": str(self.folder),
            "HEARSIGHT_DATABASE_URL": self.database_url,
            "HEARSIGHT_MQTT_URL": f"mqtt://127.0.0.1:{self.port}",
            "HEARSIGHT_MASTER_KEY": base64.b64encode(self.master_key).decode(),
            **self.env,
        }
        with (self.folder / "ingest.log").open("ab") as log:
            self.child = children.start([sys.executable, "-m", "server", "ingest"], env=env, output=log)

    @property
    def log(self) -> str:
        return (self.folder / "ingest.log").read_text()

    def kill(self) -> None:
        """kill -9; it must have been alive."""
        assert self.child is not None
        assert self.child.poll() is None, self.log[-2000:]
        self.child.kill()
        assert self.child.wait() == -signal.SIGKILL
        self.kills += 1

    def stop(self) -> None:
        if self.child is not None:
            children.end(self.child, ((signal.SIGTERM, 15),))


class Scene:
    """A furnished database, the ledger as everybody can see it, and the outboxes' process."""

    def __init__(self, engine: Engine, database_url: str, folder: Path) -> None:
        self.database_url, self.folder = database_url, folder
        self.master_key = secrets.token_bytes(32)
        vault = Vault(self.master_key, secrets.token_bytes)
        self.gateways = [Gateway(f"gw-{n}") for n in range(GATEWAYS)]
        with engine.begin() as tx:
            furnish(tx, vault)
            for gateway in self.gateways:
                enrol(tx, gateway)
            self.server_key = keys.server_key(tx, vault, NOW).public_key()
        self.look = psycopg.connect(database_url, autocommit=True)
        self.witness = psycopg.connect(database_url, autocommit=True)  # of another thread
        self.trace = folder / "trace.jsonl"

    def ingest(self, port: int) -> Ingest:
        return Ingest(self.database_url, self.master_key, self.folder, port)

    @contextmanager
    def commits_held(self) -> Iterator[None]:
        """Nothing can be committed to the ledger meanwhile: every transaction of the ingest waits for this lock."""
        with psycopg.connect(self.database_url) as holder:
            holder.execute("lock table outboxes in exclusive mode")
            yield
            holder.rollback()

    def close(self) -> None:
        self.look.close()
        self.witness.close()

    @contextmanager
    def outboxes(self, port: int) -> Iterator[subprocess.Popen[str]]:
        """The process that publishes BATCHES batches and ends when all are settled."""
        orders = {
            "port": port,
            "gateways": [[each.name, each.key.private_bytes_raw().hex()] for each in self.gateways],
            "each": BATCHES // GATEWAYS,
            "k_factory": K_FACTORY.hex(),
            "k_lot": LOTS[0].key.hex(),
            "server_key": self.server_key.public_bytes_raw().hex(),
            "trace": str(self.trace),
        }
        process = subprocess.Popen(
            [sys.executable, "-m", "tests.e2e.outbox_program"],
            stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True,
        )  # fmt: skip
        try:
            assert process.stdin is not None
            process.stdin.write(json.dumps(orders))
            process.stdin.close()
            yield process
        finally:
            process.kill()
            process.wait()

    def ledger(self) -> int:
        """How many batches are committed."""
        row = self.look.execute("select count(*) from batches").fetchone()
        assert row is not None
        return int(row[0])

    def wait_for(self, batches: int) -> None:
        until = time.monotonic() + PATIENCE_S
        while self.ledger() < batches:
            assert time.monotonic() < until, f"only {self.ledger()} of {batches} batches came through"
            time.sleep(0.002)

    def has(self, gateway: str, sequence: int) -> bool:
        """Whether a batch is committed, as another connection sees it at this moment."""
        found = self.witness.execute(
            "select 1 from batches b join gateways g on g.no = b.gateway_no where g.gateway = %s and b.sequence = %s",
            (gateway, sequence),
        )
        return found.fetchone() is not None

    def finish(self, process: subprocess.Popen[str]) -> dict[str, object]:
        """Waits for the outboxes to empty, then compares: every sighting of the trace exactly once, no other."""
        assert process.stdout is not None
        assert process.wait(PATIENCE_S) == 0
        said: dict[str, object] = json.loads(process.stdout.read().splitlines()[-1])
        assert said["failed"] == []
        batches = [json.loads(line) for line in self.trace.read_text().splitlines()]
        assert len(batches) == BATCHES
        committed = Counter((serial, uptime) for _, _, heard in batches for serial, uptime in heard)
        rows = self.look.execute("select serial, uptime_s from sightings")
        stored = Counter((int(serial), int(uptime)) for serial, uptime in rows)
        assert stored == committed
        assert max(stored.values()) == 1
        assert self.ledger() == BATCHES
        marks = self.look.execute("select settled_up_to from outboxes").fetchall()
        assert marks == [(BATCHES // GATEWAYS - 1,)] * GATEWAYS
        assert self.look.execute("select count(*) from dead_letters").fetchone() == (0,)
        return said
