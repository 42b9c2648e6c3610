"""The tag's firmware as a pure step function: state and event in, state and outputs out. The reference for a real one.

    state, outputs = step(state, Tick(now_s), dice)

No clock and no dice inside: `now_s` comes with the event (seconds, only ever growing), `dice(n)` gives n random
bytes. A driver sleeps until `next_beacon_at_s(state)` and sends a Tick; one that skips ahead simply ticks later:
the beacons between are counted against the battery as sent where nobody listened.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass, field, replace
from typing import Final, Literal

import msgspec
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey, Ed25519PublicKey

from firmware_sim import owned
from firmware_sim.nvm import MAX_BOOT, MAX_UPTIME_S, Nvm, Ram, Sleep
from wire.frames import NETWORK_ID_LAB, Status, encode_p
from wire.gatt import CONSENT_S

Dice = Callable[[int], bytes]

# A parcel passes a dock door in half a minute: two beacons have to fall into it. More often costs years of battery.
TRANSIT_INTERVAL_S: Final = 10.0
# At home nobody is in a hurry, and each beacon costs as much as ten seconds of sleep.
OWNED_INTERVAL_S: Final = 30.0
# Keeps two tags that woke together from shouting over each other for ever.
JITTER_S: Final = 0.25
# With P frames: long enough that a gateway sees few addresses, short enough that an address is no name.
ADDRESS_LIFE_S: Final = 24 * 3600

# A CR2032: 225 mAh; what the chip draws asleep; what one beacon costs, in microampere-hours.
BATTERY_UAH: Final = 225_000.0
SLEEP_UA: Final = 3.0
BEACON_UAH: Final = 40 / 3600
# Least share of charge for the levels full, medium and low; below the last it is critical.
_LEVELS: Final = (0.6, 0.3, 0.1)


@dataclass(frozen=True, slots=True)
class Unit:
    """What the factory burns into one tag and nothing ever changes. `k_tag` is its own, never K_factory."""

    serial: int
    k_lot: bytes
    k_tag: bytes
    k_claim: bytes
    private_key: Ed25519PrivateKey
    server_key: Ed25519PublicKey | None = None
    beacon_mode: Literal["transit_beacon", "silent"] = "transit_beacon"
    network_id: int = NETWORK_ID_LAB
    drift_ppm: float = 0.0
    # Of a fleet whose operator may always see its tags: takes no private owner and says P frames for life.
    fleet: bool = False


@dataclass(frozen=True, slots=True)
class TagState:
    """A tag at one moment; `ram` is None while it has no power. `used_uah` is chemistry, not memory."""

    unit: Unit
    nvm: Nvm = field(default_factory=Nvm)
    ram: Ram | None = None
    used_uah: float = 0.0


@dataclass(frozen=True, slots=True)
class PowerOn:
    """Battery in, or its tab pulled."""

    now_s: float


@dataclass(frozen=True, slots=True)
class PowerOff:
    """Battery out."""

    now_s: float


@dataclass(frozen=True, slots=True)
class NewBattery:
    """Battery exchanged; the tag stays off until PowerOn."""

    now_s: float


@dataclass(frozen=True, slots=True)
class Tick:
    """Time has passed: do what is due."""

    now_s: float


@dataclass(frozen=True, slots=True)
class ButtonPress:
    """Somebody has the tag in hand."""

    now_s: float


@dataclass(frozen=True, slots=True)
class Moved:
    """The accelerometer felt something."""

    now_s: float


Event = PowerOn | PowerOff | NewBattery | Tick | ButtonPress | Moved


@dataclass(frozen=True, slots=True)
class Advertise:
    """One frame into the air, from this device address."""

    address: str
    frame: bytes


Output = Advertise


def step(state: TagState, event: Event, dice: Dice) -> tuple[TagState, tuple[Output, ...]]:
    """What the firmware does about one event. Events without effect (a press without power) change nothing."""
    if isinstance(event, PowerOn):
        return (state if state.ram else _boot(state, event.now_s, dice)), ()
    if state.ram is None:
        return (replace(state, used_uah=0.0) if isinstance(event, NewBattery) else state), ()
    state = _draw(state, state.ram, event.now_s)
    if state.ram is None or isinstance(event, PowerOff):
        return replace(state, ram=None), ()
    if isinstance(event, NewBattery):
        return replace(state, ram=None, used_uah=0.0), ()
    if isinstance(event, ButtonPress):
        return _press(state, state.ram, event.now_s), ()
    if isinstance(event, Moved):
        return replace(state, ram=msgspec.structs.replace(state.ram, moved=True)), ()
    return _tick(state, state.ram, event.now_s, dice)


def next_beacon_at_s(state: TagState) -> float | None:
    """When the next Tick is due; None for a tag that will say nothing by itself."""
    return state.ram.next_beacon_at_s if state.ram and _beacons(state) else None


def uptime_s(state: TagState, now_s: float) -> int:
    """Seconds the tag has run in all its life, by its own oscillator."""
    ram = state.ram
    if ram is None:
        return state.nvm.uptime_s
    ran_s = (now_s - ram.booted_at_s) * (1 + state.unit.drift_ppm * 1e-6)
    return min(max(ram.uptime_at_boot_s + int(ran_s), state.nvm.uptime_s), MAX_UPTIME_S)


def consents(state: TagState, now_s: float) -> bool:
    """Whether the button was pressed in the last minute."""
    pressed = state.ram.pressed_at_s if state.ram else None
    return pressed is not None and 0 <= now_s - pressed <= CONSENT_S


def remember(state: TagState, now_s: float, owner_hash: bytes) -> TagState:
    """Writes the owner and the uptime into non-volatile memory."""
    nvm = msgspec.structs.replace(state.nvm, owner_hash=owner_hash, uptime_s=uptime_s(state, now_s))
    return replace(state, nvm=nvm)


def forget(state: TagState, now_s: float) -> TagState:
    """Nobody's tag again, in one write: no owner, no list, no clock; P frames from the next beacon on."""
    nvm = Nvm(boot=state.nvm.boot, uptime_s=uptime_s(state, now_s), awake=state.nvm.awake)
    ram = state.ram
    if ram is not None:
        ram = msgspec.structs.replace(ram, near_until_at_s=None, clock_set=False, stage=None)
    return replace(state, nvm=nvm, ram=ram)


