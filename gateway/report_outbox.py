"""Sealed reports on disk until the server has them, in a file of their own: nothing of them stands beside a sighting.

A row is what one window sealed. An upload takes the oldest rows that fit together; they leave when it was answered.
Each report is named by its own bytes, so one that goes up twice is one. Used by one thread at a time.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Final, NamedTuple

from gateway.outbox_file import ROW_COST, NoSpaceError, OutboxFile
from wire.report_upload import MAX_REPORTS, split_reports
from wire.sealed import REPORT_LEN

# The file's rows have two names; the second is for what the server calls them, and it calls these nothing.
_NAMELESS: Final = b""


class Waiting(NamedTuple):
    """What waits: reports, and the room they take."""

    reports: int
    bytes: int


class Load(NamedTuple):
    """What goes up together."""

    numbers: tuple[int, ...]
    reports: tuple[bytes, ...]


class ReportOutbox:
    """Bounded; never raises for a full disk. `was_broken`: the file was, and has been put aside."""

    def __init__(self, path: Path, *, limit_bytes: int) -> None:
        self._limit_bytes = limit_bytes
        self._file = OutboxFile(path)
        self.was_broken = self._file.was_broken
        self._file.reserve()

    def close(self) -> None:
        self._file.db.close()

    def waiting(self) -> Waiting:
        rows, size = self._file.depth
        return Waiting((size - ROW_COST * rows) // REPORT_LEN, size)

    def add(self, reports: Sequence[bytes]) -> int:
        """What one window sealed; the oldest go for it, if need be. Returns how many reports were lost."""
        before = self.waiting().reports
        for start in range(0, len(reports), MAX_REPORTS):
            self._add(b"".join(reports[start : start + MAX_REPORTS]))
        return before + len(reports) - self.waiting().reports

    def _add(self, reports: bytes) -> None:
        self._file.reserve()  # perhaps the disk has room again
        while self.waiting().bytes + len(reports) + ROW_COST > self._limit_bytes:
            if not self._give_up_oldest():
                return
        self._write(lambda: self._put(reports), self._give_up_oldest)

    def _put(self, reports: bytes) -> None:
        number = self._file.number("next_number")
        self._file.set("next_number", number + 1)
        self._file.put(number, (_NAMELESS, number), reports, given_up=False)

    def _give_up_oldest(self) -> bool:
        """False if nothing waits, or there is not even room to forget."""
        number = self._file.oldest()
        return number is not None and self._write(lambda: self._file.remove(number))

    def next_load(self) -> Load | None:
        """The oldest that fit into one upload; None if nothing waits."""
        numbers: list[int] = []
        reports: list[bytes] = []
        for number in self._file.numbers_after(-1, MAX_REPORTS):
            held = self._file.payload(number) or b""
            if numbers and len(reports) + len(held) // REPORT_LEN > MAX_REPORTS:
                break
            numbers.append(number)
            reports += split_reports(held)
        return Load(tuple(numbers), tuple(reports)) if numbers else None

    def settle(self, load: Load) -> bool:
        """They are done with, one way or another. False on a disk too full to forget them: they go up once more."""
        return self._write(lambda: self._settle(load))

    def _settle(self, load: Load) -> None:
        for number in load.numbers:
            if self._file.payload(number) is not None:  # given up meanwhile
                self._file.remove(number)

    def _write(self, work: Callable[[], object], give_up: Callable[[], bool] = lambda: False) -> bool:
        """One transaction, as the file's `write`; False if there is no room for it."""
        try:
            self._file.write(work, give_up)
        except NoSpaceError:
            return False
        return True
