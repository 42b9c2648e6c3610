"""What a simulated peripheral offers over GATT, and how bluetoothd shows it on the bus.

The Protocol `Peripheral` is the only thing that this package knows of a tag. Errors travel as ATT codes:
a peripheral raises `GattError(0x82)`, bluetoothd's sentence carries the code, bleak raises
`BleakGATTProtocolError` with `.code == 0x82`.
"""

from __future__ import annotations

import asyncio
import socket
from collections.abc import Callable, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass, field
from typing import Protocol

from dbus_fast import Variant

from firmware_sim.bluez.objects import BluezError, Call, Interface, Method, ObjectTree, Result

GATT_SERVICE = "org.bluez.GattService1"
GATT_CHARACTERISTIC = "org.bluez.GattCharacteristic1"
GATT_DESCRIPTOR = "org.bluez.GattDescriptor1"
CCCD_UUID = "00002902-0000-1000-8000-00805f9b34fb"

FIRST_HANDLE = 0x000A  # 1..9 hold the generic access and attribute services, which bluetoothd keeps to itself
VALUE_MAX_BYTES = 512  # Core specification, Vol 3 Part F 3.2.9
ATT_HEADER_BYTES = 3

Notify = Callable[[bytes], None]


class GattError(Exception):
    """An ATT error code (1..255) with which a peripheral refuses a read or a write."""

    def __init__(self, code: int) -> None:
        assert 0 < code <= 0xFF, code
        super().__init__(f"ATT error 0x{code:02x}")
        self.code = code


@dataclass(frozen=True, slots=True)
class GattCharacteristicSpec:
    """A characteristic: 128-bit uuid in lower case, flags as bluetoothd names them ("read", "write", "notify" …)."""

    uuid: str
    flags: tuple[str, ...]
    descriptors: Mapping[str, bytes] = field(default_factory=dict)  # further read-only ones: uuid → value


@dataclass(frozen=True, slots=True)
class GattServiceSpec:
    """A primary service and its characteristics."""

    uuid: str
    characteristics: tuple[GattCharacteristicSpec, ...]


class Peripheral(Protocol):
    """A device one can connect to. A characteristic's uuid is unique within it."""

    def gatt_services(self) -> Sequence[GattServiceSpec]: ...

    async def read(self, char_uuid: str) -> bytes:
        """The value, at most 512 bytes. Raises GattError."""
        ...

    async def write(self, char_uuid: str, data: bytes) -> None:
        """Take a value. Raises GattError."""
        ...

    def subscribe(self, char_uuid: str, callback: Notify) -> None:
        """Send notifications of this characteristic to `callback` until unsubscribed."""
        ...

    def unsubscribe(self, char_uuid: str) -> None: ...

    def on_connect(self) -> None: ...

    def on_disconnect(self) -> None: ...


_NAMED_ERRORS = {
    0x02: ("NotPermitted", "Read not permitted"),
    0x03: ("NotPermitted", "Write not permitted"),
    0x05: ("NotPermitted", "Not paired"),
    0x06: ("NotSupported", "Operation is not supported"),
    0x07: ("InvalidArguments", "Invalid offset"),
    0x08: ("NotAuthorized", "Operation Not Authorized"),
    0x0C: ("NotPermitted", "Not paired"),
    0x0D: ("InvalidArguments", "Invalid Length"),
    0x0F: ("NotPermitted", "Not paired"),
}


def refusal(error: GattError) -> BluezError:
    """The words of bluetoothd's create_gatt_dbus_error, which bleak takes apart again."""
    named = _NAMED_ERRORS.get(error.code)
    return BluezError(*named) if named else BluezError("Failed", f"Operation failed with ATT error: 0x{error.code:02x}")


