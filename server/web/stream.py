"""One open stream: what an owner is told of one tag while it is open, as server-sent events.

`state` says how things stand when the stream opens, `sighting` that something was heard, both with the ordinary
answer; `paused` that we cannot tell for the moment, `end` why nothing more will come. An id stands for what was heard:
whoever comes back with the newest (`Last-Event-ID`) is told nothing twice, and with an older one the newest at once.
"""

from __future__ import annotations

import asyncio
import hashlib
import json
import time
from collections.abc import AsyncIterator, Callable
from dataclasses import dataclass
from datetime import datetime
from typing import Final

from fastapi.sse import KEEPALIVE_COMMENT, format_sse_event
from prometheus_client import Counter
from pydantic import TypeAdapter
from sqlalchemy import Connection
from sqlalchemy.exc import SQLAlchemyError

from server.refusal import Refusal
from server.service.house import House
from server.service.refusals import refuse
from server.service.whereabouts import TagAnswer
from server.store import live
from server.web.errors import as_json
from server.web.live import Live

# Proxies end an answer that is silent for a minute. Also how long a stream may outlive its session.
BEAT_S: Final = 15.0
# Whatever is heard within this is told at once together: a tag that beacons every second costs two looks a second.
FOLD_S: Final = 0.5
# A look into a year of minutes takes a second and more. Resting for so many times as long, such a tag leaves the few
# who may look at a time to the others. Larger: its owner waits longer for the next word, for nobody's good.
RESTS_A_LOOK: Final = 4.0
# Shorter: a reconnection that nobody would notice is told. Longer: a page says "live" while it is not.
PATIENCE_S: Final = 1.0
# How soon a browser comes back after a cut: a restart takes a second or two.
RETRY_MS: Final = 2_000

EVENTS: Final = Counter("hearsight_live_events_total", "Events of live answers, by kind", ["kind"])
for _kind in ("state", "sighting", "paused", "end"):
    EVENTS.labels(_kind)
_ANSWER: Final = TypeAdapter(TagAnswer)


@dataclass(frozen=True, slots=True)
class Reading:
    """How a stream reads, each in the given transaction: `allowed` whether it still may (a refusal says why not),
    `answer` the ordinary answer."""

    allowed: Callable[[Connection, datetime], None]
    answer: Callable[[Connection, datetime], TagAnswer]


@dataclass(frozen=True, slots=True)
class _Trust:
    """Whether everything that is committed will be told: not while a transaction runs that may have asked for leases
    before ours stood there (server/store/live.py). Meanwhile the stream looks by itself, ever less often: a long
    transaction of somebody else must not make five hundred streams read twice a second.
    """

    mark: int | None = None
    settled: bool = False
    look_after_s: float = FOLD_S

    def after(self, tx: Connection) -> _Trust:
        """The state for a look that begins with this."""
        if self.mark is None:
            return _Trust(live.mark(tx))
        if self.settled or live.over(tx, self.mark):
            return _Trust(self.mark, True, BEAT_S)
        return _Trust(self.mark, False, min(self.look_after_s * 2, BEAT_S))


@dataclass(frozen=True, slots=True)
class _Seen:
    """What a look found: the state of trust it began with, the id of what was heard, the answer as JSON, and how long
    reading took.
    """

    trust: _Trust
    heard: str
    answer: str
    took_s: float


class Stream:
    """One open answer. `last_id` is the last event that its reader saw before, if any."""

    def __init__(
        self, house: House, hub: Live, serial: int, account_no: int, reading: Reading, last_id: str = ""
    ) -> None:
        self.serial, self.account_no = serial, account_no
        self._house, self._hub, self._reading = house, hub, reading
        self._last_id = last_id
        self._woken = asyncio.Event()
        self._look_again, self._rested, self._paused = True, True, False
        self._starts, self._trust, self._rest_s = 0, _Trust(), FOLD_S

    def wake(self) -> None:
        self._woken.set()

    def start_over(self) -> None:
        self._starts, self._trust, self._look_again = self._starts + 1, _Trust(), True
        self.wake()

    async def events(self) -> AsyncIterator[bytes]:
        """Bytes for the wire, until it is over."""
        yield format_sse_event(retry=RETRY_MS)
        try:
            while not self._hub.closed:
                said = await self._next()
                if said:
                    yield said
            raise refuse("not_ready", detail="it is being restarted")
        except Refusal as refusal:
            yield _event("end", json.dumps(as_json(refusal)))

    async def _next(self) -> bytes:
        """The next thing to say, after at most BEAT_S; empty if there is nothing to say yet."""
        if not self._hub.hears(self.serial):  # afterwards it starts over
            return b"" if await self._wait(BEAT_S if self._paused else PATIENCE_S) else self._pause()
        if self._look_again:
            return await self._look()
        if not self._rested:
            await self._hub.pause(self._rest_s)
            self._rested = True
        if await self._wait(self._trust.look_after_s) or not self._trust.settled:
            self._look_again = True
            return b""
        return await self._beat()

    async def _wait(self, seconds: float) -> bool:
        """Until somebody wakes us, so long at most; whether somebody did."""
        try:
            async with asyncio.timeout(seconds):
                await self._woken.wait()
        except TimeoutError:
            return False
        self._woken.clear()
        return True

    def _pause(self) -> bytes:
        if self._paused:
            return KEEPALIVE_COMMENT
        self._paused = True
        return _event("paused", "{}")

    async def _look(self) -> bytes:
        self._look_again = self._rested = False
        starts = self._starts
        try:
            seen = await self._hub.look(lambda: self._read(self._trust))
        except SQLAlchemyError:
            self._look_again = True
            await self._hub.pause(PATIENCE_S)
            return self._pause()
        if starts == self._starts:
            self._trust = seen.trust
        self._rest_s = min(max(FOLD_S, RESTS_A_LOOK * seen.took_s), BEAT_S)
        known, self._last_id = self._last_id, seen.heard
        paused, self._paused = self._paused, False
        if seen.heard == known:
            return _event("state", seen.answer, seen.heard) if paused else KEEPALIVE_COMMENT
        return _event("sighting" if known else "state", seen.answer, seen.heard)

    def _read(self, trust: _Trust) -> _Seen:
        """What stands in the database now."""
        with self._house.work() as (tx, now):
            began_s = time.monotonic()  # a wait for a connection is not the tag's fault
            trust = trust.after(tx)
            self._reading.allowed(tx, now)
            answer = self._reading.answer(tx, now)
        told = _ANSWER.dump_json(answer).decode()
        return _Seen(trust, heard_id(answer), told, time.monotonic() - began_s)

    async def _beat(self) -> bytes:
        def allowed() -> None:
            with self._house.work() as (tx, now):
                self._reading.allowed(tx, now)

        try:
            await self._hub.look(allowed)
        except SQLAlchemyError:
            self._look_again = True
            return self._pause()
        return KEEPALIVE_COMMENT


def heard_id(answer: TagAnswer) -> str:
    """Stands for what was heard of the tag, and changes with nothing else: not as time passes, nor with its name."""
    last_ms = int(answer.heard_at.timestamp() * 1000) if answer.heard_at else 0
    heard = (answer.last, answer.here_since, answer.battery)
    return f"{last_ms}-{hashlib.sha256(repr(heard).encode()).hexdigest()[:8]}"


def _event(kind: str, data: str, event_id: str | None = None) -> bytes:
    EVENTS.labels(kind).inc()
    return format_sse_event(event=kind, data_str=data, id=event_id)
