"""Whether a worker is well, from what it knows in memory: asking never waits for the database or the broker.

`problems` judges, `Watch` looks. Served by `port.py`, written down for the pages by `beat.py`.
"""

from __future__ import annotations

from collections.abc import Callable, Collection
from dataclasses import dataclass
from enum import StrEnum
from functools import partial
from threading import Thread
from typing import Final

from server.ingest import metrics
from server.ingest.drain import Drain
from server.ingest.inbox import Inbox
from server.ingest.lag import Backlog, lag_s
from server.ingest.worker import Worker

# A broker that is started again is back within seconds; shorter, and every update of it is an alarm.
AWAY_MAX_S: Final = 15.0
# Three of the beats that write our row (`beat.py`) in vain. Shorter: one long checkpoint is an alarm.
UNWRITTEN_MAX_S: Final = 15.0
# The connection's thread comes round every second, and may wait for the network when it connects anew.
STUCK_MAX_S: Final = 30.0


class Reason(StrEnum):
    """Why it is not well; also the label of `hearsight_ingest_unhealthy`."""

    STARTING = "starting"
    LAG = "lag"
    BROKER = "broker"
    DATABASE = "database"
    THREAD = "thread"


@dataclass(frozen=True, slots=True)
class Problem:
    """One reason, in a sentence for whoever is woken by it."""

    reason: Reason
    text: str


@dataclass(frozen=True, slots=True)
class State:
    """A worker in one moment. `unwritten_s`: since the database last took our row; `ended`: threads that should run."""

    started: bool
    lag_s: float
    backlog: Backlog
    away_s: float
    unwritten_s: float
    stuck_s: float
    ended: tuple[str, ...]


def problems(state: State, lag_max_s: float) -> tuple[Problem, ...]:
    """What is wrong, the cause before what follows from it; empty if it is well."""
    if not state.started:
        return (Problem(Reason.STARTING, "It waits for a database with this version's tables."),)
    found: list[Problem] = []
    if state.ended:
        found.append(Problem(Reason.THREAD, f"Its thread {', '.join(state.ended)} has ended: it should start anew."))
    elif state.stuck_s > STUCK_MAX_S:
        found.append(Problem(Reason.THREAD, f"Its thread drain has not moved for {state.stuck_s:.0f} s."))
    if state.unwritten_s > UNWRITTEN_MAX_S:
        found.append(Problem(Reason.DATABASE, f"The database has not answered for {state.unwritten_s:.0f} s."))
    if state.away_s > AWAY_MAX_S:
        found.append(Problem(Reason.BROKER, f"There has been no broker for {state.away_s:.0f} s."))
    if state.lag_s > lag_max_s:
        text = f"Sightings are stored {state.lag_s:.0f} s late, and {lag_max_s:.0f} s are allowed."
        found.append(Problem(Reason.LAG, text))
    return tuple(found)


class Watch:
    """Looks at one worker; made before there is one, so that a start that waits is told as well."""

    def __init__(self, lag_max_s: float, monotonic: Callable[[], float]) -> None:
        self._lag_max_s, self._monotonic = lag_max_s, monotonic
        self._parts: tuple[Inbox, Drain, Worker, Collection[Thread]] | None = None
        self._began_s = self._written_at_s = monotonic()
        metrics.WAITING.set_function(lambda: self.look().backlog.waiting)
        metrics.UNANSWERED.set_function(lambda: self.look().backlog.unanswered)
        metrics.LAG.set_function(lambda: self.look().lag_s)
        for reason in Reason:
            metrics.UNHEALTHY.labels(reason).set_function(partial(self._has, reason))

    def attach(self, inbox: Inbox, drain: Drain, worker: Worker, threads: Collection[Thread]) -> None:
        """The worker runs from now on."""
        self._written_at_s = self._monotonic()
        self._parts = inbox, drain, worker, threads

    def written(self) -> None:
        """The database took our row a moment ago."""
        self._written_at_s = self._monotonic()

    def look(self) -> State:
        """The worker as it is now."""
        now_s = self._monotonic()
        unwritten_s = now_s - self._written_at_s
        if self._parts is None:
            return State(False, unwritten_s, Backlog(), 0.0, unwritten_s, 0.0, ())
        inbox, drain, worker, threads = self._parts
        backlog, away_s = inbox.backlog(), drain.away_s
        return State(
            started=True,
            lag_s=lag_s(backlog, worker.freshest.age_s(now_s), away_s, now_s),
            backlog=backlog,
            away_s=away_s,
            unwritten_s=unwritten_s,
            stuck_s=drain.stuck_s,
            ended=tuple(thread.name for thread in threads if not thread.is_alive()),
        )

    def problems(self) -> tuple[Problem, ...]:
        """What is wrong now."""
        return problems(self.look(), self._lag_max_s)

    @property
    def stored(self) -> int:
        """Rows that this worker committed to the table of sightings since its start."""
        return self._parts[2].stored if self._parts else 0

    @property
    def up_s(self) -> float:
        """How long it has been running."""
        return self._monotonic() - self._began_s

    def _has(self, reason: Reason) -> float:
        return float(any(each.reason is reason for each in self.problems()))
