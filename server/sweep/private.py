"""How long things of private tags are kept: sealed reports for some days, the keys of a day a little longer."""

from __future__ import annotations

from datetime import datetime, timedelta
from typing import Final

from sqlalchemy import Engine

from server.rules.private_reports import DAYS_EITHER_SIDE, day_of
from server.store import private_pruning

# The moment of a report is cut to the hour: one of 12:59 must not go an hour too early.
_HOUR: Final = timedelta(hours=1)
# A report may come on the day after its identifier's, and its last hour must still be asked for by whoever reads it.
KEYS_LONGER: Final = timedelta(days=2)


def reports_before(reports_kept: timedelta, now: datetime) -> datetime:
    """Sealed reports whose hour is before this one go."""
    return now - reports_kept - _HOUR


def sweep_private(engine: Engine, reports_kept: timedelta, retention: timedelta, now: datetime) -> dict[str, int]:
    """Removes until nothing is left; returns how many rows of each kind went.

    When a tag was heard last outlives its days, until `retention`.
    """
    return {
        "sealed reports": private_pruning.prune_reports(engine, reports_before(reports_kept, now)),
        "days of private tags": private_pruning.prune_days(
            engine,
            before=day_of(now - reports_kept - KEYS_LONGER),
            newest=day_of(now) + DAYS_EITHER_SIDE,
            heard_since=now - retention,
        ),
    }
