"""The outbox's file: rows, numbers and transactions in SQLite; what they mean stands in outbox.py.

WAL mode with synchronous=FULL: there is one transaction per window (a minute), so the price is one fsync a minute, and
a power cut takes at most the window that was still open.
"""

from __future__ import annotations

import sqlite3
from collections import Counter
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Final, NamedTuple

# What SQLite needs per row besides the payload, roughly: so that a thousand tombstones are not free.
ROW_COST: Final = 64
# Nobody but us writes here (run.lock); somebody may look into it with the sqlite shell for a moment.
LOCK_WAIT_S: Final = 2.0
NO_SPACE: Final = (sqlite3.SQLITE_FULL, sqlite3.SQLITE_IOERR_WRITE)
_SCHEMA: Final = (
    "CREATE TABLE IF NOT EXISTS batches"
    " (sequence INTEGER PRIMARY KEY, payload BLOB NOT NULL, given_up INTEGER NOT NULL)",
    "CREATE TABLE IF NOT EXISTS owed (reason TEXT PRIMARY KEY, count INTEGER NOT NULL) WITHOUT ROWID",
    "CREATE TABLE IF NOT EXISTS meta (name TEXT PRIMARY KEY, value BLOB NOT NULL) WITHOUT ROWID",
)


class Depth(NamedTuple):
    """What waits for a receipt."""

    batches: int
    size_bytes: int


class OutboxFile:
    """One SQLite file, used by one thread at a time."""

    def __init__(self, path: Path) -> None:
        self.was_broken = False
        self.depth = Depth(0, 0)
        try:
            self.db = _connect(path)
        except sqlite3.OperationalError:  # not the file's fault: locked, no permission, no disk
            raise
        except sqlite3.DatabaseError:
            _put_aside(path)
            self.was_broken = True
            self.db = _connect(path)
        with self.transaction():
            for statement in _SCHEMA:
                self.db.execute(statement)
        self.measure()

    @contextmanager
    def transaction(self) -> Iterator[None]:
        """All or nothing; what fails also takes the depth back."""
        self.db.execute("BEGIN IMMEDIATE")
        try:
            yield
            self.db.execute("COMMIT")
        except BaseException:
            if self.db.in_transaction:
                self.db.execute("ROLLBACK")
            self.measure()
            raise

    def measure(self) -> None:
        count, size = self.db.execute("SELECT COUNT(*), COALESCE(SUM(LENGTH(payload)), 0) FROM batches").fetchone()
        self.depth = Depth(count, size + ROW_COST * count)

    # ------------------------------------------------------------------------------------ batches
    def put(self, sequence: int, payload: bytes, *, given_up: bool) -> None:
        self.db.execute("INSERT INTO batches VALUES (?, ?, ?)", (sequence, payload, given_up))
        self.depth = Depth(self.depth.batches + 1, self.depth.size_bytes + len(payload) + ROW_COST)

    def payload(self, sequence: int) -> bytes | None:
        row = self.db.execute("SELECT payload FROM batches WHERE sequence = ?", (sequence,)).fetchone()
        return bytes(row[0]) if row else None

    def remove(self, sequence: int) -> bool:
        """True if it was there."""
        payload = self.payload(sequence)
        if payload is None:
            return False
        self.db.execute("DELETE FROM batches WHERE sequence = ?", (sequence,))
        self.depth = Depth(self.depth.batches - 1, self.depth.size_bytes - len(payload) - ROW_COST)
        return True

    def sequences(self, first: int, last: int, limit: int = -1) -> list[int]:
        """Those that are here, in order; a negative limit is none."""
        found = self.db.execute(
            "SELECT sequence FROM batches WHERE sequence BETWEEN ? AND ? ORDER BY sequence LIMIT ?",
            (first, last, limit),
        )
        return [row[0] for row in found.fetchall()]

    def oldest(self) -> int | None:
        """The oldest that was not given up yet."""
        row = self.db.execute("SELECT MIN(sequence) FROM batches WHERE given_up = 0").fetchone()
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
        verdict = database.execute("PRAGMA quick_check(1)").fetchone()[0]
        if verdict != "ok":
            raise sqlite3.DatabaseError(verdict)
    except BaseException:
        database.close()
        raise
    return database
