"""A publisher that leaves the processors to what is measured: packets made beforehand, sent straight to the socket.

python -m bench.publisher FILE HOST PORT     publishes the packets of FILE at QoS 1 until all are acknowledged
"""

from __future__ import annotations

import socket
import sys
from pathlib import Path
from typing import Final

# Packets on their way at once: below the limit of either broker.
WINDOW: Final = 400


def _length(value: int) -> bytes:
    out = b""
    while value > 127:
        out, value = out + bytes((value & 127 | 128,)), value >> 7
    return out + bytes((value,))


def packet(number: int, topic: str, payload: bytes) -> bytes:
    """An MQTT 5 PUBLISH at QoS 1, ready for the socket."""
    name = topic.encode()
    rest = len(name).to_bytes(2, "big") + name + (number % 65_535 + 1).to_bytes(2, "big") + b"\0" + payload
    return b"\x32" + _length(len(rest)) + rest


def _connect(host: str, port: int) -> socket.socket:
    client = b"bench-load"
    rest = b"\0\4MQTT\5\2" + (600).to_bytes(2, "big") + b"\0" + len(client).to_bytes(2, "big") + client
    line = socket.create_connection((host, port))
    line.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
    line.sendall(b"\x10" + _length(len(rest)) + rest)
    answer = line.recv(4096)
    assert answer[:1] == b"\x20", "the broker did not accept the connection"
    assert answer[3] == 0, f"the broker refused with {answer[3]}"
    return line


def _acknowledged(line: socket.socket, rest: bytes) -> tuple[int, bytes]:
    """How many PUBACKs came, and the bytes of an unfinished one. Waits for at least some bytes."""
    data = rest + line.recv(65_536)
    count = at = 0
    while at + 2 <= len(data) and at + 2 + data[at + 1] <= len(data):
        assert data[at] == 0x40, f"not a PUBACK: {data[at]:#x}"
        count, at = count + 1, at + 2 + data[at + 1]
    return count, data[at:]


def publish(path: Path, host: str, port: int) -> None:
    """Sends every packet of the file (each after its length, u32), at most WINDOW of them unacknowledged.

    Says `ready` when it is connected and begins at the next line that it is told.
    """
    data = path.read_bytes()
    line = _connect(host, port)
    print("ready", flush=True)
    sys.stdin.readline()
    at, under_way, rest = 0, 0, b""
    while at < len(data) or under_way:
        burst = []
        while at < len(data) and under_way < WINDOW:
            size = int.from_bytes(data[at : at + 4], "big")
            burst.append(data[at + 4 : at + 4 + size])
            at, under_way = at + 4 + size, under_way + 1
        if burst:
            line.sendall(b"".join(burst))
        count, rest = _acknowledged(line, rest)
        under_way -= count
    line.close()


if __name__ == "__main__":
    publish(Path(sys.argv[1]), sys.argv[2], int(sys.argv[3]))
