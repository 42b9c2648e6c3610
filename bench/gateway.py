"""What an advert costs the gateway above bleak itself: CPU per advert, ours ÷ an empty bleak callback.

    python -m bench.gateway --seconds 20

Two simulated radios on two private buses send the same adverts in turns, slice by slice: one to an unmodified bleak
scanner with an empty callback, one to the whole gateway (`python -m gateway run`) with its outbox, a real broker and
signed receipts. Windows last five seconds instead of a minute, so that disk and link cost twelve times what they
usually do. The figure is all CPU ÷ all adverts of one, over the same of the other. The last line is one JSON object.
"""

from __future__ import annotations

import argparse
import asyncio
import json
import os
import secrets
import subprocess
import sys
import tempfile
import threading
import time
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

import paho.mqtt.client as mqtt
from bleak import BleakScanner
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
from paho.mqtt.enums import CallbackAPIVersion, MQTTProtocolVersion

from firmware_sim.bluez import SimulatedBluez
from gateway.enrolled import IDENTITY_FILE, Enrolment, load_or_make_key, save_enrolment
from server.local.broker import OwnBroker
from wire import topics
from wire.batch import GatewayClass, decode_batch
from wire.frames import NETWORK_ID_LAB, SERVICE_UUID, FrameType
from wire.receipt import NOTHING_SETTLED, Outcome, OutcomeKind, Receipt, encode_receipt
from wire.signing import SIGNATURE_LEN, Domain, sign

GATEWAY: Final = "bench"
TAGS: Final = 200
# A tag repeats each frame this often: the usual case, and the spoofer's opposite.
REPEATS: Final = 4
TURN: Final = 50  # adverts in one event-loop turn
# Short turns, so that a busy neighbour slows both alike.
SLICE_S: Final = 0.15
QUIET_S: Final = 0.15
SHOW_EVERY_S: Final = 2.0
WINDOW_S: Final = 5
_HEAD: Final = bytes((NETWORK_ID_LAB, 0, FrameType.PROVENANCE, 0))


# --- Processes: the air, and the empty callback --------------------------------------------------------------


async def air() -> None:
    """A radio: says its bus address, then for each line of input (seconds) sends as fast as the bus takes it."""
    async with SimulatedBluez(temporary_timeout_s=3_600) as bluez:
        print(bluez.bus_address, flush=True)
        number = 0
        while line := await asyncio.to_thread(sys.stdin.readline):
            told_before = bluez.counts["told"]
            until = time.monotonic() + float(line)
            while time.monotonic() < until:
                for _ in range(TURN):
                    tag, beacon = number // REPEATS % TAGS, number // (REPEATS * TAGS)
                    frame = _HEAD + (beacon << 16 | tag).to_bytes(20, "big")
                    address = f"C0:00:00:00:00:{tag:02X}"
                    bluez.advertise_now(address, {SERVICE_UUID: frame}, -60 - number % 7)
                    number += 1
                await bluez.drained()
            print(bluez.counts["told"] - told_before, flush=True)


async def bare() -> None:
    """An unmodified scanner that does nothing with what it hears; ends with its input."""
    async with BleakScanner(lambda _d, _a: None, bluez={"filters": {"RSSI": -127, "DuplicateData": True}}):
        print("ready", flush=True)
        await asyncio.to_thread(sys.stdin.read)


# --- Seen from here ----------------------------------------------------------------------------------------------


