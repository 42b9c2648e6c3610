"""A disk that is full, for real: the oldest are given up and told, what is new is kept, receipts still settle."""

from __future__ import annotations

import contextlib
import subprocess
from collections.abc import Iterator
from pathlib import Path

import pytest

from gateway.outbox import Outbox
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
    assert not reserve.exists()
    (disk / "ballast").unlink()
    add(box, 1)
    assert reserve.exists()
