"""How close is ingest to what PostgreSQL can take at all? From MQTT QoS 1 to the commit, with every check on.

    python -m bench.ingest --seconds 20

Baseline: binary COPY of prebuilt buffers of 100,000 rows into the same table with the same indexes, on the same
server, in turn with ours. Ours: signed batches of 50 sightings from 25 gateways, all frames valid, 25 live lots;
the clock runs from the first packet to the moment the last outbox is settled. Broker, publisher, ingest and
PostgreSQL share this machine's processors. The last line is one JSON object.
"""

from __future__ import annotations

import argparse
import base64
import contextlib
import json
import os
import random
import secrets
import shutil
import signal
import socket
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, Final

import numpy as np
import psutil  # type: ignore[import-untyped]
from sqlalchemy import Engine, text

from bench.load import Load
from bench.publisher import packet
from server.ingest.rows import empty_rows, pg_time
from server.local import children
from server.local.broker import OwnBroker
from server.local.postgres import OwnPostgres
from server.store import copying, db, keys, partitions
from server.store.crypto import Vault
from server.store.migrations import migrate
from server.store.tables import gateways
from wire.batch import GatewayClass

SEED: Final = 20261122
LOTS: Final = 25
SENDERS: Final = 25
COPY_ROWS: Final = 100_000
# Sightings in one round of ours: two seconds and more, so that its beginning and end weigh little.
ROUND: Final = 300_000
MOSQUITTO: Final = """listener {port} 127.0.0.1
allow_anonymous true
max_queued_messages 0
max_inflight_messages 0
set_tcp_nodelay true
persistence true
persistence_location {folder}/
"""


@dataclass(frozen=True, slots=True)
class House:
    """Everything that runs during the measurement."""

    engine: Engine
    load: Load
    folder: Path
    broker_port: int
    processes: Mapping[str, int]


# --- the two sides of the comparison ------------------------------------------------------------------------


def copy_round(house: House, buffers: int) -> float:
    """Rows a second of bare COPY, one transaction per buffer."""
    took = 0.0
    with db.transaction(house.engine) as tx:
        now = datetime.now(UTC)
        partitions.cover(tx, {datetime.fromtimestamp(house.load.moment_ms / 1000, UTC).date(), now.date()}, now)
    for _ in range(buffers):
        rows = _copy_rows(house.load)
        began = time.perf_counter()
        with db.transaction(house.engine) as tx:
            copying.copy_rows(tx, copying.SIGHTINGS, rows)
        took += time.perf_counter() - began
    return buffers * COPY_ROWS / took


