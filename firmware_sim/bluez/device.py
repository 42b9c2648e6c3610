"""org.bluez.Device1: what bluetoothd remembers of one address, and its connection.

The rules by which an advert changes the properties follow btd_adapter_device_found and device.c of BlueZ.
"""

from __future__ import annotations

import asyncio
from collections import deque
from collections.abc import Callable, Mapping
from contextlib import suppress
from dataclasses import dataclass, field
from typing import Any

from dbus_fast import Variant

from firmware_sim.bluez.advert import Advert
from firmware_sim.bluez.gatt import GattSession, Peripheral
from firmware_sim.bluez.objects import BluezError, Call, Interface, Method, ObjectTree

DEVICE = "org.bluez.Device1"
RSSI_STEP_DB = 8  # without a proximity filter smaller changes are not worth a signal to bluetoothd
ABORTED = "le-connection-abort-by-local"
CANCELLED = "br-connection-canceled"


@dataclass(slots=True)
class LinkRules:
    """How connections go in this simulation; faults change it while it runs."""

    setup_s: float = 0.02  # about 0.45 s on a real radio; short, so that tests are
    give_up_s: float = 20.0  # how long the kernel looks for a device that does not answer
    mtu: int = 247
    # Measured: 3 of 3 attempts failed while the same adapter scanned. None lets them succeed.
    failure_while_discovering: str | None = ABORTED
    next_failures: deque[str] = field(default_factory=deque)  # error texts for the coming attempts


@dataclass(frozen=True, slots=True)
class Surroundings:
    """What a device has to know of its adapter."""

    adapter_path: str
    tree: ObjectTree
    rules: LinkRules
    discovering: Callable[[], bool]
    peripheral: Callable[[str], Peripheral | None]
    connection_changed: Callable[[Device], None]


class Device:
    """One remote device on the bus."""

    def __init__(self, around: Surroundings, advert: Advert) -> None:
        self.address = advert.address
        self.path = device_path(around.adapter_path, advert.address)
        self.connectable = advert.connectable
        self.last_seen_s = 0.0
        self.connected = False
        self._around = around
        self._session: GattSession | None = None
        self._peripheral: Peripheral | None = None
        self._attempt: asyncio.Event | None = None  # set when the attempt to connect is given up
        props = {
            "Address": Variant("s", advert.address),
            "AddressType": Variant("s", advert.address_type),
            "Adapter": Variant("o", around.adapter_path),
            "Alias": Variant("s", advert.address.replace(":", "-")),
            "UUIDs": Variant("as", []),
            **{name: Variant("b", False) for name in _FALSE_AT_FIRST},
        }
        props.update(advert_changes(props, advert, duplicate_data=True, proximity=True))
        methods = {
            "Connect": Method("", "", self._connect),
            "Disconnect": Method("", "", self._disconnect),
            "Pair": Method("", "", _no_pairing),
            "CancelPairing": Method("", "", _no_pairing),
        }
        self._interface = Interface(props, methods, {"Trusted": self._set_trusted})
        around.tree.add(self.path, {DEVICE: self._interface})

    # ------------------------------------------------------------------------------------ adverts
    def hear(self, advert: Advert, *, duplicate_data: bool, proximity: bool) -> bool:
        """Show what this advert changes, in one signal. False if it changes nothing."""
        self.connectable = advert.connectable
        changed = advert_changes(self._interface.props, advert, duplicate_data=duplicate_data, proximity=proximity)
        self._around.tree.change(self.path, DEVICE, changed)
        return bool(changed)

    def forget_strength(self) -> None:
        """Discovery ended: a strength that nobody measures any more is taken away."""
        self._around.tree.change(self.path, DEVICE, {}, ("RSSI", "TxPower"))

    def remove(self) -> None:
        """Take the device and all it has off the bus."""
        self.drop_link()
        self._around.tree.remove(self.path)

    # ------------------------------------------------------------------------------------ connection
    async def _connect(self, _call: Call) -> None:
        if self.connected:
            return
        if self._attempt is not None:
            raise BluezError("InProgress", "Operation already in progress")
        self._attempt = attempt = asyncio.Event()
        try:
            await self._set_up_link(attempt)
        finally:
            if self._attempt is attempt:
                self._attempt = None

    async def _set_up_link(self, attempt: asyncio.Event) -> None:
        rules = self._around.rules
        failure = rules.next_failures.popleft() if rules.next_failures else None
        if failure is None and self._around.discovering():
            failure = rules.failure_while_discovering
        peripheral = self._around.peripheral(self.address)
        await _wait(attempt, rules.setup_s if peripheral is not None or failure else rules.give_up_s)
        if failure is not None:
            self._blink(failure)
            raise BluezError("Failed", failure)
        if peripheral is None:
            raise BluezError("Failed", ABORTED)
        peripheral.on_connect()
        self._peripheral, self.connected = peripheral, True
        self._show(Connected=True)
        self._session = GattSession(self._around.tree, self.path, peripheral, rules.mtu)
        uuids = sorted({*self._interface.props["UUIDs"].value, *(s.uuid for s in peripheral.gatt_services())})
        resolved = {"UUIDs": Variant("as", uuids), "ServicesResolved": Variant("b", True)}
        self._around.tree.change(self.path, DEVICE, resolved)
        self._around.connection_changed(self)

    def _blink(self, failure: str) -> None:
        """With this failure BlueZ was connected for a moment, and bleak waits for the end of it before it retries."""
        if failure == ABORTED:
            self._show(Connected=True)
            self._show(Connected=False)

    def _disconnect(self, _call: Call) -> None:
        if self._attempt is None and not self.connected:
            raise BluezError("NotConnected", "Not Connected")
        self.drop_link()

    def drop_link(self) -> None:
        """The connection or the attempt at one ends, whoever ended it. Safe when there is none."""
        if self._attempt is not None:
            self._attempt.set()
            self._attempt = None  # at once: bluetoothd takes the next Connect while it says no to this one
        if not self.connected or self._peripheral is None:
            return
        self.connected = False
        if self._session is not None:
            self._session.close()
        self._peripheral.on_disconnect()
        self._session = self._peripheral = None
        self._show(ServicesResolved=False, Connected=False)
        self._around.connection_changed(self)

    def client_gone(self, client: str) -> None:
        """A bus client vanished. Its notifications end; the connection stays, as with bluetoothd."""
        if self._session is not None:
            self._session.client_gone(client)

    def _set_trusted(self, value: Variant) -> None:
        self._around.tree.change(self.path, DEVICE, {"Trusted": value})

    def _show(self, **flags: bool) -> None:
        changed = {name: Variant("b", value) for name, value in flags.items()}
        self._around.tree.change(self.path, DEVICE, changed)


