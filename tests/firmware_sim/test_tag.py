"""The firmware's step function: what must hold whatever happens to a tag."""

from __future__ import annotations

from itertools import pairwise
from random import Random

import pytest
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, invariant, rule

from firmware_sim import tag as firmware
from firmware_sim.nvm import MAX_BOOT, Nvm, load_sleep, save_sleep
from firmware_sim.tag import (
    Advertise,
    ButtonPress,
    Event,
    Moved,
    NewBattery,
    PowerOff,
    PowerOn,
    TagState,
    Tick,
    Unit,
    step,
)
from tests.firmware_sim.conftest import make_unit
from tests.firmware_sim.listening import opened, run
from wire.frames import PFrame, Status

START_S = 1_790_000_000.0
DAY_S = 86_400.0


def booted(unit: Unit, dice: firmware.Dice, now_s: float = START_S) -> TagState:
    return step(TagState(unit), PowerOn(now_s), dice)[0]


def test_beacons_every_ten_seconds_with_a_new_frame(unit: Unit) -> None:
    _, heard = run(booted(unit, Random(1).randbytes), START_S + 600, Random(2).randbytes)
    times = [at_s for at_s, _ in heard]
    gaps = [later - earlier for earlier, later in pairwise(times)]
    assert 57 <= len(heard) <= 60
    assert min(gaps) >= firmware.TRANSIT_INTERVAL_S
    assert max(gaps) <= firmware.TRANSIT_INTERVAL_S + firmware.JITTER_S
    assert len({advert.frame for _, advert in heard}) == len(heard)
    assert len({advert.address for _, advert in heard}) == 1
    frames = [opened(advert) for _, advert in heard]
    assert {(frame.serial, frame.boot) for frame in frames} == {(700, 1)}
    assert all(abs(frame.uptime_s - (at_s - START_S)) <= 1 for at_s, frame in zip(times, frames, strict=True))
    assert all(Status.from_byte(frame.status) == Status(transit=True) for frame in frames)


def test_same_dice_same_life(unit: Unit) -> None:
    lives = [run(booted(unit, Random(1).randbytes), START_S + 300, Random(2).randbytes)[1] for _ in range(2)]
    assert lives[0] == lives[1]
    assert lives[0] != run(booted(unit, Random(3).randbytes), START_S + 300, Random(4).randbytes)[1]


def test_ninety_days_without_power_and_it_still_opens(unit: Unit) -> None:
    dice = Random(5).randbytes
    state, before = run(booted(unit, dice), START_S + 3_600, dice)
    state, _ = step(state, PowerOff(START_S + 3_600), dice)
    assert step(state, Tick(START_S + 50 * DAY_S), dice) == (state, ())
    state, _ = step(state, PowerOn(START_S + 90 * DAY_S), dice)
    state, after = run(state, START_S + 90 * DAY_S + 60, dice)
    last, first = opened(before[-1][1]), opened(after[0][1])
    assert first.boot == last.boot + 1
    assert 0 <= first.uptime_s - last.uptime_s <= 11
    assert after[0][1].address != before[-1][1].address
    lag_s = [at_s - opened(advert).uptime_s for at_s, advert in (before[-1], after[0])]
    assert lag_s[1] - lag_s[0] > 89 * DAY_S, "time without power is lag, never uptime"


def test_the_address_changes_every_day(unit: Unit) -> None:
    dice = Random(6).randbytes
    state, heard = booted(unit, dice), []
    for hour in range(24 * 4):
        state, outputs = step(state, Tick(START_S + 60 + hour * 3_600), dice)
        heard += [output.address for output in outputs]
    assert len(set(heard)) == 4
    assert all(int(address[:2], 16) >= 0xC0 for address in heard)
    assert [heard.index(address) for address in dict.fromkeys(heard)] == [0, 24, 48, 72]


def test_random_static_addresses_are_never_all_zeros_or_ones() -> None:
    given = iter([b"\x00" * 6, b"\xc0" + bytes(5), b"\xff" * 6, b"\x3f" + b"\xff" * 5, b"\x00" * 5 + b"\x01"])
    assert firmware.random_static_address(lambda _n: next(given)) == "C0:00:00:00:00:01"


def test_a_silent_unit_says_nothing_until_its_button_is_pressed() -> None:
    dice = Random(7).randbytes
    state = booted(make_unit(beacon_mode="silent"), dice)
    assert firmware.next_beacon_at_s(state) is None
    state, outputs = step(state, Tick(START_S + DAY_S), dice)
    assert outputs == ()
    state, _ = step(state, ButtonPress(START_S + DAY_S), dice)
    state, outputs = step(state, Tick(START_S + DAY_S + 10), dice)
    assert len(outputs) == 1
    state, _ = step(state, PowerOff(START_S + 2 * DAY_S), dice)
    state, _ = step(state, PowerOn(START_S + 3 * DAY_S), dice)
    assert step(state, Tick(START_S + 3 * DAY_S + 10), dice)[1], "awake is not forgotten"


def test_consent_lasts_a_minute(unit: Unit) -> None:
    state, _ = step(booted(unit, Random(8).randbytes), ButtonPress(START_S + 5), Random(8).randbytes)
    assert [firmware.consents(state, START_S + at) for at in (4, 5, 65, 66)] == [False, True, True, False]
    off, _ = step(state, PowerOff(START_S + 6), Random(8).randbytes)
    on, _ = step(off, PowerOn(START_S + 7), Random(8).randbytes)
    assert not firmware.consents(on, START_S + 8)


