"""The Bluetooth door: the tags of some stories run now, and each live gateway has a simulated radio that hears them.

Each live gateway gets a private bus with a simulated org.bluez. Where the story goes on ("still there"), its tags are
heard; `move`, `press` and `power` do what a person would. What a tag knows outlives the process (firmware_sim.nvm).
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Iterable, Mapping
from contextlib import AsyncExitStack, suppress
from dataclasses import replace
from pathlib import Path
from typing import Final

import msgspec

from firmware_sim.air import foreign, rssi_dbm
from firmware_sim.bluez import PrivateBus, SimulatedBluez
from firmware_sim.claim import Link, take_message
from firmware_sim.nvm import NVM, Sleep, load_sleep, save_sleep
from firmware_sim.owned import is_near, separated, tick
from firmware_sim.peripheral import ClaimPeripheral, TagCell
from firmware_sim.sound import sounding
from firmware_sim.story import STILL_THERE, Story, StoryTag
from firmware_sim.tag import (
    Advertise,
    ButtonPress,
    Dice,
    Event,
    Moved,
    PowerOff,
    PowerOn,
    TagState,
    Tick,
    Unit,
    battery_level,
    lay_down,
    next_beacon_at_s,
    step,
    uptime_s,
    wake_up,
)
from wire import gatt
from wire.frames import SERVICE_UUID, day_of_tick
from wire.gatt import Op
from wire.set_owner import EID_LEN

PLACES: Final = "places.json"
# A unix socket's path holds 108 bytes; below this the bus stays at the same address over restarts.
_BUS_PATH_MAX: Final = 80
# A tag with nothing due looks again after this: somebody may have pressed its button.
_IDLE_S: Final = 3600.0
METRES_IN_A_ROOM: Final = 4.0
_REFUSED: Final = {
    Op.NEAR: "nobody owns this tag privately: it has no owner whom it could be near",
    Op.RING: f"a tag rings for {gatt.RING_MIN_S} to {gatt.RING_MAX_S} seconds, or 0 to be silent",
}


class LiveError(Exception):
    """What somebody asked of the live air cannot be done; the message says why."""


class LiveAir:
    """Everything that is on the air now. `radios` are the simulated Bluetooth stacks by gateway."""

    def __init__(
        self,
        stories: Iterable[Story],
        units: Mapping[int, Unit],
        data: Path,
        *,
        now_s: Callable[[], float],
        dice: Dice,
        foreign_every_s: float = 5.0,
    ) -> None:
        stories = tuple(stories)
        self.radios: dict[str, SimulatedBluez] = {}
        self._data, self._dice, self._foreign_every_s = data, dice, foreign_every_s
        self._gateways = sorted(live_gateways(stories))
        self._tags = [tag for story in stories for tag in story.tags]
        if missing := [tag.serial for tag in self._tags if tag.serial not in units]:
            raise LiveError(f"no factory made these tags: {', '.join(map(str, missing))} (see --tags)")
        sleeps = {tag.serial: load_sleep(data / NVM, tag.serial) for tag in self._tags}
        self._now_s = _never_before(sleeps.values(), now_s)
        self._moved: dict[int, list[str]] = _load_places(data / PLACES)
        self._lives = {
            tag.serial: _Life(self, tag, wake_up(units[tag.serial], sleeps[tag.serial])) for tag in self._tags
        }

    async def run(self, stop: asyncio.Event, ready: Callable[[], None]) -> None:
        """Everything until `stop`; then the tags are laid down and the buses ended, whatever happened."""
        for stale in self._data.glob("*.bus"):  # of an air that was killed
            stale.unlink()
        async with AsyncExitStack() as stack:
            for gateway in self._gateways:
                bluez = SimulatedBluez(bus=PrivateBus(self._bus_folder(gateway)))
                self.radios[gateway] = await stack.enter_async_context(bluez)
                paper = bus_file(self._data, gateway)
                paper.write_text(bluez.bus_address + "\n")
                stack.callback(paper.unlink, missing_ok=True)
            stack.callback(self._lay_down_all)
            ready()
            tasks = [asyncio.ensure_future(work) for work in (stop.wait(), self._strangers(), *self._lives_run())]
            try:
                done, _ = await asyncio.wait(tasks, return_when=asyncio.FIRST_COMPLETED)
                for task in done:
                    task.result()  # a bug in one tag's life ends the simulation loudly
            finally:
                for task in tasks:
                    task.cancel()
                await asyncio.gather(*tasks, return_exceptions=True)

    # ------------------------------------------------------------------------------------ what a person does
    def press(self, serial: int) -> str:
        """Presses a tag's button."""
        life = self._life(serial)
        life.happens(ButtonPress(self._now_s()))
        return "pressed: for a minute the tag consents" if life.cell.state.ram else "pressed, but it has no power"

    def near(self, serial: int) -> str:
        """Its owner comes by: what their phone would say, with the keys that the tag holds."""
        life = self._life(serial)
        k_own = life.cell.state.nvm.k_own
        life.ask(Op.NEAR, lambda nonce: gatt.near_data(k_own, nonce, int(self._now_s())))
        return "near its owner for the next half hour, and it has the time"

    def away(self, serial: int) -> str:
        """Its owner has been gone for half an hour, without waiting for it."""
        life = self._life(serial)
        state = life.cell.state
        if state.ram is None or not state.nvm.k_own:
            raise LiveError(_REFUSED[Op.NEAR])
        life.become(replace(state, ram=separated(state.ram)))
        return "away from its owner"

    def ring(self, serial: int, seconds: int) -> str:
        """Its owner rings it (0: silences it)."""
        life = self._life(serial)
        k_own = life.cell.state.nvm.k_own
        life.ask(Op.RING, lambda nonce: gatt.ring_data(k_own, nonce, seconds))
        return f"rings for {seconds} s" if seconds else "silent"

    def move(self, serial: int, place: str) -> str:
        """Puts a tag near gateways ("a,b"), out of everybody's range ("nowhere"), or back into its story ("story")."""
        life = self._life(serial)
        gateways = [] if place in ("nowhere", "story") else place.split(",")
        if unknown := [name for name in gateways if name not in self._gateways]:
            raise LiveError(f"no live gateway {', '.join(unknown)} (there are {', '.join(self._gateways)})")
        if place == "story":
            self._moved.pop(serial, None)
        else:
            self._moved[serial] = gateways
        (self._data / PLACES).write_bytes(msgspec.json.encode({str(tag): at for tag, at in self._moved.items()}))
        life.happens(Moved(self._now_s()))
        return f"heard by {', '.join(sorted(self.hearers(serial))) or 'nobody'}"

    def power(self, serial: int, on: bool) -> str:
        """Takes a tag's battery out, or puts it back."""
        life = self._life(serial)
        life.happens(PowerOn(self._now_s()) if on else PowerOff(self._now_s()))
        ram = life.cell.state.ram
        return f"running, boot {life.cell.state.nvm.boot}, address {ram.address}" if ram else "without power"

    def status(self) -> list[dict[str, object]]:
        """Each tag as one row."""
        return [life.row() for life in self._lives.values()]

    def hearers(self, serial: int) -> dict[str, float]:
        """Which live gateways can hear a tag now, and from how far (metres)."""
        if serial in self._moved:
            return dict.fromkeys(self._moved[serial], METRES_IN_A_ROOM)
        tag, now_s = self._lives[serial].tag, self._now_s()
        return {
            gateway: stretch.metres
            for stretch in tag.stretches
            # What has no end is the present, whatever hour of the story's last day it is.
            if stretch.to_s == STILL_THERE or stretch.from_s <= now_s < stretch.to_s
            for gateway in stretch.heard_by
            if gateway in self._gateways
        }

    # ------------------------------------------------------------------------------------ inside
    def send(self, serial: int, peripherals: Mapping[str, ClaimPeripheral], output: Advertise) -> None:
        """One beacon reaches whoever hears it, and whoever hears it may connect."""
        hearers = self.hearers(serial)
        for gateway, radio in self.radios.items():
            level = rssi_dbm(hearers[gateway], self._dice) if gateway in hearers else None
            radio.set_peripheral(output.address, peripherals[gateway] if gateway in hearers else None)
            if level is not None:
                radio.advertise_now(output.address, {SERVICE_UUID: output.frame}, level)

    def keep(self, state: TagState) -> None:
        save_sleep(self._data / NVM, lay_down(state))

    async def _strangers(self) -> None:
        while True:
            await asyncio.sleep(self._foreign_every_s)
            now_ms = int(self._now_s() * 1000)
            for gateway, radio in self.radios.items():
                for advert in foreign(gateway, now_ms, now_ms + 1, 1, self._dice):
                    radio.advertise_now(advert.address, {SERVICE_UUID: advert.frame}, advert.rssi_dbm)

    def _lives_run(self) -> list[asyncio.Future[None]]:
        return [asyncio.ensure_future(life.run()) for life in self._lives.values()]

    def _lay_down_all(self) -> None:
        for life in self._lives.values():
            self.keep(life.cell.state)

    def _life(self, serial: int) -> _Life:
        if serial not in self._lives:
            raise LiveError(f"no tag {serial} is on the air (there are {', '.join(map(str, self._lives))})")
        return self._lives[serial]

    def _bus_folder(self, gateway: str) -> Path | None:
        folder = (self._data / "bus" / gateway).absolute()
        return folder if len(str(folder)) <= _BUS_PATH_MAX else None


