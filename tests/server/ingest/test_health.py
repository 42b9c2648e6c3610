"""Whether a worker is well: every reason by itself, the port that tells it, and the row that pages read."""

from __future__ import annotations

import json
import socket
import threading
import time
import urllib.error
import urllib.request
from collections.abc import Iterator
from typing import Any

import pytest
import structlog
from sqlalchemy import Engine, text

from server.ingest import health
from server.ingest.beat import Beat
from server.ingest.health import AWAY_MAX_S, STUCK_MAX_S, UNWRITTEN_MAX_S, Reason, State, Watch, problems
from server.ingest.lag import Backlog
from server.ingest.port import Port, serve
from server.refusal import Refusal
from server.store import workers
from tests.server.ingest.test_worker import wait_until

WELL = State(True, 0.0, Backlog(), 0.0, 0.0, 1.0, ())


def changed(**values: Any) -> State:
    return State(**({name: getattr(WELL, name) for name in State.__slots__} | values))


@pytest.mark.parametrize(
    ("state", "reasons"),
    [
        (WELL, []),
        (changed(started=False), [Reason.STARTING]),
        (changed(lag_s=60.0), []),
        (changed(lag_s=60.5), [Reason.LAG]),
        (changed(away_s=AWAY_MAX_S), []),
        (changed(away_s=AWAY_MAX_S + 1), [Reason.BROKER]),
        (changed(unwritten_s=UNWRITTEN_MAX_S), []),
        (changed(unwritten_s=UNWRITTEN_MAX_S + 1), [Reason.DATABASE]),
        (changed(stuck_s=STUCK_MAX_S + 1), [Reason.THREAD]),
        (changed(ended=("store",)), [Reason.THREAD]),
        (changed(unwritten_s=300.0, lag_s=300.0), [Reason.DATABASE, Reason.LAG]),
        (changed(away_s=300.0, lag_s=300.0), [Reason.BROKER, Reason.LAG]),
    ],
)
def test_every_reason(state: State, reasons: list[Reason]) -> None:
    assert [each.reason for each in problems(state, 60)] == reasons


class Still:
    """Stands where the connection and the worker do; nothing of theirs is asked here but these figures."""

    away_s = stuck_s = 0.0
    stored = 7

    def __init__(self) -> None:
        from server.ingest.inbox import Inbox
        from server.ingest.lag import Freshest

        self.freshest, self.inbox = Freshest(), Inbox()


@pytest.fixture
def watch() -> Watch:
    return Watch(60, time.monotonic)


@pytest.fixture
def port(watch: Watch) -> Iterator[Port]:
    listening = serve("127.0.0.1", 0, watch)
    yield listening
    listening.shutdown()
    listening.server_close()


def ask(port: Port, path: str = "/health") -> tuple[int, Any]:
    try:
        with urllib.request.urlopen(f"http://127.0.0.1:{port.server_address[1]}{path}", timeout=5) as answer:
            return answer.status, answer.read()
    except urllib.error.HTTPError as error:
        return error.code, error.read()


def attach(watch: Watch, *threads: threading.Thread) -> Still:
    still = Still()
    watch.attach(still.inbox, still, still, threads)  # type: ignore[arg-type]
    return still


def test_red_until_it_has_begun_then_green_and_red_when_a_thread_is_gone(watch: Watch, port: Port) -> None:
    status, body = ask(port)
    assert (status, json.loads(body)["problems"][0]["reason"]) == (503, "starting")
    end = threading.Event()
    thread = threading.Thread(target=end.wait, name="store")
    thread.start()
    attach(watch, thread)
    status, body = ask(port)
    assert (status, json.loads(body)["status"], json.loads(body)["stored_sightings"]) == (200, "ok", 7)
    end.set()
    thread.join()
    status, body = ask(port)
    assert status == 503
    assert "store has ended" in json.loads(body)["problems"][0]["text"]


