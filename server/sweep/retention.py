"""Removes what is kept no longer: old sightings, frames that nobody could resolve, ended sessions and attempts."""

from __future__ import annotations

from datetime import datetime, timedelta
from typing import Any, Final

from sqlalchemy import Engine, text

from server.store.db import transaction

# A lot's key that comes later than this is not an import that was forgotten over the holidays.
UNRESOLVED_KEPT: Final = timedelta(days=14)
# Rows of one transaction: long enough to be quick, short enough to hold nobody up.
CHUNK: Final = 20_000

_SIGHTINGS: Final = text(
    "delete from sightings where (tableoid, ctid) in "
    "(select tableoid, ctid from sightings where heard_at < :before limit :chunk)"
)
_UNRESOLVED: Final = text(
    "delete from unresolved_frames where ctid = any(array("
    "select ctid from unresolved_frames where heard_at < :before limit :chunk))"
)
_SESSIONS: Final = text("delete from sessions where expires_at < :before")
_RESETS: Final = text("delete from password_resets where expires_at < :before")
_ATTEMPTS: Final = text("delete from sign_in_failures where at < :before")
# An attempt counts for minutes, an ended session is of use only to somebody who looks into yesterday's trouble.
_ENDED_KEPT: Final = timedelta(days=7)


def sweep_old(engine: Engine, retention: timedelta, now: datetime) -> dict[str, int]:
    """Removes in chunks until nothing is left; returns how many rows of each kind went."""
    gone = {
        "sightings": _in_chunks(engine, _SIGHTINGS, now - retention),
        "unresolved_frames": _in_chunks(engine, _UNRESOLVED, now - UNRESOLVED_KEPT),
    }
    with transaction(engine) as tx:
        for name, statement in (("sessions", _SESSIONS), ("resets", _RESETS), ("attempts", _ATTEMPTS)):
            gone[name] = tx.execute(statement, {"before": now - _ENDED_KEPT}).rowcount
    return gone


def _in_chunks(engine: Engine, statement: Any, before: datetime) -> int:
    removed = 0
    while True:
        with transaction(engine) as tx:
            count = tx.execute(statement, {"before": before, "chunk": CHUNK}).rowcount
        removed += count
        if count < CHUNK:
            return removed
