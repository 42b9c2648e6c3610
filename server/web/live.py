"""Live answers: who has a stream open on which tag, and the one connection by which the database wakes them.

Nothing is queued for anybody. A word from the database only tells the streams of that tag to look again, and each
reads what the ordinary answer says (server/web/stream.py): a slow reader costs a flag, and no rule about who may read
what is written twice.
"""

from __future__ import annotations

import asyncio
from collections import Counter as Count
from collections import defaultdict
from collections.abc import AsyncIterator, Awaitable, Callable, Collection, Iterable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import asynccontextmanager, contextmanager, suppress
from typing import Final, Protocol, TypeVar

import structlog
from prometheus_client import Counter, Gauge
from sqlalchemy import Engine
from sqlalchemy.exc import SQLAlchemyError

from server.service.refusals import refuse
from server.store import live
from server.store.db import transaction, url_of

# A browser has six connections to a server, and a page needs one of them to load: a seventh tab must not hang.
STREAMS_AN_ACCOUNT: Final = 5
# Each costs two small queries in fifteen seconds and an open socket.
STREAMS_MAX: Final = 500
RENEW_EVERY_S: Final = live.LEASE_S / 3
# The web has five connections to the database; a word that wakes hundreds must leave some for pages.
LOOKS_AT_ONCE: Final = 2
_AGAIN_FIRST_S: Final = 0.2
_AGAIN_MAX_S: Final = 5.0

STREAMS: Final = Gauge("hearsight_live_streams", "Open streams of live answers")
LISTENING: Final = Gauge("hearsight_live_listening", "1 while the database can wake the live streams")
REFUSED: Final = Counter("hearsight_live_refused_total", "Live streams that were refused, by reason", ["reason"])
for _reason in ("account", "all"):
    REFUSED.labels(_reason)
log = structlog.get_logger("live")
_T = TypeVar("_T")


class Waiting(Protocol):
    """Somebody who wants to be woken when a tag was heard."""

    @property
    def serial(self) -> int: ...  # pragma: no cover - a protocol
    @property
    def account_no(self) -> int: ...  # pragma: no cover - a protocol

    def wake(self) -> None:
        """Look again."""
        ...  # pragma: no cover - a protocol

    def start_over(self) -> None:
        """Words may have been missed: trust nothing that was read before."""
        ...  # pragma: no cover - a protocol


