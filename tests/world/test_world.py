"""A hundred worlds in every run of the tests, the same ones each time; `make world` and `make soak` play others."""

from __future__ import annotations

import os
import subprocess
import sys
from collections import Counter
from collections.abc import Iterator
from pathlib import Path

import psycopg
import pytest

from server.local.postgres import OwnPostgres
from tests.world.__main__ import told
from tests.world.house import House
from tests.world.run import play

SEEDS = 100
CHUNK = 5


@pytest.fixture(scope="module")
def house(postgres: OwnPostgres, template: str) -> Iterator[House]:
    """One database for all worlds. Nothing else may lock its tables, so that each run meets the same locks."""
    name = f"world_{os.getpid()}"
    with psycopg.connect(postgres.superuser_url, autocommit=True) as admin:
        admin.execute("alter system set autovacuum = off")
        admin.execute("select pg_reload_conf()")
        admin.execute(f"create database {name} template {template} owner hearsight".encode())
    made = House(postgres.url.replace("/hearsight?", f"/{name}?"))
    yield made
    made.close()
    with psycopg.connect(postgres.superuser_url, autocommit=True) as admin:
        admin.execute("alter system reset autovacuum")
        admin.execute("select pg_reload_conf()")
        admin.execute(f"drop database {name} with (force)".encode())


@pytest.fixture(scope="module")
def seen() -> Counter[str]:
    """What happened in the worlds that were played here."""
    return Counter()


@pytest.mark.parametrize("first", range(1, SEEDS + 1, CHUNK))
def test_worlds(house: House, seen: Counter[str], first: int) -> None:
    """Every seed drains, and its oracle has nothing to say."""
    results = [play(seed, house) for seed in range(first, first + CHUNK)]
    for result in results:
        seen.update(result.facts)
    failed = [told(result) for result in results if not result.passed]
    assert not failed, "\n\n".join(failed)


def test_a_seed_tells_the_same_story_again(house: House) -> None:
    """To the letter, also when another world was played between."""
    first = [play(seed, house) for seed in (3, 7, 11)]
    again = [play(seed, house) for seed in (11, 3, 7)]
    assert {result.seed: result.digest for result in first} == {result.seed: result.digest for result in again}
    assert len({result.digest for result in first}) == 3


def test_another_process_tells_it_the_same_way(house: House, root: Path) -> None:
    """Neither the order of a set nor the speed of the machine decides anything."""
    here = play(5, house)
    line = [sys.executable, "-m", "tests.world", "--seed", "5", "--count", "1", "--verbose"]
    there = subprocess.run(
        line, cwd=root, env=os.environ | {"PYTHONHASHSEED": "12345"}, capture_output=True, text=True, timeout=100,
    )  # fmt: skip
    assert there.returncode == 0, there.stdout
    assert there.stdout.startswith("SEED=5")
    assert f"seed 5: {here.digest[:16]} " in there.stdout
    assert there.stdout.splitlines()[-1] == "1 passed, 0 failed"


def test_everything_that_can_go_wrong_does(house: House, seen: Counter[str]) -> None:
    """A simulator whose faults never happen proves nothing. Asks the worlds above, and more if they were not played."""
    seed = 0
    while not seen or not all(seen.values()):
        seed += 1
        assert seed <= SEEDS, seen
        seen.update(play(seed, house).facts)
