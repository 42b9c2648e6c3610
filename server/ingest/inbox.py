"""Deliveries between the broker's connection and the worker: bounded in number and in bytes."""

from __future__ import annotations

import threading
from collections import deque
from typing import Final, NamedTuple

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
    """Filled by one thread, emptied by another."""

    def __init__(self) -> None:
        self._waiting: deque[Delivery] = deque()
        self._bytes = 0
        self._closed = False
        self._changed = threading.Condition()

    def put(self, delivery: Delivery) -> None:
        """Never waits; whoever fills it asks `full` before it reads further."""
        with self._changed:
            self._waiting.append(delivery)
            self._bytes += len(delivery.payload)
            self._changed.notify()

    @property
    def full(self) -> bool:
        return len(self._waiting) >= WAITING_MAX or self._bytes >= WAITING_BYTES_MAX

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
            return taken

    def close(self) -> None:
        """What is in it is still taken out."""
        with self._changed:
            self._closed = True
            self._changed.notify_all()


assert SET_BYTES_MAX > MAX_BYTES, "a set holds at least one batch of any size"
