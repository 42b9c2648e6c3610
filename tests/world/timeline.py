"""Virtual time: a queue of things to happen, the dice of one seed, and a record of all that did happen.

Nothing in a world reads another clock or throws other dice, so a seed tells the same story to the letter; `digest` of
two runs of one seed is the same, whatever the machine was busy with.
"""

from __future__ import annotations

import hashlib
import heapq
from collections import deque
from collections.abc import Callable
from datetime import UTC, datetime
from random import Random
from typing import Any, Final

MINUTE_MS: Final = 60_000
HOUR_MS: Final = 60 * MINUTE_MS
# What a failing seed shows: enough to see what led to it, little enough to be read.
LAST_EVENTS: Final = 40


def moment(ms: float) -> datetime:
    """Milliseconds since 1970 as a moment in UTC."""
    return datetime.fromtimestamp(ms / 1000, UTC)


class Timeline:
    """The one clock of a world, in true milliseconds since 1970."""

    def __init__(self, seed: int, now_ms: int) -> None:
        self.seed = seed
        self.now_ms = now_ms
        self.events = 0
        self.last: deque[str] = deque(maxlen=LAST_EVENTS)
        self._queue: list[tuple[int, int, Callable[..., None], tuple[Any, ...]]] = []
        self._count = 0
        self._digest = hashlib.sha256()

    def dice(self, name: str) -> Random:
        """Dice of their own for every part: a fault more in one must not change what another throws."""
        return Random(f"{self.seed}:{name}")

    @property
    def now(self) -> datetime:
        return moment(self.now_ms)

    def at(self, ms: int, do: Callable[..., None], *arguments: Any) -> None:
        """Let something happen then; at once if then is past. Equal moments happen in the order of the asking."""
        self._count += 1
        heapq.heappush(self._queue, (max(ms, self.now_ms), self._count, do, arguments))

    def after(self, ms: float, do: Callable[..., None], *arguments: Any) -> None:
        self.at(self.now_ms + int(ms), do, *arguments)

    def run(self, until_ms: int, done: Callable[[], bool] | None = None) -> None:
        """Everything that is due up to a moment; `done` may end it earlier."""
        while self._queue and self._queue[0][0] <= until_ms:
            self.now_ms, _, do, arguments = heapq.heappop(self._queue)
            do(*arguments)
            if done is not None and done():
                return
        self.now_ms = until_ms

    def tell(self, who: str, what: str) -> None:
        """Write down what happened; it becomes part of the digest."""
        line = f"{self.now:%d %H:%M:%S.%f}"[:-3] + f" {who}: {what}"
        self.events += 1
        self.last.append(line)
        self._digest.update(line.encode() + b"\n")

    @property
    def digest(self) -> str:
        return self._digest.hexdigest()
