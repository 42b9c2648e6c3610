"""The line to the broker: paho speaks on it, and what there are thousands of a second goes past paho.

paho takes 54 µs for a batch and its acknowledgement (four reads of the socket, a table of 42 properties built anew for
each message, one write per acknowledgement): as long as the check of its signature. So this stands between paho and its
socket, reads what is there at once, takes the PUBLISH packets out, and puts acknowledgements between paho's packets:
14 µs. Everything else, from the greeting to the last word, is paho's.

MQTT 5 (and 3.1.1): 2.1 fixed header, 3.3 PUBLISH, 3.4 PUBACK.
"""

from __future__ import annotations

import contextlib
import ssl
from collections.abc import Iterable
from socket import SHUT_WR, socket
from typing import Final, NamedTuple

# One read of the socket: some twenty batches of fifty sightings. More than a record of TLS (16 KiB), which is then read
# as a whole: nothing is left in it that select would not see.
_READ: Final = 64 * 1024
# What is still to be sent when the connection is closed gets so long; TCP has taken it by then, or the line is dead.
_LAST_WORDS_S: Final = 0.5
# Each of them brings something or ends within that time: what the broker had under way to us.
_LAST_READS: Final = 200
_PUBLISH: Final = 3
_PUBACK: Final = b"\x40\x02"


class Published(NamedTuple):
    """One message; `mid` is 0 if it came at QoS 0 and wants no acknowledgement."""

    topic: bytes
    payload: bytes
    mid: int


class Line:
    """A socket for paho, and a door beside it. Belongs to one thread, and never waits."""

    def __init__(self, sock: socket, *, version5: bool) -> None:
        self._sock, self._version5 = sock, version5
        self._in = bytearray()
        self._for_paho = bytearray()
        self._out = bytearray()
        self._ended: OSError | None = None

    # --- what the drain asks of it

    def fill(self) -> None:
        """Reads what has come, at most one buffer full. That the connection ended is paho's to say."""
        if self._ended is not None:
            return
        try:
            data = self._sock.recv(_READ)
        except (BlockingIOError, ssl.SSLWantReadError, ssl.SSLWantWriteError):
            return
        except OSError as error:
            self._ended = error
            return
        if data:
            self._in += data
        else:
            self._ended = ConnectionResetError("the broker closed the connection")

    def take(self, most: int) -> list[Published]:
        """The messages that have come as a whole, at most so many; whatever else stood between them goes to paho."""
        taken: list[Published] = []
        held, at = self._in, 0
        while (found := _packet(held, at)) is not None:
            start, end = found
            if held[at] >> 4 == _PUBLISH:
                if len(taken) == most:
                    break
                if (message := self._published(held[at], held[start:end])) is None:
                    self._ended = ConnectionAbortedError("the broker sent what is not MQTT")
                    break
                taken.append(message)
            else:
                self._for_paho += held[at:end]
            at = end
        del held[:at]
        return taken

    @property
    def whole(self) -> bool:
        """Whether `take` would find something without another read."""
        return _packet(self._in, 0) is not None

    @property
    def laden(self) -> bool:
        """Whether as much waits here as one read brings: time to take some of it before there is another."""
        return len(self._in) >= _READ

    @property
    def for_paho(self) -> bool:
        """Whether paho has something to read, if only the end."""
        return bool(self._for_paho) or self._ended is not None

    def acknowledge(self, mids: Iterable[int]) -> None:
        """PUBACKs for messages at QoS 1, in one write."""
        self._out += b"".join([_PUBACK + mid.to_bytes(2, "big") for mid in mids])
        self.flush()

    @property
    def unsent(self) -> bool:
        return bool(self._out)

    def flush(self) -> None:
        """Sends what the socket takes."""
        try:
            while self._out:
                del self._out[: self._sock.send(self._out)]
        except (BlockingIOError, ssl.SSLWantReadError, ssl.SSLWantWriteError):
            pass
        except OSError as error:
            self._ended = self._ended or error

    def _published(self, first: int, body: bytearray) -> Published | None:
        """Properties are passed over: none of them changes what a batch is, and we allow the broker no aliases."""
        at = 2 + int.from_bytes(body[:2], "big")
        topic, mid = bytes(body[2:at]), 0
        if first & 0b0110:
            mid = int.from_bytes(body[at : at + 2], "big")
            at += 2
        if self._version5 and at < len(body):
            if (properties := _number(body, at)) is None:
                return None
            at = sum(properties)
        return Published(topic, bytes(body[at:]), mid) if at <= len(body) else None

    # --- what paho asks of a socket

    def recv(self, most: int) -> bytes:
        if self._for_paho:
            data = bytes(self._for_paho[:most])
            del self._for_paho[:most]
            return data
        if self._ended is not None:
            raise self._ended
        raise BlockingIOError

    def send(self, data: bytes | bytearray) -> int:
        """Takes everything: packets stay whole, and ours go between them."""
        if self._ended is not None:
            raise self._ended
        self._out += data
        self.flush()
        return len(data)

    def fileno(self) -> int:
        return self._sock.fileno()

    def setblocking(self, flag: bool) -> None:
        self._sock.setblocking(flag)

    def close(self) -> None:
        """Sends what is left and waits for the broker to hang up: closed with something unread, TCP would tear the line
        down, and Mosquitto forget the acknowledgements that it had not looked at.
        """
        with contextlib.suppress(OSError, ValueError):
            self._sock.settimeout(_LAST_WORDS_S)
            self._sock.sendall(self._out)
            self._sock.shutdown(SHUT_WR)
            for _ in range(_LAST_READS):
                if not self._sock.recv(_READ):
                    break
        self._sock.close()


def _packet(held: bytearray, at: int) -> tuple[int, int] | None:
    """Where the body of the packet at `at` starts and ends; None as long as it is not whole."""
    if (remaining := _number(held, at + 1)) is None:
        return None
    length, start = remaining
    return (start, start + length) if len(held) >= start + length else None


def _number(held: bytearray, at: int) -> tuple[int, int] | None:
    """A variable byte integer (1.5.5), which ends with its fourth byte at the latest, and where it ends; None if it is
    not whole.
    """
    value = shift = 0
    while at < len(held):
        byte = held[at]
        value |= (byte & 0x7F) << shift
        at, shift = at + 1, shift + 7
        if byte < 0x80 or shift == 28:
            return value, at
    return None