def test_counters_stand_beside_it_and_nothing_else(watch: Watch, port: Port) -> None:
    attach(watch)
    status, body = ask(port, "/metrics")
    assert status == 200
    assert b'hearsight_ingest_unhealthy{reason="lag"} 0.0' in body
    assert b"hearsight_ingest_lag_seconds 0.0" in body
    assert ask(port, "/")[0] == 404


def test_a_crowd_at_the_port_is_turned_away_and_it_lives(port: Port) -> None:
    """Connections that say nothing: as many as are served at once, and some that find no room."""
    crowd = [socket.create_connection(port.server_address[:2]) for _ in range(20)]  # type: ignore[arg-type]
    before = threading.active_count()
    closed = 0
    for each in crowd:
        each.settimeout(0.3)
        try:
            closed += each.recv(1) == b""
        except TimeoutError:
            continue
    assert closed >= 10
    assert before < 40
    for each in crowd:
        each.close()
    wait_until(lambda: ask_or_none(port) == 503, "room at the port")


def ask_or_none(port: Port) -> int | None:
    try:
        return ask(port)[0]
    except OSError:
        return None


def test_a_port_that_is_taken_is_told(port: Port, watch: Watch) -> None:
    with pytest.raises(Refusal) as refused:
        serve("127.0.0.1", int(port.server_address[1]), watch)
    assert refused.value.code == "ingest_port_taken"
    assert "already in use" in refused.value.message


@pytest.mark.parametrize(("host", "number"), [("127.0.0.1", 65_536), ("192.0.2.1", 9_101)])
def test_where_nobody_can_listen_it_is_not_called_taken(watch: Watch, host: str, number: int) -> None:
    """A second worker after the last port there is; an address that is not this machine's."""
    with pytest.raises(Refusal) as refused:
        serve(host, number, watch)
    assert refused.value.code == "ingest_port_taken"
    assert "in use" not in refused.value.message


@pytest.fixture
def beat(engine: Engine, watch: Watch, monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    """Beats twenty times a second."""
    monkeypatch.setattr("server.ingest.beat.EVERY_S", 0.05)
    ended = threading.Event()
    beating = Beat(engine, "ingest-1", ["ingest-1", "ingest-2"], watch, ended, structlog.get_logger("test"))
    thread = threading.Thread(target=beating.run)
    with engine.begin() as tx:
        for name in ("ingest-2", "ingest-3"):
            workers.put(tx, name, up_s=5, lag_s=0, waiting=0, connected=True, stored=0)
    thread.start()
    yield
    ended.set()
    thread.join(10)
    assert not thread.is_alive()


def test_it_writes_its_row_and_sweeps_workers_that_nobody_wants(engine: Engine, watch: Watch, beat: None) -> None:
    still = attach(watch)
    still.stored = 1234

    def rows() -> dict[str, workers.WorkerRow]:
        with engine.begin() as tx:
            return {row.worker: row for row in workers.every_worker(tx)}

    wait_until(lambda: "ingest-1" in (found := rows()) and found["ingest-1"].stored == 1234, "its row")
    found = rows()
    assert set(found) == {"ingest-1", "ingest-2"}
    mine = found["ingest-1"]
    assert mine.connected
    assert mine.lag_s < 5
    assert mine.unseen_s < 10
    assert mine.started_at <= mine.seen_at


def test_it_answers_while_the_database_hangs(
    engine: Engine, watch: Watch, port: Port, beat: None, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A lock that nobody releases holds the beat's own statement; health is red for it, and answers at once."""
    attach(watch)
    monkeypatch.setattr(health, "UNWRITTEN_MAX_S", 0.5)
    wait_until(lambda: ask(port)[0] == 200, "a good start")
    with engine.connect() as holder, holder.begin():
        holder.execute(text("lock table ingest_workers in access exclusive mode"))
        wait_until(lambda: ask(port)[0] == 503, "red")
        assert json.loads(ask(port)[1])["problems"][0]["reason"] == "database"
    wait_until(lambda: ask(port)[0] == 200, "green again")
