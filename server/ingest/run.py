"""The process `ingest`: one connection, one worker of two threads, and an orderly end.

At SIGTERM no more batches are taken; the sets under way are committed, acknowledged and answered, then it ends. If
the database is away for longer than `END_S`, what is not stored stays unacknowledged and comes again.
"""

from __future__ import annotations

import signal
import threading
import time
from collections.abc import Callable
from datetime import timedelta
from typing import Final

import structlog
from sqlalchemy import Engine
from sqlalchemy.exc import SQLAlchemyError

from server import wiring
from server.ingest.beat import Beat
from server.ingest.drain import Drain
from server.ingest.health import Watch
from server.ingest.inbox import Inbox
from server.ingest.keyring import Keyring, Keys
from server.ingest.limits import Rate
from server.ingest.patience import pauses, words
from server.ingest.pipeline import Pipeline
from server.ingest.port import serve
from server.ingest.seats import Seat, end_old_sessions, seats
from server.ingest.telling import told
from server.ingest.worker import Worker
from server.refusal import invalid
from server.settings import Settings
from server.store.db import transaction

log = structlog.get_logger("ingest")

# A set takes a fraction of a second; the rest is for a database that is busy with something else.
END_S: Final = 6.0


def run(settings: Settings, number: int = 1, *, monotonic: Callable[[], float] = time.monotonic) -> None:
    """Ingests until SIGTERM or SIGINT, as worker `number` of those in the settings. Raises SystemExit after a crash.

    Refusals: database_missing, broker_missing, workers_need_mosquitto, worker_unknown, ingest_port_taken,
    master_key_missing, master_key_wrong.
    """
    seat = _seat(settings, number)
    stop = threading.Event()
    for signal_number in (signal.SIGTERM, signal.SIGINT):
        signal.signal(signal_number, lambda *_: stop.set())
    engine = wiring.open_engine(settings, f"hearsight {seat.name}")
    watch = Watch(settings.lag_max_s, monotonic)
    try:
        if settings.ingest_port is not None:
            serve(settings.host, settings.ingest_port + seat.number - 1, watch)
        loaded = _load_keys(settings, engine, stop)
        if loaded and not _Process(settings, seat, engine, *loaded, watch, monotonic).run(stop):
            raise SystemExit(1)
    finally:
        engine.dispose()


def _seat(settings: Settings, number: int) -> Seat:
    if settings.mqtt_url is None:
        raise invalid(
            "broker_missing", "This command needs an MQTT broker.",
            "Set HEARSIGHT_MQTT_URL, or start everything with: python -m server up",
        )  # fmt: skip
    all_of_them = seats(settings)
    if not 1 <= number <= len(all_of_them):
        raise invalid(
            "worker_unknown", f"There is no worker {number} of {len(all_of_them)}.",
            "Set HEARSIGHT_INGEST_WORKERS to how many there are; they are counted from 1.",
        )  # fmt: skip
    return all_of_them[number - 1]


def _load_keys(settings: Settings, engine: Engine, stop: threading.Event) -> tuple[Keys, Keyring] | None:
    """Waits for the database; None if we are stopped meanwhile."""
    for pause_s in pauses():
        try:
            with transaction(engine) as tx:
                keys = Keys(wiring.vault(settings, tx), settings.network_id, wiring.clock)
                return keys, keys.load(tx)
        except SQLAlchemyError as error:
            log.warning("database_away", error=words(error), again_in_s=pause_s)
        if stop.wait(pause_s):
            break
    return None


class _Process:
    """The threads and how they end."""

    def __init__(
        self,
        settings: Settings,
        seat: Seat,
        engine: Engine,
        keys: Keys,
        ring: Keyring,
        watch: Watch,
        monotonic: Callable[[], float],
    ) -> None:
        assert settings.mqtt_url is not None
        self._settings, self._seat, self._engine, self._watch = settings, seat, engine, watch
        self._inbox = Inbox()
        self._drain = Drain(
            settings.mqtt_url, seat.client_id, seat.subscription(ring.server_key), self._inbox,
            monotonic=monotonic, log=log, ca_file=settings.mqtt_ca_file,
        )  # fmt: skip
        self._given_up = threading.Event()
        self._worker = Worker(
            engine, keys, ring, self._drain.answer, [told(settings.base_url)],
            clock=wiring.clock, monotonic=monotonic, wait=self._given_up.wait,
            rate=Rate(settings.ingest_gateway_batches_per_s, settings.ingest_gateway_bytes_per_s),
            retention=timedelta(days=settings.retention_days), log=log,
        )  # fmt: skip
        self._pipeline = Pipeline(self._worker, self._inbox, self._given_up)
        self._crashed = False

    def run(self, stop: threading.Event) -> bool:
        """Until somebody sets `stop`; False if a thread crashed."""
        threads = {
            name: threading.Thread(target=self._guarded, args=(name, work, stop), name=name)
            for name, work in (
                ("drain", self._drain.run),
                ("prepare", self._pipeline.prepare_sets),
                ("store", self._pipeline.store_sets),
            )
        }
        for thread in threads.values():
            thread.start()
        self._watch.attach(self._inbox, self._drain, self._worker, tuple(threads.values()))
        # Nobody waits for their end: they may hang with the database or the broker.
        for name, work in (("beat", self._beat(stop).run), ("old sessions", lambda: self._end_old_sessions(stop))):
            threading.Thread(target=self._guarded, args=(name, work, stop), name=name, daemon=True).start()
        stop.wait()
        self._drain.stop_taking()
        self._inbox.close()
        threads["store"].join(END_S)
        self._given_up.set()
        threads["store"].join()
        threads["prepare"].join()
        self._drain.stop()
        threads["drain"].join()
        log.info("ended", unanswered=len(self._inbox))
        return not self._crashed

    def _beat(self, stop: threading.Event) -> Beat:
        names = [each.name for each in seats(self._settings)]
        return Beat(self._engine, self._seat.name, names, self._watch, stop, log)

    def _end_old_sessions(self, stop: threading.Event) -> None:
        """Once the first worker is subscribed: what comes from now on is not lost with them."""
        if self._seat.number == 1:
            while not self._drain.subscribed.wait(0.2) and not stop.is_set():
                pass
            end_old_sessions(self._settings, self._seat.of, stop.wait, log)
        stop.wait()

    def _guarded(self, name: str, work: Callable[[], None], stop: threading.Event) -> None:
        """A bug ends the whole process, so that whoever watches it starts it anew."""
        try:
            work()
        except Exception as error:
            self._crashed = True
            self._given_up.set()
            log.critical("thread_crashed", thread=name, exc_info=error)
        finally:
            stop.set()
