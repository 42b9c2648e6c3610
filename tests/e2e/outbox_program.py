"""A process that behaves like the outboxes of several gateways, and writes down what it committed before it sends it.

    python -m tests.e2e.outbox_program < orders.json

Deletes only on signed receipts; publishes again after a reconnect and after half a second without a receipt. It ends
when every batch is settled. The trace (one JSON line per batch: gateway, sequence, [[serial, uptime], …]) is what
the database is compared with; nothing of the server's takes part in making it.
"""

from __future__ import annotations

import json
import sys
import threading
import time
from dataclasses import dataclass, field
from pathlib import Path
from typing import IO, Any

import paho.mqtt.client as paho
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey, Ed25519PublicKey
from paho.mqtt.enums import CallbackAPIVersion

from wire import topics
from wire.batch import Batch, Clock, HeardFrame, Sighting, encode_batch, pack_sightings
from wire.frames import encode_p
from wire.keys import tag_key
from wire.receipt import OutcomeKind, decode_receipt
from wire.signing import Domain, sign, verify

AGAIN_S = 0.5
WINDOW = 12
SIGHTINGS = 5


@dataclass
class Outbox:
    """One gateway's: what is committed and not yet settled, and when each was last sent."""

    name: str
    key: Ed25519PrivateKey
    outbox_id: bytes
    batches: int
    waiting: dict[int, bytes] = field(default_factory=dict)
    sent_at: dict[int, float] = field(default_factory=dict)
    committed: int = 0
    repeated: int = 0
    lock: threading.Lock = field(default_factory=threading.Lock)

    def commit(self, orders: dict[str, Any], trace: IO[str]) -> None:
        """One more batch: into the trace first, then into the outbox."""
        k_factory, k_lot = bytes.fromhex(orders["k_factory"]), bytes.fromhex(orders["k_lot"])
        now_ms = int(time.time() * 1000)
        number = orders["gateways"].index([self.name, self.key.private_bytes_raw().hex()])
        said = [(number * 10 + n, self.committed * SIGHTINGS + n) for n in range(SIGHTINGS)]
        sightings = [
            Sighting(
                now_ms, now_ms, 1, -60, -60,
                (HeardFrame(now_ms, encode_p(k_lot, tag_key(k_factory, serial), serial=serial, uptime_s=uptime,
                                             boot=1, random2=b"ab", status=0)),),
            )
            for serial, uptime in said
        ]  # fmt: skip
        trace.write(json.dumps([self.name, self.committed, said]) + "\n")
        trace.flush()
        packed, frames = pack_sightings(sightings)
        batch = Batch(self.name, self.outbox_id, self.committed, now_ms, Clock.GOOD, sightings=packed, frames=frames)
        with self.lock:
            self.waiting[self.committed] = sign(self.key, Domain.BATCH, encode_batch(batch))
        self.committed += 1

    def settle(self, payload: bytes, server_key: Ed25519PublicKey) -> None:
        receipt = decode_receipt(verify(server_key, Domain.RECEIPT, payload))
        assert receipt.gateway == self.name
        assert receipt.outbox_id == self.outbox_id
        bad = [outcome for outcome in receipt.outcomes if outcome.kind > OutcomeKind.DUPLICATE]
        assert not bad, bad
        done = {outcome.sequence for outcome in receipt.outcomes}
        with self.lock:
            for sequence in [s for s in self.waiting if s <= receipt.settled_up_to or s in done]:
                del self.waiting[sequence]

    def due(self, now: float) -> list[tuple[int, bytes]]:
        with self.lock:
            due = [(s, p) for s, p in self.waiting.items() if now - self.sent_at.get(s, -AGAIN_S) >= AGAIN_S]
        self.repeated += sum(s in self.sent_at for s, _ in due)
        self.sent_at.update(dict.fromkeys((s for s, _ in due), now))
        return due


def connect(orders: dict[str, Any], outbox: Outbox, server_key: Ed25519PublicKey, failed: list[str]) -> paho.Client:
    client = paho.Client(CallbackAPIVersion.VERSION2, outbox.name, protocol=paho.MQTTv5)
    client.reconnect_delay_set(0.05, 0.2)  # type: ignore[arg-type]

    def on_connect(*_: Any) -> None:
        client.subscribe(topics.receipt(outbox.name), 1)
        outbox.sent_at.clear()

    def on_message(_client: Any, _data: Any, message: paho.MQTTMessage) -> None:
        try:
            outbox.settle(bytes(message.payload), server_key)
        except Exception as error:
            failed.append(repr(error))

    client.on_connect, client.on_message = on_connect, on_message
    client.connect_async("127.0.0.1", orders["port"])
    client.loop_start()
    return client


def main() -> None:
    orders = json.load(sys.stdin)
    server_key = Ed25519PublicKey.from_public_bytes(bytes.fromhex(orders["server_key"]))
    outboxes = [
        Outbox(name, Ed25519PrivateKey.from_private_bytes(bytes.fromhex(key)), name.encode().rjust(16), orders["each"])
        for name, key in orders["gateways"]
    ]
    failed: list[str] = []
    clients = [connect(orders, outbox, server_key, failed) for outbox in outboxes]
    with Path(orders["trace"]).open("w") as trace:
        while not failed and any(outbox.waiting or outbox.committed < outbox.batches for outbox in outboxes):
            for outbox, client in zip(outboxes, clients, strict=True):
                while outbox.committed < outbox.batches and len(outbox.waiting) < WINDOW:
                    outbox.commit(orders, trace)
                if client.is_connected():
                    for _, payload in outbox.due(time.monotonic()):
                        client.publish(topics.batch(outbox.name), payload, 1)
            time.sleep(0.002)
    print(json.dumps({"failed": failed, "repeated": sum(outbox.repeated for outbox in outboxes)}))
    for client in clients:
        client.loop_stop()


if __name__ == "__main__":
    main()
