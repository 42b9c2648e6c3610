"""The live air as a program: heard by the unmodified bleak, moved by hand, claimed over GATT, gone without a trace."""

from __future__ import annotations

import asyncio
import json
import os
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import suppress
from datetime import UTC, datetime
from pathlib import Path
from random import Random

import pytest
from bleak import BleakClient, BleakScanner
from bleak.exc import BleakGATTProtocolError
from typer.testing import CliRunner

from firmware_sim import factory
from firmware_sim.__main__ import app
from firmware_sim.nvm import load_sleep, save_sleep
from firmware_sim.tag import PowerOn, TagState, Tick, Unit, lay_down, step
from tests.conftest import ROOT
from tests.firmware_sim.owners import Owner
from wire import gatt
from wire.activation import activation_data, verify_answer
from wire.errors import WireError
from wire.frames import SERVICE_UUID, FrameType, PFrame, decode_p, frame_kind
from wire.gatt import AttError, Op

STORY = """
[story]
id = "L"
zone = "UTC"
[[gateway]]
id = "home"
live = true
[[gateway]]
id = "shop"
live = true
[[gateway]]
id = "far"
[[tag]]
name = "a"
serial = 1
[[tag]]
name = "b"
serial = 2
[[truth]]
tag = "a"
heard_by = ["home", "far"]
[[truth]]
tag = "b"
heard_by = ["shop"]
"""
CHALLENGE, OWNER = bytes(range(16)), b"A" * 16


class Air:
    """`python -m firmware_sim air` in a folder of its own, whose tags have been running for an hour."""

    def __init__(self, folder: Path) -> None:
        self.folder, self.data = folder, folder / "air"
        (folder / "L.toml").write_text(STORY)
        order = factory.Order("lot", 2, 1, "http://127.0.0.1")
        factory.make_lot(folder / "lot", order, Random(1).randbytes, _day())
        self.lot = json.loads((folder / "lot" / "lot.json").read_text())
        self.units = {tag.serial: factory.unit_of(tag) for tag in factory.read_tags(folder / "lot")}
        for unit in self.units.values():
            save_sleep(self.data / "nvm", lay_down(_an_hour_old(unit)))
        self.process: subprocess.Popen[str] | None = None

    def start(self) -> None:
        command = ["air", "L.toml", "--tags", "lot", "--data", str(self.data), "--foreign-every-s", "0.1"]
        self.process = subprocess.Popen(
            [sys.executable, "-m", "firmware_sim", *command],
            cwd=self.folder, env={**os.environ, "PYTHONPATH": str(ROOT)}, stdout=subprocess.PIPE, text=True,
        )  # fmt: skip
        assert self.process.stdout is not None
        for line in self.process.stdout:
            if line.startswith("on the air"):
                return
        raise AssertionError("the air did not come up")

    def stop(self, number: int = signal.SIGTERM) -> int:
        assert self.process is not None
        self.process.send_signal(number)
        code = self.process.wait(15)
        assert self.process.stdout is not None
        self.process.stdout.close()
        return code

    def run(self, *arguments: str) -> str:
        done = CliRunner().invoke(app, [*arguments, "--data", str(self.data)])
        return done.output.strip() if done.exit_code == 0 else f"REFUSED {done.output.strip()}"

    def opens(self, frame: bytes) -> PFrame | None:
        try:
            return decode_p(frame, bytes.fromhex(self.lot["k_lot"]), bytes.fromhex(self.lot["k_factory"]))
        except WireError:
            return None


def _day() -> datetime:

    return datetime(2026, 11, 2, tzinfo=UTC)


def _an_hour_old(unit: Unit) -> TagState:
    """Its next beacon is overdue, so nobody has to wait for it."""
    dice, then_s = Random(unit.serial).randbytes, time.time() - 3_600
    state, _ = step(TagState(unit), PowerOn(then_s), dice)
    return step(state, Tick(then_s + 3_500), dice)[0]


@pytest.fixture
def air(tmp_path: Path) -> Iterator[Air]:
    made = Air(tmp_path)
    yield made
    if made.process is not None and made.process.poll() is None:
        made.process.kill()
        made.process.wait()


def daemons_below(folder: Path) -> list[int]:
    """The dbus-daemons that were started for this folder."""
    found = []
    for proc in Path("/proc").iterdir():
        if proc.name.isdigit():
            try:
                line = (proc / "cmdline").read_bytes().decode()
            except OSError:
                continue
            if "dbus-daemon" in line and str(folder) in line:
                found.append(int(proc.name))
    return found


def bus_of(air: Air, gateway: str) -> str:
    return (air.data / f"{gateway}.bus").read_text().strip()


