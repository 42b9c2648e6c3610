"""Trying again: growing pauses, and what a failure says in one line of the log."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Final

from sqlalchemy.exc import DBAPIError

RETRY_MIN_S: Final = 0.1
# A database that comes back is noticed within this; more often would fill the log while it is away.
RETRY_MAX_S: Final = 5.0


def pauses() -> Iterator[float]:
    """Growing pauses between tries, for ever."""
    pause_s = RETRY_MIN_S
    while True:
        yield pause_s
        pause_s = min(2 * pause_s, RETRY_MAX_S)


def words(error: Exception) -> str:
    """The first line of what an error says, without the values that SQLAlchemy would add."""
    cause = error.orig if isinstance(error, DBAPIError) and error.orig else error
    return f"{type(cause).__name__}: {str(cause).strip().splitlines()[0] if str(cause).strip() else ''}"[:300]
