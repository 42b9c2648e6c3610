"""The outbox's file: rows, numbers and transactions in SQLite; what they mean stands in outbox.py.

WAL mode with synchronous=FULL: there is one transaction per window (a minute), so the price is one fsync a minute, and
a power cut takes at most the window that was still open.

On a full disk even a deletion needs room, for its log. So a reserve of our own lies beside the file; it is let go of
while something must be written and cannot be, and taken back after that, as far as there is room. The file grows only
while half of the reserve is there: if it grew to the end of the disk, what stands in the log could not be folded into
it any more, and with neither room nor a log nothing could be deleted ever again.
"""

from __future__ import annotations

import errno
import os
import sqlite3
from collections import Counter
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Final, NamedTuple, TypeVar

T = TypeVar("T")

# What SQLite needs per row and its name besides the payload, roughly: so that a thousand tombstones are not free.
ROW_COST: Final = 96
# Nobody but us writes here (run.lock); somebody may look into it with the sqlite shell for a moment.
LOCK_WAIT_S: Final = 2.0
_NO_SPACE: Final = (sqlite3.SQLITE_FULL, sqlite3.SQLITE_IOERR_WRITE, sqlite3.SQLITE_IOERR_SHMSIZE)
# The log is folded into the file when it has so many pages (of 4 KiB).
_LOG_PAGES: Final = 100
# Twice what the log may take, and a large window: less, and with it let go the next transaction might not fit either.
_RESERVE_BYTES: Final = 2 * 2**20
# It is taken back by halves, down to a sixteenth: even a small piece is good for the log.
_HALVES: Final = 5
# Where nothing can be set aside, the file grows without it.
_NO_SUCH_THING: Final = (errno.EINVAL, errno.EOPNOTSUPP)
# In pages: no limit, in practice.
_PAGES_MAX: Final = 2**30
_SCHEMA: Final = (
    "CREATE TABLE IF NOT EXISTS waiting (number INTEGER PRIMARY KEY, outbox_id BLOB NOT NULL,"
    " sequence INTEGER NOT NULL, payload BLOB NOT NULL, given_up INTEGER NOT NULL, UNIQUE (outbox_id, sequence))",
    "CREATE TABLE IF NOT EXISTS owed (reason TEXT PRIMARY KEY, count INTEGER NOT NULL) WITHOUT ROWID",
    "CREATE TABLE IF NOT EXISTS meta (name TEXT PRIMARY KEY, value BLOB NOT NULL) WITHOUT ROWID",
)
# Before waiting there was a table of one outbox only, whose sequences were its numbers.
_FROM_BATCHES: Final = (
    "INSERT INTO waiting SELECT sequence, (SELECT value FROM meta WHERE name = 'outbox_id'),"
    " sequence, payload, given_up FROM batches",
    "UPDATE meta SET name = 'next_number' WHERE name = 'next_sequence'",
    "DROP TABLE batches",
)


class NoSpaceError(Exception):
    """The disk is full; nothing was changed."""


class Depth(NamedTuple):
    """What waits for a receipt."""

    batches: int
    size_bytes: int


