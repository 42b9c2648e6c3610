"""kill -9 of the ingest exactly between commit and acknowledgement; and neither that nor a receipt before commit."""

from __future__ import annotations

import time

import pytest

from server.local.postgres import OwnPostgres
from tests.e2e.crash.nursery import Nursery
from tests.e2e.crash.plant import Plant
from tests.e2e.crash.puback_proxy import PubackProxy

KILLS = 8


@pytest.mark.e2e
@pytest.mark.slow
@pytest.mark.mosquitto
@pytest.mark.timeout(300)
def test_killed_between_commit_and_acknowledgement(own_postgres: OwnPostgres, nursery: Nursery) -> None:
    with Plant(own_postgres, nursery) as plant:
        proxy = PubackProxy(plant.broker.port, plant.has)
        plant.kill_ingest(1)
        plant.ingest_port = proxy.port
        plant.revive_ingest(1)
        for _ in range(KILLS):
            plant.wait_for(20)
            # The proxy asks at each acknowledgement and receipt whether it is committed; with commits held up for a
            # moment, one that is too early must show. Armed, it holds back the first one after that.
            with plant.commits_held():
                time.sleep(0.1)
            proxy.arm()
            assert proxy.caught.wait(30), "no acknowledgement came"
            plant.kill_ingest(1)
            proxy.disarm()
            plant.revive_ingest(1)
        plant.finish()
        proxy.close()
    assert proxy.early == 0, "acknowledged, or answered, before they were committed"
    assert proxy.seen > KILLS * 20
    assert proxy.again >= KILLS, "nothing was ever delivered twice: the kills hit nothing"
