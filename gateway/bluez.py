"""Watches bluetoothd over a D-Bus connection of our own, because bleak's scanner dies without a word.

After an adapter's power cycle, a replugged stick, a restarted bluetoothd or a restarted dbus-daemon no callback comes
and no error is raised. The signals matched here are few, so that a crowd of devices costs this connection nothing.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from contextlib import suppress
from typing import Any, Final

from dbus_fast import BusType, Message, MessageType, Variant
from dbus_fast.aio import MessageBus

BLUEZ: Final = "org.bluez"
ADAPTER: Final = "org.bluez.Adapter1"
_DBUS: Final = "org.freedesktop.DBus"
_MANAGER: Final = f"{_DBUS}.ObjectManager"
_PROPERTIES: Final = f"{_DBUS}.Properties"
# The kernel gives the lowest free number to an adapter. An `arg0path` without a final slash matches this one object
# and none of the devices below it.
_ADAPTERS_WATCHED: Final = 8
CALL_TIMEOUT_S: Final = 5.0
BACKOFF_MIN_S: Final = 0.1
BACKOFF_MAX_S: Final = 5.0

Tell = Callable[[str], None]


def _rules() -> list[str]:
    rules = [
        f"type='signal',sender='{_DBUS}',interface='{_DBUS}',member='NameOwnerChanged',arg0='{BLUEZ}'",
        f"type='signal',sender='{BLUEZ}',interface='{_PROPERTIES}',member='PropertiesChanged',arg0='{ADAPTER}'",
    ]
    for member in ("InterfacesAdded", "InterfacesRemoved"):
        head = f"type='signal',sender='{BLUEZ}',interface='{_MANAGER}',member='{member}'"
        rules += [f"{head},arg0path='/org/bluez/hci{number}'" for number in range(_ADAPTERS_WATCHED)]
    return rules


class BluezWatch:
    """Tells of trouble (`bluetoothd_gone`, `adapter_removed`, `adapter_off`, `discovery_ended`, `bus_lost`) and hope
    (something came back) as they happen, about the adapter that `choose` chose last. `calm` takes a trouble back,
    as when the farewell of our own last scanner arrives late.
    """

    def __init__(self, wanted: str | None, *, trouble: Tell, calm: Tell, hope: Callable[[], None]) -> None:
        self._wanted = wanted
        self._trouble = trouble
        self._calm = calm
        self._hope = hope
        self._bus: MessageBus | None = None
        self._path = f"/org/bluez/{wanted}" if wanted else None

    async def run(self) -> None:
        """Stay connected for ever. A machine without a system bus is asked again every few seconds."""
        delay_s = BACKOFF_MIN_S
        while True:
            bus = MessageBus(bus_type=BusType.SYSTEM)
            try:
                with suppress(Exception):  # whatever it is, the bus is away, and coming back is all there is to do
                    await self._connect(bus)
                    delay_s = BACKOFF_MIN_S
                    self._hope()
                    await bus.wait_for_disconnect()  # type: ignore[no-untyped-call]
            finally:
                bus.disconnect()
            if self._bus is not None:
                self._bus = None
                self._trouble("bus_lost")
            await asyncio.sleep(delay_s)
            delay_s = min(delay_s * 2, BACKOFF_MAX_S)

    async def _connect(self, bus: MessageBus) -> None:
        await bus.connect()
        bus.add_message_handler(self._on_message)
        for rule in _rules():
            await _call(bus, _DBUS, "/org/freedesktop/DBus", _DBUS, "AddMatch", "s", [rule])
        self._bus = bus

    def _on_message(self, message: Message) -> None:
        if message.message_type is not MessageType.SIGNAL:
            return
        if message.member == "NameOwnerChanged" and message.body[0] == BLUEZ:
            if message.body[1]:
                self._trouble("bluetoothd_gone")
            if message.body[2]:
                self._hope()
        elif message.member == "InterfacesAdded" and ADAPTER in message.body[1]:
            self._hope()
        elif message.member == "InterfacesRemoved" and ADAPTER in message.body[1]:
            self._about(message.body[0], "adapter_removed")
        elif message.member == "PropertiesChanged" and message.body[0] == ADAPTER:
            self._on_adapter(str(message.path), {name: value.value for name, value in message.body[1].items()})

    def _on_adapter(self, path: str, changed: dict[str, Any]) -> None:
        if changed.get("Powered") is False:
            self._about(path, "adapter_off")
        elif changed.get("Discovering") is False:
            self._about(path, "discovery_ended")
        elif changed.get("Discovering") and self._path in (None, path):
            self._calm("discovery_ended")
        if changed.get("Powered"):
            self._hope()

    def _about(self, path: str, cause: str) -> None:
        if self._path in (None, path):
            self._trouble(cause)

    async def choose(self) -> str | None:
        """The adapter to scan with: the wanted one, else the first that is powered and can be a central; None if that
        cannot be told (then bleak chooses, and says what is wrong).
        """
        if self._wanted or self._bus is None:
            return self._wanted
        with suppress(Exception):
            objects = (await _call(self._bus, BLUEZ, "/", _MANAGER, "GetManagedObjects"))[0]
            for path in sorted(objects):
                adapter = objects[path].get(ADAPTER)
                if adapter and adapter["Powered"].value and "central" in adapter["Roles"].value:
                    self._path = path
                    return str(path).rsplit("/", 1)[1]
        self._path = None
        return None

    async def scans(self) -> bool | None:
        """Whether bluetoothd says that the adapter discovers; None if it cannot be asked now."""
        if self._bus is None:
            return None
        if self._path is None and await self.choose() is None:
            return False  # there is no adapter that could
        with suppress(Exception):
            answer = await _call(self._bus, BLUEZ, str(self._path), _PROPERTIES, "Get", "ss", [ADAPTER, "Discovering"])
            return bool(answer[0].value)
        return None

    async def power_cycle(self) -> bool:
        """Switch the adapter off and on: all that helps when bluetoothd forgot that the kernel scans for a program that
        is gone. True if it was done; an ordinary user may not be allowed to.
        """
        if self._bus is None or self._path is None:
            return False
        try:
            for powered in (False, True):
                arguments = [ADAPTER, "Powered", Variant("b", powered)]
                await _call(self._bus, BLUEZ, self._path, _PROPERTIES, "Set", "ssv", arguments)
        except (OSError, EOFError, TimeoutError, RuntimeError):
            return False
        return True


async def _call(
    bus: MessageBus,
    destination: str,
    path: str,
    interface: str,
    member: str,
    signature: str = "",
    body: list[Any] | None = None,
) -> list[Any]:
    """The reply's body. Raises RuntimeError on an error reply, TimeoutError without one."""
    message = Message(
        destination=destination, path=path, interface=interface, member=member, signature=signature, body=body or []
    )
    async with asyncio.timeout(CALL_TIMEOUT_S):
        reply = await bus.call(message)
    assert reply is not None  # only a call that asks for no reply gets none
    if reply.message_type is not MessageType.METHOD_RETURN:
        raise RuntimeError(f"{member} failed: {reply.error_name}")
    return list(reply.body)