class Child:
    """One process of ours; ended when its input ends."""

    def __init__(self, *words: str, **environment: str) -> None:
        self.process = subprocess.Popen(
            [sys.executable, "-m", *words],
            stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True, env=os.environ | environment,
        )  # fmt: skip

    def line(self, ask: str = "") -> str:
        assert self.process.stdin is not None
        assert self.process.stdout is not None
        if ask:
            self.process.stdin.write(ask + "\n")
            self.process.stdin.flush()
        answer = self.process.stdout.readline().strip()
        if not answer:
            raise SystemExit("a process of the benchmark ended early")
        return answer

    def cpu_s(self) -> float:
        """CPU of the whole process: Linux gives every process a clock (see clock_getcpuclockid(3))."""
        return time.clock_gettime(~self.process.pid << 3 | 2)

    def settled_cpu_s(self) -> float:
        """CPU once it has nothing left to do."""
        used_s = self.cpu_s()
        while True:
            time.sleep(QUIET_S)
            before_s, used_s = used_s, self.cpu_s()
            if used_s - before_s < 0.1 * QUIET_S:
                return used_s

    def end(self) -> None:
        assert self.process.stdin is not None
        self.process.stdin.close()
        self.process.terminate()
        self.process.wait(20)


class Receipts:
    """The server's half: answers every batch with a signed receipt."""

    def __init__(self, url: str) -> None:
        self.key = Ed25519PrivateKey.generate()
        self.batches = 0
        self._client = mqtt.Client(
            CallbackAPIVersion.VERSION2, "bench-server", protocol=MQTTProtocolVersion.MQTTv5
        )  # fmt: skip
        self._client.on_message = self._answer
        host, port = url.removeprefix("mqtt://").split(":")
        ready = threading.Event()
        self._client.on_subscribe = lambda *_: ready.set()
        self._client.connect(host, int(port))
        self._client.loop_start()
        self._client.subscribe(topics.batch(GATEWAY), 1)
        ready.wait(10)

    def _answer(self, client: mqtt.Client, _data: Any, message: mqtt.MQTTMessage) -> None:
        batch = decode_batch(bytes(message.payload[SIGNATURE_LEN:]))
        outcome = Outcome(batch.sequence, OutcomeKind.STORED)
        receipt = Receipt(GATEWAY, batch.outbox_id, NOTHING_SETTLED, (outcome,))
        client.publish(topics.receipt(GATEWAY), sign(self.key, Domain.RECEIPT, encode_receipt(receipt)), qos=1)
        self.batches += 1

    def close(self) -> None:
        self._client.disconnect()
        self._client.loop_stop()


def enrolled(folder: Path, broker_url: str, server_key: Ed25519PrivateKey) -> None:
    """What `python -m gateway enrol` would leave."""
    key = load_or_make_key(folder / IDENTITY_FILE)
    public, server = key.public_key().public_bytes_raw(), server_key.public_key().public_bytes_raw()
    who = (GATEWAY, GatewayClass.OWN_SITE, NETWORK_ID_LAB, public, "http://127.0.0.1", server)
    save_enrolment(folder, Enrolment(*who, broker_url, "gw-bench", secrets.token_urlsafe(8)))


@contextmanager
def everything(folder: Path) -> Iterator[tuple[Child, Child, Child, Child, Receipts]]:
    """Both radios, the empty callback, the gateway and the server's half."""
    with ExitStack() as stack:

        def child(*words: str, **environment: str) -> Child:
            started = Child(*words, **environment)
            stack.callback(started.end)
            return started

        broker = stack.enter_context(OwnBroker(folder / "broker"))
        receipts = Receipts(broker.url)
        stack.callback(receipts.close)
        enrolled(folder / "gateway", broker.url, receipts.key)
        air_bare, air_ours = child("bench.gateway", "--child", "air"), child("bench.gateway", "--child", "air")
        empty = child("bench.gateway", "--child", "bare", DBUS_SYSTEM_BUS_ADDRESS=air_bare.line())
        empty.line()
        settings = {
            "DATA": str(folder / "gateway"),
            "WINDOW_S": str(WINDOW_S),
            "CLOCK": "good: benchmark",
            "LOG_LEVEL": "error",
        }
        ours = child(
            "gateway", "run", DBUS_SYSTEM_BUS_ADDRESS=air_ours.line(),
            **{f"HEARSIGHT_GATEWAY_{name}": value for name, value in settings.items()},
        )  # fmt: skip
        status = folder / "gateway" / "status.json"
        until = time.monotonic() + 20
        while not (status.exists() and json.loads(status.read_bytes())["scanner"] == "scanning"):
            if time.monotonic() > until:
                raise SystemExit("the gateway does not scan")
            time.sleep(0.1)
        yield air_bare, empty, air_ours, ours, receipts