async def listen(air: Air, wanted: int, seconds: float = 15.0) -> tuple[dict[int, str], int]:
    """Serial → address of the tags that this bus hears, and how many foreign frames; ends when `wanted` are heard."""
    heard: dict[int, str] = {}
    foreign = 0
    enough = asyncio.Event()

    def on_advert(device, advert) -> None:
        nonlocal foreign
        opened = air.opens(advert.service_data.get(SERVICE_UUID, b""))
        if opened is None:
            foreign += 1
        else:
            heard[opened.serial] = device.address
        if len(heard) >= wanted and foreign >= 3:
            enough.set()

    async with BleakScanner(on_advert, bluez={"filters": {"RSSI": -127, "DuplicateData": True}}):
        try:
            await asyncio.wait_for(enough.wait(), seconds)
        except TimeoutError:
            assert wanted == 0
    return heard, foreign


@pytest.mark.slow
def test_unmodified_bleak_hears_what_is_in_its_own_room(air: Air, monkeypatch: pytest.MonkeyPatch) -> None:
    air.start()
    assert not (air.data / "far.bus").exists(), "only live gateways have a radio"
    monkeypatch.setenv("DBUS_SYSTEM_BUS_ADDRESS", bus_of(air, "shop"))
    heard, foreign = asyncio.run(listen(air, 1))
    assert set(heard) == {2}
    assert foreign >= 3
    assert air.run("move", "1", "shop") == "heard by shop"
    air.run("power", "1", "off")
    air.run("power", "1", "on")
    heard, _ = asyncio.run(listen(air, 2))
    rows = json.loads(air.run("status", "--json"))
    assert [(row["serial"], row["boot"], row["heard_by"]) for row in rows] == [(1, 2, ["shop"]), (2, 1, ["shop"])]
    assert heard[1] == rows[0]["address"]


def test_what_cannot_be_done_is_said(air: Air) -> None:
    assert "REFUSED no air is live" in air.run("press", "1")
    air.start()
    assert "REFUSED no tag 9" in air.run("press", "9")
    assert "REFUSED no live gateway far" in air.run("move", "1", "far")
    assert "REFUSED no fault rain" in air.run("fault", "home", "rain")
    assert "REFUSED no live gateway far" in air.run("fault", "far", "adapter-off")
    assert "REFUSED say on or off" in air.run("power", "1", "maybe")
    assert air.run("move", "1", "nowhere") == "heard by nobody"
    assert air.run("move", "1", "story") == "heard by home"
    assert air.run("fault", "home", "adapter-off") == "home: adapter-off done"
    assert air.run("power", "1", "off") == "without power"
    assert air.run("press", "1") == "pressed, but it has no power"
    assert "a: without power" in air.run("status")


async def ask(air: Air, device: object, op: Op, data: bytes) -> bytes:
    async with BleakClient(device) as client:  # type: ignore[arg-type]
        nonce = bytes(await client.read_gatt_char(gatt.NONCE_UUID))
        mac = gatt.claim_mac(air.units[1].k_claim, nonce, op, data)
        for chunk in gatt.split_chunks(gatt.encode_message(op, data, mac), 50):
            await client.write_gatt_char(gatt.MESSAGE_UUID, chunk, response=True)
        return gatt.decode_reply(bytes(await client.read_gatt_char(gatt.ANSWER_UUID)), op)


