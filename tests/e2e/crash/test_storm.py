"""kill -9 of everything, in turn and at random moments, under load: exactly once, whatever dies when."""

from __future__ import annotations

import os
import random
import secrets

import pytest

from server.local.postgres import OwnPostgres
from tests.e2e.crash.nursery import Nursery
from tests.e2e.crash.plant import Plant
from tests.e2e.crash.storm import storm


@pytest.mark.e2e
@pytest.mark.slow
@pytest.mark.mosquitto
@pytest.mark.timeout(600)
@pytest.mark.parametrize(("workers", "kills"), [(1, 16), (2, 36)])
def test_everything_is_killed_in_turn(own_postgres: OwnPostgres, nursery: Nursery, workers: int, kills: int) -> None:
    seed = int(os.environ.get("SEED", secrets.randbits(32)))
    print(f"SEED={seed}")
    with Plant(own_postgres, nursery, workers=workers) as plant:
        hit = storm(plant, random.Random(seed), kills)
        sightings = plant.finish()
    print(f"{hit.total()} blows, {sightings} sightings, none lost, none twice: {dict(hit)}")
    assert sightings > 10 * kills
    parts = {"mosquitto", "postgres", "gateway", *(f"ingest {number}" for number in range(1, workers + 1))}
    assert parts <= set(hit)
