"""The directory over real HTTP: fetched whole, asked for sparingly, and kept whatever the other side does."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
import structlog
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey

from gateway.directory import Directory
from gateway.keeper import BACKOFF_MIN_S, Keeper
from gateway.talk import async_client
from tests.gateway.finding import House, a_key, serving
from wire.directory import MAX_INDEX_BYTES, shard_hash
from wire.keys import eid

SERVER = Ed25519PrivateKey.from_private_bytes(bytes([1]) * 32)
TODAY = 20_758
INTERVAL_S = 600.0


@pytest.fixture
def house() -> House:
    """Four days of twenty tags each, in four shards."""
    house = House(SERVER, shards=4)
    for day in range(TODAY - 1, TODAY + 3):
        house.publish(day, keys(day))
    return house


def keys(day: int) -> list[bytes]:
    return [a_key(day * 100 + n) for n in range(20)]


@pytest.fixture
def url(house: House) -> Iterator[str]:
    with serving(house) as url:
        yield url


def directory(folder: Path) -> Directory:
    return Directory(folder, SERVER.public_key(), limit_bytes=1_000_000)


def knows(held: Directory, day: int) -> int:
    """How many tags of the day it has."""
    return sum(held.key(day, eid(key)) == key for key in keys(day))


def with_keeper(held: Directory, url: str, do: Callable[[Keeper], Awaitable[Any]], **more: Any) -> Any:
    async def on_disk(work: Callable[..., Any], *arguments: Any) -> Any:
        return await asyncio.to_thread(work, *arguments)

    async def whole() -> Any:
        async with async_client(url) as http:
            given = {
                "on_disk": on_disk, "today": lambda: TODAY, "now_s": lambda: 0.0, "interval_s": INTERVAL_S,
                "jitter": lambda: 0.5, "log": structlog.get_logger(), **more,
            }  # fmt: skip
            return await do(Keeper(held, http, **given))

    return asyncio.run(whole())


def polled(held: Directory, url: str, times: int = 1) -> list[str]:
    async def do(keeper: Keeper) -> list[str]:
        return [await keeper.poll(TODAY) for _ in range(times)]

    troubles: list[str] = with_keeper(held, url, do)
    return troubles


def test_all_of_four_days_is_fetched_once_and_asked_for_by_etag_then(tmp_path: Path, house: House, url: str) -> None:
    held = directory(tmp_path)
    assert polled(held, url, 3) == ["", "", ""]
    assert [knows(held, day) for day in range(TODAY - 2, TODAY + 4)] == [0, 20, 20, 20, 20, 0]
    assert house.statuses == [200] * (4 + 16) + [304] * 8


def test_one_new_tag_costs_one_shard(tmp_path: Path, house: House, url: str) -> None:
    held = directory(tmp_path)
    polled(held, url)
    house.publish(TODAY, [*keys(TODAY), a_key(1)])
    house.asked.clear()
    polled(directory(tmp_path), url)
    fetched = [path for path in house.asked if path.count("/") == 5]
    assert len(fetched) == 1
    assert directory(tmp_path).key(TODAY, eid(a_key(1))) == a_key(1)


def test_one_refused_shard_spoils_no_other(tmp_path: Path, house: House, url: str) -> None:
    shards = house.publish(TODAY, keys(TODAY))
    house.spoil[shard_hash(shards[1])] = shards[1][:16] + bytes(32) + shards[1][48:]
    held = directory(tmp_path)
    counts, trouble = with_keeper(held, url, lambda keeper: _poll(keeper))
    assert counts == {"directory_hash": 1}
    assert "shard 1 of day 20758 is not believed" in trouble
    assert knows(held, TODAY) == 20 - len(shards[1]) // 48
    assert knows(held, TODAY + 1) == 20
    house.spoil.clear()
    assert polled(held, url) == [""]
    assert knows(held, TODAY) == 20


async def _poll(keeper: Keeper) -> tuple[dict[str, int], str]:
    trouble = await keeper.poll(TODAY)
    return dict(keeper.refused), trouble


def test_one_refused_index_spoils_no_other_day(tmp_path: Path, house: House, url: str) -> None:
    forger = House(Ed25519PrivateKey.from_private_bytes(bytes([2]) * 32))
    forger.publish(TODAY, [a_key(1)])
    house.indexes[TODAY] = forger.indexes[TODAY]
    house.indexes[TODAY + 1] = house.indexes[TODAY + 2]
    held = directory(tmp_path)
    counts, trouble = with_keeper(held, url, _poll)
    assert counts == {"signature": 1, "directory_day": 1}
    assert "not believed" in trouble
    assert [knows(held, day) for day in range(TODAY - 1, TODAY + 3)] == [20, 0, 0, 20]
    assert held.key(TODAY, eid(a_key(1))) is None


@pytest.mark.parametrize(
    "failure",
    [
        500,
        429,
        (200, {}, bytes(MAX_INDEX_BYTES * 2)),
        (200, {"content-length": "5000"}, b"cut off"),
        (302, {"location": "/x"}, b""),
    ],
)
def test_whatever_comes_instead_the_disk_serves_and_the_next_look_heals(
    tmp_path: Path, house: House, url: str, failure: Any
) -> None:
    held = directory(tmp_path)
    polled(held, url)
    for day in range(TODAY - 1, TODAY + 3):
        house.publish(day, [*keys(day), a_key(7)])
    house.fail = [failure] * 9
    (trouble,) = polled(held, url)
    assert trouble
    assert knows(held, TODAY) == 20
    house.fail = []
    assert polled(held, url) == [""]
    assert held.key(TODAY, eid(a_key(7))) == a_key(7)


def test_a_shard_longer_than_any_may_be_is_not_even_read(tmp_path: Path, house: House, url: str) -> None:
    from wire.directory import MAX_SHARD_BYTES

    house.shards = 1
    (shard,) = house.publish(TODAY, keys(TODAY))
    house.spoil[shard_hash(shard)] = bytes(MAX_SHARD_BYTES + 48)
    held = directory(tmp_path)
    (trouble,) = polled(held, url)
    assert "longer than" in trouble


def test_nobody_there_and_the_disk_serves_also_after_a_restart(tmp_path: Path, house: House, url: str) -> None:
    polled(directory(tmp_path), url)
    held = directory(tmp_path)
    (trouble,) = polled(held, "http://127.0.0.1:1")
    assert trouble.startswith("no answer")
    assert knows(held, TODAY) == 20


def test_a_server_without_a_directory_is_no_trouble(tmp_path: Path, house: House, url: str) -> None:
    house.indexes.clear()
    held = directory(tmp_path)
    assert polled(held, url) == [""]
    assert held.size().days == 0


def test_days_that_have_passed_are_removed(tmp_path: Path, house: House, url: str) -> None:
    held = directory(tmp_path)
    polled(held, url)

    async def do(keeper: Keeper) -> None:
        await keeper.poll(TODAY + 2)

    with_keeper(held, url, do)
    assert sorted(path.name for path in tmp_path.iterdir()) == [str(TODAY + 1), str(TODAY + 2)]


def test_it_waits_longer_and_longer_and_is_fresh_again(
    tmp_path: Path, house: House, url: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Slept seconds, with the jitter in its middle; the day is unknown at first."""
    slept: list[float] = []
    days: list[int | None] = [None]
    house.fail = [500] * 9

    class EnoughError(Exception):
        pass

    async def sleep(seconds: float) -> None:
        slept.append(seconds)
        if len(slept) == 12:
            raise EnoughError

    async def do(keeper: Keeper) -> None:
        monkeypatch.setattr("gateway.keeper.asyncio.sleep", sleep)
        with pytest.raises(EnoughError):
            await keeper.run()
        assert keeper.trouble == ""
        assert keeper.fresh_at_s == 17.0

    with_keeper(directory(tmp_path), url, do, today=lambda: days.pop() if days else TODAY, now_s=lambda: 17.0)
    backoff = [min(BACKOFF_MIN_S * 2**n, INTERVAL_S) for n in range(9)]
    assert slept == [5.0, *backoff, INTERVAL_S, INTERVAL_S]
