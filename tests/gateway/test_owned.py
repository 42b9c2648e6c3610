"""Frames of owned tags apart from sightings: the tag's own stay, memory is bounded, everybody can be connected to."""

from __future__ import annotations

import hypothesis.strategies as st
from hypothesis import given

from gateway.collector import FORGET_NS, NS, Collector
from gateway.owned import OwnedTable, Present
from tests.gateway.air import NETWORK, frame
from wire.frames import FrameType


def owned(identifier: int, tail: int = 0) -> bytes:
    """An O frame that looks like one: its identifier is a number, and its last four bytes another."""
    return bytes((NETWORK, 0, FrameType.OWNED, 0)) + identifier.to_bytes(16, "big") + tail.to_bytes(4, "big")


def collector(**more: int | float) -> Collector:
    return Collector(**{"network_id": NETWORK, "now_ns": 0, **more})  # type: ignore[arg-type]


def test_an_owned_tag_is_heard_apart_from_sightings() -> None:
    table = collector(window_s=60)
    for second, rssi in ((1, -70), (2, -60), (4, -65)):
        table.hear("A", owned(7), rssi, second * NS)
    table.hear("B", frame(1), -60, 5 * NS)
    window = table.take(6 * NS, 1_000_000)
    ((heard_ms, data, rssi_dbm),) = window.owned
    assert (heard_ms, data, rssi_dbm) == (1_004_000, owned(7), -60)
    assert window.owned[0].eid == (7).to_bytes(16, "big")
    assert (window.owned_adverts, len(window.sightings), window.dropped) == (3, 1, {})
    assert table.take(7 * NS, 0).owned == ()
    assert table.adverts_total() == 4


def test_an_owned_tag_alone_ends_a_window_after_its_time_and_no_sooner() -> None:
    table = collector(window_s=60)
    table.hear("A", owned(7), -60, 10 * NS)
    assert not table.due(69 * NS), "nobody waits for it: no early window"
    assert table.due(70 * NS)


def test_a_recording_played_louder_and_later_pushes_nothing_out() -> None:
    own, recording = (owned(7, tail=1), -80), (owned(7, tail=66), -30)
    for said in ([own, recording, recording], [recording, own, recording], [recording, recording, own]):
        table = OwnedTable(16)
        for data, rssi in said:
            table.hear(data, rssi, 1)
        assert {one.frame for one in table.take(0)} == {own[0], recording[0]}


def test_one_frame_all_the_time_is_one() -> None:
    table = OwnedTable(16)
    for second in range(60):
        table.hear(owned(7), -60 - second % 5, second * NS)
    ((heard_ms, _, rssi_dbm),) = table.take(0)
    assert (heard_ms, rssi_dbm) == (59_000, -60)


def test_invented_identifiers_find_no_room_beyond_the_limit() -> None:
    table = collector(addresses_max=16)
    for number in range(100):
        table.hear("A", owned(number), -60, number)
    table.hear("A", owned(0, tail=1), -50, 200)
    window = table.take(NS, 0)
    assert len({one.eid for one in window.owned}) == 16
    assert window.dropped == {"table_full": 84}
    assert window.owned_adverts == 17


def test_a_lost_signal_is_no_advert_of_an_owned_tag() -> None:
    table = collector()
    table.hear("A", owned(7), -127, 1)
    window = table.take(NS, 0)
    assert (window.owned, window.dropped) == ((), {"no_rssi": 1})


def test_candidates_are_of_every_kind_strongest_first_and_near_tags_stay_counted() -> None:
    table = collector()
    near = frame(3, FrameType.NEAR_OWNER)
    table.hear("P", frame(1), -60, NS)
    table.hear("O", owned(7), -50, NS)
    table.hear("N", near, -70, NS)
    assert [(c.address, c.frame) for c in table.candidates(2 * NS)] == [("O", owned(7)), ("P", frame(1)), ("N", near)]
    window = table.take(3 * NS, 0)
    assert window.dropped == {"near_owner": 1}
    assert [c.address for c in table.candidates(61 * NS)] == ["O", "P", "N"], "the window's end changes nothing"
    assert table.candidates(62 * NS) == []
    assert table.heard_at("N") is None, "forgotten with it"


def test_a_tag_that_was_just_claimed_is_offered_with_its_newest_frame() -> None:
    table = collector()
    table.hear("A", frame(1), -40, 1 * NS)
    table.hear("A", owned(7), -60, 2 * NS)
    assert [c.frame for c in table.candidates(3 * NS)] == [owned(7)]
    assert table.heard_at("A") == 2 * NS
    table.take(3 * NS, 0)
    table.hear("A", frame(2), -60, 4 * NS)
    assert [c.frame for c in table.candidates(5 * NS)] == [frame(2)], "and the other way round, after it was cleared"
    assert table.heard_at("A") == 4 * NS


def test_a_flood_of_addresses_costs_no_memory_and_the_latest_stay() -> None:
    around = Present(16)
    for number in range(1_000):
        around.hear(f"A{number}", owned(number), -60, number)
    around.hear("A990", owned(0), -60, 2_000)
    around.hear("new", owned(1), -60, 2_001)
    kept = around.since(0)
    assert len(kept) == 16
    assert {"A990", "new", "A999"} <= set(kept)
    assert "A984" not in kept


def test_an_owned_tag_that_stays_silent_is_forgotten() -> None:
    table = collector()
    table.hear("A", owned(7), -60, 0)
    assert table.candidates(FORGET_NS) == []
    assert len(table._present.since(0)) == 0


@given(
    st.lists(st.tuples(st.integers(0, 3), st.integers(0, 3), st.integers(-90, -30), st.integers(0, 9)), max_size=60),
    st.integers(1, 3),
)
def test_the_first_and_the_newest_other_are_kept_of_each(heard: list[tuple[int, int, int, int]], room: int) -> None:
    """Against the plain definition, over any order, for the identifiers that found room."""
    table = OwnedTable(room)
    now, adverts, said = 0, 0, dict[int, list[tuple[int, int, int]]]()
    for identifier, tail, rssi, later in heard:
        now += later
        full = table.hear(owned(identifier, tail), rssi, now * 1_000_000)
        assert (full == "table_full") == (identifier not in said and len(said) == room)
        if not full:
            said.setdefault(identifier, []).append((tail, rssi, now))
            adverts += 1
    assert table.adverts == adverts
    found: dict[int, dict[int, tuple[int, int]]] = {}
    for one in table.take(0):
        tails = found.setdefault(int.from_bytes(one.eid, "big"), {})
        tails[int.from_bytes(one.frame[20:], "big")] = (one.heard_ms, one.rssi_dbm)
    assert set(found) == set(said)
    for identifier, all_said in said.items():
        kept, first = found[identifier], all_said[0][0]
        others = [tail for tail, _, _ in all_said if tail != first]
        assert set(kept) == {first, *others[-1:]}
        for tail, (heard_ms, _) in kept.items():
            assert heard_ms == max(now for each, _, now in all_said if each == tail)
        assert kept[first][1] == max(rssi for tail, rssi, _ in all_said if tail == first)