_FALSE_AT_FIRST = (
    "Paired",
    "Bonded",
    "Trusted",
    "Blocked",
    "LegacyPairing",
    "Connected",
    "ServicesResolved",
)


def device_path(adapter_path: str, address: str) -> str:
    return f"{adapter_path}/dev_{address.replace(':', '_')}"


def advert_changes(
    props: Mapping[str, Variant], advert: Advert, *, duplicate_data: bool, proximity: bool
) -> dict[str, Variant]:
    """The properties that an advert changes. An empty answer means: nobody is told of this advert.

    - RSSI is told always with a proximity filter, else only when it moves by 8 dB or was unknown;
    - with DuplicateData the data of this packet replaces the older and is told always; without it data
      accumulates by uuid or company, and is told only when it differs;
    - a kind of data that this packet does not carry stays as an earlier packet left it.
    """
    changed: dict[str, Variant] = {}
    rssi = props.get("RSSI")
    if proximity or rssi is None or abs(rssi.value - advert.rssi_dbm) >= RSSI_STEP_DB:
        changed["RSSI"] = Variant("n", advert.rssi_dbm)
    if advert.service_data:
        fresh = {uuid: Variant("ay", data) for uuid, data in advert.service_data.items()}
        _merge(changed, props, "ServiceData", "a{sv}", fresh, duplicate_data)
    if advert.manufacturer_data:
        by_company = {company: Variant("ay", data) for company, data in advert.manufacturer_data.items()}
        _merge(changed, props, "ManufacturerData", "a{qv}", by_company, duplicate_data)
    _set(changed, props, "AdvertisingFlags", "ay", bytes([advert.flags]))
    if advert.tx_power_dbm is not None:
        _set(changed, props, "TxPower", "n", advert.tx_power_dbm)
    if advert.name is not None:
        _set(changed, props, "Name", "s", advert.name)
        _set(changed, props, "Alias", "s", advert.name)
    if advert.service_uuids:
        _set(changed, props, "UUIDs", "as", sorted({*props["UUIDs"].value, *advert.service_uuids}))
    return changed


def _set(changed: dict[str, Variant], props: Mapping[str, Variant], name: str, signature: str, value: object) -> None:
    known = props.get(name)
    if known is None or known.value != value:
        changed[name] = Variant(signature, value)


def _merge(
    changed: dict[str, Variant],
    props: Mapping[str, Variant],
    name: str,
    signature: str,
    fresh: Mapping[Any, Variant],
    duplicate_data: bool,
) -> None:
    if duplicate_data:
        changed[name] = Variant(signature, fresh)
        return
    known = props.get(name)
    merged = {**(known.value if known is not None else {}), **fresh}
    if known is None or merged != known.value:
        changed[name] = Variant(signature, merged)


async def _wait(attempt: asyncio.Event, seconds: float) -> None:
    """Wait, unless the attempt is given up."""
    with suppress(TimeoutError):
        await asyncio.wait_for(attempt.wait(), seconds)
    if attempt.is_set():
        raise BluezError("Failed", CANCELLED)


def _no_pairing(_call: Call) -> None:
    raise BluezError("NotSupported", "Operation is not supported")
