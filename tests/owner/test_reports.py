"""Sealed reports are opened and judged: each reason to refuse with the last moment at which it is none."""

from __future__ import annotations

import random
from dataclasses import replace

import pytest
from hypothesis import given
from hypothesis import strategies as st

from owner.errors import PrivateError
from owner.keys import DAY_S, TICK_S, Ring, owner_ring, read_share, share_days, share_ring
from owner.reports import AHEAD_S, DAY_SLACK_S, Found, Why, read
from tests.owner.tag import BERLIN, DAY, NOON_S, PARIS, POTSDAM, PrivateTag, secret
from wire import keys
from wire.frames import decode_o, encode_o
from wire.sealed import Report

TAG = PrivateTag()
STRANGER = PrivateTag(secret("stranger"))
NOW_S = NOON_S + 3_600
# The first moment of a tick, so that ages in ticks are exact.
TICK_BEGINS_S = NOON_S
CLOCK_LOST = 0x08


def judged(*reports: bytes, now_s: int = NOW_S, ring: Ring | None = None) -> Found:
    return read(reports, ring or TAG.ring(), now_s)


def why(found: Found) -> list[Why]:
    return [each.why for each in found.refused]


def test_an_honest_report_is_a_point() -> None:
    found = judged(TAG.report(NOON_S, status=0xA0, rssi_dbm=-71))
    (point,) = found.points
    assert (point.lat, point.lon, point.unix_s) == (*BERLIN, NOON_S)
    assert (point.accuracy_m, point.rssi_dbm, point.gateway) == (35, -71, "crowd")
    assert (point.status.battery, point.status.moved, point.status.clock_lost) == (2, True, False)
    assert found.refused == ()
    assert found.empty == found.empty_text == ""
    assert found.tails_checked


def test_two_reports_within_one_second_are_both_kept() -> None:
    found = judged(TAG.report(rssi_dbm=-60), TAG.report(rssi_dbm=-80), TAG.report(rssi_dbm=-60))
    assert len(found.points) == 3
    assert found.refused == ()
    assert [fix.reports for fix in found.fixes()] == [3]


# --- One reason each --------------------------------------------------------------------------------------


def test_not_a_report() -> None:
    for wrong in (b"", bytes(89), b"\x02" + bytes(88), TAG.report()[:-1], TAG.report() + b"\0"):
        assert why(judged(wrong)) == [Why.NOT_A_REPORT]
    assert why(judged(TAG.of_another_version())) == [Why.NOT_A_REPORT]


def test_the_very_same_report_twice_is_one() -> None:
    report = TAG.report()
    found = judged(report, report, report)
    assert len(found.points) == 1
    assert why(found) == [Why.DUPLICATE] * 2


def test_of_another_tag() -> None:
    assert why(judged(STRANGER.report())) == [Why.OTHER_IDENTIFIER]


def test_moved_to_the_identifier_of_another_day() -> None:
    mine = keys.eid(keys.day_public_key(TAG.seed, DAY))
    yesterday = TAG.report(NOON_S - DAY_S)
    found = judged(yesterday[:1] + mine + yesterday[17:])
    assert why(found) == [Why.MOVED]
    assert "21 Nov 2026" in found.refused[0].text
    assert "22 Nov 2026" in found.refused[0].text


def test_moved_from_another_tag_or_sealed_to_a_swapped_key() -> None:
    mine = keys.eid(keys.day_public_key(TAG.seed, DAY))
    other = STRANGER.report()
    assert why(judged(other[:1] + mine + other[17:])) == [Why.SWAPPED_KEY]


@pytest.mark.parametrize(("garbage", "told"), [(255, Why.MOVED), (256, Why.SWAPPED_KEY)])
def test_a_flood_of_garbage_costs_no_more_than_it_is_worth(garbage: int, told: Why) -> None:
    """Beyond so many reports that do not open nobody tries to tell whether one was moved."""
    mine = keys.eid(keys.day_public_key(TAG.seed, DAY))
    yesterday = TAG.report(NOON_S - DAY_S)
    dice = random.Random(7)
    flood = [b"\x01" + mine + bytes(8) + dice.randbytes(64) for _ in range(garbage)]
    found = judged(TAG.report(), *flood, yesterday[:1] + mine + yesterday[17:])
    assert len(found.points) == 1
    assert sorted(why(found)) == sorted([told, *[Why.SWAPPED_KEY] * garbage])


