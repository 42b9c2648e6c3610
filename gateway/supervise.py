"""Keeps the scanner alive: notices that it died, makes a new one, waits no longer than it must.

    starting ──▶ scanning ──trouble──▶ restarting ──▶ scanning
                  │    ▲                    │
                pause  resume            no adapter: again after 0.1 … 5 s, or at once when something came back
                  ▼    │
                 paused

Troubles come from bluez.py (signals of bluetoothd), from a start that failed, and from the silence watchdog, which is
all there is where no D-Bus exists. Every restart is counted by its cause.
"""

from __future__ import annotations

import asyncio
from collections import Counter
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from typing import Any, Final, Literal, Protocol

from gateway.scan import ScanError

BACKOFF_MIN_S: Final = 0.1
BACKOFF_MAX_S: Final = 5.0
# A scanner that lived so long was well: the next trouble is a new one and gets an immediate answer.
WELL_AFTER_S: Final = 10.0
# One fault makes several signals (power off ends discovery first); the one that says most names the restart.
SETTLE_S: Final = 0.02
LOOK_S: Final = 1.0
# bluetoothd is asked this often whether it still discovers: a signal may have come while nobody watched.
ASK_S: Final = 30.0
# A room may really be quiet: the watchdog asks less and less often.
SILENCE_GROWTH: Final = 2.0
SILENCE_MAX_S: Final = 900.0
_TELLING: Final = ("bus_lost", "bluetoothd_gone", "adapter_removed", "adapter_off", "discovery_ended", "silence")
_DEAD: Final = ("bus_lost", "bluetoothd_gone", "adapter_removed")

ScannerState = Literal["starting", "scanning", "paused", "restarting", "stopped"]


class Scanner(Protocol):
    """What is supervised (scan.Radio)."""

    @property
    def adverts(self) -> int: ...

    async def start(self, adapter: str | None) -> None: ...

    async def stop(self) -> None: ...

    async def drop(self, *, dead: bool) -> None: ...


class Stack(Protocol):
    """What can be asked about bluetoothd (bluez.BluezWatch)."""

    async def choose(self) -> str | None: ...

    async def scans(self) -> bool | None: ...

    async def power_cycle(self) -> bool: ...


