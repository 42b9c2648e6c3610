"""A process with the outboxes of several gateways: real Outbox, Courier and Link, a made-up radio, and a trace.

    python -m tests.e2e.crash.outboxes orders.json

The trace says what goes into an outbox before it does ("will"), and that it is there ("did"), one JSON line each. It
is what the database is compared with. A killed process is started again on the same files. Once the file `finish`
exists it adds nothing more; when all outboxes are empty it writes `done` and ends.
"""

from __future__ import annotations

import asyncio
import json
import random
import secrets
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import IO, Any

import structlog
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey, Ed25519PublicKey

from gateway import courier, link, outbox_file
from gateway.collector import Window
from gateway.courier import Courier
from gateway.link import Broker, Link, Mail
from gateway.outbox import Outbox, OutboxFullError, Owner
from wire import topics
from wire.batch import Clock, HeardFrame, Sighting
from wire.errors import WireError
from wire.frames import encode_p
from wire.keys import tag_key

# A gateway has half a minute for an answer and for a broker that is away, and megabytes for its log and its reserve;
# these tests have less. Nothing else differs.
AGAIN_S, BACKOFF_MIN_S, BACKOFF_MAX_S = 1.0, 0.05, 0.3
LOG_PAGES, RESERVE_BYTES = 20, 400_000
SIGHTINGS = 5
TURN_S = 0.004


class House:
    """One gateway."""

    def __init__(self, number: int, orders: dict[str, Any], trace: IO[str]) -> None:
        self.name, key = orders["gateways"][number]
        self._number, self._trace = number, trace
        self._k_lot, k_factory = bytes.fromhex(orders["k_lot"]), bytes.fromhex(orders["k_factory"])
        self._tags = [(serial, tag_key(k_factory, serial)) for serial in range(number * 10, number * 10 + SIGHTINGS)]
        self._said = orders["said"][self.name]
        self._server_key = bytes.fromhex(orders["server_key"])
        owner = Owner(
            self.name,
            Ed25519PrivateKey.from_private_bytes(bytes.fromhex(key)),
            Ed25519PublicKey.from_public_bytes(self._server_key),
            lambda: secrets.token_bytes(16),
        )
        path = Path(orders["outboxes"]) / self.name / "outbox.sqlite"
        self.outbox = Outbox(path, owner, limit_bytes=orders["limit_bytes"])
        self._waiting_max, self._hears_a_turn = orders["waiting_max"], orders["hears_a_turn"]
        self.outbox.begin()
        self._courier = Courier()
        self._receipts: list[bytes] = []
        self.link = Link(
            Broker("127.0.0.1", orders["port"], tls=False, username=self.name, password=""),
            Mail(f"hs-{self.name}", topics.state(self.name), lambda: b"", (topics.receipt(self.name),)),
            on_ready=self._courier.connected,
            on_message=lambda _, payload: self._receipts.append(payload),
            log=structlog.get_logger(),
            jitter=random.random,
        )

    def hear(self) -> None:
        """One more window: into the trace first, then into the outbox."""
        self._said += 1
        now_ms = time.time_ns() // 1_000_000
        heard = [
            (serial, encode_p(self._k_lot, k_tag, serial=serial, uptime_s=self._said, boot=1, random2=b"ab", status=0))
            for serial, k_tag in self._tags
        ]
        seen = tuple(Sighting(now_ms, now_ms, 1, -60, -60, (HeardFrame(now_ms, frame),)) for _, frame in heard)
        self._write("will", [serial for serial, _ in heard], heard[0][1].hex())
        try:
            self.outbox.add(Window(seen, {}), now_ms=now_ms, clock=Clock.GOOD, place=None)
        except OutboxFullError:
            self._write("full")
        else:
            self._write("did")

    def _write(self, what: str, *more: object) -> None:
        self._trace.write(json.dumps([what, self.name, self._said, *more]) + "\n")
        self._trace.flush()

    def turn(self) -> None:
        """What gateway/run.py does in its tasks, one after the other."""
        while self._receipts:
            try:
                settled = self.outbox.settle(self._receipts.pop(0))
            except WireError as error:
                if error.code != "receipt_outbox":
                    raise
                continue  # a repetition, for an outbox of which nothing waits any more
            except OutboxFullError:
                continue  # it comes again
            assert not settled.refused, settled
            self._courier.settled(settled.gone)
            self._courier.renamed(settled.renamed)
        if not self.link.ready:
            return
        now_s = time.monotonic()
        ask = self._courier.ask(now_s)
        unsent = self.outbox.numbers_after(ask.after, ask.limit) if ask.limit else []
        for number in self._courier.due(ask, unsent, now_s):
            payload = self.outbox.payload(number)
            if payload is None:
                self._courier.settled([number])
            elif self.link.publish(topics.batch(self.name), payload):
                self._courier.published(number, now_s)
            else:
                return

    async def live(self, is_ending: Callable[[], bool]) -> None:
        ending = False
        while not ending or self.outbox.depth().batches:
            ending = ending or is_ending()
            for _ in range(0 if ending else self._hears_a_turn):
                if self.outbox.depth().batches < self._waiting_max:
                    self.hear()
            self.turn()
            await asyncio.sleep(TURN_S)


async def run(orders: dict[str, Any]) -> None:
    folder = Path(orders["folder"])
    with (folder / "trace.jsonl").open("a") as trace:
        houses = [House(number, orders, trace) for number in range(len(orders["gateways"]))]
        links = [asyncio.ensure_future(house.link.run()) for house in houses]
        async with asyncio.TaskGroup() as living:
            for house in houses:
                living.create_task(house.live((folder / "finish").exists))
        (folder / "done").touch()
        for each in links:
            each.cancel()
        await asyncio.gather(*links, return_exceptions=True)


def main() -> None:
    courier.AGAIN_AFTER_S = courier.AGAIN_MAX_S = AGAIN_S  # type: ignore[misc]
    link.BACKOFF_MIN_S, link.BACKOFF_MAX_S = BACKOFF_MIN_S, BACKOFF_MAX_S  # type: ignore[misc]
    outbox_file._LOG_PAGES, outbox_file._RESERVE_BYTES = LOG_PAGES, RESERVE_BYTES  # type: ignore[misc]
    asyncio.run(run(json.loads(Path(sys.argv[1]).read_text())))


if __name__ == "__main__":
    main()
