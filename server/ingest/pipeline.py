"""Two threads drive the worker: one makes sets ready, one stores them. While the database commits a set, the processor
resolves the next; what arrives meanwhile is the set after that, so that sets grow with the load.
"""

from __future__ import annotations

import contextlib
import queue
import threading
from typing import Final

from server.ingest.inbox import Inbox
from server.ingest.worker import GivenUpError, Ready, Worker

_LOOK_S: Final = 0.5


class Pipeline:
    """`prepare_sets` and `store_sets` are its two threads; both end when the inbox is closed and empty."""

    def __init__(self, worker: Worker, inbox: Inbox, given_up: threading.Event) -> None:
        """`given_up` is set by whoever cannot wait any longer; the worker's `wait` watches it, too."""
        self._worker, self._inbox, self._given_up = worker, inbox, given_up
        # One set waits while another is being stored: more would only make receipts late.
        self._ready: queue.Queue[Ready | None] = queue.Queue(1)

    def prepare_sets(self) -> None:
        """Until the inbox is closed: makes set after set ready."""
        try:
            while (deliveries := self._inbox.take(_LOOK_S)) is not None:
                ready = self._worker.make_ready(deliveries)
                if not ready.empty:
                    self._hand_over(ready)
        finally:
            self._hand_over(None)

    def _hand_over(self, ready: Ready | None) -> None:
        while not self._given_up.is_set():
            with contextlib.suppress(queue.Full):
                self._ready.put(ready, timeout=_LOOK_S)
                return

    def store_sets(self) -> None:
        """Until the first thread has ended: stores set after set."""
        while not self._given_up.is_set():
            try:
                ready = self._ready.get(timeout=_LOOK_S)
            except queue.Empty:
                continue
            if ready is None:
                return
            with contextlib.suppress(GivenUpError):
                self._worker.store_and_answer(ready)
                if ready.deliveries:
                    self._inbox.answered()
