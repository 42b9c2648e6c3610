"""For the crash tests: a PostgreSQL of their own, to be killed, and the process that starts what is killed."""

from __future__ import annotations

import tempfile
from collections.abc import Iterator
from pathlib import Path

import pytest

from server.local.postgres import OwnPostgres
from tests.e2e.crash.nursery import Nursery


@pytest.fixture(scope="package")
def own_postgres() -> Iterator[OwnPostgres]:
    """As `server up` runs it, durable: what it said is committed must be there after a kill."""
    with tempfile.TemporaryDirectory(prefix="crash-") as folder, OwnPostgres(Path(folder) / "pg") as own:
        yield own


@pytest.fixture(scope="package")
def nursery() -> Iterator[Nursery]:
    made = Nursery()
    yield made
    made.close()
