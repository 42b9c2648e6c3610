"""Rows by binary COPY: the order and width of every column, and the door through which finished bytes go in.

Every column named here has a fixed width and is never null, so a row always has the same shape and a whole array
of them is one buffer (`server/ingest/rows.py`). Format: PostgreSQL manual, COPY, "Binary Format".
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from typing import Final

from psycopg import sql
from sqlalchemy import Connection

# PostgreSQL counts microseconds from 2000-01-01, we count milliseconds from 1970-01-01.
PG_EPOCH_MS: Final = 946_684_800_000
_HEADER: Final = b"PGCOPY\n\xff\r\n\x00" + bytes(8)
_TRAILER: Final = b"\xff\xff"
# Larger pieces gain nothing, smaller ones cost a call each.
_PIECE: Final = 1024 * 1024


@dataclass(frozen=True, slots=True)
class CopyTarget:
    """A table and its columns with their widths in bytes, in the order in which a row carries them."""

    table: str
    columns: tuple[tuple[str, int], ...]

    @property
    def names(self) -> tuple[str, ...]:
        return tuple(name for name, _ in self.columns)


SIGHTINGS: Final = CopyTarget(
    "sightings",
    (
        ("serial", 8),
        ("heard_at", 8),
        ("batch_no", 8),
        ("uptime_s", 8),
        ("window_ms", 4),
        ("boot", 4),
        ("adverts", 2),
        ("status", 2),
        ("rssi_max_dbm", 2),
        ("rssi_mean_dbm", 2),
    ),
)


def unresolved(reason: str) -> CopyTarget:
    """The unresolved frames of one reason: its length belongs to the shape of the row."""
    return CopyTarget(
        "unresolved_frames",
        (
            ("batch_no", 8),
            ("heard_at", 8),
            ("window_ms", 4),
            ("adverts", 2),
            ("rssi_max_dbm", 2),
            ("rssi_mean_dbm", 2),
            ("frame", 24),
            ("reason", len(reason.encode())),
        ),
    )


def copy_rows(tx: Connection, target: CopyTarget, rows: memoryview | bytes) -> None:
    """Puts finished rows into the table, inside the caller's transaction."""
    copy_pieces(tx, target, _whole(rows))


def copy_pieces(tx: Connection, target: CopyTarget, pieces: Iterable[memoryview | bytes]) -> None:
    """The same for a buffer that already has header and trailer, in pieces."""
    statement = sql.SQL("copy {} ({}) from stdin (format binary)").format(
        sql.Identifier(target.table), sql.SQL(", ").join(map(sql.Identifier, target.names))
    )
    driver = tx.connection.driver_connection
    assert driver is not None
    with driver.cursor() as cursor, cursor.copy(statement) as copy:
        for piece in pieces:
            copy.write(piece)


def _whole(rows: memoryview | bytes) -> Iterator[memoryview | bytes]:
    yield _HEADER
    view = memoryview(rows).cast("B")
    for start in range(0, len(view), _PIECE):
        yield view[start : start + _PIECE]
    yield _TRAILER