def battery_level(state: TagState) -> int:
    """0 full to 3 critical, as the status byte tells it."""
    left = 1 - state.used_uah / BATTERY_UAH
    return next((level for level, least in enumerate(_LEVELS) if left >= least), len(_LEVELS))


def lay_down(state: TagState) -> Sleep:
    """The tag as it can be put on disk; its keys stay where the factory wrote them."""
    return Sleep(state.unit.serial, state.nvm, state.ram, state.used_uah)


def wake_up(unit: Unit, sleep: Sleep | None) -> TagState:
    """The tag as it was laid down, or fresh from the factory."""
    return TagState(unit) if sleep is None else TagState(unit, sleep.nvm, sleep.ram, sleep.used_uah)


# --- What the firmware does -------------------------------------------------------------------------------


def _boot(state: TagState, now_s: float, dice: Dice) -> TagState:
    if state.used_uah >= BATTERY_UAH:
        return state
    nvm = msgspec.structs.replace(state.nvm, boot=min(state.nvm.boot + 1, MAX_BOOT))
    nvm = owned.lose_clock(nvm) if nvm.k_own else nvm
    ram = Ram(
        booted_at_s=now_s,
        uptime_at_boot_s=nvm.uptime_s,
        address=random_static_address(dice),
        address_since_s=nvm.uptime_s,
        next_beacon_at_s=now_s + _fraction(dice) * TRANSIT_INTERVAL_S,
        drawn_until_at_s=now_s,
    )
    return replace(state, nvm=nvm, ram=ram)


