"""bleak itself, unmodified, listening to a simulated bluetoothd in the same event loop."""

from __future__ import annotations

import asyncio
import os
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from typing import Any

from bleak import BleakScanner
from bleak.args.bluez import BlueZScannerArgs
from bleak.backends.bluezdbus.manager import get_global_bluez_manager
from bleak.backends.device import BLEDevice
from bleak.backends.scanner import AdvertisementData
from dbus_fast import BusType, Message, MessageType
from dbus_fast.aio import MessageBus

from firmware_sim.bluez import SimulatedBluez

SERVICE_UUID = "0000fcb2-0000-1000-8000-00805f9b34fb"
ALL = {"RSSI": -127, "DuplicateData": True}  # the filters without which a gateway hears next to nothing
PATIENCE_S = 20.0


@asynccontextmanager
async def simulated(**options: Any) -> AsyncIterator[SimulatedBluez]:
    """A simulated bluetoothd to which bleak in this process talks."""
    async with SimulatedBluez(**options) as bluez:
        before = os.environ.get("DBUS_SYSTEM_BUS_ADDRESS")
        os.environ["DBUS_SYSTEM_BUS_ADDRESS"] = bluez.bus_address
        try:
            yield bluez
        finally:
            os.environ.pop("DBUS_SYSTEM_BUS_ADDRESS")
            if before is not None:
                os.environ["DBUS_SYSTEM_BUS_ADDRESS"] = before


class Ears:
    """One BleakScanner and all callbacks it made."""

    def __init__(self, filters: dict[str, Any] | None = None, **options: Any) -> None:
        bluez: BlueZScannerArgs = options.pop("bluez", {})
        if filters is not None:
            bluez["filters"] = filters  # type: ignore[typeddict-item]
        self.heard: list[tuple[str, AdvertisementData]] = []
        self.devices: dict[str, BLEDevice] = {}
        self.scanner = BleakScanner(self._on_advert, bluez=bluez, **options)

    def _on_advert(self, device: BLEDevice, advert: AdvertisementData) -> None:
        self.heard.append((device.address, advert))
        self.devices[device.address] = device

    def frames(self, address: str) -> list[bytes]:
        return [advert.service_data.get(SERVICE_UUID, b"") for heard, advert in self.heard if heard == address]

    def strengths(self, address: str) -> list[int]:
        return [advert.rssi for heard, advert in self.heard if heard == address]

    async def until(self, count: int) -> None:
        """Wait until this many callbacks came, then see that no further one comes."""
        await eventually(lambda: len(self.heard) >= count)
        await self.settled()
        assert len(self.heard) == count, self.heard

    async def settled(self) -> None:
        """All that was told has arrived: an answer on the same way comes after the signals before it."""
        manager = await get_global_bluez_manager()
        assert manager._bus is not None
        await manager._bus.call(Message("org.bluez", "/", "org.freedesktop.DBus.Peer", "Ping"))

    async def __aenter__(self) -> Ears:
        await self.scanner.start()
        return self

    async def __aexit__(self, *_: object) -> None:
        await self.scanner.stop()


async def eventually(true: Callable[[], bool]) -> None:
    async with asyncio.timeout(PATIENCE_S):
        while not true():  # noqa: ASYNC110 - what is waited for happens in another program
            await asyncio.sleep(0.005)


@asynccontextmanager
async def client() -> AsyncIterator[MessageBus]:
    """A bus client of its own, as another program would be."""
    bus = await MessageBus(bus_type=BusType.SYSTEM).connect()
    try:
        yield bus
    finally:
        bus.disconnect()
        await bus.wait_for_disconnect()


async def call(bus: MessageBus, path: str, interface: str, member: str, signature: str = "", *body: Any) -> Any:
    """The reply's body, or the error as "name: text"."""
    reply = await bus.call(Message("org.bluez", path, interface, member, signature=signature, body=list(body)))
    assert reply is not None
    if reply.message_type is MessageType.ERROR:
        return f"{reply.error_name}: {reply.body[0]}"
    return reply.body
