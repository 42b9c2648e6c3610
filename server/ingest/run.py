"""The process `ingest`: one connection, one worker of two threads, and an orderly end.

At SIGTERM no more batches are taken; the sets under way are committed, acknowledged and answered, then it ends. If
the database is away for longer than `END_S`, what is not stored stays unacknowledged and comes again.
"""

from __future__ import annotations

import signal
import threading
import time
from collections.abc import Callable
from typing import Final

import structlog
from prometheus_client import start_http_server
from sqlalchemy import Engine
from sqlalchemy.exc import SQLAlchemyError

from server import wiring
from server.ingest.drain import Drain
from server.ingest.inbox import Inbox
from server.ingest.keyring import Keyring, Keys
from server.ingest.patience import pauses, words
from server.ingest.pipeline import Pipeline
from server.ingest.telling import told
from server.ingest.worker import Worker
from server.refusal import Kind, Refusal, conflict
from server.settings import Settings
from server.store.db import transaction

log = structlog.get_logger("ingest")

# A set takes a fraction of a second; the rest is for a database that is busy with something else.
END_S: Final = 6.0


def run(settings: Settings, *, monotonic: Callable[[], float] = time.monotonic) -> None:
    """Ingests until SIGTERM or SIGINT. Raises SystemExit after a crash.

    Refusals: database_missing, broker_missing, ingest_port_taken, master_key_missing, master_key_wrong.
    """
    if settings.mqtt_url is None:
        raise Refusal(
            Kind.INVALID, "broker_missing", "This command needs an MQTT broker.",
            "Set HEARSIGHT_MQTT_URL, or start everything with: python -m server up",
        )  # fmt: skip
    stop = threading.Event()
    for number in (signal.SIGTERM, signal.SIGINT):
        signal.signal(number, lambda *_: stop.set())
    engine = wiring.open_engine(settings, "hearsight ingest")
    try:
        _serve_counters(settings)
        loaded = _load_keys(settings, engine, stop)
        if loaded and not _Process(settings, settings.mqtt_url, engine, *loaded, monotonic).run(stop):
            raise SystemExit(1)
    finally:
        engine.dispose()


def _serve_counters(settings: Settings) -> None:
    if settings.ingest_port is None:
        return
    try:
        start_http_server(settings.ingest_port, settings.host)
    except OSError:
        raise conflict(
            "ingest_port_taken", f"Port {settings.ingest_port} for the counters of the ingest is taken.",
            "Set HEARSIGHT_INGEST_PORT to another one.", str(settings.ingest_port),
        ) from None  # fmt: skip


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
        mqtt_url: str,
        engine: Engine,
        keys: Keys,
        ring: Keyring,
        monotonic: Callable[[], float],
    ) -> None:
        self._inbox = Inbox()
        self._drain = Drain(mqtt_url, self._inbox, monotonic=monotonic, log=log, ca_file=settings.mqtt_ca_file)
        self._given_up = threading.Event()
        worker = Worker(
            engine, keys, ring, self._drain.answer, [told(settings.base_url)],
            clock=wiring.clock, monotonic=monotonic, wait=self._given_up.wait, log=log,
        )  # fmt: skip
        self._pipeline = Pipeline(worker, self._inbox, self._given_up)
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
