"""The web on a real socket for tests of live answers: a server in a thread, and readers that collect events."""

from __future__ import annotations

import json
import queue
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from datetime import timedelta
from typing import Any

import httpx
import numpy as np
import uvicorn

from server.ingest.telling import told
from server.service.house import House
from server.web.app import create_app
from server.web.run import Server
from tests.server.web.town import HOME, Somebody, Town

PATIENCE_S = 30


@dataclass(frozen=True)
class Event:
    """One event as it came."""

    kind: str
    data: Any
    id: str


@dataclass
class Reader:
    """One open stream. `beats` counts the comments that keep it alive."""

    response: httpx.Response
    events: queue.Queue[Event | None] = field(default_factory=queue.Queue)
    beats: int = 0

    def __post_init__(self) -> None:
        threading.Thread(target=self._read, daemon=True).start()

    def _read(self) -> None:
        fields: dict[str, str] = {}
        try:
            for line in self.response.iter_lines():
                name, _, value = line.partition(": ")
                if name:
                    fields[name] = value
                elif line.startswith(":"):
                    self.beats += 1
                elif "event" in fields:
                    self.events.put(Event(fields["event"], json.loads(fields["data"]), fields.get("id", "")))
                    fields = {}
        except (httpx.HTTPError, httpx.StreamError, OSError):
            pass
        self.events.put(None)

    def next(self) -> Event:
        """The next event; the stream must not have ended."""
        event = self.events.get(timeout=PATIENCE_S)
        assert event is not None, "the stream has ended"
        return event

    def nothing(self, seconds: float = 1.5) -> None:
        """Nothing more comes; what does not come can only be waited for."""
        try:
            raise AssertionError(f"nobody expected {self.events.get(timeout=seconds)}")
        except queue.Empty:
            pass

    def ended(self) -> None:
        """The server has closed it."""
        assert self.events.get(timeout=PATIENCE_S) is None


class Web:
    """A house on a socket."""

    def __init__(self, house: House, port: int) -> None:
        self.house, self.port = house, port
        app = create_app(house)
        self.live = app.state.live
        config = uvicorn.Config(app, port=port, log_config=None, timeout_graceful_shutdown=20)
        self.server = Server(config, app)
        self.thread = threading.Thread(target=self.server.run)

    def __enter__(self) -> Web:
        self.thread.start()
        until(lambda: self.server.started and self.live._listening)
        return self

    def __exit__(self, *_: object) -> None:
        self.server.should_exit = True
        self.thread.join(PATIENCE_S)
        assert not self.thread.is_alive()

    def url(self, serial: int) -> str:
        return f"http://127.0.0.1:{self.port}/api/v1/tags/{serial}/live"

    @contextmanager
    def watch(self, who: Somebody, serial: int, last_id: str = "", **headers: str) -> Iterator[Reader]:
        """An open stream; inside the block it is registered and the house holds its lease."""
        shown = headers or who.headers({"last-event-id": last_id} if last_id else None)
        with (
            httpx.Client(timeout=PATIENCE_S, trust_env=False) as http,
            http.stream("GET", self.url(serial), headers=shown) as response,
        ):
            assert response.status_code == 200, response.read()
            yield Reader(response)

    def refused(self, who: Somebody, serial: int) -> tuple[int, str]:
        answer = httpx.get(self.url(serial), headers=who.headers(), timeout=PATIENCE_S, trust_env=False)
        return answer.status_code, answer.json()["error"]["code"]


def until(is_so: Any, patience_s: float = PATIENCE_S) -> None:
    """Waits for something that another thread does."""
    end = time.monotonic() + patience_s
    while not is_so():
        assert time.monotonic() < end
        time.sleep(0.01)


def heard(town: Town, serial: int, gateway: str = "gw") -> str:
    """The tag is heard at the town's moment, and whoever waits is told; gives the moment as the answer says it."""
    town.wait(minutes=1)
    moment = town.now - timedelta(seconds=30)  # twenty seconds later it reached us
    town.hear(gateway, serial, HOME, [moment])
    with town.engine.begin() as tx:
        told("")(tx, np.array([serial]), np.array([int(moment.timestamp() * 1000)]), town.now)
    return moment.isoformat().replace("+00:00", "Z")


def leases(town: Town) -> set[int]:
    with town.engine.begin() as tx:
        return set(tx.exec_driver_sql("select serial from live_watches").scalars())
