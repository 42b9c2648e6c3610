"""The air: how loud a tag is heard across a room, and what else is in it. Small values that compose.

A stream of adverts is an iterator in the order of time; strangers, spoofers and recorders with a grudge are functions
from stream to stream, so that a story is put together like a sentence: `replayed(foreign(stream, …), …)`.
"""

from __future__ import annotations

import heapq
import math
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass
from itertools import chain
from typing import Final, NamedTuple

from firmware_sim.tag import Dice, random_static_address
from wire.frames import FRAME_LEN

# A coin-cell tag one metre away, and how fast it fades among shelves and people.
RSSI_AT_1M_DBM: Final = -60.0
PATH_LOSS_EXPONENT: Final = 2.2
SHADOW_DB: Final = 4.0
# Below this a cheap adapter hears nothing.
SENSITIVITY_DBM: Final = -97
RSSI_MAX_DBM: Final = -20


class Advert(NamedTuple):
    """One frame as one gateway hears it. `time_ms` is ms since 1970, `address` as BlueZ writes it."""

    time_ms: int
    gateway: str
    address: str
    frame: bytes
    rssi_dbm: int


def rssi_dbm(metres: float, dice: Dice) -> int | None:
    """How loud a tag is heard at this distance, this once; None if it is not heard at all."""
    shadow = (sum(dice(4)) - 510) / 148 * SHADOW_DB  # four uniform bytes make a bell of standard deviation 148
    level = RSSI_AT_1M_DBM - 10 * PATH_LOSS_EXPONENT * math.log10(max(metres, 0.3)) + shadow
    return None if level < SENSITIVITY_DBM else min(round(level), RSSI_MAX_DBM)


# --- Others in the air ------------------------------------------------------------------------------------

Stream = Iterator[Advert]


def merged(*streams: Iterable[Advert]) -> Stream:
    """Several streams as one, in the order of time."""
    return heapq.merge(*streams)


def foreign(gateway: str, from_ms: int, to_ms: int, every_ms: int, dice: Dice) -> Stream:
    """Strangers' beacons near a gateway: half of another network, half of ours with nonsense inside."""
    for time_ms in range(from_ms, to_ms, every_ms):
        noise = dice(FRAME_LEN)
        frame = b"\x01" + noise[1:] if noise[0] % 2 else b"\xf0\x00\x11" + noise[3:]
        yield Advert(time_ms, gateway, random_static_address(dice), frame, -70 - noise[0] % 25)


@dataclass(frozen=True, slots=True)
class Recording:
    """Somebody records one gateway's air for a while, and later plays the newest `frames_max` frames elsewhere.

    `wanted` says which frames are worth recording (it gets the bytes, as a recorder would).
    """

    at_gateway: str
    from_ms: int
    to_ms: int
    play_at_gateway: str
    play_from_ms: int
    play_every_ms: int = 10_000
    frames_max: int = 30
    wanted: Callable[[bytes], bool] = lambda _frame: True


def replayed(stream: Stream, recording: Recording, dice: Dice) -> Stream:
    """The stream with what a recorder adds: the frames come again later, unchanged, from the recorder's own address."""
    assert recording.play_from_ms >= recording.to_ms, "nobody plays what is yet to be heard"
    tape: list[bytes] = []
    address = random_static_address(dice)

    def played() -> Stream:
        for number, frame in enumerate(tape):
            time_ms = recording.play_from_ms + number * recording.play_every_ms
            yield Advert(time_ms, recording.play_at_gateway, address, frame, -65)

    for advert in stream:
        if advert.time_ms >= recording.play_from_ms:
            yield from merged(played(), chain([advert], stream))
            return
        if (
            advert.gateway == recording.at_gateway
            and recording.from_ms <= advert.time_ms < recording.to_ms
            and recording.wanted(advert.frame)
        ):
            tape.append(advert.frame)
            del tape[: -recording.frames_max]
        yield advert
    yield from played()


def spoofed(stream: Stream, wanted: Callable[[bytes], bool], dice: Dice) -> Stream:
    """After each wanted frame a forged one from the same address, a millisecond later: nothing in it opens."""
    held: list[Advert] = []
    for advert in stream:
        while held and held[0].time_ms <= advert.time_ms:
            yield held.pop(0)
        yield advert
        if wanted(advert.frame):
            forged = advert.frame[:4] + dice(FRAME_LEN - 4)
            held.append(advert._replace(time_ms=advert.time_ms + 1, frame=forged))
    yield from held
