"""A disk that is full, for real: the oldest are given up and told, what is new is kept, receipts still settle."""

from __future__ import annotations

import contextlib
import errno
import os
import subprocess
from collections.abc import Iterator
from pathlib import Path

import pytest

from gateway import outbox_file
from gateway.outbox import Outbox, OutboxFullError
from tests.gateway.test_outbox import add, frames, held, outbox, receipt, stored

BEFORE, AFTER, SIGHTINGS = 40, 60, 150


@pytest.fixture
def disk(tmp_path: Path) -> Iterator[Path]:
    """A filesystem of 8 MiB."""
    folder = tmp_path / "disk"
    folder.mkdir()
    line = ["mount", "-t", "tmpfs", "-o", "size=8m,mode=700", "tmpfs", str(folder)]
    done = subprocess.run(line, capture_output=True, text=True, check=False)
    if done.returncode:
        pytest.skip(f"not permitted here: {' '.join(line)} ({done.stderr.strip()})")
    yield folder
    subprocess.run(["umount", "--lazy", str(folder)], check=True)


def fill(folder: Path) -> None:
    """Somebody else takes all there is."""
    with (folder / "ballast").open("ab", buffering=0) as ballast:
        for piece in (bytes(65_536), bytes(512)):
            with contextlib.suppress(OSError):
                while ballast.write(piece) == len(piece):
                    pass


def add_windows(box: Outbox, first: int, count: int) -> None:
    for turn in range(first, first + count):
        add(box, *range(turn * 1_000, turn * 1_000 + SIGHTINGS))


def given_up(box: Outbox) -> list[int]:
    return [row[0] for row in box._file.db.execute("SELECT number FROM waiting WHERE given_up = 1 ORDER BY number")]


def test_the_oldest_are_given_up_and_everything_new_is_kept(disk: Path) -> None:
    box = outbox(disk)
    add_windows(box, 0, BEFORE)
    fill(disk)
    add_windows(box, BEFORE, AFTER)
    numbers = box.numbers_after(-1, 1_000)
    assert numbers == list(range(BEFORE + AFTER)), "no hole"
    given_up = [held(box, number).given_up for number in numbers]
    assert given_up == sorted(given_up, reverse=True), "the oldest go first"
    assert 0 < sum(given_up) <= AFTER + 10, "and no more than is needed"
    assert [len(frames(held(box, n))) for n in numbers if not given_up[n]] == [SIGHTINGS] * given_up.count(False)


def test_receipts_settle_and_the_gateway_starts_although_the_disk_is_full(disk: Path) -> None:
    box = outbox(disk)
    assert not box.begin()
    add_windows(box, 0, BEFORE)
    first = box.outbox_id
    fill(disk)
    box.close()
    box = outbox(disk)
    assert box.begin()
    fill(disk)
    for number in range(BEFORE):
        assert box.settle(receipt(box, -1, stored(number), outbox_id=first)).gone == (number,)
    add_windows(box, 0, 3)
    assert [held(box, number).dropped for number in box.numbers_after(-1, 10)] == [{"unclean_stop": 1}, {}, {}]


def test_the_reserve_is_taken_back_when_there_is_room_again(disk: Path) -> None:
    box = outbox(disk)
    reserve = disk / "outbox.reserve"
    assert reserve.stat().st_blocks * 512 == 2 * 2**20
    add_windows(box, 0, BEFORE)
    fill(disk)
    add_windows(box, BEFORE, AFTER)
    assert reserve.stat().st_size < 2 * 2**20
    (disk / "ballast").unlink()
    add(box, 1)
    assert reserve.stat().st_blocks * 512 == 2 * 2**20


@pytest.fixture
def narrow(disk: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """1 MiB is left, for an outbox with a fifth of the usual log and reserve."""
    monkeypatch.setattr(outbox_file, "_LOG_PAGES", 20)
    monkeypatch.setattr(outbox_file, "_RESERVE_BYTES", 400_000)
    with (disk / "ballast").open("wb") as ballast:
        os.posix_fallocate(ballast.fileno(), 0, 7 * 2**20)
    return disk


@pytest.mark.parametrize(("sightings", "more"), [(5, 1_500), (SIGHTINGS, 300)], ids=["small windows", "large windows"])
def test_an_outbox_that_filled_the_disk_itself_goes_on_and_settles(narrow: Path, sightings: int, more: int) -> None:
    """Nobody else is there to make room again: only what it gives up and deletes does."""
    box = outbox(narrow)
    made = 0
    while more:
        add(box, *range(made * sightings, made * sightings + sightings))
        made += 1
        more -= bool(given_up(box))
    waiting = box.numbers_after(-1, -1)
    assert waiting == list(range(made)), "no hole"
    assert given_up(box) == waiting[: len(given_up(box))], "the oldest go first"
    for number in waiting:
        assert box.settle(receipt(box, -1, stored(number))).gone == (number,)


def test_a_window_that_can_have_no_room_does_not_cost_all_the_others(narrow: Path) -> None:
    box = outbox(narrow)
    made = 0
    while not given_up(box):
        add_windows(box, made, 1)
        made += 1
    with pytest.raises(OutboxFullError):
        add(box, *range(15_000))
    assert len(given_up(box)) < made
    add_windows(box, made, 1)
    assert held(box, made).dropped == {"outbox_full": 45_000}


def test_where_nothing_can_be_set_aside_the_outbox_grows_without_a_reserve(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def not_here(*_: int) -> None:
        raise OSError(errno.EOPNOTSUPP, "not supported")

    monkeypatch.setattr(os, "posix_fallocate", not_here)
    box = outbox(tmp_path)
    add_windows(box, 0, BEFORE)
    assert given_up(box) == []
