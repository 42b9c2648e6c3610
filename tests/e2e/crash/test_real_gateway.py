"""The gateway's own program with a simulated radio, killed with -9 like the parts beyond it: from the air to the table.

The trace is independent of the gateway: bluetoothd notes what it told, and after every kill the outbox is read with
plain SQLite. What was in it is stored exactly once; the window that was open is lost (tests/gateway/test_kills.py
tells how much that may be).
"""

from __future__ import annotations

import random
import secrets
import signal
import time
from collections import Counter
from collections.abc import Callable
from pathlib import Path

import pytest

from gateway.enrolled import IDENTITY_FILE, Enrolment, load_or_make_key, save_enrolment
from server.local.postgres import OwnPostgres
from tests.e2e.crash.nursery import Nursery
from tests.e2e.crash.plant import PATIENCE_S, Plant
from tests.gateway.air import NETWORK, Air
from tests.gateway.process import GatewayProcess
from tests.gateway.server import wait_for
from tests.gateway.test_kills import Traffic, in_outbox
from tests.server.ingest.parties import K_FACTORY, LOTS, Gateway, Tag
from wire.batch import GatewayClass
from wire.frames import decode_p

ROUNDS = 4
TAGS = 8


def provenance(number: int) -> bytes:
    """The frame that the tag says in this second of its life."""
    return Tag(number % TAGS).frame(uptime_s=number)


def told(frame: bytes) -> str:
    """As the table has it."""
    said = decode_p(frame, LOTS[0].key, K_FACTORY)
    return f"({said.serial},{said.uptime_s})"


def enrolled(plant: Plant, folder: Path, gateway: Gateway, bus_address: str) -> GatewayProcess:
    """A gateway's folder as `enrol` leaves it."""
    process = GatewayProcess(folder, bus_address, WINDOW_S="0.4")
    save_enrolment(
        process.data,
        Enrolment(
            gateway.name, GatewayClass.OWN_SITE, NETWORK, gateway.key.public_key().public_bytes_raw(), "http://127.0.0.1",
            plant.server_key.public_bytes_raw(), f"mqtt://127.0.0.1:{plant.to_gateways.port}", gateway.name, "open",
        ),
    )  # fmt: skip
    return process


@pytest.mark.e2e
@pytest.mark.slow
@pytest.mark.mosquitto
@pytest.mark.timeout(300)
def test_from_the_air_to_the_table(own_postgres: OwnPostgres, nursery: Nursery, tmp_path: Path) -> None:
    seed = secrets.randbits(32)
    print(f"SEED={seed}")
    dice = random.Random(seed)
    key = load_or_make_key(tmp_path / "g" / "gateway" / IDENTITY_FILE)
    committed: Counter[bytes] = Counter()
    with Air(tmp_path) as air, Plant(own_postgres, nursery, load=False, gateways=[Gateway("dock-1", key=key)]) as plant:
        gateway = enrolled(plant, tmp_path / "g", plant.gateways[0], air.bus_address)
        others: list[tuple[Callable[[], object], Callable[[], object]]] = [
            (lambda: plant.kill_ingest(1), lambda: plant.revive_ingest(1)),
            (plant.broker.kill, plant.broker.start),
            (plant.kill_postgres, plant.revive_postgres),
            (lambda: plant.to_gateways.cut("swallow"), plant.to_gateways.heal),
        ]
        dice.shuffle(others)
        with Traffic(air, provenance) as traffic:
            for kill, revive in others[:ROUNDS]:
                gateway.start()
                air.wait_for_scan(PATIENCE_S)
                time.sleep(dice.uniform(0.5, 1.5))
                kill()
                time.sleep(dice.uniform(0.2, 1.0))
                assert gateway.end(signal.SIGKILL) == -signal.SIGKILL
                committed |= in_outbox(gateway)
                revive()
        gateway.start()
        wait_for(lambda: gateway.status().get("queued_batches") == 0 and gateway.status()["link_ready"], PATIENCE_S)
        assert gateway.end() == 0
        stored = plant.stored()
    assert committed, "something was in the outbox when it was killed"
    assert max(stored.values()) == 1, "stored twice"
    assert {told(frame) for frame in committed} <= set(stored), "lost"
    assert set(stored) <= {told(frame) for _, frame in traffic.told}
    print(f"{len(traffic.told)} frames told, {len(committed)} waited in a killed outbox, {len(stored)} stored")