class Live:
    """All streams of this process. `watcher` names it among the leases; everything happens on the event loop."""

    def __init__(self, engine: Engine, watcher: str) -> None:
        self._engine, self._watcher = engine, watcher
        self._streams: dict[int, set[Waiting]] = defaultdict(set)
        self._by_account: Count[int] = Count()
        self._listening = self._renew = False
        self._era = 0  # goes up whenever words may have been lost
        self._leased: frozenset[int] = frozenset()
        self._changed = asyncio.Event()
        self._closed = asyncio.Event()
        # Threads, not a count of streams that look: whoever hangs up in the middle leaves a look that goes on, and by
        # doing so again and again would have the database's connections to themselves.
        self._looks = ThreadPoolExecutor(LOOKS_AT_ONCE, "live")

    # --- for the streams

    @contextmanager
    def joined(self, stream: Waiting) -> Iterator[None]:
        """The stream is woken inside the block. Refusals: live_limit, live_full."""
        if self._by_account[stream.account_no] >= STREAMS_AN_ACCOUNT:
            REFUSED.labels("account").inc()
            raise refuse("live_limit", limit=STREAMS_AN_ACCOUNT)
        if self._by_account.total() >= STREAMS_MAX:
            REFUSED.labels("all").inc()
            raise refuse("live_full")
        self._by_account[stream.account_no] += 1
        self._streams[stream.serial].add(stream)
        STREAMS.inc()
        self._changed.set()
        try:
            yield
        finally:
            STREAMS.dec()
            self._by_account[stream.account_no] -= 1
            self._by_account += Count()  # forgets those who have none left
            self._streams[stream.serial].discard(stream)
            if not self._streams[stream.serial]:
                del self._streams[stream.serial]
            self._changed.set()

    def hears(self, serial: int) -> bool:
        """Whether a sighting of this tag would be told to us: we listen, and hold the lease."""
        return self._listening and serial in self._leased

    async def look(self, read: Callable[[], _T]) -> _T:
        """What it reads from the database, as soon as one of the few who may look at a time is free."""
        return await asyncio.get_running_loop().run_in_executor(self._looks, read)

    @property
    def closed(self) -> bool:
        """The process is about to end."""
        return self._closed.is_set()

    async def pause(self, seconds: float) -> None:
        """So long, or until the process is about to end."""
        with suppress(TimeoutError):
            async with asyncio.timeout(seconds):
                await self._closed.wait()

    # --- for the process

    @asynccontextmanager
    async def running(self) -> AsyncIterator[None]:
        """Inside the block the database wakes the streams; while it is away this is tried again."""
        parts = (self._listen, self._hold_leases, self._ask_for_renewals)
        tasks = [asyncio.create_task(self._for_ever(part)) for part in parts]
        try:
            yield
        finally:
            self.close()
            for task in tasks:
                task.cancel()
            await asyncio.gather(*tasks, return_exceptions=True)
            if self._listening:
                with suppress(SQLAlchemyError):
                    await asyncio.to_thread(self._write_leases, (), ())

    def close(self) -> None:
        """Every stream says goodbye: whoever ends the server waits for open answers first."""
        self._closed.set()
        self._wake(self._everybody())

    async def _for_ever(self, part: Callable[[], Awaitable[None]]) -> None:
        while True:
            try:
                await part()
            except Exception as error:
                # A bug in one round must not leave every page silent until somebody restarts the process.
                log.error("live_broke", exc_info=error)
                await asyncio.sleep(_AGAIN_MAX_S)

    async def _listen(self) -> None:
        again_s = _AGAIN_FIRST_S
        while True:
            try:
                async with live.listening(url_of(self._engine)) as words:
                    again_s = _AGAIN_FIRST_S
                    self._listening = True
                    LISTENING.set(1)
                    self._start_over()
                    async for serials in words:
                        self._wake(stream for serial in serials for stream in self._streams.get(serial, ()))
            except live.EarLostError as error:
                log.warning("live_away", error=str(error), again_in_s=again_s)
            finally:
                self._listening = False
                LISTENING.set(0)
            self._wake(self._everybody())
            await asyncio.sleep(again_s)
            again_s = min(again_s * 2, _AGAIN_MAX_S)

    def _start_over(self) -> None:
        """Words may be lost, and after a crash of the database the leases are, too."""
        self._era += 1
        self._leased = frozenset()
        for stream in self._everybody():
            stream.start_over()
        self._changed.set()

    async def _hold_leases(self) -> None:
        """The only one who writes leases: two at once could end what the other has just begun."""
        while True:
            await self._changed.wait()
            self._changed.clear()
            era, wanted = self._era, frozenset(self._streams)
            due = wanted if self._renew else wanted - self._leased
            if due or wanted != self._leased:
                try:
                    await asyncio.to_thread(self._write_leases, wanted, due)
                except SQLAlchemyError as error:
                    log.warning("leases_away", error=str(error))
                    await asyncio.sleep(1)
                    self._start_over()
                    continue
            if era == self._era:
                new, self._leased, self._renew = wanted - self._leased, wanted, False
                self._wake(stream for serial in new for stream in self._streams.get(serial, ()))

    async def _ask_for_renewals(self) -> None:
        while True:
            await asyncio.sleep(RENEW_EVERY_S)
            self._renew = True  # not by the keeper's own waiting: whoever comes and goes all the time would put it off
            self._changed.set()

    def _write_leases(self, wanted: Collection[int], due: Collection[int]) -> None:
        with transaction(self._engine) as tx:
            if due:
                live.lease(tx, self._watcher, due)
            live.end_others(tx, self._watcher, wanted)

    def _everybody(self) -> list[Waiting]:
        return [stream for streams in self._streams.values() for stream in streams]

    def _wake(self, streams: Iterable[Waiting]) -> None:
        for stream in list(streams):
            stream.wake()
