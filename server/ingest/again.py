"""Dead letters tried again: what a fault of ours refused is stored, as of when it came, once the fault is repaired.

A gateway deletes a refused batch, because it is kept here whole. Without this, a faulty release would have emptied
every outbox for nothing.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable
from dataclasses import dataclass
from datetime import timedelta
from enum import StrEnum
from typing import Any

from sqlalchemy import Engine

from server.ingest.keyring import Keyring
from server.ingest.patience import words
from server.ingest.prepare import Prepared, prepare
from server.ingest.storing import OnStored, store
from server.ingest.verify import Dropped, check
from server.store import dead_letters
from server.store.db import transaction
from server.store.dead_letters import Letter
from server.store.partitions import Covered
from wire import topics


class Became(StrEnum):
    """What became of a letter: stored; refused again, with its reason; or its gateway may not report any more."""

    STORED = "stored"
    REFUSED = "refused"
    NOT_ALLOWED = "not_allowed"
    GONE = "gone"


@dataclass(frozen=True, slots=True)
class Trying:
    """What trying needs; `ring` as the ingest would have it now."""

    engine: Engine
    ring: Keyring
    covered: Covered
    retention: timedelta
    on_stored: Iterable[OnStored]
    log: Any

    def again(self, numbers: Iterable[int], became: Callable[[int, Became], None]) -> None:
        """Each letter in a transaction of its own; `became` is told of each. May be interrupted."""
        for no in numbers:
            try:
                became(no, self._one(no))
            except Exception as error:  # a fault of ours that is still there must not keep the next one
                self.log.error("letter_refused_again", batch=no, error=words(error))
                became(no, Became.REFUSED)

    def _one(self, no: int) -> Became:
        with transaction(self.engine) as tx:
            found = dead_letters.letter(tx, no)
        prepared = self._prepared(found) if found else None
        if found is None or prepared is None:
            return Became.NOT_ALLOWED if found else Became.GONE
        if prepared.entries[0].refusal is not None:
            return Became.REFUSED
        self.covered.cover(prepared.days(), prepared.received_at)
        with transaction(self.engine) as tx:
            if dead_letters.letter(tx, no) is None:
                return Became.GONE
            dead_letters.remove(tx, no)
            store(tx, prepared, self.on_stored)
        return Became.STORED

    def _prepared(self, letter: Letter) -> Prepared | None:
        entry = check(topics.batch(letter.gateway), letter.payload, self.ring.gateways)
        if isinstance(entry, Dropped):
            return None
        return prepare([entry], self.ring.resolver, letter.received_at, self.retention)
