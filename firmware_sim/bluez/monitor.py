"""org.bluez.AdvertisementMonitorManager1: passive scanning for patterns, as `bluetoothd --experimental` has it.

A client names a path, then shows an AdvertisementMonitor1 there; from then on matching adverts are told, with
RSSI steps of 8 dB and silence on repeats. Monitors shown before they are registered are not looked for: bleak
shows its own afterwards.
"""

from __future__ import annotations

from dbus_fast import Message, MessageFlag, MessageType, Variant

from firmware_sim.bluez.advert import Advert
from firmware_sim.bluez.objects import OBJECT_MANAGER, BluezError, Call, Interface, Method, ObjectTree

MONITOR = "org.bluez.AdvertisementMonitor1"
MONITOR_MANAGER = "org.bluez.AdvertisementMonitorManager1"

_DBUS = "org.freedesktop.DBus"

Pattern = tuple[int, int, bytes]  # where it starts in the structure, the structure's AD type, the content


class Monitors:
    """The advertisement monitors of one adapter."""

    def __init__(self, tree: ObjectTree) -> None:
        self._tree = tree
        self._patterns: dict[tuple[str, str], tuple[Pattern, ...] | None] = {}

    def interface(self) -> Interface:
        props = {
            "SupportedMonitorTypes": Variant("as", ["or_patterns"]),
            "SupportedFeatures": Variant("as", []),
        }
        methods = {
            "RegisterMonitor": Method("o", "", self._register),
            "UnregisterMonitor": Method("o", "", self._unregister),
        }
        return Interface(props, methods)

    @property
    def active(self) -> bool:
        return any(self._patterns.values())

    def match(self, advert: Advert) -> bool:
        """Whether any pattern of any active monitor stands in the advert."""
        if not self.active:
            return False
        structures = advert.structures()
        return any(
            kind == wanted and content[start : start + len(bytes_)] == bytes_
            for patterns in self._patterns.values()
            for start, wanted, bytes_ in patterns or ()
            for kind, content in structures
        )

    def on_signal(self, message: Message) -> None:
        """A client showed an object: if it is a registered monitor, activate it."""
        if message.message_type is not MessageType.SIGNAL or message.interface != OBJECT_MANAGER:
            return
        key = (message.sender or "", message.body[0])
        if message.member != "InterfacesAdded" or key not in self._patterns:
            return
        props = message.body[1].get(MONITOR)
        if props is None:
            return
        if props["Type"].value != "or_patterns" or not props["Patterns"].value:
            self._tell(key, "Release")
            del self._patterns[key]
            return
        self._patterns[key] = tuple((start, kind, bytes(what)) for start, kind, what in props["Patterns"].value)
        self._tell(key, "Activate")

    def forget(self, client: str) -> None:
        """The client left the bus."""
        for key in [key for key in self._patterns if key[0] == client]:
            del self._patterns[key]

    def _register(self, call: Call) -> None:
        key = (call.sender, call.body[0])
        if key in self._patterns:
            raise BluezError("AlreadyExists", "Already Exists")
        self._patterns[key] = None
        self._ask_bus("AddMatch", call.sender)

    def _unregister(self, call: Call) -> None:
        if self._patterns.pop((call.sender, call.body[0]), ()) == ():
            raise BluezError("DoesNotExist", "Does Not Exist")
        self._ask_bus("RemoveMatch", call.sender)

    def _ask_bus(self, member: str, client: str) -> None:
        """Have what this client shows told to us; asked only for those with a monitor, for we hear ourselves too."""
        rule = f"type='signal',sender='{client}',interface='{OBJECT_MANAGER}',member='InterfacesAdded'"
        quiet = MessageFlag.NO_REPLY_EXPECTED
        self._tree.send(Message(_DBUS, "/org/freedesktop/DBus", _DBUS, member, signature="s", body=[rule], flags=quiet))

    def _tell(self, key: tuple[str, str], member: str) -> None:
        client, path = key
        self._tree.send(
            Message(client, path, MONITOR, member, flags=MessageFlag.NO_REPLY_EXPECTED),
        )
