"""Counts once, in the background, what rules and pages would otherwise count at every look."""

from __future__ import annotations

from datetime import datetime, timedelta
from typing import Final

from sqlalchemy import Engine

from server.store import listening
from server.store.db import transaction

# A receiver that was cut off in the evening has told us by morning. Smaller: its tags look silent. Larger: one night
# more before a silence counts.
SETTLED_AFTER: Final = timedelta(hours=6)
# A server that was switched off over a long weekend measures what it missed.
MISSED_MAX_D: Final = 7
# As long as an order may read back, and not longer.
KEPT: Final = timedelta(days=listening.DAYS_MAX + 30)


def sweep_listening(engine: Engine, retention: timedelta, now: datetime) -> int:
    """Measures the days that are over and were not measured yet; returns how many cells and days are new.

    A day goes when its sightings do (`retention`), or when no order may read it any more.
    """
    newest = (now - SETTLED_AFTER).date() - timedelta(days=1)
    days = [newest - timedelta(days=back) for back in range(MISSED_MAX_D)]
    with transaction(engine) as tx:
        missed = listening.unmeasured(tx, days)
        listening.prune(tx, (now - min(KEPT, retention)).date())
    measured = 0
    for day in missed:
        with transaction(engine) as tx:
            measured += listening.measure(tx, day)
    return measured
