"""Deliveries between the broker's connection and the worker: bounded in number and in bytes."""

from __future__ import annotations

import threading
from collections import deque
from typing import Final, NamedTuple

from server.ingest.lag import PRESSED, Backlog
from wire.batch import MAX_BYTES

# Also our Receive Maximum: what the broker may have under way to us, and so what a crash makes it deliver again.
# Less, and a set of small batches would be too small to fill a transaction while others are being stored.
WAITING_MAX: Final = 2_000
# For brokers that know no Receive Maximum: beyond it we read no further, and TCP holds the broker back.
WAITING_BYTES_MAX: Final = 64 * 1024 * 1024
# One transaction: at some 57 bytes a row up to 18,000 rows, a tenth of a second. Smaller sets pay more for each commit;
# with larger ones the database waits for the first and the processor for the last, and receipts are late.
SET_MAX: Final = 500
SET_BYTES_MAX: Final = 1024 * 1024


class Delivery(NamedTuple):
    """One message as the broker delivered it: `mid` on the connection numbered `connection`, at `arrived_s`."""

    topic: str
    payload: bytes
    mid: int
    connection: int
    arrived_s: float


class Inbox:
    """Filled by one thread, emptied by another; it remembers what was taken until that is `answered`."""

    def __init__(self) -> None:
        self._waiting: deque[Delivery] = deque()
        self._bytes = 0
        self._closed = False
        # Of each set that was taken and is not yet answered: when its oldest delivery arrived, and how many it has.
        self._under_way: deque[tuple[float, int]] = deque()
        self._taken = 0
        self._pressed_at_s: float | None = None
        self._changed = threading.Condition()

    def put(self, *deliveries: Delivery) -> None:
        """Never waits; whoever fills it asks how much `room` there is before it reads further."""
        with self._changed:
            self._waiting.extend(deliveries)
            self._bytes += sum(len(each.payload) for each in deliveries)
            if len(self._waiting) + self._taken >= PRESSED:
                self._pressed_at_s = deliveries[-1].arrived_s
            self._changed.notify()

    @property
    def room(self) -> int:
        """How many more may be put; 0 when it is full."""
        return max(0, WAITING_MAX - len(self._waiting)) if self._bytes < WAITING_BYTES_MAX else 0

    def __len__(self) -> int:
        return len(self._waiting)

    def take(self, timeout_s: float) -> list[Delivery] | None:
        """Whatever waits, up to one set; empty after the timeout; None once it is closed and empty.

        Sets grow by themselves: what arrives while the set before is being stored is the next one.
        """
        with self._changed:
            if not self._waiting and not self._closed:
                self._changed.wait(timeout_s)
            if not self._waiting:
                return None if self._closed else []
            taken: list[Delivery] = []
            size = 0
            while self._waiting and len(taken) < SET_MAX and size < SET_BYTES_MAX:
                taken.append(self._waiting.popleft())
                size += len(taken[-1].payload)
            self._bytes -= size
            self._under_way.append((taken[0].arrived_s, len(taken)))
            self._taken += len(taken)
            return taken

    def answered(self) -> None:
        """The set that was taken longest ago is stored and answered."""
        with self._changed:
            _, count = self._under_way.popleft()
            self._taken -= count

    def backlog(self) -> Backlog:
        """What waits, for whoever asks how late we are."""
        with self._changed:
            oldest_at_s = None
            if self._under_way:
                oldest_at_s = self._under_way[0][0]
            elif self._waiting:
                oldest_at_s = self._waiting[0].arrived_s
            unanswered = len(self._waiting) + self._taken
            return Backlog(len(self._waiting), unanswered, oldest_at_s, self._pressed_at_s)

    def close(self) -> None:
        """What is in it is still taken out."""
        with self._changed:
            self._closed = True
            self._changed.notify_all()


assert SET_BYTES_MAX > MAX_BYTES, "a set holds at least one batch of any size"