def test_moved_is_told_once(unit: Unit) -> None:
    dice = Random(9).randbytes
    state, _ = step(booted(unit, dice), Moved(START_S + 1), dice)
    _, heard = run(state, START_S + 40, dice)
    assert [Status.from_byte(advert.frame[3]).moved for _, advert in heard[:2]] == [True, False]


def test_the_battery_runs_down_and_a_new_one_helps(unit: Unit) -> None:
    dice, state = Random(10).randbytes, booted(make_unit(), Random(10).randbytes)
    levels, day = [], 0
    while state.ram is not None:
        day += 10
        state, _ = step(state, Tick(START_S + day * DAY_S), dice)
        levels.append(firmware.battery_level(state))
    assert levels == sorted(levels)
    assert set(levels) == {0, 1, 2, 3}
    assert 2 * 365 < day < 5 * 365
    assert step(state, PowerOn(START_S + day * DAY_S), dice)[0].ram is None, "an empty battery starts nothing"
    state, _ = step(state, NewBattery(START_S + day * DAY_S), dice)
    state, _ = step(state, PowerOn(START_S + day * DAY_S), dice)
    assert state.nvm.boot == 2
    assert firmware.battery_level(state) == 0


def test_skipping_ahead_is_the_same_life(unit: Unit) -> None:
    """A driver that ticks rarely leaves the same counters and the same battery as one that never sleeps."""
    dice = Random(11).randbytes
    state = booted(unit, dice)
    dense, _ = run(state, START_S + 3 * 3_600, dice)
    end_s = START_S + 3 * 3_600 + 5
    dense, sparse = step(dense, PowerOff(end_s), dice)[0], step(state, PowerOff(end_s), dice)[0]
    assert abs(dense.nvm.uptime_s - sparse.nvm.uptime_s) <= 11
    assert dense.used_uah == pytest.approx(sparse.used_uah, rel=0.02)


def test_counters_stop_at_their_ends_and_do_not_wrap(unit: Unit) -> None:
    dice = Random(12).randbytes
    full = TagState(unit, Nvm(boot=MAX_BOOT, uptime_s=2**32 - 5))
    state, _ = step(full, PowerOn(START_S), dice)
    _, outputs = step(state, Tick(START_S + 60), dice)
    assert (opened(outputs[0]).boot, opened(outputs[0]).uptime_s) == (MAX_BOOT, 2**32 - 1)


def test_laid_down_and_woken_up(unit: Unit, tmp_path) -> None:
    dice = Random(13).randbytes
    state, _ = run(booted(unit, dice), START_S + 100, dice)
    save_sleep(tmp_path / "nvm", firmware.lay_down(state))
    assert firmware.wake_up(unit, load_sleep(tmp_path / "nvm", unit.serial)) == state
    assert load_sleep(tmp_path / "nvm", 1) is None
    assert firmware.wake_up(unit, None) == TagState(unit)


class Life(RuleBasedStateMachine):
    """Anything may happen to a tag, in any order, after any time."""

    @initialize(seed=st.integers(0, 2**32), drift=st.floats(-100, 100))
    def make(self, seed: int, drift: float) -> None:
        self.dice = Random(seed).randbytes
        self.state = TagState(make_unit(drift_ppm=drift))
        self.now_s = START_S
        self.frames: set[bytes] = set()
        self.last: PFrame | None = None
        self.last_beacon: tuple[int, float, str] | None = None
        self.kept = self.state.nvm

    def happen(self, event: Event) -> None:
        self.state, outputs = step(self.state, event, self.dice)
        assert len(outputs) <= 1
        for advert in outputs:
            self.hear(advert)

    def hear(self, advert: Advertise) -> None:
        frame = opened(advert)
        assert advert.frame not in self.frames, "a frame never repeats"
        self.frames.add(advert.frame)
        boot, at_s, address = self.last_beacon or (frame.boot, float("-inf"), advert.address)
        if boot == frame.boot:
            assert self.now_s - at_s >= firmware.TRANSIT_INTERVAL_S
        else:
            assert address != advert.address, "a new address with every boot"
        if self.last:
            assert (frame.boot, frame.uptime_s) > (self.last.boot, self.last.uptime_s)
            assert frame.uptime_s >= self.last.uptime_s
        assert frame.uptime_s == self.state.nvm.uptime_s, "the flash holds what the air was told"
        self.last, self.last_beacon = frame, (frame.boot, self.now_s, advert.address)

    @rule(seconds=st.one_of(st.floats(0, 30), st.floats(0, 100 * DAY_S)))
    def time_passes(self, seconds: float) -> None:
        self.now_s += seconds
        self.happen(Tick(self.now_s))

    @rule(makes=st.sampled_from([PowerOn, PowerOff, NewBattery, ButtonPress, Moved, Tick]))
    def something_happens(self, makes: type[Event]) -> None:
        self.happen(makes(self.now_s))

    @invariant()
    def memory_only_grows(self) -> None:
        now = self.state.nvm
        assert now.uptime_s >= self.kept.uptime_s
        assert now.boot in (self.kept.boot, self.kept.boot + 1)
        self.kept = now


TestLife = Life.TestCase
