"""The whole way under load, each part a process that can be killed: gateways, Mosquitto, ingest workers, PostgreSQL.

outboxes ──cut──▶ Mosquitto ──cut──▶ ingest 1 … N ──cut──▶ PostgreSQL
"""

from __future__ import annotations

import base64
import json
import os
import secrets
import signal
import tempfile
import time
from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager, suppress
from functools import cached_property
from pathlib import Path
from types import TracebackType
from urllib.parse import quote

import psycopg
from psycopg import sql

from server.local.postgres import ROLE, OwnPostgres
from server.refusal import Refusal
from server.store import db, keys
from server.store.crypto import Vault
from server.store.migrations import migrate
from tests.e2e.crash.nursery import Born, Nursery
from tests.e2e.crash.trace import Trace
from tests.fixtures.brokers import Broker, Mosquitto
from tests.fixtures.cuts import Cut
from tests.fixtures.ports import free_ports
from tests.server.ingest.parties import K_FACTORY, LOTS, NOW, Gateway, enrol, furnish

GATEWAYS = 4
ROOMY = 64 * 2**20
# As many as a gateway publishes at once, and some that wait.
WAITING_MAX = 24
# A start of everything after a kill takes a second on a quiet machine; a busy one is no failure.
PATIENCE_S = 60.0


