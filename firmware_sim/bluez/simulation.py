"""SimulatedBluez: a bluetoothd without a radio, on a private bus. The door for simulated tags and for faults.

async with SimulatedBluez() as bluez:
    os.environ["DBUS_SYSTEM_BUS_ADDRESS"] = bluez.bus_address  # where bleak, unmodified, looks
    bluez.advertise_now("C0:00:00:00:00:01", {SERVICE_UUID: frame}, -61)
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping
from contextlib import suppress
from pathlib import Path
from typing import Unpack

from dbus_fast import Message, MessageType, NameFlag
from dbus_fast.aio import MessageBus

from firmware_sim.bluez.adapter import TEMPORARY_TIMEOUT_S, Adapter
from firmware_sim.bluez.advert import Advert, AdvertExtras
from firmware_sim.bluez.bus import PrivateBus
from firmware_sim.bluez.device import LinkRules
from firmware_sim.bluez.faults import Faults
from firmware_sim.bluez.gatt import Peripheral
from firmware_sim.bluez.objects import Interface, ObjectTree

BLUEZ = "org.bluez"
DEFAULT_ADAPTER = "hci0"
_DBUS = "org.freedesktop.DBus"
_CLIENT_GONE = f"type='signal',sender='{_DBUS}',interface='{_DBUS}',member='NameOwnerChanged',arg2=''"


class SimulatedBluez:
    """A simulated org.bluez with one adapter or several.

    `counts` tells what became of every advert: told, repeated, filtered, nobody_discovers, adapter_off,
    no_adapter, bluetoothd_down, too_many_devices, bus_overrun.
    """

    def __init__(
        self,
        *,
        bus: PrivateBus | None = None,
        directory: Path | None = None,
        adapters: tuple[str, ...] = (DEFAULT_ADAPTER,),
        temporary_timeout_s: float = TEMPORARY_TIMEOUT_S,
        link: LinkRules | None = None,
    ) -> None:
        self.bus = bus or PrivateBus(directory)
        self.link = link or LinkRules()
        self.counts: Counter[str] = Counter()
        self.faults = Faults(self)
        self._plugged = list(adapters)
        self._kernel_scans: set[str] = set()
        self._timeout_s = temporary_timeout_s
        self._peripherals: dict[str, Peripheral] = {}
        self._adapters: dict[str, Adapter] = {}
        self._tree = ObjectTree()
        self._connection: MessageBus | None = None

    @property
    def bus_address(self) -> str:
        """The value for DBUS_SYSTEM_BUS_ADDRESS."""
        return self.bus.address

    async def __aenter__(self) -> SimulatedBluez:
        try:
            await self.bus.start()
            await self.start_bluetoothd()
        except BaseException:
            await self.__aexit__()
            raise
        return self

    async def __aexit__(self, *_: object) -> None:
        await self.stop_bluetoothd()
        await self.bus.stop()

    # ------------------------------------------------------------------------------------ the air
    def advertise_now(
        self,
        address: str,
        service_data: Mapping[str, bytes],
        rssi_dbm: int,
        *,
        adapter: str = DEFAULT_ADAPTER,
        **more: Unpack[AdvertExtras],
    ) -> str:
        """One advert reaches `adapter` now, within this event-loop turn. Returns its fate, which is counted."""
        radio = self._adapters.get(adapter)
        if radio is not None:
            return radio.hear(Advert(address, rssi_dbm, service_data, **more))
        fate = "bluetoothd_down" if self._connection is None else "no_adapter"
        self.counts[fate] += 1
        return fate

    async def advertise(
        self,
        address: str,
        service_data: Mapping[str, bytes],
        rssi_dbm: int,
        *,
        adapter: str = DEFAULT_ADAPTER,
        **more: Unpack[AdvertExtras],
    ) -> str:
        """Like advertise_now, and wait until the bus has taken every signal."""
        fate = self.advertise_now(address, service_data, rssi_dbm, adapter=adapter, **more)
        await self.drained()
        return fate

    async def drained(self) -> None:
        """Wait until the bus has taken every signal that was sent."""
        await self._tree.drained()

    def set_peripheral(self, address: str, peripheral: Peripheral | None) -> None:
        """Who answers when somebody connects to `address`; None for nobody."""
        if peripheral is None:
            self._peripherals.pop(address, None)
        else:
            self._peripherals[address] = peripheral

    def discovering(self, adapter: str = DEFAULT_ADAPTER) -> bool:
        """Whether somebody discovers on this adapter now."""
        radio = self._adapters.get(adapter)
        return radio is not None and radio.discovering

    # ------------------------------------------------------------------------------------ bluetoothd's life
    async def start_bluetoothd(self) -> None:
        """Connect, take the name org.bluez, then find the adapters, in that order as bluetoothd does."""
        connection = MessageBus(bus_address=self.bus_address, negotiate_unix_fd=True)
        await connection.connect()
        connection.add_message_handler(self._on_signal)
        self._connection, self._tree = connection, ObjectTree()
        self._tree.attach(connection)
        self._tree.add("/org/bluez", {"org.bluez.AgentManager1": Interface({})})
        add_match = Message(_DBUS, "/org/freedesktop/DBus", _DBUS, "AddMatch", signature="s", body=[_CLIENT_GONE])
        await connection.call(add_match)
        await connection.request_name(BLUEZ, NameFlag.DO_NOT_QUEUE)
        for name in self._plugged:
            self.plug(name)

    async def stop_bluetoothd(self, *, killed: bool = False) -> None:
        """Leave the bus at once, without farewell signals. Adapters stay plugged in.

        A killed bluetoothd cannot tell the kernel to stop scanning, and the next one meets that scan.
        """
        connection, self._connection = self._connection, None
        if killed:
            self._kernel_scans = {name for name, adapter in self._adapters.items() if adapter.discovering}
        self._tree.detach()
        for adapter in self._adapters.values():
            adapter.close()
        self._adapters.clear()
        if connection is not None:
            connection.disconnect()
            with suppress(Exception):  # a bus that is already gone cannot be left
                await connection.wait_for_disconnect()  # type: ignore[no-untyped-call]

    # ------------------------------------------------------------------------------------ adapters
    def adapter(self, name: str = DEFAULT_ADAPTER) -> Adapter:
        """The adapter of this name. Raises KeyError when it is not plugged in."""
        return self._adapters[name]

    def plug(self, name: str) -> None:
        """Plug an adapter in; it is powered and nobody discovers."""
        if name not in self._plugged:
            self._plugged.append(name)
        number = int(name.removeprefix("hci"))
        self._adapters[name] = Adapter(
            self._tree,
            name,
            f"00:1A:7D:DA:71:{number:02X}",
            rules=self.link,
            peripheral=self._peripherals.get,
            counts=self.counts,
            temporary_timeout_s=self._timeout_s,
            kernel_still_scans=name in self._kernel_scans,
        )
        self._kernel_scans.discard(name)

    def unplug(self, name: str) -> None:
        self._plugged.remove(name)
        self._adapters.pop(name).unplug()

    # ------------------------------------------------------------------------------------ bus
    def _on_signal(self, message: Message) -> None:
        if message.message_type is not MessageType.SIGNAL:
            return
        if message.member == "NameOwnerChanged" and message.sender == _DBUS:
            name, _old, new = message.body
            if not new and name.startswith(":"):
                for adapter in self._adapters.values():
                    adapter.client_gone(name)
            return
        for adapter in self._adapters.values():
            adapter.monitors.on_signal(message)
