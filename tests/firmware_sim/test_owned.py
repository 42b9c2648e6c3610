"""What an owned tag tells the air, quarter of an hour by quarter of an hour."""

from __future__ import annotations

from random import Random

import pytest

from firmware_sim import owned
from firmware_sim import tag as firmware
from firmware_sim.tag import Advertise, ButtonPress, Moved, PowerOff, PowerOn, TagState, Tick, step
from tests.firmware_sim.conftest import K_FACTORY, K_LOT, make_unit
from tests.firmware_sim.listening import run
from tests.firmware_sim.owners import Owner
from wire.frames import FrameType, Status, day_of_tick, decode_o, decode_p, frame_kind, tick_of, verify_n, verify_o
from wire.gatt import AttError, Op
from wire.keys import unlisted_eid
from wire.set_owner import EID_LEN

DAY_S, QUARTER_S = 86_400.0, 900.0
MIDNIGHT_S = 20_720 * DAY_S
NOON_S = MIDNIGHT_S + DAY_S / 2
ANN = Owner("Ann")
DICE = Random(3).randbytes
Heard = list[tuple[float, Advertise]]


def claimed(now_s: float = NOON_S, days: int = 366, *, drift_ppm: float = 0.0, silent: bool = False) -> TagState:
    unit = make_unit(drift_ppm=drift_ppm, beacon_mode="silent" if silent else "transit_beacon")
    state, _ = step(TagState(unit), PowerOn(now_s - 100), DICE)
    return step(ANN.take(state, now_s, days), Tick(now_s), DICE)[0]  # what is due from now on has not been yet


def alone(now_s: float = NOON_S, days: int = 366, *, drift_ppm: float = 0.0, silent: bool = False) -> TagState:
    """Its owner was last there half an hour ago."""
    state = claimed(now_s - owned.NEAR_S, days, drift_ppm=drift_ppm, silent=silent)
    return step(state, Tick(now_s), DICE)[0]


def kinds(heard: Heard) -> set[FrameType]:
    return {frame_kind(advert.frame) for _, advert in heard}


def eid_on(state: TagState, day: int) -> bytes:
    at = (day - state.nvm.first_day) * EID_LEN
    return state.nvm.eids[at : at + EID_LEN]


def test_near_its_owner_everything_changes_every_quarter_of_an_hour() -> None:
    state, heard = claimed(), []
    for minute in range(0, 120, 10):  # the owner's phone says so every ten minutes
        state = ANN.near(state, NOON_S + minute * 60).state
        state, more = run(state, NOON_S + minute * 60 + 599, DICE)
        heard += more
    assert kinds(heard) == {FrameType.NEAR_OWNER}
    assert all(advert.frame[1] == 1 for _, advert in heard)
    assert all(verify_n(advert.frame, ANN.k_own, tick_of(int(at_s))) for at_s, advert in heard)
    faces = {(advert.address, advert.frame[4:12], advert.frame[12:]) for _, advert in heard}
    assert len(faces) == 8
    for part in range(3):
        assert len({face[part] for face in faces}) == 8, "address, hash and random part change together"
    assert len(heard) == pytest.approx(7_200 / firmware.OWNED_INTERVAL_S, rel=0.02)


def test_half_an_hour_without_its_owner_it_is_separated() -> None:
    state, heard = run(claimed(), NOON_S + 3_600, DICE)
    near = [at_s - NOON_S for at_s, advert in heard if advert.frame[1] & 1]
    away = [at_s - NOON_S for at_s, advert in heard if not advert.frame[1] & 1]
    assert 1_800 - 31 <= max(near) < 1_800 <= min(away) <= 1_800 + 31
    state = ANN.near(state, NOON_S + 3_601).state
    _, back = run(state, NOON_S + 3_700, DICE)
    assert kinds(back) == {FrameType.NEAR_OWNER}
    addresses = [advert.address for _, advert in (*heard, *back)]
    assert len(set(addresses)) == 4, "two quarters near, one stretch away, and back: a new address each"


def test_separated_it_has_one_identifier_and_address_a_day_and_a_new_tail_every_quarter() -> None:
    state = alone()
    _, heard = run(state, NOON_S + 3 * DAY_S, DICE)
    assert kinds(heard) == {FrameType.OWNED}
    shown: dict[str, set[bytes]] = {}
    tails: dict[tuple[str, int], set[bytes]] = {}
    for at_s, advert in heard:
        frame, tick = decode_o(advert.frame), tick_of(int(at_s))
        assert verify_o(frame, ANN.k_own, tick)
        assert not verify_o(frame, ANN.k_own, tick + 3), "three quarters later it is refused"
        assert frame.eid == eid_on(state, day_of_tick(tick))
        shown.setdefault(advert.address, set()).add(frame.eid)
        tails.setdefault((advert.address, tick), set()).add(frame.tail)
    assert len(shown) == 4
    assert all(len(eids) == 1 for eids in shown.values())
    assert all(len(tail) == 1 for tail in tails.values())
    assert len(set.union(*tails.values())) == len(tails) == 3 * 96


