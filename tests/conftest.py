"""What every test gets: a clean environment, a free port, the root of the repository, patient dice.

Fixtures of one room live in that room's own conftest.py (tests/server/conftest.py has the database, and so on).
"""

from __future__ import annotations

import os
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import structlog
from hypothesis import HealthCheck, settings
from xdist.scheduler import LoadScopeScheduling

from tests.fixtures.ports import free_ports

ROOT = Path(__file__).resolve().parent.parent

# Real parts that tests of several rooms share: `engine`, `database_url`, `broker`, `mosquitto`, `embedded_broker`,
# `browser`.
pytest_plugins = ("tests.fixtures.postgres", "tests.fixtures.brokers", "tests.fixtures.browsers", "tests.fixtures.ears")

# Two shared cores: a deadline would fail for the neighbour's load, not for our code. In CI the dice are the
# same every time, so that a red run can be told again; at home they look for something new.
settings.register_profile("home", deadline=None, suppress_health_check=[HealthCheck.too_slow])
settings.register_profile("long", settings.get_profile("home"), max_examples=2000)
settings.register_profile("ci", settings.get_profile("home"), derandomize=True, print_blob=True)
settings.load_profile("ci" if os.environ.get("CI") else "home")


class ByFile(LoadScopeScheduling):  # type: ignore[misc]  # it has no types
    """Several runners share the files: each file stays with one of them, and everything that looks at one demo (which
    the last of its files ends) with one of them, too. (Marks of groups would do; xdist 3.8 loses them under pytest 9.)
    """

    def _split_scope(self, nodeid: str) -> str:
        file, _, test = nodeid.partition("::")
        if not file.startswith("tests/e2e/test_demo_"):
            return file
        return "demo of Mosquitto" if "[mosquitto" in test else "demo"


@pytest.hookimpl(optionalhook=True)
def pytest_xdist_make_scheduler(config: pytest.Config, log: Any) -> ByFile:
    """In the order of the folders, not the largest file first: what starts whole systems has few tests, and is slow."""
    config.option.loadscopereorder = False
    return ByFile(config, log)


@pytest.fixture(autouse=True)
def clean_environment(monkeypatch: pytest.MonkeyPatch) -> None:
    """A developer's own HEARSIGHT_* settings must not decide a test."""
    for name in list(os.environ):
        if name.startswith("HEARSIGHT_"):
            monkeypatch.delenv(name)


@pytest.fixture(autouse=True)
def plain_log() -> Iterator[None]:
    """A command that sets up its log writes to this test's captured output, which is closed when the test is over."""
    yield
    structlog.reset_defaults()


@pytest.fixture(scope="session")
def root() -> Path:
    """The root of the repository."""
    return ROOT


@pytest.fixture
def free_port() -> int:
    """A TCP port that nobody had on loopback a moment ago."""
    return free_ports()