class _Life:
    """One running tag."""

    def __init__(self, air: LiveAir, tag: StoryTag, state: TagState) -> None:
        self.tag = tag
        self._air, self._woken = air, asyncio.Event()
        self.cell = TagCell(state, air._now_s, air._dice, self._changed)
        self._peripherals = {gateway: ClaimPeripheral(self.cell) for gateway in air._gateways}
        if state.nvm.boot == 0:
            self.happens(PowerOn(air._now_s()))

    def happens(self, event: Event) -> None:
        before = self.cell.state
        self.cell.state, outputs = step(before, event, self._air._dice)
        for output in outputs:
            self._air.send(self.tag.serial, self._peripherals, output)
        for peripheral in self._peripherals.values():
            peripheral.time_passed()
        self._forget_address(before)
        if not isinstance(event, Tick):
            self._air.keep(self.cell.state)
        self._woken.set()

    def _changed(self, state: TagState) -> None:
        """Somebody connected and changed something: perhaps another thing is due next."""
        self._air.keep(state)
        self._woken.set()

    async def run(self) -> None:
        while True:
            self._woken.clear()
            due_s = _next_due_s(self.cell.state)
            wait_s = _IDLE_S if due_s is None else due_s - self._air._now_s()
            if wait_s > 0:
                with suppress(TimeoutError):
                    await asyncio.wait_for(self._woken.wait(), wait_s)
                continue
            self.happens(Tick(self._air._now_s()))
            await asyncio.sleep(0)

    def become(self, state: TagState) -> None:
        self.cell.state = state
        self._changed(state)

    def ask(self, op: Op, data: Callable[[bytes], bytes]) -> None:
        """One message of the owner's, as it would come over the air. Raises LiveError."""
        nonce = self._air._dice(gatt.NONCE_LEN)
        k_claim, filled = self.cell.state.unit.k_claim, data(nonce)
        message = gatt.encode_message(op, filled, gatt.claim_mac(k_claim, nonce, op, filled))
        turn = take_message(self.cell.state, Link(nonce), message, self._air._now_s())
        if turn.refused is not None:
            raise LiveError(_REFUSED[op] if self.cell.state.ram else "it has no power")
        self.become(turn.state)

    def _forget_address(self, before: TagState) -> None:
        """Nobody answers at an address that the tag no longer has."""
        old, new = before.ram, self.cell.state.ram
        if old is not None and (new is None or new.address != old.address):
            for radio in self._air.radios.values():
                radio.set_peripheral(old.address, None)
                if new is None:
                    with suppress(KeyError):  # no adapter is plugged in: nobody is connected
                        radio.faults.drop_link(old.address)
            self._air.keep(self.cell.state)

    def row(self) -> dict[str, object]:
        state, now_s = self.cell.state, self._air._now_s()
        return {
            "serial": self.tag.serial,
            "name": self.tag.name,
            "power": state.ram is not None,
            "address": state.ram.address if state.ram else None,
            "boot": state.nvm.boot,
            "uptime_s": uptime_s(state, now_s),
            "battery": battery_level(state),
            "owned": bool(state.nvm.owner_hash),
            **_private_row(state, now_s),
            "heard_by": sorted(self._air.hearers(self.tag.serial)),
        }


