"""What the simulated radio itself costs, so that it can be told apart from what a gateway costs.

    python -m bench.radio --seconds 20

A simulated bluetoothd sends as fast as the bus takes it; an unmodified bleak scanner in a process of its own counts
callbacks and does nothing else. CPU is told per advert for each of the three processes. The last line is one JSON
object.
"""

from __future__ import annotations

import argparse
import asyncio
import json
import os
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path

from bleak import BleakScanner

from firmware_sim.bluez import SimulatedBluez
from wire.frames import SERVICE_UUID

TAGS = 100
TURN = 100  # adverts in one event-loop turn
QUIET_S = 0.5  # how long no callback may come until all have come


async def listen() -> None:
    """The other process: count, and on a line of input print the count and the CPU seconds so far."""
    heard = 0

    def on_advert(_device: object, _advert: object) -> None:
        nonlocal heard
        heard += 1

    async with BleakScanner(on_advert, bluez={"filters": {"RSSI": -127, "DuplicateData": True}}):
        print("ready", flush=True)
        while await asyncio.to_thread(sys.stdin.readline):
            print(json.dumps([heard, time.process_time()]), flush=True)


class Listener:
    """The listening process, seen from here."""

    def __init__(self, bus_address: str) -> None:
        self.process = subprocess.Popen(
            [sys.executable, "-m", "bench.radio", "--listen"],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
            env=os.environ | {"DBUS_SYSTEM_BUS_ADDRESS": bus_address},
        )

    def line(self) -> str:
        assert self.process.stdout is not None
        return self.process.stdout.readline()

    def ask(self) -> tuple[int, float]:
        assert self.process.stdin is not None
        self.process.stdin.write("\n")
        self.process.stdin.flush()
        heard, cpu_s = json.loads(self.line())
        return heard, cpu_s

    def end(self) -> None:
        assert self.process.stdin is not None
        self.process.stdin.close()
        self.process.wait()


def cpu_of(pid: int) -> float:
    """CPU seconds of another process (proc(5): utime and stime, in clock ticks)."""
    fields = Path(f"/proc/{pid}/stat").read_text().rsplit(") ", 1)[1].split()
    return (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")


async def measure(seconds: float, address: Callable[[int], str]) -> dict[str, float]:
    """Send for so many seconds, wait for the last callback, and divide."""
    async with SimulatedBluez() as bluez:
        listener = Listener(bluez.bus_address)
        assert await asyncio.to_thread(listener.line) == "ready\n"
        assert bluez.bus.pid is not None
        before = (time.process_time(), cpu_of(bluez.bus.pid), listener.ask()[1])
        began, sent = time.perf_counter(), 0
        while time.perf_counter() - began < seconds:
            for number in range(sent, sent + TURN):
                assert bluez.advertise_now(address(number), {SERVICE_UUID: number.to_bytes(24)}, -60) == "told"
            sent += TURN
            await bluez.drained()
            await asyncio.sleep(0)
        heard, last = -1, began
        while (now := listener.ask())[0] > heard:
            heard, last = now[0], time.perf_counter()
            await asyncio.sleep(QUIET_S if heard == sent else 0.02)
        after = (time.process_time(), cpu_of(bluez.bus.pid), now[1])
        await asyncio.to_thread(listener.end)
    names = ("simulator_us", "dbus_daemon_us", "bleak_us")
    spent = {n: round((b - a) / sent * 1e6, 1) for n, a, b in zip(names, before, after, strict=True)}
    return {"sent": sent, "heard": heard, "heard_per_s": round(heard / (last - began)), **spent}


def known(number: int) -> str:
    return f"C0:FF:EE:00:00:{number % TAGS:02X}"


def fresh(number: int) -> str:
    return "C0:" + ":".join(f"{byte:02X}" for byte in number.to_bytes(5))


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--seconds", type=float, default=20.0, help="how long both measurements together may take")
    parser.add_argument("--listen", action="store_true", help="be the listening process")
    arguments = parser.parse_args()
    if arguments.listen:
        asyncio.run(listen())
        return
    each = arguments.seconds / 4  # the listener takes as long again to catch up
    figures = {
        "known_addresses": asyncio.run(measure(each, known)),
        "a_new_address_each_time": asyncio.run(measure(min(each, 1.0), fresh)),
    }
    print(json.dumps({"bench": "radio", "tags": TAGS, **figures}))


if __name__ == "__main__":
    main()
