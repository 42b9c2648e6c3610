"""The tree of D-Bus objects that bluetoothd shows: ObjectManager, Properties and method calls.

dbus-fast's own ServiceInterface is not used: it never tells a method who called it (discovery belongs to its
caller), it has no properties that come and go (RSSI does), and it announces each interface of an object by itself.
"""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Iterable, Mapping
from dataclasses import dataclass, field
from typing import Any

from dbus_fast import Message, MessageFlag, MessageType, Variant
from dbus_fast.aio import MessageBus

from firmware_sim.bluez.outgoing import Outgoing

OBJECT_MANAGER = "org.freedesktop.DBus.ObjectManager"
PROPERTIES = "org.freedesktop.DBus.Properties"
INTROSPECTABLE = "org.freedesktop.DBus.Introspectable"
PEER = "org.freedesktop.DBus.Peer"


class BluezError(Exception):
    """A refusal as bluetoothd words it: `org.bluez.Error.<name>` and a sentence."""

    def __init__(self, name: str, text: str) -> None:
        super().__init__(f"{name}: {text}")
        self.name = name if "." in name else f"org.bluez.Error.{name}"
        self.text = text


@dataclass(frozen=True, slots=True)
class Call:
    """One method call: who asks (a unique bus name) and with what."""

    sender: str
    body: list[Any]


@dataclass(frozen=True, slots=True)
class Result:
    """What a method gives back: the body and, for AcquireNotify, open files."""

    body: tuple[Any, ...] = ()
    fds: tuple[int, ...] = ()  # handed over: they are closed once the reply has left


Handler = Callable[[Call], Result | Awaitable[Result | None] | None]


@dataclass(frozen=True, slots=True)
class Method:
    """A D-Bus method: signatures of what goes in and comes out, and the function behind it."""

    takes: str
    gives: str
    run: Handler


@dataclass(slots=True)
class Interface:
    """One interface of one object: its properties as they stand, its methods, its settable properties."""

    props: dict[str, Variant]
    methods: Mapping[str, Method] = field(default_factory=dict)
    setters: Mapping[str, Callable[[Variant], None]] = field(default_factory=dict)


