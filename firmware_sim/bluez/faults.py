"""What goes wrong with real radios, to be done on purpose: used by tests and by scenarios."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING

from firmware_sim.bluez.device import ABORTED

if TYPE_CHECKING:
    from firmware_sim.bluez.simulation import SimulatedBluez

DEFAULT_ADAPTER = "hci0"


class Faults:
    """The faults of one SimulatedBluez (`bluez.faults`). Each is named for what somebody did to the machine."""

    def __init__(self, bluez: SimulatedBluez) -> None:
        self._bluez = bluez

    def power_off(self, adapter: str = DEFAULT_ADAPTER) -> None:
        """Discovery ends silently: Discovering false, RSSI dropped, no error to anybody."""
        self._bluez.adapter(adapter).set_powered(False)

    def power_on(self, adapter: str = DEFAULT_ADAPTER) -> None:
        """The adapter works again; nobody discovers until somebody starts again."""
        self._bluez.adapter(adapter).set_powered(True)

    def unplug(self, adapter: str = DEFAULT_ADAPTER) -> None:
        """The USB stick is pulled: devices and adapter vanish from the bus."""
        self._bluez.unplug(adapter)

    def replug(self, adapter: str = DEFAULT_ADAPTER) -> None:
        """The USB stick is back, powered."""
        self._bluez.plug(adapter)

    async def restart_bluetoothd(self, down_s: float = 0.0) -> None:
        """`systemctl restart bluetooth`: org.bluez has no owner for `down_s`, and all devices are forgotten."""
        await self._bluez.stop_bluetoothd()
        await asyncio.sleep(down_s)
        await self._bluez.start_bluetoothd()

    async def kill_bluetoothd(self, down_s: float = 0.0) -> None:
        """SIGKILL while it scanned: the next one answers StartDiscovery with InProgress until a power cycle."""
        await self._bluez.stop_bluetoothd(killed=True)
        await asyncio.sleep(down_s)
        await self._bluez.start_bluetoothd()

    async def restart_bus(self) -> None:
        """dbus-daemon is restarted: every connection breaks; bluetoothd comes back at the same address."""
        await self._bluez.bus.restart()
        await self._bluez.stop_bluetoothd()
        await self._bluez.start_bluetoothd()

    def fail_connections(self, times: int = 1, error: str = ABORTED) -> None:
        """The next attempts to connect fail with org.bluez.Error.Failed and this text."""
        self._bluez.link.next_failures.extend([error] * times)

    def drop_link(self, address: str, adapter: str = DEFAULT_ADAPTER) -> None:
        """The connection to this device breaks off."""
        device = self._bluez.adapter(adapter).device(address)
        if device is not None:
            device.drop_link()