def _copy_rows(load: Load) -> memoryview:
    """Rows like those of the load; batch 0 is nobody's, so that they can be told apart."""
    rows = empty_rows(copying.SIGHTINGS, COPY_ROWS)
    rows["serial"] = load.serials[:COPY_ROWS]
    rows["uptime_s"] = np.arange(COPY_ROWS)
    moments = np.arange(load.moment_ms, load.moment_ms + COPY_ROWS // 50).repeat(50)
    rows["heard_at"] = pg_time(moments)
    rows["boot"], rows["adverts"], rows["rssi_max_dbm"], rows["rssi_mean_dbm"] = 1, 3, -60, -63
    return rows.view(np.uint8).data


def ingest_round(house: House, batches: int, sightings: int) -> float:
    """Sightings a second, from the first packet to the settling of the last batch."""
    path = house.folder / "packets"
    made = house.load.batches(batches, sightings, int(time.time() * 1000))
    with path.open("wb") as file:
        for number, (topic, payload) in enumerate(made):
            data = packet(number, topic, payload)
            file.write(len(data).to_bytes(4, "big") + data)
    expected = {gateway.outbox_id: gateway.sequence - 1 for gateway in house.load.gateways}
    publisher = subprocess.Popen(
        [sys.executable, "-m", "bench.publisher", str(path), "127.0.0.1", str(house.broker_port)],
        stdin=subprocess.PIPE, stdout=subprocess.PIPE,
    )  # fmt: skip
    assert publisher.stdin is not None
    assert publisher.stdout is not None
    assert publisher.stdout.readline() == b"ready\n"
    began = time.perf_counter()
    publisher.stdin.write(b"go\n")
    publisher.stdin.close()
    while not _settled(house.engine, expected):
        assert time.perf_counter() - began < 300, "the ingest does not come to an end"
        time.sleep(0.02)
    took = time.perf_counter() - began
    assert publisher.wait() == 0
    return batches * sightings / took


def _settled(engine: Engine, expected: Mapping[bytes, int]) -> bool:
    with engine.connect() as tx:
        marks: dict[bytes, int] = {row[0]: row[1] for row in tx.execute(_MARKS)}
    return all(marks.get(outbox) == sequence for outbox, sequence in expected.items())


_MARKS: Final = text("select outbox_id, settled_up_to from outboxes")


# --- the whole ----------------------------------------------------------------------------------------------


def measure(house: House, seconds: float, sightings: int) -> dict[str, Any]:
    batches = ROUND // sightings
    ingest_round(house, batches // 10, sightings)  # warms up caches on both sides
    copy_round(house, 1)
    ours: list[float] = []
    bare: list[float] = []
    cpu = dict.fromkeys((*house.processes, "publisher", "bare_copy"), 0.0)
    until = time.perf_counter() + seconds
    while len(ours) < 2 or time.perf_counter() < until:
        before = _cpu_s(house.processes)
        bare.append(copy_round(house, 2))
        cpu["bare_copy"] += _cpu_s(house.processes)["postgres"] - before["postgres"]
        before = _cpu_s(house.processes)
        ours.append(ingest_round(house, batches, sightings))
        for name, used in _cpu_s(house.processes).items():
            cpu[name] += used - before[name]
    stored = batches * sightings * len(ours)
    with house.engine.connect() as tx:
        rows, distinct = tx.execute(_COUNTS).one()
    expected = sum(gateway.sequence for gateway in house.load.gateways) * sightings
    return {
        "ratio_to_copy": round(statistics.median(ours) / statistics.median(bare), 3),
        "sightings_per_s": round(statistics.median(ours)),
        "copy_rows_per_s": round(statistics.median(bare)),
        "rounds": len(ours),
        "sightings": expected,
        "lost": expected - distinct,
        "duplicates": rows - distinct,
        "cpu_us_per_sighting": {
            name: round(used / stored * 1e6, 2) for name, used in cpu.items() if name != "bare_copy"
        },
        "copy_cpu_us_per_row": round(cpu["bare_copy"] / (2 * COPY_ROWS * len(ours)) * 1e6, 2),
        "ingest_peak_mib": round(_peak_kib(house.processes["ingest"]) / 1024),
    }


_COUNTS: Final = text("select count(*), count(distinct (batch_no, heard_at)) from sightings where batch_no > 0")


def _cpu_s(processes: Mapping[str, int]) -> dict[str, float]:
    """Processor time so far of each, with all its children (PostgreSQL's backends)."""
    used = {"publisher": (own := os.times()).children_user + own.children_system}
    for name, pid in processes.items():
        process = psutil.Process(pid)
        times = [each.cpu_times() for each in (process, *process.children(recursive=True))]
        used[name] = sum(each.user + each.system for each in times)
    return used


def _peak_kib(pid: int) -> int:
    status = Path(f"/proc/{pid}/status").read_text()
    return int(next(line.split()[1] for line in status.splitlines() if line.startswith("VmHWM")))


@contextlib.contextmanager
def house(folder: Path, embedded: bool) -> Iterator[House]:
    """Database, broker and ingest, as in production; ended in the opposite order."""
    with contextlib.ExitStack() as stack:
        own = stack.enter_context(OwnPostgres(folder / "postgres"))
        engine = db.engine(own.url)
        stack.callback(engine.dispose)
        migrate(engine)
        master_key = secrets.token_bytes(32)
        load = Load(random.Random(SEED), LOTS, SENDERS)
        _furnish(engine, Vault(master_key, secrets.token_bytes), load)
        port, broker = _broker(stack, folder, embedded)
        env = os.environ | {
            "HEARSIGHT_DATA": str(folder),
            "HEARSIGHT_DATABASE_URL": own.url,
            "HEARSIGHT_MQTT_URL": f"mqtt://127.0.0.1:{port}",
            "HEARSIGHT_MASTER_KEY": base64.b64encode(master_key).decode(),
        }
        ingest = children.start([sys.executable, "-m", "server", "ingest"], env=env)
        stack.callback(lambda: children.end(ingest, ((signal.SIGTERM, 10),)))
        processes = {"ingest": ingest.pid, "postgres": own.pid, "broker": broker}
        _wait_for_subscription(engine)
        yield House(engine, load, folder, port, processes)


def _furnish(engine: Engine, vault: Vault, load: Load) -> None:
    """Keys of the factory and the lots, and the gateways."""
    now = datetime.now(UTC)
    with db.transaction(engine) as tx:
        keys.keep_secret(tx, vault, keys.K_FACTORY, load.k_factory, now)
        for number, key in enumerate(load.lot_keys):
            keys.add_lot(tx, vault, f"lot-{number}", key, now)
        for sender in load.gateways:
            row = {
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
    process = children.start([program, "-c", str(config)])
    stack.callback(lambda: children.end(process, ((signal.SIGTERM, 5),)))
    return port, process.pid


def _wait_for_subscription(engine: Engine) -> None:
    """Until the ingest has loaded its keys, and a moment more for the broker to take its subscription."""
    until = time.perf_counter() + 30
    while time.perf_counter() < until:
        with engine.connect() as tx:
            if tx.execute(text("select 1 from pg_stat_activity where application_name = 'hearsight ingest'")).first():
                time.sleep(1.0)
                return
        time.sleep(0.05)
    raise TimeoutError("the ingest did not start")


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--seconds", type=float, default=20.0, help="how long both sides together are measured")
    parser.add_argument("--sightings", type=int, default=50, help="sightings per batch")
    parser.add_argument("--embedded", action="store_true", help="the server's own broker instead of Mosquitto")
    asked = parser.parse_args()
    with tempfile.TemporaryDirectory(prefix="hearsight-bench-") as name:
        Path(name).chmod(0o711)
        with house(Path(name), asked.embedded) as running:
            figures = measure(running, asked.seconds, asked.sightings)
    broker = "embedded" if asked.embedded else "mosquitto"
    print(json.dumps({"bench": "ingest", "broker": broker, "sightings_per_batch": asked.sightings, **figures}))


if __name__ == "__main__":
    main()