class GattSession:
    """The objects of one connection, from services resolved until disconnected."""

    def __init__(self, tree: ObjectTree, device_path: str, peripheral: Peripheral, mtu: int) -> None:
        self._tree = tree
        self._paths: list[str] = []
        self._characteristics: list[_Characteristic] = []
        self._handle = FIRST_HANDLE
        for service in peripheral.gatt_services():
            path = f"{device_path}/service{self._next_handle():04x}"
            shown = {
                "UUID": Variant("s", service.uuid),
                "Device": Variant("o", device_path),
                "Primary": Variant("b", True),
                "Includes": Variant("ao", []),
            }
            self._add(path, {GATT_SERVICE: Interface(shown)})
            for spec in service.characteristics:
                self._add_characteristic(path, spec, peripheral, mtu)

    def _next_handle(self) -> int:
        self._handle += 1
        return self._handle - 1

    def _add(self, path: str, interfaces: dict[str, Interface]) -> None:
        self._tree.add(path, interfaces)
        self._paths.append(path)

    def _add_characteristic(
        self, service_path: str, spec: GattCharacteristicSpec, peripheral: Peripheral, mtu: int
    ) -> None:
        path = f"{service_path}/char{self._next_handle():04x}"
        self._next_handle()  # the value has a handle of its own
        characteristic = _Characteristic(self._tree, path, spec, peripheral, mtu)
        self._characteristics.append(characteristic)
        self._add(path, {GATT_CHARACTERISTIC: characteristic.interface(service_path)})
        descriptors = dict(spec.descriptors)
        if characteristic.can_notify:
            descriptors[CCCD_UUID] = b""
        for uuid, value in descriptors.items():
            self._add_descriptor(path, uuid, value, characteristic)

    def _add_descriptor(self, char_path: str, uuid: str, value: bytes, owner: _Characteristic) -> None:
        def read(_call: Call) -> Result:
            return Result((bytes([owner.notifying, 0]) if uuid == CCCD_UUID else value,))

        def write(_call: Call) -> Result:
            raise BluezError("NotPermitted", "Write not permitted")

        shown = {
            "UUID": Variant("s", uuid),
            "Characteristic": Variant("o", char_path),
            "Value": Variant("ay", value),
        }
        methods = {"ReadValue": Method("a{sv}", "ay", read), "WriteValue": Method("aya{sv}", "", write)}
        self._add(f"{char_path}/desc{self._next_handle():04x}", {GATT_DESCRIPTOR: Interface(shown, methods)})

    def client_gone(self, sender: str) -> None:
        """A bus client vanished: its notifications end."""
        for characteristic in self._characteristics:
            characteristic.release(sender)

    def close(self) -> None:
        """The connection ended: all subscriptions and objects go."""
        for characteristic in self._characteristics:
            characteristic.release_all()
        for path in reversed(self._paths):
            self._tree.remove(path)