def test_a_status_that_changes_is_in_the_tail_and_not_in_the_identifier() -> None:
    state, _ = step(alone(), Moved(NOON_S), DICE)
    _, heard = run(state, NOON_S + 70, DICE)
    moved, quiet = (decode_o(advert.frame) for _, advert in heard[:2])
    assert Status.from_byte(moved.status).moved
    assert not Status.from_byte(quiet.status).moved
    assert moved.tail[0] == quiet.tail[0]
    assert moved.tail != quiet.tail
    assert moved.eid == quiet.eid


def test_a_private_tag_says_no_p_frame_until_it_is_cleared() -> None:
    unit = make_unit()
    dice = Random(4).randbytes
    state, before = run(step(TagState(unit), PowerOn(NOON_S - 100), dice)[0], NOON_S, dice)
    state = ANN.take(state, NOON_S, 366)
    state, during = run(state, NOON_S + 2 * DAY_S, dice)
    assert kinds(during) == {FrameType.NEAR_OWNER, FrameType.OWNED}
    state, _ = step(state, ButtonPress(NOON_S + 2 * DAY_S), dice)
    _, after = run(ANN.clear(state, NOON_S + 2 * DAY_S).state, NOON_S + 2 * DAY_S + 60, dice)
    assert kinds(before) == kinds(after) == {FrameType.PROVENANCE}
    opened = decode_p(after[0][1].frame, K_LOT, K_FACTORY)
    assert (opened.serial, opened.boot) == (700, 1)
    assert Status.from_byte(opened.status) == Status(transit=True)
    groups = [{advert.address for _, advert in heard} for heard in (before, during, after)]
    assert not groups[0] & groups[1]
    assert not groups[1] & groups[2]


def test_a_silent_unit_that_is_owned_beacons() -> None:
    _, heard = run(alone(silent=True), NOON_S + 100, DICE)
    assert kinds(heard) == {FrameType.OWNED}


# --- Time -------------------------------------------------------------------------------------------------


def test_without_power_the_clock_stands_and_says_so_and_the_list_goes_on() -> None:
    state, before = run(alone(), NOON_S + 100, DICE)
    state, _ = step(state, PowerOff(NOON_S + 100), DICE)
    back_s = NOON_S + 10 * DAY_S
    state, _ = step(state, PowerOn(back_s), DICE)
    state, after = run(state, back_s + DAY_S, DICE)
    first, last = decode_o(after[0][1].frame), decode_o(after[-1][1].frame)
    assert Status.from_byte(first.status).clock_lost
    assert not Status.from_byte(decode_o(before[-1][1].frame).status).clock_lost
    stood = tick_of(int(NOON_S))
    assert verify_o(first, ANN.k_own, stood + 1), "the last quarter told is not told again at another hour"
    assert first.eid == eid_on(state, day_of_tick(stood))
    assert last.eid == eid_on(state, day_of_tick(stood) + 1), "midnight comes twelve hours later"
    state = ANN.near(state, back_s + DAY_S).state
    _, met = run(state, back_s + DAY_S + 60, DICE)
    assert not Status.from_byte(met[0][1].frame[3]).clock_lost
    assert verify_n(met[0][1].frame, ANN.k_own, tick_of(int(back_s + DAY_S)))


def test_a_loose_battery_that_tells_nothing_between_does_not_push_the_clock() -> None:
    state, _ = run(alone(), NOON_S + 100, DICE)
    for second in range(50):
        state, _ = step(state, PowerOff(NOON_S + 100 + second), DICE)
        state, _ = step(state, PowerOn(NOON_S + 100 + second), DICE)
    _, heard = run(state, NOON_S + 200, DICE)
    assert verify_o(decode_o(heard[0][1].frame), ANN.k_own, tick_of(int(NOON_S)) + 1)


@pytest.mark.parametrize("drift_ppm", [-100.0, 100.0])
def test_a_drifting_clock_is_put_right_when_the_owner_is_there(drift_ppm: float) -> None:
    state = alone(drift_ppm=drift_ppm)
    late_s = NOON_S + 200 * DAY_S
    state, _ = step(state, Tick(late_s), DICE)
    off_s = owned.tick(state.nvm, firmware.uptime_s(state, late_s)) * QUARTER_S - late_s
    assert abs(off_s) >= QUARTER_S
    state = ANN.near(state, late_s).state
    _, heard = run(state, late_s + 1_200, DICE)
    at_s, last = heard[-1]
    assert verify_n(last.frame, ANN.k_own, tick_of(int(at_s))), "at the latest when a quarter has been waited for"
    if drift_ppm < 0:  # nothing to wait for
        assert verify_n(heard[0][1].frame, ANN.k_own, tick_of(int(late_s)))


