"""The whole table of sightings for a moment, without keeping anybody from it for longer than that."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Final

import psycopg
from sqlalchemy import Connection, text
from sqlalchemy.exc import OperationalError

# How long those who store and read may stand behind us while we wait for those before us. Longer, and a set is late by
# that much; shorter, and a busy table is never had.
LOCK_WAIT_MS: Final = 500
# A set takes a fraction of a second; a reader on a page of history not much more. Beyond that: the next round.
TRIES: Final = 20
PAUSE_S: Final = 0.5

Wait = Callable[[float], object]
"""Waits so many seconds."""


class BusyError(Exception):
    """Somebody holds the table for long (a backup, perhaps). Nothing was changed; the next round tries again."""


@contextmanager
def busy_if_locked() -> Iterator[None]:
    """A lock that could not be had in time is a BusyError."""
    try:
        yield
    except OperationalError as error:
        if isinstance(error.orig, psycopg.errors.LockNotAvailable):
            raise BusyError from error
        raise


def lock_all(tx: Connection, wait: Wait) -> None:
    """Nobody else reads or stores sightings until the end of the transaction. Raises BusyError.

    The parent only: everybody locks it before any partition. While we wait, everybody waits behind us; therefore again
    and again for a moment, not once for long.
    """
    tx.execute(text(f"set local lock_timeout = {LOCK_WAIT_MS}"))
    for tries_left in range(TRIES - 1, -1, -1):
        try:
            with busy_if_locked(), tx.begin_nested():
                tx.execute(text("lock table only sightings in access exclusive mode"))
                return
        except BusyError:
            if not tries_left:
                raise
        wait(PAUSE_S)
