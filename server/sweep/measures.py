"""Counts once, in the background, what rules and pages would otherwise count at every look."""

from __future__ import annotations

from datetime import datetime, timedelta
from typing import Final

from sqlalchemy import Engine

from server.rules.service_record import PERIODS_D, OrderRecord
from server.service import service_record
from server.store import listening
from server.store import service_record as stored
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


# A page that is an hour old tells of a month as well. Smaller: the same orders are read again for nothing.
RECORD_EVERY: Final = timedelta(hours=1)
# Orders of one transaction: their statements and verdicts are held at once.
AT_ONCE: Final = 200


def sweep_service_record(engine: Engine, now: datetime) -> int:
    """Counts our service in figures if the kept ones are an hour old; returns from how many orders.

    The cost is what was promised and asked lately, not how many orders there ever were.
    """
    with transaction(engine) as tx:
        newest = stored.newest(tx)
        if newest is not None and now - newest.as_of < RECORD_EVERY:
            return 0
        look_back = timedelta(days=max(PERIODS_D)) + service_record.MADE_BEFORE
        numbers = stored.orders_since(tx, now - look_back)
    counted: list[OrderRecord] = []
    for first in range(0, len(numbers), AT_ONCE):
        with transaction(engine) as tx:
            counted += service_record.count(tx, numbers[first : first + AT_ONCE])
    with transaction(engine) as tx:
        service_record.keep(tx, counted, now)
    return len(numbers)
