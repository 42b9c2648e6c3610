"""The simulated radio for a gateway's tests: org.bluez on a private bus, in a thread and event loop of its own."""

from __future__ import annotations

import asyncio
import threading
from collections.abc import Callable, Coroutine
from pathlib import Path
from types import TracebackType
from typing import Any, TypeVar

from firmware_sim.bluez import SimulatedBluez
from tests.gateway.server import wait_for
from wire.frames import FRAME_LEN, SERVICE_UUID, FrameType

T = TypeVar("T")
NETWORK = 0xF0


def frame(number: int, kind: int = FrameType.PROVENANCE, network: int = NETWORK) -> bytes:
    """A frame that looks like ours and can be told from every other number's."""
    return bytes((network, 0, kind, 0)) + number.to_bytes(FRAME_LEN - 4, "big")


def address(number: int) -> str:
    return "C0:00:00:" + ":".join(f"{byte:02X}" for byte in number.to_bytes(3, "big"))


class Air:
    """`with Air(tmp_path) as air:`; every method may be called from the test's thread."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        self._loop = asyncio.new_event_loop()
        self._thread = threading.Thread(target=self._loop.run_forever, daemon=True)

    def __enter__(self) -> Air:
        self._thread.start()
        self.bluez = self.call(lambda: SimulatedBluez())
        self.do(self.bluez.__aenter__())
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, at: TracebackType | None) -> None:
        self.do(self.bluez.__aexit__(None, None, None))
        self._loop.call_soon_threadsafe(self._loop.stop)
        self._thread.join()
        self._loop.close()

    @property
    def bus_address(self) -> str:
        return self.bluez.bus_address

    def do(self, work: Coroutine[Any, Any, T], seconds: float = 30.0) -> T:
        """Run a coroutine there and wait for it."""
        return asyncio.run_coroutine_threadsafe(work, self._loop).result(seconds)

    def call(self, work: Callable[[], T]) -> T:
        """Run a function there, within one turn of that loop, and wait for it."""

        async def turn() -> T:
            return work()

        return self.do(turn())

    def hear(self, number: int, data: bytes, rssi_dbm: int = -60) -> str:
        """One advert of one address; says what became of it."""
        return self.call(lambda: self.bluez.advertise_now(address(number), {SERVICE_UUID: data}, rssi_dbm))

    def wait_for_scan(self, seconds: float = 10.0) -> None:
        wait_for(lambda: self.call(self.bluez.discovering), seconds, "for a scan")
