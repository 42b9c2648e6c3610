"""Full disks: the gateway's, where the oldest batches are given up and said to be, and the database's, where all wait.

A kill in the middle of it, and in the end everything that was not given up is stored exactly once.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from server.local.postgres import OwnPostgres
from tests.e2e.crash.disks import family, limit_files, small_disk
from tests.e2e.crash.nursery import Nursery
from tests.e2e.crash.plant import PATIENCE_S, Plant

pytestmark = [pytest.mark.e2e, pytest.mark.slow, pytest.mark.mosquitto, pytest.mark.timeout(300)]

# Nothing but the disk ends the queue.
ENDLESS = 1_000_000
FULL_S = 2.0


def wait_until(is_so: Callable[[], bool], what: str) -> None:
    until = time.monotonic() + PATIENCE_S
    while not is_so():
        assert time.monotonic() < until, what
        time.sleep(0.02)


def test_the_gateways_disk_is_full(own_postgres: OwnPostgres, nursery: Nursery, tmp_path: Path) -> None:
    """They cannot send, and four of them share a full disk; they are killed and started on it. It stays full: what they
    need for settling has to be theirs already.
    """
    with (
        small_disk(tmp_path / "small", 3) as disk,
        Plant(own_postgres, nursery, waiting_max=ENDLESS, outboxes=disk.folder) as plant,
    ):
        plant.wait_for(20)
        plant.to_gateways.cut("reset")
        disk.fill()
        wait_until(plant.trace.gave_up, "the disk never was full")
        plant.kill_outboxes()
        plant.start_outboxes()
        time.sleep(FULL_S)
        disk.fill()
        assert plant.outboxes is not None
        assert plant.outboxes.alive, "a full disk must not end a gateway"
        plant.to_gateways.heal()
        plant.wait_for(20)
        disk.fill()
        sightings = plant.finish()
        print(f"{sightings} sightings stored, {plant.given_up()} given up, {plant.trace.full} windows never had room")
        assert plant.given_up() + plant.trace.full > 0


@pytest.fixture
def postgres_on_small_disk(tmp_path: Path) -> Iterator[tuple[OwnPostgres, Callable[[], None], Callable[[], None]]]:
    with small_disk(tmp_path / "small", 160) as disk, OwnPostgres(disk.folder / "pg") as own:
        yield own, disk.fill, disk.free


def starve(plant: Plant, begin: Callable[[], None], end: Callable[[], None]) -> None:
    """The database's disk is full; a worker is killed meanwhile; then all is well again."""
    plant.wait_for(50)
    begin()
    wait_until(lambda: "store_failed" in plant.log_of("ingest-1"), "the disk never was full")
    plant.kill_ingest(1)
    plant.revive_ingest(1)
    time.sleep(FULL_S)
    end()
    plant.revive_postgres()
    plant.wait_for(20)
    plant.finish()


def test_the_databases_disk_is_full(
    postgres_on_small_disk: tuple[OwnPostgres, Callable[[], None], Callable[[], None]], nursery: Nursery
) -> None:
    own, fill, free = postgres_on_small_disk
    with Plant(own, nursery) as plant:
        starve(plant, fill, free)
        assert "No space left on device" in plant.log_of("ingest-1") + (own.folder.parent / "pg.log").read_text()


def test_the_databases_files_cannot_grow(own_postgres: OwnPostgres, nursery: Nursery) -> None:
    with Plant(own_postgres, nursery) as plant:
        starve(
            plant,
            lambda: limit_files(family(own_postgres.pid), 16_384),
            lambda: limit_files(family(own_postgres.pid)),
        )
