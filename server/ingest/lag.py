"""How late sightings are stored, at least: what one worker can know of it. Pure; the moment is an argument.

Three things can hold them up, and each is seen elsewhere: a database that does not take them (they wait here), more
than we can store (they wait at the broker, and only the age of what comes through tells), a broker that is away.
"""

from __future__ import annotations

import threading
from collections import deque
from dataclasses import dataclass
from typing import Final

# So many deliveries unanswered at once, and the broker holds further ones back or soon will. It stands below the 200
# that the embedded broker has under way, and above what a few gateways that catch up after an outage send at once (20
# each): their batches are old because *they* were away, which is no lag of ours.
PRESSED: Final = 150
# How long one such moment counts. Shorter: between two commits the queue looks empty. Longer: the end is seen late.
PRESSED_S: Final = 5.0
# The freshest batch of this time tells how old the queue is. Shorter: one gateway that was away decides. Longer: a
# queue that builds up is seen late.
WINDOW_S: Final = 30.0


@dataclass(frozen=True, slots=True)
class Backlog:
    """What waits here. `oldest_at_s`: when the oldest of it arrived; `pressed_at_s`: when it last was `PRESSED`."""

    waiting: int = 0
    unanswered: int = 0
    oldest_at_s: float | None = None
    pressed_at_s: float | None = None


class Freshest:
    """The least age among the batches of the last `WINDOW_S`; written by one thread, read by others."""

    def __init__(self) -> None:
        # Ages ascending: what came before and is older can never be the least again.
        self._seen: deque[tuple[float, float]] = deque()
        self._lock = threading.Lock()

    def saw(self, age_s: float, now_s: float) -> None:
        """A batch that had this age when it was verified; below zero if its gateway's clock is a little ahead."""
        with self._lock:
            while self._seen and self._seen[-1][1] >= age_s:
                self._seen.pop()
            self._seen.append((now_s, max(age_s, 0.0)))
            self._forget(now_s)

    def age_s(self, now_s: float) -> float | None:
        """None if nothing came in that time from a gateway whose clock is good."""
        with self._lock:
            self._forget(now_s)
            return self._seen[0][1] if self._seen else None

    def _forget(self, now_s: float) -> None:
        while self._seen and now_s - self._seen[0][0] > WINDOW_S:
            self._seen.popleft()


def lag_s(backlog: Backlog, freshest_age_s: float | None, away_s: float, now_s: float) -> float:
    """The longest of: the oldest that waits here, the queue at the broker, the time without a broker (`away_s`)."""
    here_s = 0.0 if backlog.oldest_at_s is None else now_s - backlog.oldest_at_s
    pressed = backlog.pressed_at_s is not None and now_s - backlog.pressed_at_s <= PRESSED_S
    at_broker_s = freshest_age_s if pressed and freshest_age_s is not None else 0.0
    return max(0.0, here_s, at_broker_s, away_s)