@pytest.mark.slow
def test_an_activation_over_bleak(air: Air, monkeypatch: pytest.MonkeyPatch) -> None:
    air.start()
    monkeypatch.setenv("DBUS_SYSTEM_BUS_ADDRESS", bus_of(air, "home"))

    async def activate() -> None:
        device = await BleakScanner.find_device_by_filter(
            lambda _d, advert: air.opens(advert.service_data.get(SERVICE_UUID, b"")) is not None, timeout=15
        )
        assert device is not None
        with pytest.raises(BleakGATTProtocolError) as refused:
            await ask(air, device, Op.ACTIVATE, activation_data(CHALLENGE, OWNER))
        assert int(refused.value.code) == AttError.NO_CONSENT
        assert await asyncio.to_thread(air.run, "press", "1") == "pressed: for a minute the tag consents"
        answer = await ask(air, device, Op.ACTIVATE, activation_data(CHALLENGE, OWNER))
        key = air.units[1].private_key.public_key().public_bytes_raw()
        stated = verify_answer(key, CHALLENGE, answer)
        assert (stated.serial, stated.boot, stated.owner_hash) == (1, 1, OWNER)
        assert 3_600 <= stated.uptime_s < 3_700

    asyncio.run(activate())
    sleep = load_sleep(air.data / "nvm", 1)
    assert sleep
    assert sleep.nvm.owner_hash == OWNER, "kept at once, not only at the end"


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
def test_it_ends_in_order_and_goes_on_where_it_was(air: Air, number: int) -> None:
    air.start()
    # Where the folder's own name is too long for a socket, they live in a temporary one.
    buses = {Path(bus_of(air, name).removeprefix("unix:path=")).parent for name in ("home", "shop")}
    assert [len(daemons_below(bus)) for bus in buses] == [2 // len(buses)] * len(buses)
    before = json.loads(air.run("status", "--json"))
    assert air.stop(number) == 0
    assert [daemons_below(bus) for bus in buses] == [[]] * len(buses)
    assert sorted(path.name for path in air.data.iterdir() if path.name != "bus") == ["nvm"]
    air.start()
    after = json.loads(air.run("status", "--json"))
    for old, new in zip(before, after, strict=True):
        assert (new["boot"], new["address"]) == (old["boot"], old["address"])
        assert 0 <= new["uptime_s"] - old["uptime_s"] < 30
    air.stop()


def private(unit: Unit) -> TagState:
    """Owned since an hour ago, by somebody who has been away since."""
    dice, then_s = Random(unit.serial).randbytes, time.time() - 3_600
    state, _ = step(TagState(unit), PowerOn(then_s), dice)
    state = Owner("Ann", k_claim=unit.k_claim).take(state, then_s, 366, serial=unit.serial)
    return step(state, Tick(then_s + 3_570), dice)[0]


@pytest.mark.slow
def test_an_owners_tag_is_near_away_rung_and_without_power_by_hand(air: Air, monkeypatch: pytest.MonkeyPatch) -> None:
    save_sleep(air.data / "nvm", lay_down(private(air.units[1])))
    air.start()
    monkeypatch.setenv("DBUS_SYSTEM_BUS_ADDRESS", bus_of(air, "home"))

    def row() -> dict[str, object]:
        return json.loads(air.run("status", "--json"))[0]

    assert (row()["private"], row()["near"], row()["clock"], row()["days_left"]) == (True, False, True, 366)
    assert air.run("near", "1") == "near its owner for the next half hour, and it has the time"
    assert asyncio.run(kind_heard(air)) is FrameType.NEAR_OWNER
    assert air.run("away", "1") == "away from its owner"
    assert row()["near"] is False
    assert air.run("ring", "1") == "rings for 10 s"
    assert "away from its owner, identifiers for 366 more days, ringing" in air.run("status")
    assert air.run("ring", "1", "--seconds", "0") == "silent"
    assert row()["rings"] is False
    assert "REFUSED a tag rings for 5 to 60 seconds" in air.run("ring", "1", "--seconds", "3")
    air.run("power", "1", "off")
    assert "REFUSED it has no power" in air.run("ring", "1")
    air.run("power", "1", "on")
    assert "away from its owner, clock lost" in air.run("status")
    air.run("near", "1")
    assert row()["clock"] is True
    assert "REFUSED nobody owns this tag privately" in air.run("near", "2")
    assert "REFUSED nobody owns this tag privately" in air.run("away", "2")


async def kind_heard(air: Air) -> FrameType:
    """What the next beacon of ours on this bus is."""
    heard: asyncio.Queue[FrameType] = asyncio.Queue()

    def on_advert(_device, advert) -> None:
        with suppress(WireError):
            kind = frame_kind(advert.service_data.get(SERVICE_UUID, b""))
            if kind is not FrameType.PROVENANCE:  # strangers say such nonsense
                heard.put_nowait(kind)

    async with BleakScanner(on_advert, bluez={"filters": {"RSSI": -127, "DuplicateData": True}}):
        return await asyncio.wait_for(heard.get(), 45)


def test_it_dies_with_whoever_started_it(air: Air) -> None:
    """Through a parent of its own, which is killed hard."""
    parent = subprocess.Popen(
        [
            sys.executable,
            "-c",
            "import subprocess, sys; subprocess.run([sys.executable, '-m', 'firmware_sim', *sys.argv[1:]])",
            "air", "L.toml", "--tags", "lot", "--data", str(air.data),
        ],
        cwd=air.folder, env={**os.environ, "PYTHONPATH": str(ROOT)}, stdout=subprocess.PIPE, text=True,
    )  # fmt: skip
    assert parent.stdout is not None
    for line in parent.stdout:
        if line.startswith("on the air"):
            break
    address = bus_of(air, "home").removeprefix("unix:path=")
    parent.kill()
    parent.wait()
    for _ in range(100):
        if not Path(address).exists() and not (air.data / "home.bus").exists():
            break
        time.sleep(0.1)
    parent.stdout.close()
    assert not Path(address).exists()
    assert not (air.data / "home.bus").exists()
    assert daemons_below(Path(address).parent) == []


def test_nobody_lives_before_what_they_lived_through(air: Air) -> None:
    """A machine whose clock was set back: the tags' time stands still for a while, it never runs backwards."""
    state = _an_hour_old(air.units[1])
    ahead, _ = step(state, Tick(time.time() + 500), Random(1).randbytes)
    save_sleep(air.data / "nvm", lay_down(ahead))
    air.start()
    row = json.loads(air.run("status", "--json"))[0]
    assert row["uptime_s"] >= 4_100
    assert air.stop() == 0


def test_tags_that_no_factory_made_are_named(air: Air) -> None:
    (air.folder / "lot" / "tags.jsonl").write_text("")
    command = [sys.executable, "-m", "firmware_sim", "air", "L.toml", "--tags", "lot", "--data", str(air.data)]
    env = {**os.environ, "PYTHONPATH": str(ROOT)}
    done = subprocess.run(command, cwd=air.folder, env=env, capture_output=True, text=True, timeout=30)
    assert done.returncode == 1
    assert "no factory made these tags: 1, 2" in done.stderr
