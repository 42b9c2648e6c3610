"""`python -m server ingest` as a process of a test, and the furnished database that it works for."""

from __future__ import annotations

import base64
import os
import secrets
import signal
import subprocess
import sys
from dataclasses import dataclass, field
from pathlib import Path

import psycopg
from sqlalchemy import Engine

from server.local import children
from server.store import keys
from server.store.crypto import Vault
from tests.server.ingest.parties import NOW, Gateway, enrol, furnish

GATEWAYS = 4


@dataclass
class Ingest:
    """One ingest on the broker at `port`."""

    database_url: str
    master_key: bytes
    folder: Path
    port: int
    env: dict[str, str] = field(default_factory=dict)
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

    def listens(self, times: int = 1) -> bool:
        """True if it subscribed so often: what is published before that reaches nobody, and nobody says it again."""
        return self.log.count("broker_subscribed") >= times

    @property
    def log(self) -> str:
        return (self.folder / "ingest.log").read_text()

    def stop(self) -> None:
        if self.child is not None:
            children.end(self.child, ((signal.SIGTERM, 15),))


class Scene:
    """A furnished database with a few gateways."""

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

    def ingest(self, port: int) -> Ingest:
        return Ingest(self.database_url, self.master_key, self.folder, port)

    def close(self) -> None:
        self.look.close()
