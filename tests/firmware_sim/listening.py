"""What the air hears of a tag: its beacons as they fall due, and what is in a P frame."""

from __future__ import annotations

from firmware_sim import air
from firmware_sim import tag as firmware
from firmware_sim.tag import Advertise, TagState, Tick, step
from tests.firmware_sim.conftest import K_FACTORY, K_LOT
from wire.frames import PFrame, decode_p


def opened(advert: Advertise | air.Advert) -> PFrame:
    return decode_p(advert.frame, K_LOT, K_FACTORY)


def run(state: TagState, until_s: float, dice: firmware.Dice) -> tuple[TagState, list[tuple[float, Advertise]]]:
    """Ticks whenever a beacon is due."""
    heard: list[tuple[float, Advertise]] = []
    while (due_s := firmware.next_beacon_at_s(state)) is not None and due_s <= until_s:
        state, outputs = step(state, Tick(due_s), dice)
        heard += [(due_s, output) for output in outputs]
    return state, heard
