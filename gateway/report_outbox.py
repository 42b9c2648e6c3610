"""Sealed reports on disk until the server has them, in a file of their own: nothing of them stands beside a sighting.

A row is what one window sealed. An upload takes the oldest rows that fit together; they leave when it was answered.
Each report is named by its own bytes, so one that goes up twice is one. Used by one thread at a time.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from contextlib import suppress
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
        parts = (reports[start : start + MAX_REPORTS] for start in range(0, len(reports), MAX_REPORTS))
        return sum(self._add(b"".join(part)) for part in parts)

    def _add(self, reports: bytes) -> int:
        self._file.reserve()  # perhaps the disk has room again
        cost, lost = len(reports) + ROW_COST, 0
        while self.waiting().bytes + cost > self._limit_bytes:
            given_up = self._give_up_oldest()
            if not given_up:
                return lost + len(reports) // REPORT_LEN
            lost += given_up
        with suppress(NoSpaceError), self._file.transaction():
            self._put(reports)
            return lost
        return lost + self._put_for_others(reports)

    def _put_for_others(self, reports: bytes) -> int:
        """On a full disk the oldest go first: with their room used again, the file need not grow."""
        lost = 0
        with self._file.room():
            while True:
                given_up = 0 if self._file.has_slack() else self._give_up_oldest()
                lost += given_up
                with suppress(NoSpaceError), self._file.transaction():
                    self._put(reports)
                    return lost
                if not given_up:
                    return lost + len(reports) // REPORT_LEN

    def _put(self, reports: bytes) -> None:
        number = self._file.number("next_number")
        self._file.set("next_number", number + 1)
        self._file.put(number, (_NAMELESS, number), reports, given_up=False)

    def _give_up_oldest(self) -> int:
        """How many reports that were; none if nothing waits, or there is not even room to forget."""
        number = self._file.oldest()
        if number is None:
            return 0
        reports = self._file.payload(number) or b""
        return len(reports) // REPORT_LEN if self._write(lambda: self._file.remove(number)) else 0

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

    def _write(self, work: Callable[[], object]) -> bool:
        """One transaction, with the reserve's room if it needs that; False if there is none even then."""
        try:
            self._file.write(work)
        except NoSpaceError:
            return False
        return True