class ObjectTree:
    """All objects by path, and the one place that speaks D-Bus for them."""

    def __init__(self) -> None:
        self._objects: dict[str, dict[str, Interface]] = {}
        self._outgoing: Outgoing | None = None
        self._tasks: set[asyncio.Task[None]] = set()

    # ------------------------------------------------------------------------------------ the connection
    def attach(self, bus: MessageBus) -> None:
        """Answer calls that arrive on `bus` and send signals there. What was added before is not announced."""
        self._outgoing = Outgoing(bus)
        bus.add_message_handler(self._on_message)

    def detach(self) -> None:
        """bluetoothd is gone: no signals, and calls that run are never answered."""
        outgoing, self._outgoing = self._outgoing, None
        if outgoing is not None:
            outgoing.close()
        for task in tuple(self._tasks):
            task.cancel()

    async def drained(self) -> None:
        """Wait until the bus has taken everything said so far."""
        if self._outgoing is not None:
            await self._outgoing.drained()

    @property
    def overrun(self) -> bool:
        """The bus is so far behind that what a radio may lose should be lost."""
        return self._outgoing is not None and self._outgoing.overrun

    def send(self, message: Message) -> None:
        """Send a call or a reply of our own, in order with the signals."""
        if self._outgoing is not None:
            self._outgoing.send(message)

    # ------------------------------------------------------------------------------------ objects
    def __contains__(self, path: str) -> bool:
        return path in self._objects

    def interface(self, path: str, name: str) -> Interface:
        return self._objects[path][name]

    def add(self, path: str, interfaces: dict[str, Interface]) -> None:
        """Show an object with all its interfaces in one InterfacesAdded."""
        self._objects[path] = interfaces
        shown = _as_they_stand(interfaces)
        self._signal("/", OBJECT_MANAGER, "InterfacesAdded", "oa{sa{sv}}", [path, shown])

    def remove(self, path: str) -> None:
        """Take an object away. Unknown paths are no error: two causes may remove the same device."""
        interfaces = self._objects.pop(path, None)
        if interfaces is not None:
            self._signal("/", OBJECT_MANAGER, "InterfacesRemoved", "oas", [path, list(interfaces)])

    def change(self, path: str, interface: str, changed: dict[str, Variant], gone: Iterable[str] = ()) -> None:
        """Set and remove properties, and tell it in one PropertiesChanged."""
        props = self._objects[path][interface].props
        props.update(changed)
        gone = [name for name in gone if props.pop(name, None) is not None]
        if changed or gone:
            self._signal(path, PROPERTIES, "PropertiesChanged", "sa{sv}as", [interface, changed, gone])

    def _signal(self, path: str, interface: str, member: str, signature: str, body: list[Any]) -> None:
        if self._outgoing is not None:
            self._outgoing.send(Message.new_signal(path, interface, member, signature, body))

    # ------------------------------------------------------------------------------------ calls
    def _on_message(self, message: Message) -> bool:
        if message.message_type is not MessageType.METHOD_CALL:
            return False
        try:
            method = self._find(message)
            result = method.run(Call(message.sender or "", message.body))
        except BluezError as refusal:
            self._reply(message, refusal)
            return True
        if result is None or isinstance(result, Result):
            self._reply(message, result, method.gives)
        else:
            task = asyncio.ensure_future(self._answer_later(message, method.gives, result))
            self._tasks.add(task)
            task.add_done_callback(self._tasks.discard)
        return True

    async def _answer_later(self, message: Message, gives: str, result: Awaitable[Result | None]) -> None:
        try:
            outcome: Result | BluezError | None = await result
        except BluezError as refusal:
            outcome = refusal
        self._reply(message, outcome, gives)

    def _reply(self, message: Message, outcome: Result | BluezError | None, gives: str = "") -> None:
        if message.flags & MessageFlag.NO_REPLY_EXPECTED:
            return
        if isinstance(outcome, BluezError):
            self.send(Message.new_error(message, outcome.name, outcome.text))
        else:
            result = outcome or Result()
            self.send(Message.new_method_return(message, gives, list(result.body), list(result.fds)))

    def _find(self, message: Message) -> Method:
        path, interface, member = message.path or "/", message.interface, message.member or ""
        standard = _STANDARD.get((interface, member))
        if standard is not None:
            return Method(standard[0], standard[1], lambda call: standard[2](self, path, call))
        if path not in self._objects:
            raise BluezError("org.freedesktop.DBus.Error.UnknownObject", f'Unknown object "{path}"')
        for name, candidate in self._objects[path].items():
            method = candidate.methods.get(member) if interface in (None, name) else None
            if method is not None and method.takes == message.signature:
                return method
        raise BluezError(
            "org.freedesktop.DBus.Error.UnknownMethod",
            f'Method "{member}" with signature "{message.signature}" on interface "{interface}" doesn\'t exist',
        )

    # ------------------------------------------------------------------------------------ standard interfaces
    def _get_managed_objects(self, _path: str, _call: Call) -> Result:
        return Result(({path: _as_they_stand(interfaces) for path, interfaces in self._objects.items()},))

    def _properties_of(self, path: str, name: str) -> Interface:
        found = self._objects.get(path, {}).get(name)
        if found is None:
            raise BluezError("org.freedesktop.DBus.Error.UnknownObject", f'No "{name}" at "{path}"')
        return found

    def _get(self, path: str, call: Call) -> Result:
        interface, name = call.body
        value = self._properties_of(path, interface).props.get(name)
        if value is None:
            raise BluezError("org.freedesktop.DBus.Error.InvalidArgs", f"No such property '{name}'")
        return Result((value,))

    def _get_all(self, path: str, call: Call) -> Result:
        return Result((dict(self._properties_of(path, call.body[0]).props),))

    def _set(self, path: str, call: Call) -> None:
        interface, name, value = call.body
        setter = self._properties_of(path, interface).setters.get(name)
        if setter is None:
            raise BluezError("org.freedesktop.DBus.Error.PropertyReadOnly", f"Property '{name}' is not writable")
        setter(value)

    def _introspect(self, path: str, _call: Call) -> Result:
        """Enough for `busctl tree org.bluez` to walk: the children of a path and the names of interfaces."""
        below = path.rstrip("/") + "/"
        children = sorted({known[len(below) :].split("/")[0] for known in self._objects if known.startswith(below)})
        names = [*self._objects.get(path, {}), PROPERTIES, INTROSPECTABLE]
        if path == "/":
            names.append(OBJECT_MANAGER)
        inside = [f'<interface name="{name}"/>' for name in names] + [f'<node name="{c}"/>' for c in children]
        return Result(("<node>" + "".join(inside) + "</node>",))


def _as_they_stand(interfaces: Mapping[str, Interface]) -> dict[str, dict[str, Variant]]:
    """A copy: a message may wait for its turn while the properties go on changing."""
    return {name: dict(interface.props) for name, interface in interfaces.items()}


_STANDARD: dict[tuple[str | None, str], tuple[str, str, Callable[[ObjectTree, str, Call], Result | None]]] = {
    (OBJECT_MANAGER, "GetManagedObjects"): ("", "a{oa{sa{sv}}}", ObjectTree._get_managed_objects),
    (PROPERTIES, "Get"): ("ss", "v", ObjectTree._get),
    (PROPERTIES, "GetAll"): ("s", "a{sv}", ObjectTree._get_all),
    (PROPERTIES, "Set"): ("ssv", "", ObjectTree._set),
    (INTROSPECTABLE, "Introspect"): ("", "s", ObjectTree._introspect),
    (PEER, "Ping"): ("", "", lambda _tree, _path, _call: None),
}