class Supervisor:
    """Runs one scanner for ever. `now_s` is any clock that runs forward."""

    def __init__(
        self,
        scanner: Scanner,
        *,
        now_s: Callable[[], float],
        silence_s: float,
        log: Any,
        changed: Callable[[], None] = lambda: None,
    ) -> None:
        self.restarts: Counter[str] = Counter()
        self.state: ScannerState = "starting"
        self.failure = ""
        self.stack: Stack | None = None
        self._scanner = scanner
        self._now_s = now_s
        self._silence_s = self._silence_first_s = silence_s
        self._log = log
        self._changed = changed
        self._causes: set[str] = set()
        self._wake = asyncio.Event()
        self._hoped = asyncio.Event()
        self._idle = asyncio.Event()
        self._pause_lock = asyncio.Lock()
        self._pausing = False
        self._delay_s = 0.0
        self._heard_at_s: float | None = None
        self._adverts_seen = 0

    # ------------------------------------------------------------------------------------ what others tell us
    def trouble(self, cause: str) -> None:
        """Something happened after which the scanner is probably deaf."""
        if self.state == "scanning":
            self._causes.add(cause)
            self._wake.set()

    def calm(self, cause: str) -> None:
        """That trouble is over before anything was done about it."""
        self._causes.discard(cause)

    def hope(self) -> None:
        """Something came back: try again now."""
        self._hoped.set()

    @asynccontextmanager
    async def paused(self) -> AsyncIterator[None]:
        """No scan inside this block: a connection does not come about while we scan."""
        async with self._pause_lock:
            self._pausing = True
            self._wake.set()
            self._hoped.set()
            await self._idle.wait()
            try:
                yield
            finally:
                self._pausing = False
                self._idle.clear()
                self._wake.set()

    def last_advert_age_s(self) -> float | None:
        """Seconds since anything at all was heard (exact to LOOK_S); None if nothing ever was."""
        self._listen()
        return None if self._heard_at_s is None else max(0.0, self._now_s() - self._heard_at_s)

    # ------------------------------------------------------------------------------------ the loop
    async def run(self) -> None:
        try:
            while True:
                await self._once()
        finally:
            await self._scanner.stop()
            self._become("stopped")

    async def _once(self) -> None:
        if self._pausing:
            self._become("paused")
            self._idle.set()
            self._wake.clear()
            if self._pausing:
                await self._wake.wait()
            return
        self._causes.clear()
        self._wake.clear()
        self._hoped.clear()
        if not await self._start():
            await self._wait_or_hope()
            return
        began_s = self._now_s()
        cause = await self._until_trouble(began_s)
        if cause is None:
            await self._scanner.stop()
            return
        self.restarts[cause] += 1
        self.failure = cause
        self._become("restarting")
        self._log.warning("scanner_restarts", cause=cause)
        await self._scanner.drop(dead=cause in _DEAD)
        await self._after(cause, self._now_s() - began_s)

    async def _start(self) -> bool:
        adapter = await self.stack.choose() if self.stack else None
        try:
            await self._scanner.start(adapter)
        except ScanError as error:
            await self._failed(error)
            return False
        self.failure = ""
        self._become("scanning")
        self._log.info("scanner_scans", adapter=adapter or "default")
        return True

    async def _failed(self, error: ScanError) -> None:
        if error.cause != self.failure:  # an adapter that is off for an hour is one trouble, not seven hundred
            self.restarts[error.cause] += 1
            self._log.warning("scanner_does_not_start", cause=error.cause, message=str(error))
        twice, self.failure = error.cause == self.failure, error.cause
        if self.state != "starting":
            self._become("restarting")
        if error.cause == "in_progress" and twice:  # once may be our own last scan, still ending
            await self._power_cycle()

    async def _until_trouble(self, began_s: float) -> str | None:
        """The cause for a restart, or None for a pause."""
        silent_since_s = asked_at_s = began_s
        while True:
            try:
                async with asyncio.timeout(LOOK_S):
                    await self._wake.wait()
            except TimeoutError:
                pass
            if self._pausing:
                return None
            if self._causes:
                await asyncio.sleep(SETTLE_S)
            self._wake.clear()
            if self._hoped.is_set() or self._now_s() - asked_at_s >= ASK_S:
                self._hoped.clear()
                asked_at_s = self._now_s()
                await self._ask()
            for cause in _TELLING:
                if cause in self._causes:
                    return cause
            if self._listen():
                silent_since_s = self._now_s()
                self._silence_s = self._silence_first_s
            elif self._now_s() - silent_since_s >= self._silence_s:
                return "silence"

    async def _ask(self) -> None:
        """Something came back while we scan, or time has passed: do we really?"""
        if self.stack is not None and await self.stack.scans() is False:
            self._causes.add("discovery_ended")

    async def _after(self, cause: str, lived_s: float) -> None:
        """Wait before the next attempt: not at all after a long life."""
        if cause == "silence":
            if self._silence_s > self._silence_first_s:
                await self._power_cycle()  # a new scanner alone did not help
            self._silence_s = min(self._silence_s * SILENCE_GROWTH, max(SILENCE_MAX_S, self._silence_first_s))
        if lived_s >= WELL_AFTER_S:
            self._delay_s = 0.0
        else:
            await self._wait_or_hope()

    async def _wait_or_hope(self) -> None:
        try:
            async with asyncio.timeout(self._delay_s):
                await self._hoped.wait()
                await asyncio.sleep(SETTLE_S)  # what came back says so before it is ready
        except TimeoutError:
            pass
        self._delay_s = min(max(self._delay_s * 2, BACKOFF_MIN_S), BACKOFF_MAX_S)

    async def _power_cycle(self) -> None:
        if self.stack is not None:
            done = await self.stack.power_cycle()
            self._log.warning("adapter_power_cycled", done=done)

    def _listen(self) -> bool:
        """Whether anything was heard since the last look."""
        adverts = self._scanner.adverts
        if adverts == self._adverts_seen:
            return False
        self._adverts_seen = adverts
        self._heard_at_s = self._now_s()
        return True

    def _become(self, state: ScannerState) -> None:
        if state != self.state:
            self.state = state
            self._changed()
