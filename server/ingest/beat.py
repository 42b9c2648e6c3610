"""The worker writes down how it is, every few seconds, in its row of `ingest_workers`: pages and the web's readiness
read it there. That the database takes the row also shows that it is there, whether or not anything comes in.
"""

from __future__ import annotations

import threading
from collections.abc import Collection
from typing import Any, Final

from sqlalchemy import Engine
from sqlalchemy.exc import SQLAlchemyError

from server.ingest.health import Watch
from server.ingest.patience import words
from server.store import workers
from server.store.db import transaction

# Pages say how late we are from this row; it costs one small write.
EVERY_S: Final = 5.0


class Beat:
    """`run` is its thread, and the only one that may hang with the database without harm."""

    def __init__(
        self, engine: Engine, name: str, names: Collection[str], watch: Watch, ended: threading.Event, log: Any
    ) -> None:
        """`names` are all workers that there should be; rows of others are of workers that nobody wants any more."""
        self._engine, self._name, self._names, self._watch = engine, name, names, watch
        self._ended, self._log = ended, log

    def run(self) -> None:
        """Until `ended` is set."""
        swept = False
        while True:
            try:
                self._write(sweep=not swept)
                swept = True
            except SQLAlchemyError as error:
                self._log.warning("beat_failed", error=words(error))
            if self._ended.wait(EVERY_S):
                return

    def _write(self, *, sweep: bool) -> None:
        state = self._watch.look()
        with transaction(self._engine) as tx:
            if sweep:
                workers.keep(tx, self._names)
            workers.put(
                tx,
                self._name,
                lag_s=state.lag_s,
                waiting=state.backlog.unanswered,
                connected=state.away_s == 0,
                stored=self._watch.stored,
                up_s=self._watch.up_s,
            )
        self._watch.written()