class OutboxFile:
    """One SQLite file, used by one thread at a time."""

    def __init__(self, path: Path) -> None:
        self.was_broken = False
        self.depth = Depth(0, 0)
        self._reserve = path.with_suffix(".reserve")
        self.db = self._open(path)
        with self.transaction():
            for statement in _SCHEMA:
                self.db.execute(statement)
            if self.db.execute("SELECT 1 FROM sqlite_master WHERE name = 'batches'").fetchone():
                for statement in _FROM_BATCHES:
                    self.db.execute(statement)
        self.measure()

    def _open(self, path: Path) -> sqlite3.Connection:
        try:
            return _connect(path)
        except sqlite3.OperationalError as error:  # not the file's fault: locked, no permission, no disk
            if error.sqlite_errorcode not in _NO_SPACE:
                raise
            self._let_go()
            return _connect(path)
        except sqlite3.DatabaseError:
            _put_aside(path)
            self.was_broken = True
            return _connect(path)

    @contextmanager
    def transaction(self) -> Iterator[None]:
        """All or nothing; what fails also takes the depth back. Raises NoSpaceError."""
        try:
            self.db.execute("BEGIN IMMEDIATE")
            yield
            self.db.execute("COMMIT")
        except BaseException as error:
            if self.db.in_transaction:
                self.db.execute("ROLLBACK")
            self.measure()
            if isinstance(error, sqlite3.OperationalError) and error.sqlite_errorcode in _NO_SPACE:
                raise NoSpaceError(str(error)) from error
            raise

    def write(self, work: Callable[[], T], give_up: Callable[[], bool] = lambda: False) -> T:
        """One transaction; on a full disk again with what was kept in reserve, and after the oldest were given up for
        it: with their room used again, the file need not grow. `give_up` says whether any went. Raises NoSpaceError.
        """
        with suppress(NoSpaceError), self.transaction():
            return work()
        with self._room():
            while True:
                gave_up = not self._has_slack() and give_up()
                try:
                    with self.transaction():
                        return work()
                except NoSpaceError:
                    if not gave_up:
                        raise

    @contextmanager
    def _room(self) -> Iterator[None]:
        """The disk is full: meanwhile the log has the reserve's room, and begins anew at its old place."""
        self._let_go()
        self._stop_growing()
        try:
            yield
        finally:
            self.reserve()

    def reserve(self) -> None:
        """Takes the reserve, or what there is room for; the file may grow if that is half of it at least."""
        if self._take_reserve() < _RESERVE_BYTES // 2:
            self._stop_growing()
        else:
            self.db.execute(f"PRAGMA max_page_count = {_PAGES_MAX}")

    def _take_reserve(self) -> int:
        """How much there is of it now."""
        with suppress(OSError), self._reserve.open("ab") as file:
            had = os.fstat(file.fileno()).st_size
            for size in (_RESERVE_BYTES >> halved for halved in range(_HALVES)):
                if size <= had:
                    return had
                try:
                    os.posix_fallocate(file.fileno(), 0, size)
                except OSError as error:
                    file.truncate(had)  # some filesystems keep what they could give
                    if error.errno in _NO_SUCH_THING:
                        return _RESERVE_BYTES
                else:
                    return size
        self._let_go()
        return 0

    def _stop_growing(self) -> None:
        """What the file has grown by in the log gets its place on the disk; for more it says that it is full."""
        with suppress(sqlite3.OperationalError):
            self.db.execute("PRAGMA wal_checkpoint(RESTART)")
        self.db.execute("PRAGMA max_page_count = 1")  # no less than it has now

    def _has_slack(self) -> bool:
        """Whether there is so much free room within the file that it cannot be what is missing."""
        pages, size = (self.db.execute(f"PRAGMA {what}").fetchone()[0] for what in ("freelist_count", "page_size"))
        return bool(pages * size > _RESERVE_BYTES)

    def _let_go(self) -> None:
        with suppress(OSError):
            self._reserve.unlink(missing_ok=True)

    def measure(self) -> None:
        count, size = self.db.execute("SELECT COUNT(*), COALESCE(SUM(LENGTH(payload)), 0) FROM waiting").fetchone()
        self.depth = Depth(count, size + ROW_COST * count)

    # ------------------------------------------------------------------------------------ batches
    def put(self, number: int, name: tuple[bytes, int], payload: bytes, *, given_up: bool) -> None:
        """`name` is what the server calls it: outbox and sequence."""
        self.db.execute("INSERT INTO waiting VALUES (?, ?, ?, ?, ?)", (number, *name, payload, given_up))
        self.depth = Depth(self.depth.batches + 1, self.depth.size_bytes + len(payload) + ROW_COST)

    def payload(self, number: int) -> bytes | None:
        row = self.db.execute("SELECT payload FROM waiting WHERE number = ?", (number,)).fetchone()
        return bytes(row[0]) if row else None

    def remove(self, number: int) -> int:
        """It must be there. Returns the size of what it was."""
        row = self.db.execute("DELETE FROM waiting WHERE number = ? RETURNING LENGTH(payload)", (number,)).fetchone()
        self.depth = Depth(self.depth.batches - 1, self.depth.size_bytes - row[0] - ROW_COST)
        return int(row[0])

    def find(self, outbox_id: bytes, sequence: int) -> int | None:
        """The number of what the server calls so; None if it does not wait here."""
        found = self.db.execute(
            "SELECT number FROM waiting WHERE outbox_id = ? AND sequence = ?", (outbox_id, sequence)
        ).fetchone()
        return None if found is None else int(found[0])

    def knows(self, outbox_id: bytes) -> bool:
        """Whether anything of this outbox waits."""
        return self.db.execute("SELECT 1 FROM waiting WHERE outbox_id = ? LIMIT 1", (outbox_id,)).fetchone() is not None

    def numbers_after(self, number: int, limit: int = -1) -> list[int]:
        """Those that wait, in order; a negative limit is none."""
        found = self.db.execute("SELECT number FROM waiting WHERE number > ? ORDER BY number LIMIT ?", (number, limit))
        return [row[0] for row in found.fetchall()]

    def oldest(self) -> int | None:
        """The oldest that was not given up yet."""
        row = self.db.execute("SELECT MIN(number) FROM waiting WHERE given_up = 0").fetchone()
        return None if row[0] is None else int(row[0])

    # ------------------------------------------------------------------------------------ counts and numbers
    def owe(self, counts: Mapping[str, int]) -> None:
        self.db.executemany(
            "INSERT INTO owed VALUES (?, ?) ON CONFLICT (reason) DO UPDATE SET count = count + excluded.count",
            list(counts.items()),
        )

    def owed(self) -> Counter[str]:
        return Counter(dict(self.db.execute("SELECT reason, count FROM owed").fetchall()))

    def pay(self) -> None:
        """Everything that was owed has been told."""
        self.db.execute("DELETE FROM owed")

    def number(self, name: str) -> int:
        """A number kept with the outbox; 0 until it was set."""
        row = self.db.execute("SELECT value FROM meta WHERE name = ?", (name,)).fetchone()
        return int(row[0]) if row else 0

    def blob(self, name: str) -> bytes:
        """Bytes kept with the outbox; empty until they were set."""
        row = self.db.execute("SELECT value FROM meta WHERE name = ?", (name,)).fetchone()
        return bytes(row[0]) if row else b""

    def set(self, name: str, value: int | bytes) -> None:
        self.db.execute("INSERT OR REPLACE INTO meta VALUES (?, ?)", (name, value))


def _put_aside(path: Path) -> None:
    """Keep a broken file for whoever wants to look into it."""
    for suffix in ("", "-wal", "-shm"):
        part = path.with_name(path.name + suffix)
        if part.exists():
            part.replace(path.with_name(f"{path.name}.broken{suffix}"))


def _connect(path: Path) -> sqlite3.Connection:
    path.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
    database = sqlite3.connect(path, isolation_level=None, check_same_thread=False, timeout=LOCK_WAIT_S)
    try:
        database.execute("PRAGMA journal_mode = WAL")
        database.execute("PRAGMA synchronous = FULL")
        database.execute(f"PRAGMA wal_autocheckpoint = {_LOG_PAGES}")
        verdict = database.execute("PRAGMA quick_check(1)").fetchone()[0]
        if verdict != "ok":
            raise sqlite3.DatabaseError(verdict)
    except BaseException:
        database.close()
        raise
    return database