class _Characteristic:
    """One characteristic's methods: read, write, notify by signal or through a socket."""

    def __init__(
        self, tree: ObjectTree, path: str, spec: GattCharacteristicSpec, peripheral: Peripheral, mtu: int
    ) -> None:
        self._tree, self._path, self._spec, self._peripheral, self._mtu = tree, path, spec, peripheral, mtu
        self._busy: set[str] = set()
        self._listeners: set[str] = set()  # clients that called StartNotify
        self._acquired: tuple[str, socket.socket] | None = None

    @property
    def can_notify(self) -> bool:
        return "notify" in self._spec.flags or "indicate" in self._spec.flags

    @property
    def notifying(self) -> bool:
        return bool(self._listeners) or self._acquired is not None

    def interface(self, service_path: str) -> Interface:
        props = {
            "UUID": Variant("s", self._spec.uuid),
            "Service": Variant("o", service_path),
            "Value": Variant("ay", b""),
            "Flags": Variant("as", list(self._spec.flags)),
            "MTU": Variant("q", self._mtu),
        }
        if self.can_notify:
            props["Notifying"] = Variant("b", False)
        if "notify" in self._spec.flags:
            props["NotifyAcquired"] = Variant("b", False)
        methods = {
            "ReadValue": Method("a{sv}", "ay", self._read_value),
            "WriteValue": Method("aya{sv}", "", self._write_value),
            "StartNotify": Method("", "", self._start_notify),
            "StopNotify": Method("", "", self._stop_notify),
            "AcquireNotify": Method("a{sv}", "hq", self._acquire_notify),
        }
        return Interface(props, methods)

    async def _read_value(self, call: Call) -> Result:
        offset = call.body[0]["offset"].value if "offset" in call.body[0] else 0
        if "read" not in self._spec.flags:
            raise BluezError("NotPermitted", "Read not permitted")
        with _OneAtATime(self._busy, "read"):
            try:
                value = (await self._peripheral.read(self._spec.uuid))[:VALUE_MAX_BYTES]
            except GattError as error:
                raise refusal(error) from None
        if offset > len(value):
            raise refusal(GattError(0x07))
        # bluetoothd puts what was read into `Value` too, so whoever has notifications on hears reads as well.
        self._show_value(value)
        return Result((value[offset:],))

    async def _write_value(self, call: Call) -> None:
        data, options = bytes(call.body[0]), call.body[1]
        kind = options["type"].value if "type" in options else "request"
        needed = "write-without-response" if kind == "command" else "write"
        if needed not in self._spec.flags:
            raise BluezError("NotSupported", "Operation is not supported")
        if len(data) > VALUE_MAX_BYTES:
            raise refusal(GattError(0x0D))
        if kind == "command" and len(data) > self._mtu - ATT_HEADER_BYTES:
            raise BluezError("Failed", "Failed to initiate write")
        with _OneAtATime(self._busy, "write"):
            try:
                await self._peripheral.write(self._spec.uuid, data)
            except GattError as error:
                if kind == "command":
                    return  # a command has no response in which the device could say no
                raise refusal(error) from None

    def _start_notify(self, call: Call) -> None:
        self._check_may_notify()
        if call.sender in self._listeners:
            raise BluezError("InProgress", "In Progress")
        self._subscribe()
        self._listeners.add(call.sender)
        self._show_notifying()

    def _stop_notify(self, call: Call) -> None:
        if call.sender not in self._listeners:
            raise BluezError("Failed", "No notify session started")
        self.release(call.sender)

    def _acquire_notify(self, call: Call) -> Result:
        self._check_may_notify()
        if self._listeners:
            raise BluezError("InProgress", "In Progress")
        ours, theirs = socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET)
        ours.setblocking(False)
        self._subscribe()
        self._acquired = (call.sender, ours)
        # The reader ends its subscription by closing its end, and then ours becomes readable.
        asyncio.get_running_loop().add_reader(ours, self.release, call.sender)
        self._show_notifying()
        return Result((0, self._mtu), (theirs.detach(),))

    def _check_may_notify(self) -> None:
        if not self.can_notify:
            raise BluezError("NotSupported", "Operation is not supported")
        if self._acquired is not None:
            raise BluezError("NotPermitted", "Notify acquired")

    def _subscribe(self) -> None:
        if not self.notifying:
            self._peripheral.subscribe(self._spec.uuid, self._on_notification)

    def _on_notification(self, value: bytes) -> None:
        if self._acquired is None and not self._tree.overrun:
            self._show_value(value)
        elif self._acquired is not None:
            with suppress(OSError):  # full or closed: a radio does not wait for its reader
                self._acquired[1].send(value)

    def _show_value(self, value: bytes) -> None:
        if self._path in self._tree:
            self._tree.change(self._path, GATT_CHARACTERISTIC, {"Value": Variant("ay", value)})

    def _show_notifying(self) -> None:
        shown = {"Notifying": Variant("b", self.notifying)}
        if "notify" in self._spec.flags:
            shown["NotifyAcquired"] = Variant("b", self._acquired is not None)
        if self._path in self._tree:
            self._tree.change(self._path, GATT_CHARACTERISTIC, shown)

    def release(self, sender: str) -> None:
        """End what this client subscribed to."""
        was_notifying = self.notifying
        self._listeners.discard(sender)
        if self._acquired is not None and self._acquired[0] == sender:
            asyncio.get_running_loop().remove_reader(self._acquired[1])
            self._acquired[1].close()
            self._acquired = None
        if was_notifying and not self.notifying:
            self._peripheral.unsubscribe(self._spec.uuid)
            self._show_notifying()

    def release_all(self) -> None:
        for sender in {*self._listeners, *([self._acquired[0]] if self._acquired else [])}:
            self.release(sender)


class _OneAtATime:
    """ATT has one request at a time: a second one meets InProgress, and bleak asks again by itself."""

    def __init__(self, busy: set[str], what: str) -> None:
        self._busy, self._what = busy, what

    def __enter__(self) -> None:
        if self._what in self._busy:
            raise BluezError("InProgress", "In Progress")
        self._busy.add(self._what)

    def __exit__(self, *_: object) -> None:
        self._busy.discard(self._what)
