"""A TCP proxy before the broker that can hold back the ingest's acknowledgements: the moment after the commit."""

from __future__ import annotations

import socket
import threading
from collections.abc import Callable, Iterator

from wire.batch import decode_batch
from wire.receipt import decode_receipt
from wire.signing import SIGNATURE_LEN

PUBLISH, PUBACK = 0x3, 0x4


class PubackProxy:
    """Passes everything on; once armed, nothing more to the broker from the first PUBACK on.

    `is_committed(outbox_id, sequence)` is asked at the very moment each PUBACK or receipt comes; `early` counts the
    noes, `again` the batches that were delivered before.
    """

    def __init__(self, broker_port: int, is_committed: Callable[[bytes, int], bool]) -> None:
        self._broker_port, self._is_committed = broker_port, is_committed
        self._listener = socket.create_server(("127.0.0.1", 0))
        self.port = int(self._listener.getsockname()[1])
        self._armed = False
        self.caught = threading.Event()
        self.seen = 0
        self.early = 0
        self.again = 0
        self._batches: dict[int, tuple[bytes, int]] = {}
        self._delivered: set[tuple[bytes, int]] = set()
        threading.Thread(target=self._accept, daemon=True).start()

    def arm(self) -> None:
        self.caught.clear()
        self._armed = True

    def disarm(self) -> None:
        self._armed = False

    def close(self) -> None:
        self._listener.close()

    def _accept(self) -> None:
        while True:
            try:
                client, _ = self._listener.accept()
                broker = socket.create_connection(("127.0.0.1", self._broker_port))
            except OSError:
                return
            for end in (client, broker):
                end.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
            threading.Thread(target=self._down, args=(broker, client), daemon=True).start()
            threading.Thread(target=self._up, args=(client, broker), daemon=True).start()

    def _down(self, broker: socket.socket, client: socket.socket) -> None:
        """Broker to ingest: remembers which batch has which number."""
        for kind, packet, body in _packets(broker):
            if kind == PUBLISH:
                mid, payload = _published(packet[0], body)
                batch = decode_batch(payload)
                name = batch.outbox_id, batch.sequence
                self._batches[mid] = name
                self.again += name in self._delivered
                self._delivered.add(name)
            if not _send(client, packet):
                break
        _shut(client, broker)

    def _up(self, client: socket.socket, broker: socket.socket) -> None:
        """Ingest to broker: receipts, and the acknowledgements, held back once armed."""
        holding = False
        for kind, packet, body in _packets(client):
            if kind == PUBACK and not holding:
                self.seen += 1
                self.early += not self._is_committed(*self._batches[int.from_bytes(body[:2], "big")])
                if self._armed:
                    holding = True
                    self.caught.set()
            if kind == PUBLISH:
                receipt = decode_receipt(_published(packet[0], body)[1])
                self.early += sum(not self._is_committed(receipt.outbox_id, o.sequence) for o in receipt.outcomes)
            if not holding and not _send(broker, packet):
                break
        _shut(client, broker)


def _packets(source: socket.socket) -> Iterator[tuple[int, bytes, bytes]]:
    """Whole MQTT packets: kind, all of it, what stands after the fixed header."""
    data = b""
    while True:
        try:
            more = source.recv(65_536)
        except OSError:
            return
        if not more:
            return
        data += more
        while (size := _header(data)) is not None and len(data) >= sum(size):
            head, rest = size
            yield data[0] >> 4, data[: head + rest], data[head : head + rest]
            data = data[head + rest :]


def _header(data: bytes) -> tuple[int, int] | None:
    """Length of the fixed header and of the rest, once it has come."""
    rest = 0
    for n, byte in enumerate(data[1:5]):
        rest |= (byte & 127) << 7 * n
        if not byte & 128:
            return n + 2, rest
    return None


def _published(first: int, body: bytes) -> tuple[int, bytes]:
    """Packet number and signed body of what is published in MQTT 5."""
    assert first >> 1 & 3 == 1, "batches and receipts go at QoS 1"
    at = 2 + int.from_bytes(body[:2], "big")
    mid = int.from_bytes(body[at : at + 2], "big")
    return mid, body[at + 3 + body[at + 2] + SIGNATURE_LEN :]


def _send(target: socket.socket, packet: bytes) -> bool:
    try:
        target.sendall(packet)
    except OSError:
        return False
    return True


def _shut(*ends: socket.socket) -> None:
    for end in ends:
        try:
            end.shutdown(socket.SHUT_RDWR)
        except OSError:
            continue
