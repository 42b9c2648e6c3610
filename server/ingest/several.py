"""Several workers: plain processes, each on its share of one subscription, kept alive and ended together.

python -m server ingest --workers 2       starts  python -m server ingest --worker 1  and  --worker 2
"""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator, Mapping
from typing import Final

import structlog

from server import mqtt
from server.ingest.seats import Seat, seats
from server.settings import Settings, variable
from server.supervise import TICK_S, Crew, Program, Signals, Watched

log = structlog.get_logger("ingest")

# A worker that is started again sooner than this fetches what waits for it. One that dies again and again would hold
# its share of the batches all that time: its session is ended, the others get all that comes, and the gateways send
# again what was in it (after half a minute).
_GIVE_WAY_FROM_S: Final = 4.0


def watched_workers(settings: Settings, env: Mapping[str, str]) -> Iterator[Watched]:
    """The processes of these settings, to be started with this environment. Refusals: workers_need_mosquitto."""
    env = {**env, variable("ingest_workers"): str(settings.ingest_workers)}
    for seat in seats(settings):
        if seat.of == 1:
            yield Watched(seat.name, Program(["ingest"], env))
        else:
            yield Watched(seat.name, Program(["ingest", "--worker", str(seat.number)], env), _gives_way(settings, seat))


def _gives_way(settings: Settings, seat: Seat) -> Callable[[float], None]:
    def died(pause_s: float) -> None:
        if pause_s < _GIVE_WAY_FROM_S or settings.mqtt_url is None:
            return
        try:
            mqtt.end_session(settings.mqtt_url, seat.client_id, ca_file=settings.mqtt_ca_file)
            log.warning("worker_gives_way", worker=seat.name, pause_s=pause_s)
        except OSError as error:
            log.warning("session_not_ended", worker=seat.name, error=str(error))

    return died


def run(settings: Settings, environ: Mapping[str, str], *, monotonic: Callable[[], float] = time.monotonic) -> int:
    """Runs all workers until SIGTERM or SIGINT; returns the exit code.

    Refusals: workers_need_mosquitto; part_refused if a worker cannot run.
    """
    signals, crew = Signals(), Crew(monotonic)
    try:
        for watched in watched_workers(settings, environ):
            crew.begin(watched)
        while not signals.stopping:
            signals.wait(TICK_S)
            crew.look()
    finally:
        crew.stop()
    return 0
