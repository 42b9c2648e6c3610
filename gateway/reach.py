"""Connecting to a tag that was heard: the scan pauses, we connect, and once more if the first time failed."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Callable
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import dataclass
from typing import Final

from gateway.collector import Collector
from gateway.scan import Radio
from gateway.supervise import Supervisor
from gateway.tagclient import TagClient, TagError

# For the second attempt the tag must be heard again: three beacons of a tag in transit.
HEAR_AGAIN_S: Final = 30.0
LOOK_S: Final = 0.25


@dataclass(frozen=True, slots=True)
class Reach:
    """One radio that both scans and connects."""

    radio: Radio
    collector: Collector
    supervisor: Supervisor
    steady_ns: Callable[[], int]

    @asynccontextmanager
    async def connected(self, address: str, quiet: AsyncExitStack | None = None) -> AsyncIterator[TagClient]:
        """A connection to this address; the scan is paused until the block ends, or until whoever gave `quiet` closes
        it, for a connection that stands is not disturbed by a scan. Raises TagError `not_reachable`, `tag_refused`.
        """
        quiet = quiet or AsyncExitStack()
        async with AsyncExitStack() as stack:
            try:
                tag = await self._connect(address, stack, quiet)
            except TagError as error:
                if error.code != "not_reachable":
                    raise
                await stack.aclose()  # scan again, for BlueZ forgets a device it no longer hears
                if not await self._heard_again(address):
                    raise
                tag = await self._connect(address, stack, quiet)
            yield tag

    async def hush(self, quiet: AsyncExitStack) -> None:
        """Pauses the scan until `quiet` is closed."""
        await quiet.enter_async_context(self.supervisor.paused())

    async def _connect(self, address: str, stack: AsyncExitStack, quiet: AsyncExitStack) -> TagClient:
        stack.push_async_callback(quiet.aclose)
        await self.hush(quiet)
        device = self.radio.device(address)
        if device is None:
            raise TagError("not_reachable", "the device is not in sight of the present scanner")
        tag = TagClient(device)
        await tag.connect()
        stack.push_async_callback(tag.close)
        return tag

    async def _heard_again(self, address: str) -> bool:
        since_ns = self.steady_ns()
        for _ in range(int(HEAR_AGAIN_S / LOOK_S)):
            await asyncio.sleep(LOOK_S)
            heard_ns = self.collector.heard_at(address)
            if heard_ns is not None and heard_ns > since_ns:
                return True
        return False
