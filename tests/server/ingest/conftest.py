"""Fixtures of the ingest: a database that knows one gateway."""

from __future__ import annotations

import pytest
from sqlalchemy import Engine

from tests.server.ingest.parties import Gateway, enrol


@pytest.fixture
def gateway(engine: Engine) -> Gateway:
    with engine.begin() as tx:
        return enrol(tx, Gateway("gw-1"))
