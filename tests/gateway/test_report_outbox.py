"""Sealed reports on disk: nothing is lost but what is counted, oldest first, whatever ends the process."""

from __future__ import annotations

import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest

from gateway.outbox_file import ROW_COST
from gateway.report_outbox import Load, ReportOutbox
from tests.conftest import ROOT
from tests.gateway.test_outbox_full_disk import disk, fill
from wire.report_upload import MAX_REPORTS
from wire.sealed import REPORT_LEN

__all__ = ["disk"]


def report(number: int) -> bytes:
    return b"\x01" + number.to_bytes(REPORT_LEN - 1, "big")


def reports(first: int, count: int) -> list[bytes]:
    return [report(number) for number in range(first, first + count)]


def box(folder: Path, limit_bytes: int = 1_000_000) -> ReportOutbox:
    return ReportOutbox(folder / "reports.sqlite", limit_bytes=limit_bytes)


def drained(held: ReportOutbox) -> list[bytes]:
    found: list[bytes] = []
    while load := held.next_load():
        assert len(load.reports) <= MAX_REPORTS
        found += load.reports
        assert held.settle(load)
    return found


def test_what_was_added_goes_up_once_in_order_over_a_restart(tmp_path: Path) -> None:
    held = box(tmp_path)
    assert held.next_load() is None
    assert held.add([]) == 0
    for first in (0, 10, 20):
        assert held.add(reports(first, 10)) == 0
    held.close()
    again = box(tmp_path)
    assert again.waiting().reports == 30
    assert drained(again) == reports(0, 30)
    assert again.waiting() == (0, 0)


def test_an_upload_is_as_large_as_it_may_be_and_no_larger(tmp_path: Path) -> None:
    held = box(tmp_path)
    held.add(reports(0, 400))
    held.add(reports(400, 400))
    held.add(reports(800, 400))
    held.add(reports(1_200, 2_500))
    sizes = []
    while load := held.next_load():
        sizes.append(len(load.reports))
        held.settle(load)
    assert sum(sizes) == 3_700
    assert sizes[0] == 800
    assert max(sizes) <= MAX_REPORTS


def test_what_is_not_settled_comes_again(tmp_path: Path) -> None:
    held = box(tmp_path)
    held.add(reports(0, 3))
    assert held.next_load() == held.next_load()


def test_beyond_the_limit_the_oldest_are_given_up_and_counted(tmp_path: Path) -> None:
    row = 10 * REPORT_LEN + ROW_COST
    held = box(tmp_path, limit_bytes=5 * row)
    lost = [held.add(reports(first, 10)) for first in range(0, 80, 10)]
    assert lost == [0, 0, 0, 0, 0, 10, 10, 10]
    assert held.waiting() == (50, 5 * row)
    assert drained(held) == reports(30, 50)
    assert held.add(reports(0, 1_000)) == 1_000, "what never fits is not worth the others"


def test_settling_what_was_given_up_meanwhile_is_nothing(tmp_path: Path) -> None:
    held = box(tmp_path, limit_bytes=2 * (10 * REPORT_LEN + ROW_COST))
    held.add(reports(0, 10))
    load = held.next_load()
    assert load is not None
    held.add(reports(10, 10))
    held.add(reports(20, 10))
    held.settle(load)
    held.settle(Load((99,), ()))
    assert drained(held) == reports(10, 20)


def test_a_broken_file_is_put_aside(tmp_path: Path) -> None:
    held = box(tmp_path)
    held.add(reports(0, 10))
    held.close()
    (tmp_path / "reports.sqlite").write_bytes(b"no database" * 1_000)
    again = box(tmp_path)
    assert again.was_broken
    again.add(reports(10, 1))
    assert drained(again) == reports(10, 1)
    assert (tmp_path / "reports.sqlite.broken").exists()


def test_a_full_disk_costs_the_oldest_with_a_count_and_nothing_more(disk: Path) -> None:
    held = box(disk, limit_bytes=100_000_000)
    made = 0
    for _ in range(40):
        assert held.add(reports(made, 500)) == 0
        made += 500
    fill(disk)
    lost = 0
    for _ in range(90):
        lost += held.add(reports(made, 500))
        made += 500
    assert 0 < lost < made
    assert held.waiting().reports == made - lost
    assert drained(held) == reports(lost, made - lost), "the newest are here"


WRITER = """
import sys
from pathlib import Path
from tests.gateway.test_report_outbox import box, reports
held, first = box(Path(sys.argv[1])), int(sys.argv[2])
for turn in range(10_000):
    held.add(reports(first + 3 * turn, 3))
    print(first + 3 * turn + 3, flush=True)
    if turn % 3 == 2:
        load = held.next_load()
        held.settle(type(load)(load.numbers[:1], load.reports[:3]))
        print(-load.reports[2][-1] - 256 * load.reports[2][-2] - 1, flush=True)
"""


def test_kill_9_while_it_writes_and_deletes(tmp_path: Path) -> None:
    """What was said to be added is there or was settled; what was said to be settled is gone."""
    added = settled = 0
    for turn in range(6):
        process = subprocess.Popen(
            [sys.executable, "-c", WRITER, str(tmp_path), str(added)], cwd=ROOT, stdout=subprocess.PIPE, text=True
        )
        assert process.stdout is not None
        assert process.stdout.readline()
        time.sleep(0.03 * turn)
        process.send_signal(signal.SIGKILL)
        held = box(tmp_path)
        said = [int(line) for line in process.stdout.read().split()]
        process.wait()
        numbers = [int.from_bytes(one[1:], "big") for one in drained(held)]
        said_added = max([added + 3, *said])
        said_settled = max([settled, *(-line for line in said if line < 0)])
        assert numbers == list(range(numbers[0], numbers[-1] + 1)), "no hole"
        assert numbers[0] in (said_settled, said_settled + 3), "settled is gone, and at most one more was under way"
        assert numbers[-1] + 1 in (said_added, said_added + 3)
        added = settled = numbers[-1] + 1
        held.close()


@pytest.mark.parametrize("limit", [0, ROW_COST])
def test_an_outbox_without_room_keeps_nothing_and_says_so(tmp_path: Path, limit: int) -> None:
    assert box(tmp_path, limit_bytes=limit).add(reports(0, 2)) == 2
