"""kill -9 of the ingest, 24 times during one run: at any moment, and exactly between commit and acknowledgement.

Every sighting that the outboxes committed to is stored exactly once, whatever dies when.
"""

from __future__ import annotations

import time
from collections.abc import Iterator
from pathlib import Path

import pytest
from sqlalchemy import Engine

from tests.e2e.crash import BATCHES, Ingest, Scene
from tests.e2e.puback_proxy import PubackProxy
from tests.fixtures.brokers import Mosquitto

RANDOM_KILLS = 12
EXACT_KILLS = 12


@pytest.fixture
def scene(engine: Engine, database_url: str, tmp_path: Path) -> Iterator[Scene]:
    made = Scene(engine, database_url, tmp_path)
    yield made
    made.close()


@pytest.fixture
def proxy(mosquitto: Mosquitto, scene: Scene) -> Iterator[PubackProxy]:
    made = PubackProxy(mosquitto.port, scene.has)
    yield made
    made.close()


@pytest.fixture
def ingest(scene: Scene, proxy: PubackProxy) -> Iterator[Ingest]:
    made = scene.ingest(proxy.port)
    yield made
    made.stop()


@pytest.mark.e2e
@pytest.mark.slow
@pytest.mark.mosquitto
@pytest.mark.timeout(600)
def test_ingest_killed_at_any_moment_and_between_commit_and_acknowledgement(
    mosquitto: Mosquitto, scene: Scene, proxy: PubackProxy, ingest: Ingest
) -> None:
    step = BATCHES // (RANDOM_KILLS + EXACT_KILLS + 2)
    exact = 0
    ingest.start()
    with scene.outboxes(mosquitto.port) as outboxes:
        for kill in range(1, RANDOM_KILLS + EXACT_KILLS + 1):
            scene.wait_for(kill * step)
            if kill % 2:
                ingest.kill()
            else:
                # The proxy asks at each acknowledgement whether its batch is committed; with commits held up for a
                # moment, one that is too early must show. Armed, it holds back the first one after that.
                with scene.commits_held():
                    time.sleep(0.1)
                proxy.arm()
                assert proxy.caught.wait(30), "no acknowledgement came"
                ingest.kill()
                exact += 1
                proxy.disarm()
            ingest.start()
        said = scene.finish(outboxes)
    assert (ingest.kills, exact) == (RANDOM_KILLS + EXACT_KILLS, EXACT_KILLS)
    assert proxy.seen > BATCHES // 2
    assert proxy.early == 0, "acknowledged before they were committed"
    assert said["repeated"], "nothing was ever delivered twice: the kills hit nothing"