@dataclass(slots=True)
class Side:
    """One radio and the ear that listens to it, and what they cost together since `begin`."""

    radio: Child
    ear: Child
    adverts: int = 0
    sent_s: float = 0.0
    cpu_before_s: float = 0.0

    def begin(self) -> None:
        self.adverts, self.sent_s, self.cpu_before_s = 0, 0.0, self.ear.settled_cpu_s()

    def turn(self) -> None:
        began_s = time.monotonic()
        self.adverts += int(self.radio.line(str(SLICE_S)))
        self.sent_s += time.monotonic() - began_s

    def us(self) -> float:
        """CPU microseconds per advert so far."""
        return (self.ear.cpu_s() - self.cpu_before_s) / self.adverts * 1e6


def rss_mb(pid: int) -> float:
    for line in Path(f"/proc/{pid}/status").read_text().splitlines():
        if line.startswith("VmRSS"):
            return int(line.split()[1]) / 1024
    return 0.0


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--seconds", type=float, default=20.0, help="time for the measurement (default 20)")
    parser.add_argument("--child", choices=("air", "bare"), help=argparse.SUPPRESS)
    arguments = parser.parse_args()
    if arguments.child:
        asyncio.run({"air": air, "bare": bare}[arguments.child]())
        return
    with tempfile.TemporaryDirectory(prefix="hearsight-bench-") as name:
        run(Path(name), arguments.seconds)


def run(folder: Path, seconds: float) -> None:
    with everything(folder) as (air_bare, empty, air_ours, ours, receipts):
        bare_side, our_side = sides = Side(air_bare, empty), Side(air_ours, ours)
        for side in sides:
            side.turn()  # warms up, and makes every device known
        told = our_side.adverts
        for side in sides:
            side.begin()
        show_s = time.monotonic() + SHOW_EVERY_S
        until_s = time.monotonic() + seconds
        while time.monotonic() < until_s:
            for side in sides:
                side.turn()
            sides = sides[::-1]  # whoever is first has no advantage
            if time.monotonic() >= show_s:
                show_s += SHOW_EVERY_S
                both = bare_side.us(), our_side.us()
                print(f"empty callback {both[0]:.2f} us, gateway {both[1]:.2f} us per advert", flush=True)
        for side in sides:
            side.ear.settled_cpu_s()
        bare_us, ours_us = bare_side.us(), our_side.us()
        time.sleep(WINDOW_S + 1.0)  # the last window leaves
        idle_before_s = ours.cpu_s()
        time.sleep(2.0)
        idle_ms_per_s = (ours.cpu_s() - idle_before_s) / 2.0 * 1000
        memory_mb = rss_mb(ours.process.pid)
    heard = json.loads((folder / "gateway" / "status.json").read_bytes())
    result = {
        "cpu_ratio_to_bare_callback": round(ours_us / bare_us, 3),
        "bare_us_per_advert": round(bare_us, 2),
        "gateway_us_per_advert": round(ours_us, 2),
        "adverts_per_s": round(our_side.adverts / our_side.sent_s),
        "adverts_told": told + our_side.adverts,
        "adverts_heard": heard["adverts"],
        "batches": receipts.batches,
        "sightings": heard["sightings_made"],
        "tags": TAGS,
        "window_s": WINDOW_S,
        "idle_cpu_ms_per_s": round(idle_ms_per_s, 2),
        "memory_mb": round(memory_mb, 1),
    }
    print(json.dumps(result))


if __name__ == "__main__":
    main()
