"""Asking carriers about numbers: what is due by index, a few at a time, more slowly the older and the worse it goes.

Nothing is locked while the vendor thinks: the number is taken for a while, then asked, then written down. If the
process dies between, the number is due again when that while is over.
"""

from __future__ import annotations

from collections.abc import Callable
from datetime import datetime, timedelta
from typing import Final

from prometheus_client import Counter
from sqlalchemy import Engine

from server.service import tracking
from server.service.carrier_port import AwayError, CarrierPort, RefusedError, Told, UnreadableError
from server.store import trackers
from server.store.db import transaction
from server.store.trackers import Due

POLLS: Final = Counter(
    "hearsight_carrier_polls_total",
    "Questions to carriers about a number, by what became of them: answered, away (asked again later), refused",
    ["outcome"],
)
for _outcome in ("answered", "away", "refused"):
    POLLS.labels(_outcome)
# Longer than the vendor may take to answer.
HELD_FOR: Final = timedelta(minutes=5)
AT_ONCE: Final = 20
# A parcel that was labelled this long ago is asked about so often; webhooks tell sooner where they are set up.
OFTEN: Final = ((timedelta(days=3), timedelta(hours=2)), (timedelta(days=14), timedelta(hours=6)))
SELDOM: Final = timedelta(days=1)
# Nobody waits any longer for news of it.
FOLLOWED_FOR: Final = timedelta(days=60)
PAUSE_FIRST: Final = timedelta(minutes=5)
PAUSE_MAX: Final = timedelta(hours=12)
# A vendor that cannot read its own number twenty times in a row has none for us.
TRIES_MAX: Final = 20


class Poller:
    """Asks one vendor. While it is away the whole vendor is left alone, not only one number."""

    def __init__(self, engine: Engine, port: CarrierPort, clock: Callable[[], datetime]) -> None:
        self._engine, self._port, self._clock = engine, port, clock
        self._away_until: datetime | None = None
        self._failures = 0

    def poll_due(self, limit: int = AT_ONCE) -> int:
        """Ask about up to `limit` numbers; how many answers there were."""
        now = self._clock()
        with transaction(self._engine) as tx:
            trackers.end_old(tx, now - FOLLOWED_FOR, now)
        if not self._port.can_look_up or (self._away_until is not None and now < self._away_until):
            return 0
        answers = 0
        for _ in range(limit):
            with transaction(self._engine) as tx:
                now = self._clock()
                due = trackers.take_due(tx, now, now + HELD_FOR)
            if due is None:
                break
            try:
                told = self._port.lookup(due.carrier, due.number, due.vendor_id, now)
            except AwayError as error:
                self._left_alone(due, error)
                break
            except (RefusedError, UnreadableError) as error:
                self._refused(due, error)
            else:
                self._answered(due, told)
                answers += 1
        return answers

    def _answered(self, due: Due, told: Told) -> None:
        POLLS.labels("answered").inc()
        self._failures, self._away_until = 0, None
        with transaction(self._engine) as tx:
            now = self._clock()
            tracking.record(tx, self._port.vendor, "poll", told, now)
            # An older parcel that was delivered under our number ends nothing, and its tracker is not ours to keep.
            ours = tracking.is_of(told, due.labelled_at)
            next_poll_at, ended_at = now + pause(now - due.labelled_at), now if told.over and ours else None
            trackers.answered(tx, due, told.vendor_id if ours else None, next_poll_at, ended_at)

    def _left_alone(self, due: Due, error: AwayError) -> None:
        POLLS.labels("away").inc()
        now = self._clock()
        wait = min(PAUSE_FIRST * 2**self._failures, PAUSE_MAX)
        if error.retry_after_s is not None:
            wait = max(timedelta(seconds=error.retry_after_s), min(wait, PAUSE_FIRST))
        self._failures = min(self._failures + 1, 10)
        self._away_until = now + wait
        with transaction(self._engine) as tx:
            trackers.failed(tx, due, str(error), now + wait)

    def _refused(self, due: Due, error: Exception) -> None:
        POLLS.labels("refused").inc()
        with transaction(self._engine) as tx:
            now = self._clock()
            wait = min(PAUSE_FIRST * 2 ** min(due.tries, 10), PAUSE_MAX)
            trackers.failed(tx, due, str(error), now + wait, now if due.tries + 1 >= TRIES_MAX else None)


def pause(age: timedelta) -> timedelta:
    """How long to wait before asking again about a number that was labelled so long ago."""
    return next((wait for until, wait in OFTEN if age < until), SELDOM)
