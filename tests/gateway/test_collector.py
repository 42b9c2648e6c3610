"""The collector: nothing is lost without a count, nobody's evidence is overwritten, and memory stays bounded."""

from __future__ import annotations

from typing import NamedTuple

import hypothesis.strategies as st
import pytest
from hypothesis import given

from gateway.collector import EARLY_GAP_NS, FORGET_NS, NS, QUIET_NS, SETTLE_NS, Collector, Window
from tests.gateway.air import NETWORK, frame
from wire.batch import pack_sightings
from wire.frames import SERVICE_UUID, FrameType


class Heard(NamedTuple):
    """One object for both arguments of a scanner's callback."""

    address: str
    service_data: dict[str, bytes]
    rssi: int


def collector(**more: int | float) -> Collector:
    return Collector(**{"network_id": NETWORK, "now_ns": 0, **more})  # type: ignore[arg-type]


def frames_of(window: Window, index: int = 0) -> list[bytes]:
    return [heard.frame for heard in window.sightings[index].frames]


def test_one_address_is_one_sighting() -> None:
    table = collector()
    for second, rssi in ((1, -70), (2, -60), (4, -65)):
        table.hear("A", frame(1), rssi, second * NS)
    (seen,) = table.take(5 * NS, 1_000_000).sightings
    assert (seen.first_ms, seen.last_ms, seen.adverts) == (1_001_000, 1_004_000, 3)
    assert (seen.rssi_max_dbm, seen.rssi_mean_dbm, seen.frames_lost) == (-60, -65, 0)
    assert [(h.heard_ms, h.frame) for h in seen.frames] == [(1_004_000, frame(1))]


def test_a_spoofed_frame_between_two_true_ones_overwrites_neither() -> None:
    table = collector()
    for second, number in ((1, 1), (2, 99), (3, 2)):
        table.hear("A", frame(number), -60, second * NS)
    window = table.take(4 * NS, 0)
    assert frames_of(window) == [frame(1), frame(99), frame(2)]
    assert [h.heard_ms for h in window.sightings[0].frames] == [1_000, 2_000, 3_000]


def test_a_true_frame_that_comes_back_keeps_its_last_moment() -> None:
    table = collector()
    for second, number in ((1, 1), (2, 99), (3, 1), (5, 1)):
        table.hear("A", frame(number), -60, second * NS)
    (seen,) = table.take(6 * NS, 0).sightings
    assert [(h.heard_ms, h.frame) for h in seen.frames] == [(5_000, frame(1)), (2_000, frame(99))]


def test_a_flood_of_spoofed_frames_leaves_the_first_two_and_the_last_two() -> None:
    table = collector()
    for number in range(100):
        table.hear("A", frame(number), -60, number)
    (seen,) = table.take(NS, 0).sightings
    assert [h.frame for h in seen.frames] == [frame(0), frame(1), frame(98), frame(99)]
    assert (seen.adverts, seen.frames_lost) == (100, 96)


def test_two_addresses_in_one_millisecond_are_both_kept() -> None:
    table = collector()
    table.hear("A", frame(1), -60, 5)
    table.hear("B", frame(2), -60, 5)
    assert len(table.take(NS, 0).sightings) == 2


@pytest.mark.parametrize(
    ("data", "rssi", "reason"),
    [
        (b"short", -60, "frame_length"),
        (frame(1, network=0x02), -60, "foreign_network"),
        (frame(1, FrameType.NEAR_OWNER), -60, "near_owner"),
        (frame(1, 0x77), -60, "frame_type"),
        (frame(1), -127, "no_rssi"),
        (frame(1), 127, "no_rssi"),
    ],
)
def test_what_is_dropped_has_a_reason(data: bytes, rssi: int, reason: str) -> None:
    table = collector()
    table.hear("A", data, rssi, 1)
    window = table.take(NS, 0)
    assert (window.sightings, window.dropped) == ((), {reason: 1})


def test_a_lost_signal_of_a_known_address_is_no_advert() -> None:
    table = collector()
    table.hear("A", frame(1), -60, 1 * NS)
    table.hear("A", frame(1), -127, 9 * NS)
    window = table.take(9 * NS, 0)
    assert window.sightings[0].last_ms == 1_000
    assert window.dropped == {"no_rssi": 1}


@pytest.mark.parametrize("rssi", [-128, -127, 21, 127])
def test_the_shortcut_knows_a_lost_signal_too(rssi: int) -> None:
    table = collector()
    ear = table.ear(lambda: 5)
    for strength in (-60, -60, rssi, -60):
        advert = Heard("A", {SERVICE_UUID: frame(1)}, strength)
        ear(advert, advert)
    window = table.take(NS, 0)
    assert (window.sightings[0].adverts, window.sightings[0].rssi_mean_dbm) == (3, -60)
    assert window.dropped == {"no_rssi": 1}


def test_foreign_beacons_cost_no_memory() -> None:
    table = collector(addresses_max=16)
    for number in range(1_000):
        table.hear(f"F{number}", frame(number, network=0x02), -60, number)
    assert not table._window
    assert not table._recent