def test_set_back_a_little_no_quarter_is_told_twice_and_set_back_a_lot_the_truth_counts() -> None:
    quarter_s = NOON_S + 10
    state = ANN.near(claimed(NOON_S - 3_600), quarter_s).state
    state, heard = run(state, quarter_s + 60, DICE)
    late = ANN.near(state, quarter_s + 60, unix_s=NOON_S - 100)
    state, held = run(late.state, quarter_s + 60 + 90, DICE)
    assert {advert.address for _, advert in held} == {heard[-1][1].address}, "it waits in its quarter"
    state = ANN.near(state, quarter_s + 200, unix_s=NOON_S - DAY_S).state
    _, back = run(state, quarter_s + 300, DICE)
    assert verify_n(back[0][1].frame, ANN.k_own, tick_of(int(NOON_S - DAY_S)))


def test_after_the_last_day_nobody_but_the_owner_knows_it() -> None:
    state = alone(days=2)
    today = day_of_tick(tick_of(int(NOON_S)))
    _, heard = run(state, NOON_S + 4 * DAY_S, DICE)
    eids = list(dict.fromkeys(decode_o(advert.frame).eid for _, advert in heard))
    listed, unlisted = eids[:2], eids[2:]
    assert listed == [eid_on(state, today), eid_on(state, today + 1)]
    assert unlisted == [unlisted_eid(ANN.k_own, today + n) for n in (2, 3, 4)]
    assert kinds(heard) == {FrameType.OWNED}, "it never passes for near its owner"
    assert len({advert.address for _, advert in heard}) == 5
    assert owned.identifier(state.nvm, today - 1) == unlisted_eid(ANN.k_own, today - 1)


def test_the_clock_goes_on_in_a_tag_that_nobody_listens_to() -> None:
    """A driver that skips ahead leaves what a sleepless one leaves: a power loss later repeats no quarter."""
    end_s = NOON_S + 5 * 3_600 + QUARTER_S / 2
    dense, _ = run(alone(), end_s, DICE)
    sparse, _ = step(alone(), Tick(end_s - 5), DICE)
    ends = [step(state, PowerOff(end_s), DICE)[0].nvm.tick_said for state in (dense, sparse)]
    assert ends == [tick_of(int(end_s))] * 2


# --- Being there, and ringing ---------------------------------------------------------------------------------


def test_only_the_owner_is_near_and_only_on_a_private_tag() -> None:
    state = alone()
    assert Owner("Bob").near(state, NOON_S).refused is AttError.UNAUTHENTICATED
    assert Owner("Ann", k_claim=bytes(16)).near(state, NOON_S).refused is AttError.UNAUTHENTICATED
    unowned, _ = step(TagState(make_unit()), PowerOn(NOON_S), DICE)
    nobody = Owner("Ann")
    nobody.k_own = b""
    assert nobody.near(unowned, NOON_S).refused is AttError.UNAUTHENTICATED
    for data in (b"", bytes(19), bytes(21)):
        assert ANN.ask(state, Op.NEAR, data, NOON_S).refused is AttError.INVALID_VALUE


def test_the_owner_rings_it_without_a_button() -> None:
    state = alone()
    ringing = ANN.ring(state, NOON_S, 20)
    assert ringing.refused is None
    assert ringing.state.ram is not None
    assert ringing.state.ram.sound_until_at_s == NOON_S + 20
    assert ringing.state.used_uah > state.used_uah
    silent = ANN.ring(ringing.state, NOON_S + 5, 0).state
    assert silent.ram is not None
    assert silent.ram.sound_until_at_s is None
    over, _ = step(ringing.state, Tick(NOON_S + 20), DICE)
    assert over.ram is not None
    assert over.ram.sound_until_at_s is None
    for seconds in (1, 4, 61, 255):
        assert ANN.ring(state, NOON_S, seconds).refused is AttError.INVALID_VALUE
    assert Owner("Bob").ring(state, NOON_S, 10).refused is AttError.UNAUTHENTICATED
    assert ANN.ask(state, Op.RING, b"\x0a", NOON_S).refused is AttError.UNAUTHENTICATED, "a proof is needed"
    unowned, _ = step(TagState(make_unit()), PowerOn(NOON_S), DICE)
    assert ANN.ring(unowned, NOON_S, 10).refused is None, "whoever has the code may find the parcel by ear"
