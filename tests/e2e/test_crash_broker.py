"""kill -9 of the broker, twenty times during one run: what it forgot, the outboxes send again, and once is enough."""

from __future__ import annotations

import random
import time
from collections.abc import Iterator
from pathlib import Path

import pytest
from sqlalchemy import Engine

from tests.e2e.crash import BATCHES, Scene
from tests.fixtures.brokers import Broker

KILLS = 20


@pytest.fixture
def scene(engine: Engine, database_url: str, tmp_path: Path) -> Iterator[Scene]:
    made = Scene(engine, database_url, tmp_path)
    yield made
    made.close()


@pytest.mark.e2e
@pytest.mark.slow
@pytest.mark.timeout(600)
def test_broker_killed_at_any_moment(broker: Broker, scene: Scene) -> None:
    """Mosquitto saves its sessions rarely, the embedded broker never: a kill takes all that was under way."""
    dice = random.Random(7)
    ingest = scene.ingest(broker.port)
    ingest.start()
    kills = 0
    try:
        with scene.outboxes(broker.port) as outboxes:
            for kill in range(1, KILLS + 1):
                scene.wait_for(kill * BATCHES // (KILLS + 1))
                time.sleep(dice.random() * 0.02)
                broker.kill()
                kills += 1
                broker.start()
            scene.finish(outboxes)
        assert ingest.child is not None
        assert ingest.child.poll() is None, "the ingest must live through every death of the broker"
    finally:
        ingest.stop()
    assert kills == KILLS
