"""org.bluez.Adapter1: one radio. It turns adverts into devices, while somebody discovers."""

from __future__ import annotations

import asyncio
from collections import Counter, OrderedDict
from collections.abc import Callable

from dbus_fast import Variant

from firmware_sim.bluez.advert import Advert
from firmware_sim.bluez.device import Device, LinkRules, Surroundings
from firmware_sim.bluez.discovery import FILTER_TYPES, Discovery, parse_filter
from firmware_sim.bluez.gatt import Peripheral
from firmware_sim.bluez.monitor import MONITOR_MANAGER, Monitors
from firmware_sim.bluez.objects import BluezError, Call, Interface, Method, ObjectTree, Result

ADAPTER = "org.bluez.Adapter1"
TEMPORARY_TIMEOUT_S = 30.0  # bluetoothd's TemporaryTimeout: an unpaired device unseen for so long is dropped
DEVICES_MAX = 20_000  # a real controller would be deaf long before; beyond it new addresses are not shown


class Adapter:
    """One adapter, plugged in from construction until `unplug`."""

    def __init__(
        self,
        tree: ObjectTree,
        name: str,
        address: str,
        *,
        rules: LinkRules,
        peripheral: Callable[[str], Peripheral | None],
        counts: Counter[str],
        temporary_timeout_s: float,
        kernel_still_scans: bool,
    ) -> None:
        self.path = f"/org/bluez/{name}"
        self._tree = tree
        self._counts = counts
        self._timeout_s = temporary_timeout_s
        self._loop = asyncio.get_running_loop()
        self._expiry: asyncio.TimerHandle | None = None
        self._devices: OrderedDict[str, Device] = OrderedDict()  # least lately seen first
        self._discovery = Discovery()
        self._powered = True
        self._plugged = True
        self._kernel_still_scans = kernel_still_scans
        self.monitors = Monitors(tree)
        self._around = Surroundings(
            self.path,
            tree,
            rules,
            lambda: bool(self._discovery.sessions),
            peripheral,
            self._on_connection_changed,
        )
        interfaces = {
            ADAPTER: Interface(_first_props(name, address), self._methods(), {"Powered": self._set_powered}),
            MONITOR_MANAGER: self.monitors.interface(),
        }
        tree.add(self.path, interfaces)

    def _methods(self) -> dict[str, Method]:
        return {
            "SetDiscoveryFilter": Method("a{sv}", "", self._set_discovery_filter),
            "GetDiscoveryFilters": Method("", "as", lambda _call: Result((list(FILTER_TYPES),))),
            "StartDiscovery": Method("", "", self._start_discovery),
            "StopDiscovery": Method("", "", self._stop_discovery),
            "RemoveDevice": Method("o", "", self._remove_device),
        }

    # ------------------------------------------------------------------------------------ adverts
    @property
    def discovering(self) -> bool:
        return bool(self._discovery.sessions)

    def hear(self, advert: Advert) -> str:
        """Show one advert to whoever listens. The answer says what became of it, and is counted."""
        fate = self._hear(advert)
        self._counts[fate] += 1
        return fate

    def _hear(self, advert: Advert) -> str:
        if not self._powered:
            return "adapter_off"
        discovery = self._discovery
        wanted = bool(discovery.sessions) and discovery.passes(advert)
        if not wanted and not self.monitors.match(advert):
            return "filtered" if discovery.sessions else "nobody_discovers"
        if self._tree.overrun:
            return "bus_overrun"
        device = self._devices.get(advert.address)
        told = True
        if device is None:
            if len(self._devices) >= DEVICES_MAX:
                return "too_many_devices"
            device = self._devices[advert.address] = Device(self._around, advert)
        else:
            self._devices.move_to_end(advert.address)
            told = device.hear(
                advert,
                duplicate_data=wanted and discovery.duplicate_data,
                proximity=wanted and discovery.proximity,
            )
        device.last_seen_s = self._loop.time()
        if self._expiry is None:
            self._expire()
        return "told" if told else "repeated"

    def _expire(self) -> None:
        """Drop what was not seen for too long, and look again when the next one is due."""
        now_s = self._loop.time()
        self._expiry = None
        if not self._plugged:
            return
        for device in list(self._devices.values()):
            if device.connected:
                continue
            if device.last_seen_s + self._timeout_s > now_s:
                due_s = device.last_seen_s + self._timeout_s
                self._expiry = self._loop.call_at(due_s, self._expire)
                return
            self._drop(device)

    def _drop(self, device: Device) -> None:
        self._devices.pop(device.address, None)
        device.remove()

    def _on_connection_changed(self, device: Device) -> None:
        if device.address in self._devices:
            device.last_seen_s = self._loop.time()
            self._devices.move_to_end(device.address)
            if self._expiry is None:
                self._expire()

    # ------------------------------------------------------------------------------------ methods
    def _set_discovery_filter(self, call: Call) -> None:
        self._require_power()
        self._discovery.set_filter(call.sender, parse_filter(call.body[0]))

    def _start_discovery(self, call: Call) -> None:
        self._require_power()
        if self._kernel_still_scans:  # for a bluetoothd that was killed; only a power cycle ends that scan
            raise BluezError("InProgress", "Operation already in progress")
        self._discovery.start(call.sender)
        self._show(Discovering=True)

    def _stop_discovery(self, call: Call) -> None:
        self._require_power()
        self._discovery.stop(call.sender)
        self._end_discovery_if_idle()

    def _remove_device(self, call: Call) -> None:
        device = next((d for d in self._devices.values() if d.path == call.body[0]), None)
        if device is None:
            raise BluezError("DoesNotExist", "Does Not Exist")
        self._drop(device)

    def _require_power(self) -> None:
        if not self._powered:
            raise BluezError("NotReady", "Resource Not Ready")

    def _end_discovery_if_idle(self) -> None:
        """The last session ended: strengths are forgotten, and devices nobody could connect to are dropped."""
        if self._discovery.sessions:
            return
        for device in list(self._devices.values()):
            device.forget_strength()
            if not device.connectable and not device.connected:
                self._drop(device)
        self._show(Discovering=False)

    def client_gone(self, client: str) -> None:
        """A bus client vanished: its discovery, monitors and notifications end with it."""
        self.monitors.forget(client)
        was_discovering = client in self._discovery.sessions
        self._discovery.forget(client)
        if was_discovering:
            self._end_discovery_if_idle()
        for device in self._devices.values():
            device.client_gone(client)

    # ------------------------------------------------------------------------------------ power and plug
    def _set_powered(self, value: Variant) -> None:
        self.set_powered(bool(value.value))

    def set_powered(self, powered: bool) -> None:
        """Power off ends discovery without a word to those who discover; power on does not start it again."""
        if powered == self._powered:
            return
        self._powered = powered
        self._kernel_still_scans = False
        if not powered:
            for device in list(self._devices.values()):
                device.drop_link()
            self._discovery.clear()
            self._end_discovery_if_idle()
        self._show(Powered=powered)

    def unplug(self) -> None:
        """The adapter leaves with everything it has."""
        self.close()
        for device in list(self._devices.values()):
            self._drop(device)
        self._tree.remove(self.path)

    def close(self) -> None:
        """Links end and timers stop; nothing is said on the bus, which may be gone."""
        if self._expiry is not None:
            self._expiry.cancel()
        self._powered = self._plugged = False
        for device in list(self._devices.values()):
            device.drop_link()

    def device(self, address: str) -> Device | None:
        return self._devices.get(address)

    def _show(self, **flags: bool) -> None:
        props = self._tree.interface(self.path, ADAPTER).props
        changed = {n: Variant("b", v) for n, v in flags.items() if props[n].value != v}
        self._tree.change(self.path, ADAPTER, changed)


def _first_props(name: str, address: str) -> dict[str, Variant]:
    return {
        "Address": Variant("s", address),
        "AddressType": Variant("s", "public"),
        "Name": Variant("s", f"simulated-{name}"),
        "Alias": Variant("s", f"simulated-{name}"),
        "Class": Variant("u", 0),
        "Powered": Variant("b", True),
        "Discoverable": Variant("b", False),
        "DiscoverableTimeout": Variant("u", 180),
        "Pairable": Variant("b", False),
        "PairableTimeout": Variant("u", 0),
        "Discovering": Variant("b", False),
        "UUIDs": Variant("as", []),
        "Roles": Variant("as", ["central", "peripheral"]),
    }