def test_a_full_table_drops_further_addresses_and_keeps_the_known_ones() -> None:
    table = collector(addresses_max=16)
    for number in range(20):
        table.hear(f"A{number}", frame(number), -60, 1)
    table.hear("A0", frame(0), -60, 2)
    window = table.take(NS, 0)
    assert len(window.sightings) == 16
    assert window.dropped == {"table_full": 4}
    assert window.sightings[0].adverts == 2


def test_memory_of_addresses_is_bounded_over_windows() -> None:
    table = collector(addresses_max=16)
    for turn in range(50):
        for number in range(16):
            table.hear(f"A{turn}-{number}", frame(number), -60, turn * NS)
        table.take(turn * NS, 0)
    assert len(table._recent) == 16


def test_a_new_tag_is_told_soon_and_a_known_one_once_a_minute() -> None:
    table = collector(window_s=60)
    table.hear("A", frame(1), -60, 0)
    assert not table.due(SETTLE_NS - 1)
    assert table.due(SETTLE_NS)
    table.take(SETTLE_NS, 0)
    table.hear("A", frame(2), -60, 10 * NS)
    assert not table.due(69 * NS)
    assert table.due(70 * NS)


def test_new_tags_one_after_the_other_make_no_flood_of_batches() -> None:
    table, taken = collector(window_s=60), 0
    for tick in range(400):  # 100 seconds, a new address every quarter of a second
        now = tick * NS // 4
        table.hear(f"A{tick}", frame(tick), -60, now)
        if table.due(now):
            table.take(now, 0)
            taken += 1
    assert taken <= 100 * NS // EARLY_GAP_NS + 1


def test_a_tag_that_comes_back_after_long_is_new() -> None:
    table = collector(window_s=60)
    table.hear("A", frame(1), -60, 0)
    table.take(SETTLE_NS, 0)
    back = FORGET_NS + 10 * NS
    table.hear("A", frame(2), -60, back)
    assert table.due(back + SETTLE_NS)


def test_counts_alone_wait_and_silence_makes_nothing() -> None:
    table = collector()
    assert not table.due(QUIET_NS)
    table.hear("F", None, -60, 1)
    assert not table.due(QUIET_NS - 1)
    assert table.due(QUIET_NS)


def test_candidates_are_the_newest_frames_strongest_first() -> None:
    table = collector()
    table.hear("far", frame(1), -90, 0)
    table.hear("near", frame(2), -40, 0)
    table.take(NS, 0)
    table.hear("near", frame(3), -45, 20 * NS)
    table.hear("new", frame(4), -60, 20 * NS)
    assert [c.address for c in table.candidates(21 * NS)] == ["near", "new", "far"]
    assert table.candidates(21 * NS)[0].frame == frame(3)
    assert [c.address for c in table.candidates(70 * NS)] == ["near", "new"]


def test_a_clock_before_1970_still_fits() -> None:
    table = collector()
    table.hear("A", frame(1), -60, NS)
    pack_sightings(table.take(2 * NS, -10_000_000).sightings)


ADVERTS = st.tuples(
    st.sampled_from(["A", "B", "C", "D"]),
    st.one_of(
        st.none(),
        st.integers(0, 6).map(frame),
        st.builds(frame, st.integers(0, 2), st.sampled_from([*FrameType, 0x00]), st.sampled_from([NETWORK, 1, 2])),
        st.binary(max_size=30),
    ),
    st.one_of(st.integers(-128, 127), st.sampled_from([-127, -126, 20, 21])),
    st.integers(0, 3 * NS),
)


@given(st.lists(st.one_of(ADVERTS, st.none()), max_size=120), st.integers(1, 4))
def test_nothing_is_lost_without_a_count(events: list[tuple[str, bytes | None, int, int] | None], room: int) -> None:
    """adverts = those of sightings + of owned tags + all dropped, over any number of windows; None takes a window."""
    now, heard, counted = 0, 0, 0
    table, plain = collector(addresses_max=room), collector(addresses_max=room)
    ear = table.ear(lambda: now)

    def take() -> int:
        window = table.take(now, 1_000)
        assert window == plain.take(now, 1_000), "the shortcut tells the same as the whole way"
        pack_sightings(window.sightings)  # whatever was heard fits the wire
        for seen in window.sightings:
            assert seen.first_ms <= min(h.heard_ms for h in seen.frames)
            assert seen.last_ms == max(h.heard_ms for h in seen.frames)
            assert len({h.frame for h in seen.frames}) == len(seen.frames)
        for one in window.owned:
            assert one.frame[2] == FrameType.OWNED
        assert len({one.frame for one in window.owned}) == len(window.owned) <= window.owned_adverts
        return sum(seen.adverts for seen in window.sightings) + sum(window.dropped.values()) + window.owned_adverts

    for event in events:
        if event is None:
            counted += take()
            continue
        address, data, rssi, later = event
        now += later
        heard += 1
        advert = Heard(address, {} if data is None else {SERVICE_UUID: data}, rssi)
        ear(advert, advert)
        plain.hear(address, data, rssi, now)
        assert max(len(table._window), len(table._owned), len(table._present.since(0))) <= room
        assert table.adverts_total() == heard
    assert counted + take() == heard