@pytest.mark.parametrize(
    ("fields", "good"),
    [
        ({"lat_e7": 900_000_000, "lon_e7": 0}, True),
        ({"lat_e7": -900_000_001}, False),
        ({"lon_e7": -1_800_000_000}, True),
        ({"lon_e7": 1_800_000_001}, False),
    ],
)
def test_no_such_place(fields: dict[str, int], good: bool) -> None:
    assert why(judged(TAG.changed(**fields))) == ([] if good else [Why.NO_SUCH_PLACE])


def test_from_the_future() -> None:
    assert why(judged(TAG.report(NOON_S + AHEAD_S), now_s=NOON_S)) == []
    assert why(judged(TAG.report(NOON_S + AHEAD_S + 1), now_s=NOON_S)) == [Why.FROM_THE_FUTURE]


@pytest.mark.parametrize(
    ("at_s", "good"),
    [
        (DAY * DAY_S - DAY_SLACK_S, True),
        (DAY * DAY_S - DAY_SLACK_S - 1, False),
        ((DAY + 1) * DAY_S + DAY_SLACK_S - 1, True),
        ((DAY + 1) * DAY_S + DAY_SLACK_S, False),
    ],
)
def test_out_of_its_day(at_s: int, good: bool) -> None:
    """Even a frame that the tag did send then: a day's identifier has its day."""
    found = judged(TAG.report(at_s, day=DAY), now_s=NOW_S + 2 * DAY_S)
    assert why(found) == ([] if good else [Why.WRONG_DAY])


@pytest.mark.parametrize(("after_s", "good"), [(0, True), (2_699, True), (2_700, False), (6 * 3_600, False)])
def test_a_recording_is_refused_from_45_minutes_on(after_s: int, good: bool) -> None:
    found = judged(TAG.report(TICK_BEGINS_S + after_s, sent_s=TICK_BEGINS_S), now_s=NOON_S + DAY_S)
    assert why(found) == ([] if good else [Why.REPLAYED])
    if after_s == 6 * 3_600:
        assert "6 h before" in found.refused[0].text


def test_a_recording_of_the_last_second_of_a_tick_also_ends() -> None:
    """Whatever the moment within the tick: 45 minutes later it is refused."""
    for into_s in range(0, 900, 50):
        sent_s = TICK_BEGINS_S + into_s
        found = judged(TAG.report(sent_s + 2_700, sent_s=sent_s), now_s=NOON_S + DAY_S)
        assert why(found) == [Why.REPLAYED]


@pytest.mark.parametrize(("before_s", "good"), [(1_800, True), (1_801, False), (5 * 3_600, False)])
def test_a_time_before_the_frame_was_sent_is_not_true(before_s: int, good: bool) -> None:
    found = judged(TAG.report(TICK_BEGINS_S - before_s, sent_s=TICK_BEGINS_S))
    assert why(found) == ([] if good else [Why.WRONG_TIME])


def test_an_invented_tail() -> None:
    tail = TAG.heard().tail
    for place in range(4):
        wrong = bytes(byte ^ (place == n) for n, byte in enumerate(tail))
        assert why(judged(TAG.changed(tail=wrong))) == [Why.FORGED]


