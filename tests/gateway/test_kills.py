"""kill -9 of the gateway at random points: what reached the outbox is stored exactly once, the rest is one window each.

The trace is independent of the gateway: the simulated radio notes what it told while somebody scanned, and after every
kill the outbox is read with plain SQLite.
"""

from __future__ import annotations

import asyncio
import contextlib
import random
import signal
import sqlite3
import threading
import time
from collections import Counter
from collections.abc import Callable

from tests.gateway.air import Air, address, frame
from tests.gateway.brokers import Broker
from tests.gateway.process import GatewayProcess
from tests.gateway.server import TestServer, wait_for
from wire.batch import decode_batch, unpack_sightings
from wire.frames import SERVICE_UUID
from wire.signing import SIGNATURE_LEN

KILLS = 20
TAGS = 8
# Slower than a quarter of the window: no address has more distinct frames in it than are kept.
EVERY_S = 0.3
WINDOW_S = 0.4
# A killed process cannot be asked; the last signals may be in its socket, and one commit may be under way.
SLACK_S = 1.0


class Traffic:
    """Tags that send a new frame all the time; `told` notes every frame that bluetoothd handed to a scanner."""

    def __init__(self, air: Air, make_frame: Callable[[int], bytes] = frame) -> None:
        self.told: list[tuple[float, bytes]] = []
        self._air, self._make_frame = air, make_frame
        self._stop = threading.Event()
        self._thread = threading.Thread(target=lambda: air.do(self._run(), 120), daemon=True)

    async def _run(self) -> None:
        number = 0
        until = time.monotonic() + 100
        while not self._stop.is_set() and time.monotonic() < until:
            for tag in range(TAGS):
                number += 1
                sent = self._make_frame(number)
                if self._air.bluez.advertise_now(address(tag), {SERVICE_UUID: sent}, -60) == "told":
                    self.told.append((time.monotonic(), sent))
            await asyncio.sleep(EVERY_S)

    def __enter__(self) -> Traffic:
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._stop.set()
        self._thread.join()


def in_outbox(gateway: GatewayProcess) -> Counter[bytes]:
    """Every frame that waits in the outbox of a dead gateway."""
    path = gateway.data / "outbox.sqlite"
    found: Counter[bytes] = Counter()
    if path.exists():
        with contextlib.closing(sqlite3.connect(path)) as outbox, contextlib.suppress(sqlite3.OperationalError):
            for (payload,) in outbox.execute("SELECT payload FROM waiting"):
                batch = decode_batch(payload[SIGNATURE_LEN:])
                found.update(h.frame for seen in unpack_sightings(batch) for h in seen.frames)
    return found


def test_kill_9_at_random_points(air: Air, one_broker: Broker, server: TestServer, gateway: GatewayProcess) -> None:
    seed = random.randrange(2**32)
    print(f"seed {seed}")
    dice, killed, committed, kills = random.Random(seed), [], Counter[bytes](), 0
    gateway.environment["HEARSIGHT_GATEWAY_WINDOW_S"] = str(WINDOW_S)
    with Traffic(air) as traffic:
        for _ in range(KILLS):
            server.silent, server.deaf = dice.choice([(False, False), (True, False), (True, True)])
            gateway.start()
            if dice.random() < 0.75:
                air.wait_for_scan()
                time.sleep(dice.uniform(0.0, 2.0))  # a window, a look at it, a commit: most of a second
            else:
                time.sleep(dice.uniform(0.0, 0.8))  # while it starts
            assert gateway.end(signal.SIGKILL) == -signal.SIGKILL
            killed.append(time.monotonic())
            kills += 1
            committed |= in_outbox(gateway)
    assert kills == KILLS
    server.silent = server.deaf = False
    gateway.start()
    wait_for(lambda: gateway.status().get("queued_batches") == 0 and gateway.status()["link_ready"], 20)
    assert gateway.end() == 0
    stored = Counter(server.frames())
    assert committed, "something was committed before a kill"
    assert not [data for data in committed if stored[data] != 1], "stored exactly once"
    assert max(stored.values()) == 1
    lost = [(at, data) for at, data in traffic.told if not stored[data]]
    late = [at for at, _ in lost if not any(0 <= kill + 0.1 - at <= WINDOW_S + SLACK_S for kill in killed)]
    assert not late, f"lost, but not in the last window before a kill: {late}"
    unclean = sum(batch.dropped.get("unclean_stop", 0) for batch in server.stored)
    noticed = [event for event in gateway.log() if event["event"] == "unclean_stop"]
    assert unclean == len(noticed), "every unclean stop that was noticed is reported, once"
    # A kill before the run began loses nothing, and there is nothing to report. The last run began, too, and ended
    # well; a kill may fall between the note in the outbox and the line in the log.
    began = [event for event in gateway.log() if event["event"] == "gateway_runs"]
    assert len(began) - 1 <= unclean <= KILLS
    print(f"{kills} kills, {len(traffic.told)} frames told, {len(lost)} lost in open windows, {unclean} reported")
