"""kill -9 of the server's own broker, which keeps nothing: what it forgot, the outboxes send again."""

from __future__ import annotations

import random
import secrets
import time

import pytest

from server.local.postgres import OwnPostgres
from tests.e2e.crash.nursery import Nursery
from tests.e2e.crash.plant import Plant
from tests.fixtures.brokers import Embedded

KILLS = 6


@pytest.mark.e2e
@pytest.mark.slow
@pytest.mark.timeout(300)
def test_the_own_broker_killed_at_any_moment(own_postgres: OwnPostgres, nursery: Nursery) -> None:
    seed = secrets.randbits(32)
    print(f"SEED={seed}")
    dice = random.Random(seed)
    with Plant(own_postgres, nursery, broker=Embedded) as plant:
        for _ in range(KILLS):
            plant.wait_for(dice.randint(1, 60))
            time.sleep(dice.uniform(0, 0.02))
            plant.broker.kill()
            plant.broker.start()
        plant.finish()
        assert plant.ingests[0].alive, "the ingest must live through every death of the broker"
