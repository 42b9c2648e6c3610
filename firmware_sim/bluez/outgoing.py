"""Messages on their way to the bus, in order, at the pace at which dbus-daemon takes them.

dbus-fast closes the connection when the socket is full (it takes EAGAIN for a broken bus), and a hundred tags in
one event-loop turn fill it. So a message is handed over only while the kernel says that there is room.
"""

from __future__ import annotations

import asyncio
import os
import select
from collections import deque

from dbus_fast import Message
from dbus_fast.aio import MessageBus

WAITING_MAX = 20_000  # messages, about 5 MB; a bus further behind would show a gateway nothing but the past


class Outgoing:
    """The way out for everything that our org.bluez says on one connection."""

    def __init__(self, bus: MessageBus) -> None:
        assert bus._fd is not None
        self._bus = bus
        self._queue: deque[Message] = deque()
        self._loop = asyncio.get_running_loop()
        # asyncio keeps one writer per file number, and dbus-fast uses its own: hence a second number.
        self._fd = os.dup(bus._fd)
        self._room = select.poll()
        self._room.register(self._fd, select.POLLOUT)
        self._waiting = False
        self._drained = asyncio.Event()
        self._drained.set()

    @property
    def overrun(self) -> bool:
        """So much waits that adverts and notifications, which a radio may lose, should not be added."""
        return len(self._queue) >= WAITING_MAX

    def send(self, message: Message) -> None:
        """Send in order; open files of the message are ours from now on and closed once they have left."""
        self._queue.append(message)
        if not self._waiting:
            self._flush()

    async def drained(self) -> None:
        """Wait until the bus has taken everything."""
        await self._drained.wait()

    def close(self) -> None:
        """Forget what was not sent."""
        self._stop_waiting()
        for message in self._queue:
            _close_files(message)
        self._queue.clear()
        self._drained.set()
        os.close(self._fd)

    def _flush(self) -> None:
        while self._queue and self._bus.connected:
            events = self._room.poll(0)
            if not events:
                self._wait_for_room()
                return
            if events[0][1] & (select.POLLHUP | select.POLLERR):
                break  # the bus is gone; whoever holds the connection is told by dbus-fast
            message = self._queue.popleft()
            sent = self._bus.send(message)
            if not sent.done():  # longer than the room there was: dbus-fast writes the rest
                self._wait_for(sent)
                return
            _close_files(message)
        self._stop_waiting()
        self._drained.set()

    def _wait_for_room(self) -> None:
        if not self._waiting:
            self._waiting = True
            self._drained.clear()
            self._loop.add_writer(self._fd, self._flush)

    def _wait_for(self, sent: asyncio.Future[None]) -> None:
        self._stop_waiting()
        self._waiting = True
        self._drained.clear()
        sent.add_done_callback(self._on_sent)

    def _on_sent(self, sent: asyncio.Future[None]) -> None:
        self._waiting = False
        if sent.cancelled() or sent.exception() is not None:
            self._drained.set()
        else:
            self._flush()

    def _stop_waiting(self) -> None:
        if self._waiting:
            self._waiting = False
            self._loop.remove_writer(self._fd)


def _close_files(message: Message) -> None:
    for fd in message.unix_fds:
        os.close(fd)
