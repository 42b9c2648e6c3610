"""The air: loudness, strangers, spoofers, recorders; streams stay in the order of time."""

from __future__ import annotations

from collections.abc import Iterator
from random import Random
from statistics import mean, stdev

from firmware_sim import air
from firmware_sim.air import Advert, Recording
from firmware_sim.world import TagLife, life, simulate
from tests.firmware_sim.conftest import K_FACTORY, K_LOT, make_unit, still
from wire.errors import WireError
from wire.frames import decode_p

START_S = 1_790_000_000.0
START_MS = int(START_S * 1000)


def tag(serial: int = 700) -> TagLife:
    return life(make_unit(serial), [still(START_S, ("dock", "shelf"), every_s=60)], [START_S])


def two_hours() -> Iterator[Advert]:
    return simulate([tag(), tag(701)], START_S, START_S + 7_200, seed=1)


def opens(frame: bytes) -> bool:
    try:
        decode_p(frame, K_LOT, K_FACTORY)
    except WireError:
        return False
    return True


def in_order(adverts: list[Advert]) -> bool:
    return adverts == sorted(adverts, key=lambda advert: advert.time_ms)


def test_loudness_fades_with_distance_and_ends_somewhere() -> None:
    dice = Random(1).randbytes
    near, room = ([air.rssi_dbm(metres, dice) for _ in range(500)] for metres in (1.0, 10.0))
    heard = [level for level in near if level is not None]
    assert len(heard) == 500
    assert -62 < mean(heard) < -58
    assert 3 < stdev(heard) < 5
    assert mean(level for level in room if level is not None) < mean(heard) - 18
    assert all(air.rssi_dbm(400.0, dice) is None for _ in range(100))
    assert all(level is None or -97 <= level <= -20 for level in near + room + [air.rssi_dbm(0.01, dice)])


def test_strangers_never_open_and_never_stop_anybody() -> None:
    strangers = list(air.foreign("dock", START_MS, START_MS + 60_000, 100, Random(2).randbytes))
    assert len(strangers) == 600
    assert not any(opens(advert.frame) for advert in strangers)
    assert {advert.frame[0] for advert in strangers} == {0x01, 0xF0}
    assert all(len(advert.frame) == 24 for advert in strangers)
    mixed = list(air.merged(two_hours(), iter(strangers)))
    assert in_order(mixed)
    assert [advert for advert in mixed if advert not in set(strangers)] == list(two_hours())


def test_a_spoofer_uses_the_true_address_and_only_the_true_frames_open() -> None:
    true = list(two_hours())
    forged = list(air.spoofed(iter(true), opens, Random(3).randbytes))
    assert len(forged) == 2 * len(true)
    assert in_order(forged)
    assert [advert for advert in forged if opens(advert.frame)] == true
    assert {advert.address for advert in forged} == {advert.address for advert in true}


def test_a_recorder_plays_the_same_bytes_later_elsewhere() -> None:
    true = list(two_hours())
    recording = Recording("dock", START_MS, START_MS + 1_800_000, "shelf", START_MS + 5_400_000, frames_max=10)
    heard = list(air.replayed(iter(true), recording, Random(4).randbytes))
    played = [advert for advert in heard if advert not in set(true)]
    assert in_order(heard)
    assert [advert for advert in heard if advert in set(true)] == true
    assert len(played) == 10
    taped = [a.frame for a in true if a.gateway == "dock" and a.time_ms < START_MS + 1_800_000]
    assert [advert.frame for advert in played] == taped[-10:]
    assert {advert.gateway for advert in played} == {"shelf"}
    assert len({advert.address for advert in played}) == 1
    assert not {advert.address for advert in played} & {advert.address for advert in true}


def test_a_recorder_plays_after_the_end_too() -> None:
    recording = Recording("dock", START_MS, START_MS + 60_000, "shelf", START_MS + 90_000_000)
    heard = list(air.replayed(two_hours(), recording, Random(5).randbytes))
    assert in_order(heard)
    assert heard[-1].time_ms >= START_MS + 90_000_000