def _tick(state: TagState, ram: Ram, now_s: float, dice: Dice) -> tuple[TagState, tuple[Output, ...]]:
    if ram.sound_until_at_s is not None and now_s >= ram.sound_until_at_s:
        ram = msgspec.structs.replace(ram, sound_until_at_s=None)
        state = replace(state, ram=ram)
    if not _beacons(state) or now_s < ram.next_beacon_at_s:
        return state, ()
    uptime = uptime_s(state, now_s)
    nvm = msgspec.structs.replace(state.nvm, uptime_s=uptime)  # written before the frame is sent
    private = bool(nvm.k_own)
    status = Status(
        battery_level(state), ram.moved, transit=not nvm.owner_hash, clock_lost=private and not ram.clock_set
    ).to_byte()
    if private:
        face = owned.face(nvm, ram, uptime, now_s)
        nvm = msgspec.structs.replace(nvm, tick_said=face.tick)
        if face.shown != ram.shown:
            ram = owned.turned(ram, face, random_static_address(dice), dice)
        frame = owned.frame(nvm, ram, face, status, state.unit.network_id)
    else:
        if ram.shown or uptime - ram.address_since_s >= ADDRESS_LIFE_S:
            address = random_static_address(dice)
            ram = msgspec.structs.replace(ram, address=address, address_since_s=uptime, shown=b"", salt=b"")
        frame = _p_frame(state.unit, nvm, status, dice)
    ram = msgspec.structs.replace(
        ram, next_beacon_at_s=now_s + interval_s(state) + _fraction(dice) * JITTER_S, moved=False
    )
    return replace(state, nvm=nvm, ram=ram), (Advertise(ram.address, frame),)


def _p_frame(unit: Unit, nvm: Nvm, status: int, dice: Dice) -> bytes:
    return encode_p(
        unit.k_lot,
        unit.k_tag,
        serial=unit.serial,
        uptime_s=nvm.uptime_s,
        boot=nvm.boot,
        random2=dice(2),
        status=status,
        network_id=unit.network_id,
    )


def _press(state: TagState, ram: Ram, now_s: float) -> TagState:
    ram = msgspec.structs.replace(ram, pressed_at_s=now_s)
    return replace(state, ram=ram, nvm=msgspec.structs.replace(state.nvm, awake=True))


def _beacons(state: TagState) -> bool:
    return state.unit.beacon_mode == "transit_beacon" or state.nvm.awake


def interval_s(state: TagState) -> float:
    """Least time between two beacons."""
    return OWNED_INTERVAL_S if state.nvm.owner_hash else TRANSIT_INTERVAL_S


def _draw(state: TagState, ram: Ram, now_s: float) -> TagState:
    """The battery pays for the time since it last did, beacons included; an empty one ends the tag."""
    passed_s = now_s - ram.drawn_until_at_s
    assert passed_s >= 0, "a tag's time only grows"
    period_s = interval_s(state) + JITTER_S
    beacons = passed_s / period_s if _beacons(state) else 0.0
    nvm = state.nvm
    if beacons > 1:  # the last of them was sent at most a period ago, and wrote the uptime
        written_s = uptime_s(state, now_s) - math.ceil(period_s)
        nvm = msgspec.structs.replace(nvm, uptime_s=max(nvm.uptime_s, written_s))
        if nvm.k_own:
            nvm = msgspec.structs.replace(nvm, tick_said=owned.tick(nvm, nvm.uptime_s))
    used_uah = state.used_uah + passed_s / 3600 * SLEEP_UA + beacons * BEACON_UAH
    if used_uah >= BATTERY_UAH:
        return replace(state, nvm=nvm, ram=None, used_uah=BATTERY_UAH)
    ram = msgspec.structs.replace(ram, drawn_until_at_s=now_s)
    return replace(state, nvm=nvm, ram=ram, used_uah=used_uah)


def random_static_address(dice: Dice) -> str:
    """A device address as BlueZ writes it; its two top bits are 11, and its random part is neither all 0 nor all 1
    (Core specification, Vol 6 Part B 1.3.2.1).
    """
    while True:
        raw = dice(6)
        if raw[0] & 0x3F or any(raw[1:]):
            address = bytes((raw[0] | 0xC0,)) + raw[1:]
            if address != b"\xff" * 6:
                return ":".join(f"{byte:02X}" for byte in address)


def _fraction(dice: Dice) -> float:
    return dice(1)[0] / 256