def _private_row(state: TagState, now_s: float) -> dict[str, object]:
    """What there is to say of a private owner's tag, and whether it rings."""
    nvm, ram = state.nvm, state.ram
    row: dict[str, object] = {"private": bool(nvm.k_own), "rings": sounding(state, now_s)}
    if nvm.k_own:
        left = nvm.first_day + len(nvm.eids) // EID_LEN - day_of_tick(tick(nvm, uptime_s(state, now_s)))
        row |= {"near": is_near(ram, now_s), "clock": ram is not None and ram.clock_set, "days_left": max(0, left)}
    return row


def _next_due_s(state: TagState) -> float | None:
    """The next beacon, or the end of a sound."""
    sound_s = state.ram.sound_until_at_s if state.ram else None
    due = [at_s for at_s in (next_beacon_at_s(state), sound_s) if at_s is not None]
    return min(due, default=None)


def live_gateways(stories: Iterable[Story]) -> set[str]:
    """The gateways that are heard live: those marked so, or all if none is."""
    gateways = [gateway for story in stories for gateway in story.gateways]
    return {gateway.id for gateway in gateways if gateway.live} or {gateway.id for gateway in gateways}


def bus_file(data: Path, gateway: str) -> Path:
    """Where the address of a gateway's bus stands while the air is live (one line)."""
    return data / f"{gateway}.bus"


def _never_before(sleeps: Iterable[Sleep | None], now_s: Callable[[], float]) -> Callable[[], float]:
    """The clock, but never before what a tag has lived through: a machine's clock may have been set back."""
    lived_s = max((sleep.ram.drawn_until_at_s for sleep in sleeps if sleep and sleep.ram), default=0.0)
    ahead_s = max(0.0, lived_s - now_s())
    return lambda: now_s() + ahead_s


def _load_places(path: Path) -> dict[int, list[str]]:
    try:
        return {
            int(serial): at for serial, at in msgspec.json.decode(path.read_bytes(), type=dict[str, list[str]]).items()
        }
    except FileNotFoundError:
        return {}
