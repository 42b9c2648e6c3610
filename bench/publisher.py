"""A publisher that leaves the processors to what is measured: packets made beforehand, sent straight to the socket.

python -m bench.publisher FILE HOST PORT                   publishes the packets of FILE at QoS 1 until all are
                                                           acknowledged, at most WINDOW under way
python -m bench.publisher FILE HOST PORT --per-s 1500      no faster than that; each as soon as it is due
"""

from __future__ import annotations

import argparse
import select
import socket
import subprocess
import sys
import time
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
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


def write_packets(path: Path, messages: Iterable[tuple[str, bytes]]) -> None:
    """Topics and payloads as the file that this program publishes: each packet after its length (u32)."""
    with path.open("wb") as file:
        for number, (topic, payload) in enumerate(messages):
            data = packet(number, topic, payload)
            file.write(len(data).to_bytes(4, "big") + data)


@contextmanager
def publishing(path: Path, port: int, per_s: float = 0.0) -> Iterator[float]:
    """Runs this program on a local broker; yields the moment (seconds since 1970) at which it was told to begin.

    Packet n of a paced one was due n / per_s later. The block ends when the program has ended.
    """
    process = subprocess.Popen(
        [sys.executable, "-m", "bench.publisher", str(path), "127.0.0.1", str(port), "--per-s", str(per_s)],
        stdin=subprocess.PIPE, stdout=subprocess.PIPE,
    )  # fmt: skip
    try:
        assert process.stdin is not None
        assert process.stdout is not None
        assert process.stdout.readline() == b"ready\n"
        began = time.time()
        process.stdin.write(b"%.6f\n" % began)
        process.stdin.close()
        yield began
        assert process.wait(60) == 0
    finally:
        process.kill()
        process.wait()


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
    assert data, "the broker closed the connection"
    count = at = 0
    while at + 2 <= len(data) and at + 2 + data[at + 1] <= len(data):
        assert data[at] == 0x40, f"not a PUBACK: {data[at]:#x}"
        count, at = count + 1, at + 2 + data[at + 1]
    return count, data[at:]


def publish(path: Path, host: str, port: int, per_s: float) -> None:
    """Sends every packet of the file. Says `ready` when it is connected, begins at the moment that it is then told."""
    data = path.read_bytes()
    line = _connect(host, port)
    print("ready", flush=True)
    began = float(sys.stdin.readline())
    at, sent, under_way, rest = 0, 0, 0, b""
    while at < len(data) or under_way:
        due = int((time.time() - began) * per_s) + 1 if per_s else sys.maxsize
        burst = []
        while at < len(data) and under_way < WINDOW and sent < due:
            size = int.from_bytes(data[at : at + 4], "big")
            burst.append(data[at + 4 : at + 4 + size])
            at, sent, under_way = at + 4 + size, sent + 1, under_way + 1
        if burst:
            line.sendall(b"".join(burst))
        waits = at < len(data) and under_way < WINDOW  # for the next one to become due
        until = began + sent / per_s - time.time() if waits else None
        if until is None or select.select([line], [], [], max(0.0, until))[0]:
            count, rest = _acknowledged(line, rest)
            under_way -= count
    line.close()


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("file", type=Path)
    parser.add_argument("host")
    parser.add_argument("port", type=int)
    parser.add_argument("--per-s", type=float, default=0.0, help="packets a second; 0: as fast as they are taken")
    asked = parser.parse_args()
    publish(asked.file, asked.host, asked.port, asked.per_s)


if __name__ == "__main__":
    main()