def test_an_insider_with_the_keys_of_the_lot_makes_no_frame_that_is_believed() -> None:
    """K_lot, K_factory, the tag's own K_tag, the code from its box, today's identifier: none of them is K_own."""
    k_lot, k_factory, k_claim = (secret(name, 16) for name in ("lot", "factory", "claim"))
    eid = keys.eid(keys.day_public_key(TAG.seed, DAY))
    for key in (k_lot, k_factory, k_claim, keys.tag_key(k_factory, TAG.secret.serial), eid):
        tail = decode_o(encode_o(key, eid, tick=NOON_S // TICK_S, status=0)).tail
        assert why(judged(TAG.changed(tail=tail))) == [Why.FORGED]


def test_a_status_that_the_tag_did_not_send() -> None:
    assert why(judged(TAG.changed(status=0x20))) == [Why.FORGED]


def test_ticks_count_from_the_claim_if_the_tag_does() -> None:
    tag = PrivateTag(zero_s=NOON_S - 30 * DAY_S + 123)
    assert len(judged(tag.report(), ring=tag.ring()).points) == 1
    assert why(judged(tag.report(), ring=TAG.ring())) == [Why.FORGED]
    assert why(judged(tag.report(NOON_S, sent_s=NOON_S - 2_700), ring=tag.ring())) == [Why.REPLAYED]


def test_before_the_tick_was_zero_nothing_was_sent() -> None:
    tag = PrivateTag(zero_s=NOON_S + 7_200)
    report = tag.sealed(replace(tag.heard(NOON_S + 7_200), unix_s=NOON_S))
    assert why(judged(report, ring=tag.ring())) == [Why.FORGED]
    for low in range(256):
        forged = tag.sealed(replace(tag.heard(NOON_S + 7_200), unix_s=NOON_S, tail=bytes((low, 0, 0, 0))))
        assert why(judged(forged, ring=tag.ring())) == [Why.FORGED]


def test_a_tag_that_lost_its_clock_is_believed_and_says_so() -> None:
    """It goes on with yesterday's place in its list, and its ticks stand behind."""
    report = TAG.report(NOON_S, day=DAY - 1, sent_s=NOON_S - DAY_S, status=CLOCK_LOST)
    (point,) = judged(report).points
    assert point.status.clock_lost
    newer = TAG.report(NOON_S - 7_200, sent_s=NOON_S, status=CLOCK_LOST)
    assert why(judged(newer)) == [Why.WRONG_TIME]
    assert why(judged(TAG.changed(status=CLOCK_LOST))) == [Why.FORGED]


def test_an_impossible_jump_loses_against_more_reports() -> None:
    honest = [TAG.report(NOON_S + n * 60) for n in range(3)]
    lies = [TAG.report(NOON_S + 30, PARIS), TAG.report(NOON_S + 90, PARIS)]
    found = judged(*honest, *lies)
    assert [(p.lat, p.lon) for p in found.points] == [BERLIN] * 3
    assert why(found) == [Why.IMPOSSIBLE_JUMP] * 2
    assert "877 km" in found.refused[0].text


@pytest.mark.parametrize(("minutes", "good"), [(58, False), (59, True)])
def test_what_an_airliner_can_do_is_no_jump(minutes: int, good: bool) -> None:
    found = judged(TAG.report(NOON_S), TAG.report(NOON_S + minutes * 60, PARIS), now_s=NOON_S + DAY_S)
    assert why(found) == ([] if good else [Why.IMPOSSIBLE_JUMP])


# --- Shares, and nothing found ----------------------------------------------------------------------------


def test_a_share_opens_its_days_and_cannot_check_tails() -> None:
    share = read_share(share_days(TAG.secret, DAY - 1, 2, NOW_S + 1))
    ring = share_ring(share, NOW_S)
    found = judged(TAG.report(), TAG.changed(tail=bytes(4)), TAG.report(NOON_S - 2 * DAY_S), ring=ring)
    assert len(found.points) == 2
    assert not found.tails_checked
    assert why(found) == [Why.OTHER_IDENTIFIER]
    lost = TAG.report(NOON_S, day=DAY - 1, sent_s=NOON_S - DAY_S, status=CLOCK_LOST)
    assert why(judged(lost, ring=ring)) == [Why.WRONG_DAY], "without a tail nothing speaks for an old identifier"


def test_nothing_always_says_why() -> None:
    assert judged().empty == "nobody_heard"
    assert "15 Nov 2026 to 22 Nov 2026" in judged().empty_text
    assert judged(ring=owner_ring(TAG.secret, [])).empty == "no_days"
    found = judged(TAG.changed(tail=bytes(4)), STRANGER.report(), STRANGER.report(NOON_S + 1))
    assert found.empty == "all_refused"
    assert "1 of frames that the tag never sent" in found.empty_text
    assert "2 of another tag or day" in found.empty_text


def test_too_many() -> None:
    with pytest.raises(PrivateError) as wrong:
        read([b""] * 200_001, TAG.ring(), NOW_S)
    assert wrong.value.code == "too_many_reports"


def test_progress_sees_each_report_once() -> None:
    seen: list[bytes] = []
    reports = [TAG.report(), TAG.report()]

    def watched(rows):
        for row in rows:
            seen.append(row)
            yield row

    assert len(read(reports, TAG.ring(), NOW_S, watched).points) == 2
    assert sorted(seen) == sorted(reports)


# --- Of any reports ---------------------------------------------------------------------------------------


def _some_reports() -> list[bytes]:
    mine = keys.eid(keys.day_public_key(TAG.seed, DAY))
    foreign = STRANGER.report()
    return [
        TAG.report(NOON_S),
        TAG.report(NOON_S, rssi_dbm=-61),
        TAG.report(NOON_S + 60, POTSDAM),
        TAG.report(NOON_S + 61, PARIS),
        TAG.report(NOON_S + 3_600, PARIS),
        TAG.report(NOON_S + 2_700, sent_s=NOON_S),
        TAG.report(NOON_S - 5_000, sent_s=NOON_S),
        TAG.report(NOON_S - DAY_S, POTSDAM),
        TAG.report(NOON_S, day=DAY - 1),
        TAG.changed(tail=b"none"),
        TAG.changed(lat_e7=2**31 - 1),
        foreign,
        foreign[:1] + mine + foreign[17:],
        b"garbage",
    ]


SOME = _some_reports()


@given(st.lists(st.sampled_from(SOME), max_size=30), st.randoms(use_true_random=False))
def test_order_and_repetition_change_nothing(reports: list[bytes], dice: random.Random) -> None:
    once = judged(*set(reports))
    shuffled = reports * 2
    dice.shuffle(shuffled)
    again = judged(*shuffled)
    assert again.points == once.points
    assert again.empty == once.empty
    assert set(once.refused) == {each for each in again.refused if each.why is not Why.DUPLICATE}
    assert len(again.points) + len(again.refused) == len(shuffled), "every report is accounted for"
    assert bool(again.points) is not bool(again.empty)


@given(st.binary(max_size=100), st.integers(0, 2**32 - 1))
def test_bytes_from_outside_are_answered_not_raised(body: bytes, now_s: int) -> None:
    mine = keys.eid(keys.day_public_key(TAG.seed, DAY))
    found = judged(body, b"\x01" + mine + (body + bytes(72))[:72], now_s=now_s)
    assert found.points == ()
    assert len(found.refused) == 2
    assert found.empty


ANY_REPORT = st.builds(
    Report,
    lat_e7=st.integers(-(2**31), 2**31 - 1),
    lon_e7=st.integers(-(2**31), 2**31 - 1),
    unix_s=st.integers(NOON_S - DAY_S, NOON_S + DAY_S) | st.integers(0, 2**32 - 1),
    accuracy_m=st.integers(0, 65_535),
    rssi_dbm=st.integers(-128, 127),
    status=st.integers(0, 255),
    tail=st.binary(min_size=4, max_size=4),
    gateway_class=st.integers(0, 255),
)


@given(ANY_REPORT, st.just(NOW_S) | st.integers(0, 2**32 - 1), st.booleans())
def test_any_report_that_opens_is_a_point_or_refused(report: Report, now_s: int, tails: bool) -> None:
    ring = TAG.ring() if tails else Ring(TAG.ring().days)
    found = judged(TAG.sealed(report, DAY), now_s=now_s, ring=ring)
    assert len(found.points) + len(found.refused) == 1
    # Of a tag without a clock any tail of a year is right: once in 120,000 tries somebody guesses one.
    assert not tails or not found.points or report.status & CLOCK_LOST, "nobody guesses a tail"
