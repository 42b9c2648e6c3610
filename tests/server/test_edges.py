"""What the web process does beside answering: it keeps house, and only one at a time."""

from __future__ import annotations

from datetime import timedelta

import pytest
from sqlalchemy import Engine
from structlog.testing import capture_logs

from server.edges import Edges
from server.store import partitions
from server.store.db import transaction
from server.sweep import housekeeping
from tests.server.web.town import START, Town


@pytest.fixture
def edges(engine: Engine) -> Edges:
    with transaction(engine) as tx:
        partitions.cover(tx, {(START - timedelta(days=500)).date(), START.date()}, START)
    with capture_logs():
        return Edges(Town(engine).house)


def test_the_web_process_keeps_house(engine: Engine, edges: Edges) -> None:
    with capture_logs() as said:
        edges._keep_house()
    assert {"event": "house_kept", "log_level": "info", "partitions_dropped": 1} in said
    with transaction(engine) as tx:
        assert [part.name for part in partitions.every(tx)] == ["sightings_2026_11_22"]


def test_it_leaves_it_to_whoever_does_so_already(engine: Engine, edges: Edges) -> None:
    with housekeeping._alone(engine), capture_logs() as said:
        edges._keep_house()
    assert said == []
    with transaction(engine) as tx:
        assert len(partitions.every(tx)) == 2
