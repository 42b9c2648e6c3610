"""The air of a world: real tags beacon where they are, receivers miss some of it, and others shout in between.

Every frame that a tag ever made is written down here by what the firmware's own state says, so that the oracle never
has to open a frame: what is not in `made` was forged.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from random import Random
from typing import Final, NamedTuple, Protocol

from firmware_sim.air import rssi_dbm
from firmware_sim.tag import (
    PowerOff,
    PowerOn,
    TagState,
    Tick,
    next_beacon_at_s,
    random_static_address,
    step,
    uptime_s,
)
from tests.world.cast import ROAD, VAN, WAREHOUSE, Spot, unit
from tests.world.timeline import HOUR_MS, MINUTE_MS, Timeline
from tests.world.truth import Truth
from wire.frames import FRAME_LEN

# A replay comes this much later at the least: freshness allows 30 s, honest clocks 4 s, drift 130 s in this story.
REPLAY_AFTER_MS: Final = 10 * MINUTE_MS


class Made(NamedTuple):
    """A frame as its tag made it."""

    serial: int
    uptime_s: int
    boot: int
    status: int


class Ear(Protocol):
    """A gateway's radio. `replayed` is for the book only: no receiver could tell."""

    def hear(self, address: str, frame: bytes | None, level_dbm: int, *, replayed: bool = False) -> None: ...


@dataclass
class Air:
    """All radio of one world. `loss` is the share of frames that a receiver misses, besides those too weak."""

    line: Timeline
    truth: Truth
    ears: Mapping[str, Ear]
    loss: float
    made: dict[bytes, Made] = field(default_factory=dict)
    states: dict[int, TagState] = field(default_factory=dict)
    tape: list[tuple[int, Spot, bytes]] = field(default_factory=list)
    replays: int = 0
    _dice: Random = field(init=False)
    _noise: Random = field(init=False)

    def __post_init__(self) -> None:
        self._dice, self._noise = self.line.dice("air"), self.line.dice("noise")
        for parcel in self.truth.parcels:
            state = TagState(unit(parcel.serial, parcel.drift_ppm))
            self.states[parcel.serial], _ = step(state, PowerOn(parcel.powered_ms / 1000), self._dice.randbytes)
            for reboot_ms in parcel.reboots_ms:
                self.line.at(reboot_ms, self.reboot, parcel.serial, self._dice.randint(1, 20 * MINUTE_MS))
        for moment_ms in self.truth.moments_ms:
            self.line.at(moment_ms, self._wake)

    # --- tags

    def reboot(self, serial: int, dark_ms: int) -> None:
        """The tag loses its power for a while."""
        self._event(serial, PowerOff(self.line.now_ms / 1000))
        self.line.tell(f"tag {serial}", "loses its power")
        self.line.after(dark_ms, self._power_on, serial)

    def _power_on(self, serial: int) -> None:
        self._event(serial, PowerOn(self.line.now_ms / 1000))

    def _event(self, serial: int, event: PowerOff | PowerOn) -> None:
        self.states[serial], _ = step(self.states[serial], event, self._dice.randbytes)

    def _wake(self) -> None:
        """A moment at which somebody may hear: every tag beacons one to four times."""
        for parcel in self.truth.parcels:
            self._beacon_next(parcel.serial, self._dice.choice((1, 1, 2, 2, 3, 4)))

    def _beacon_next(self, serial: int, more: int) -> None:
        due_s = next_beacon_at_s(self.states[serial])
        if more and due_s is not None:
            self.line.at(int(due_s * 1000) + 1, self._beacon, serial, more)

    def _beacon(self, serial: int, more: int) -> None:
        now_s = self.line.now_ms / 1000
        parcel = next(parcel for parcel in self.truth.parcels if parcel.serial == serial)
        before = self.states[serial]
        self.states[serial], sent = step(before, Tick(now_s), self._dice.randbytes)
        for advert in sent:
            told = Made(serial, uptime_s(before, now_s), before.nvm.boot, advert.frame[3])
            self.made[advert.frame] = told
            spot = parcel.spot_at(self.line.now_ms)
            if spot is not None:
                self.tape.append((self.line.now_ms, spot, advert.frame))
                self._spread(spot, advert.address, advert.frame, self._dice)
        self._beacon_next(serial, more - 1)

    def ears_at(self, spot: Spot) -> list[str]:
        """The receivers at a place just now; the van is wherever a parcel of ours is on the road, and at its stops."""
        return [*spot.gateways, *([VAN] if self.van_at(self.line.now_ms) is spot else [])]

    def van_at(self, ms: int) -> Spot | None:
        """Where the van is: with the first parcel that is on the road, else at the dock around each pickup."""
        for parcel in self.truth.parcels:
            spot = parcel.spot_at(ms)
            if spot is ROAD:
                return spot
        pickup_ms = self.truth.pickup_after(ms - MINUTE_MS)
        return WAREHOUSE if pickup_ms - ms < HOUR_MS // 2 else None

    def _spread(self, spot: Spot, address: str, frame: bytes | None, dice: Random, *, replayed: bool = False) -> None:
        for name in self.ears_at(spot):
            level = rssi_dbm(dice.uniform(1, 25), dice.randbytes)
            if level is None or dice.random() < self.loss:
                continue
            for _ in range(dice.choice((1, 1, 1, 2, 3))):  # radios hear a beacon more than once
                self.ears[name].hear(address, frame, level, replayed=replayed)

    # --- others in the air

    def foreign(self, spot: Spot, adverts: int) -> None:
        """Strangers: nothing of ours, another network's, ours with nonsense inside."""
        for _ in range(adverts):
            noise = self._noise.randbytes(FRAME_LEN)
            kinds = (None, b"\x01" + noise[1:], b"\xf0\x00\x11" + noise[3:], noise[:11], b"\xf0\x00\x21" + noise[3:])
            self._spread(spot, random_static_address(self._noise.randbytes), self._noise.choice(kinds), self._noise)

    def spoof(self, spot: Spot) -> None:
        """Somebody takes a frame out of the air and changes it: its status, its cipher text, its signature."""
        heard = [frame for _, there, frame in self.tape if there is spot][-8:]
        for frame in heard:
            at = self._noise.choice((3, 4, 12, 20, 23))
            changed = bytearray(frame)
            changed[at] ^= 1 << self._noise.randrange(8)
            self._spread(spot, random_static_address(self._noise.randbytes), bytes(changed), self._noise)

    def replay(self, recorded_at: Spot, played_at: Spot, frames_max: int) -> None:
        """Frames recorded at one place some time ago come again at another, unchanged, one every ten seconds."""
        until_ms = self.line.now_ms - REPLAY_AFTER_MS
        tape = [frame for ms, there, frame in self.tape if there is recorded_at and ms <= until_ms][-frames_max:]
        address = random_static_address(self._noise.randbytes)
        self.replays += bool(tape)
        self.line.tell("recorder", f"plays {len(tape)} frames of {recorded_at.name} at {played_at.name}")
        for number, frame in enumerate(tape):
            self.line.after(number * 10_000, self._play, played_at, address, frame)

    def _play(self, spot: Spot, address: str, frame: bytes) -> None:
        self._spread(spot, address, frame, self._noise, replayed=True)
