"""Which batches to publish now: the oldest unsent first, again those that got no receipt, never too many at once. Pure.

A PUBACK says that the broker has a batch, not that the server stored it; only the receipt ends the matter. Without one
a batch is published again after 30 s, also while connected, then after 60 and 120: a server that is away must not find
the broker's queue full of repetitions. Any receipt shows that it is back, and puts the patience back to 30 s.
"""

from __future__ import annotations

import math
from collections.abc import Iterable
from typing import Final, NamedTuple

# Enough to fill the time until a receipt comes, few enough that memory stays small (20 × 256 KiB at the very worst).
IN_FLIGHT_MAX: Final = 20
AGAIN_AFTER_S: Final = 30.0
AGAIN_MAX_S: Final = 120.0


class _Sent(NamedTuple):
    at_s: float
    patience_s: float


class Ask(NamedTuple):
    """What the outbox should be asked for: the next `limit` numbers after `after`."""

    after: int
    limit: int
    connection: int


class Courier:
    """What was published over the present connection, and what has not been answered yet."""

    def __init__(self) -> None:
        self._sent: dict[int, _Sent] = {}
        self._furthest = -1
        self._connection = 0

    def connected(self) -> None:
        """A new connection: whatever went over the old one may be lost."""
        self._sent.clear()
        self._furthest = -1
        self._connection += 1

    def waits(self) -> bool:
        """Whether anything that was published has no receipt yet."""
        return bool(self._sent)

    def ask(self, now_s: float) -> Ask:
        flying = sum(now_s - sent.at_s < AGAIN_AFTER_S for sent in self._sent.values())
        return Ask(self._furthest, max(0, IN_FLIGHT_MAX - flying), self._connection)

    def due(self, ask: Ask, unsent: list[int], now_s: float) -> list[int]:
        """The numbers to publish now, `unsent` being the outbox's answer to `ask`."""
        if ask.connection != self._connection:
            return []  # the answer is about a connection that is gone
        overdue = sorted(n for n, sent in self._sent.items() if now_s - sent.at_s >= sent.patience_s)
        return (unsent + overdue)[: ask.limit]

    def published(self, number: int, now_s: float) -> None:
        before = self._sent.get(number)
        patience_s = min(before.patience_s * 2, AGAIN_MAX_S) if before else AGAIN_AFTER_S
        self._sent[number] = _Sent(now_s, patience_s)
        self._furthest = max(self._furthest, number)

    def settled(self, numbers: Iterable[int]) -> None:
        """A receipt came: these are done with, and the server is there."""
        for number in numbers:
            self._sent.pop(number, None)
        for number, sent in self._sent.items():
            self._sent[number] = _Sent(sent.at_s, AGAIN_AFTER_S)

    def renamed(self, numbers: Iterable[int]) -> None:
        """Under these numbers stands another payload now: due at once."""
        for number in numbers:
            if number <= self._furthest:  # otherwise it comes by itself
                self._sent[number] = _Sent(-math.inf, AGAIN_AFTER_S)