class Plant:
    """`with Plant(postgres, nursery) as plant:` – everything runs; `finish` stops the load and compares."""

    def __init__(
        self, postgres: OwnPostgres, nursery: Nursery, *, workers: int = 1, waiting_max: int = WAITING_MAX,
        broker: Callable[[Path, int], Broker] = Mosquitto, outboxes: Path | None = None, load: bool = True,
        gateways: Sequence[Gateway] = (),
    ) -> None:  # fmt: skip
        self.postgres, self._nursery, self._workers = postgres, nursery, workers
        # Short, and not below pytest's: a Unix socket's path has at most 107 bytes.
        self._own_folder = tempfile.TemporaryDirectory(prefix="crash-")
        self.folder = Path(self._own_folder.name)
        self.trace = Trace(self.folder / "trace.jsonl", outboxes or self.folder / "outboxes")
        self._waiting_max, self._load = waiting_max, load
        self._database = f"crash_{secrets.token_hex(6)}"
        self._url = postgres.url.replace("/hearsight?", f"/{self._database}?")
        self._master_key = secrets.token_bytes(32)
        self.gateways = gateways or [Gateway(f"gw-{n}") for n in range(GATEWAYS)]
        (self.folder / "broker").mkdir()
        self.broker = broker(self.folder / "broker", free_ports())
        self._look: psycopg.Connection | None = None
        self.ingests: list[Born] = []
        self.ingest_port: int | None = None  # of somebody else between broker and ingest, from the next start on
        self.outboxes: Born | None = None

    def __enter__(self) -> Plant:
        self._furnish()
        self.broker.start()
        socket = next(self.postgres.folder.glob(".s.PGSQL.*[0-9]"))
        (self.folder / "socket").mkdir()
        self.to_database = Cut(socket, self.folder / "socket" / socket.name)
        self.to_ingest = Cut(self.broker.port)
        self.to_gateways = Cut(self.broker.port)
        self.ingests = [self._start_ingest(number) for number in range(1, self._workers + 1)]
        if self._load:
            self.start_outboxes()
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, at: TracebackType | None) -> None:
        for each in [*self.ingests, *([self.outboxes] if self.outboxes else [])]:
            with suppress(AssertionError):
                each.end()
        self.broker.stop()
        for cut in (self.to_database, self.to_ingest, self.to_gateways):
            cut.close()
        if self._look is not None:
            self._look.close()
        if isinstance(error, Exception):
            print(self.logs())
        with suppress(psycopg.Error), psycopg.connect(self.postgres.superuser_url, autocommit=True) as admin:
            admin.execute(sql.SQL("drop database {} with (force)").format(sql.Identifier(self._database)))
        self._own_folder.cleanup()

    def log_of(self, part: str) -> str:
        return (self.folder / f"{part}.log").read_text(errors="replace")

    def logs(self) -> str:
        """The end of everybody's log, for who must find out why."""
        return "\n".join(
            f"--- {log.name}\n{log.read_text(errors='replace')[-2500:]}" for log in sorted(self.folder.glob("*.log"))
        )

    # ------------------------------------------------------------------------------------ making it
    def _furnish(self) -> None:
        self.revive_postgres()
        with psycopg.connect(self.postgres.superuser_url, autocommit=True) as admin:
            names = {"name": sql.Identifier(self._database), "role": sql.Identifier(ROLE)}
            admin.execute(sql.SQL("create database {name} owner {role}").format(**names))
        engine = db.engine(self._url)
        migrate(engine)
        vault = Vault(self._master_key, secrets.token_bytes)
        with engine.begin() as tx:
            furnish(tx, vault)
            for gateway in self.gateways:
                enrol(tx, gateway)
            self.server_key = keys.server_key(tx, vault, NOW).public_key()
        engine.dispose()

    def _write_orders(self) -> None:
        orders = {
            "folder": str(self.folder),
            "outboxes": str(self.trace.folder),
            "port": self.to_gateways.port,
            "gateways": [[each.name, each.key.private_bytes_raw().hex()] for each in self.gateways],
            "said": {each.name: self.trace.said(each.name) for each in self.gateways},
            "limit_bytes": ROOMY,
            "waiting_max": self._waiting_max,
            "hears_a_turn": 1 if self._waiting_max == WAITING_MAX else 8,
            "k_factory": K_FACTORY.hex(),
            "k_lot": LOTS[0].key.hex(),
            "server_key": self.server_key.public_bytes_raw().hex(),
        }
        (self.folder / "orders.json").write_text(json.dumps(orders))

    def _start_ingest(self, number: int) -> Born:
        env = {
            "HEARSIGHT_DATA": str(self.folder),
            "HEARSIGHT_DATABASE_URL": f"postgresql://{ROLE}@/{self._database}?host={quote(f'{self.folder}/socket')}",
            "HEARSIGHT_MQTT_URL": f"mqtt://127.0.0.1:{self.ingest_port or self.to_ingest.port}",
            "HEARSIGHT_MASTER_KEY": base64.b64encode(self._master_key).decode(),
            "HEARSIGHT_INGEST_WORKERS": str(self._workers),
        }
        arguments = ["server", "ingest", "--worker", str(number)]
        return self._nursery.start(arguments, env, self.folder / f"ingest-{number}.log")

    def start_outboxes(self) -> None:
        self._write_orders()
        arguments = ["tests.e2e.crash.outboxes", str(self.folder / "orders.json")]
        self.outboxes = self._nursery.start(arguments, {}, self.folder / "outboxes.log")

    @cached_property
    def _witness(self) -> psycopg.Connection:
        return psycopg.connect(self._url, autocommit=True)

    # ------------------------------------------------------------------------------------ killing it
    def kill_outboxes(self) -> None:
        assert self.outboxes is not None
        self.outboxes.end()
        self.trace.after_kill()

    def kill_ingest(self, number: int) -> None:
        self.ingests[number - 1].end()

    def revive_ingest(self, number: int) -> None:
        self.ingests[number - 1] = self._start_ingest(number)

    def kill_postgres(self) -> None:
        os.kill(self.postgres.pid, signal.SIGKILL)

    def revive_postgres(self) -> None:
        """As a supervisor does: again and again until it stays, and takes connections."""
        until = time.monotonic() + PATIENCE_S
        while True:
            try:
                if not self.postgres.alive:
                    self.postgres.stop()
                    self.postgres.start()
                psycopg.connect(self.postgres.superuser_url, connect_timeout=5).close()
                return
            except (Refusal, psycopg.OperationalError):
                if time.monotonic() > until:
                    raise
                time.sleep(0.05)

    def kill_backend(self) -> bool:
        """One session of an ingest, in the middle of whatever it does; False if there is none just now."""
        with suppress(psycopg.Error, ProcessLookupError), self._asking() as look:
            found = look.execute(
                "select pid from pg_stat_activity where datname = %s and application_name like 'hearsight ingest%%'"
                " order by state = 'active' desc, random() limit 1", (self._database,)
            ).fetchone()  # fmt: skip
            if found is not None:
                os.kill(found[0], signal.SIGKILL)
                return True
        return False

    # ------------------------------------------------------------------------------------ looking at it
    @contextmanager
    def _asking(self) -> Iterator[psycopg.Connection]:
        """A session of our own, past all cuts; made anew when it was lost."""
        if self._look is None:
            self._look = psycopg.connect(self._url, autocommit=True, connect_timeout=5)
        try:
            yield self._look
        except psycopg.Error:
            self._look.close()
            self._look = None
            raise

    def has(self, outbox_id: bytes, sequence: int) -> bool:
        """Whether a batch is committed, as everybody sees it at this moment; from any thread, while nobody kills the
        database.
        """
        found = self._witness.execute(
            "select 1 from batches where outbox_id = %s and sequence = %s", (outbox_id, sequence)
        )
        return found.fetchone() is not None

    @contextmanager
    def commits_held(self) -> Iterator[None]:
        """Nothing can be committed to the ledger meanwhile: every transaction of the ingest waits for this lock."""
        with psycopg.connect(self._url) as holder:
            holder.execute("lock table outboxes in exclusive mode")
            yield
            holder.rollback()

    def ledger(self) -> int | None:
        """How many batches are committed; None while nobody can tell."""
        with suppress(psycopg.Error), self._asking() as look:
            row = look.execute("select count(*) from batches").fetchone()
            return int(row[0]) if row else None
        return None

    def wait_for(self, more: int) -> None:
        """Until so many more batches are committed."""
        until, start = time.monotonic() + PATIENCE_S, None
        while True:
            count = self.ledger()
            start = count if start is None else start
            if start is not None and count is not None and count >= start + more:
                return
            assert time.monotonic() < until, f"nothing gets through any more: {count} batches are stored"
            time.sleep(0.005)

    def finish(self) -> int:
        """The load ends, everything drains, and the table is what the trace says. Returns the number of sightings."""
        assert self.outboxes is not None
        (self.folder / "finish").touch()
        self.outboxes.wait(PATIENCE_S)
        assert (self.folder / "done").exists(), "the outboxes' process ended before its time"
        self.trace.read()
        assert self.trace.waiting() == 0
        self.ledger()  # a session that was lost is noticed here
        return self._compare()

    def _compare(self) -> int:
        committed = self.trace.sightings()
        stored = self.stored()
        with self._asking() as look:
            twice = [key for key, count in stored.items() if count > 1]
            lost = {f"({serial},{said})" for serial, said in committed} - set(stored)
            strange = set(stored) - {f"({serial},{said})" for serial, said in committed}
            assert not twice, f"{len(twice)} stored more than once: {sorted(twice)[:5]}"
            assert len(lost) == self.given_up(), f"{len(lost)} lost: {sorted(lost)[:5]}"
            assert not strange, f"{len(strange)} that no outbox had: {sorted(strange)[:5]}"
            assert look.execute("select count(*) from dead_letters").fetchone() == (0,)
            batches = look.execute("select count(*), count(*) filter (where outcome = 0) from batches").fetchone()
            assert batches == (len(self.trace.committed), len(self.trace.committed)), "a ledger row for each batch"
            holes = look.execute(_HOLES).fetchall()
            assert holes == [], "every outbox is settled up to its last batch"
        return len(stored)

    def stored(self) -> Counter[str]:
        """How often each sighting stands in the table: "(serial,uptime)"."""
        with self._asking() as look:
            found = look.execute("select (serial, uptime_s)::text, count(*) from sightings group by 1")
            return Counter(dict(found.fetchall()))

    def given_up(self) -> int:
        """Sightings for which the outboxes had no room, as their tombstones in the ledger tell."""
        with self._asking() as look:
            row = look.execute(
                "select coalesce(sum((dropped ->> 'given_up_sightings')::int), 0) from batches"
                " where reason = 'given_up'"
            ).fetchone()
        return int(row[0]) if row else 0


_HOLES = """
    select o.gateway_no, o.settled_up_to, max(b.sequence)
    from outboxes o join batches b using (gateway_no, outbox_id)
    group by o.gateway_no, o.outbox_id, o.settled_up_to having o.settled_up_to <> max(b.sequence)
"""
