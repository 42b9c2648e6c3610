"""Where is my tag: age words, fusing, stays, impossible jumps, and a reason for every empty answer."""

from __future__ import annotations

from dataclasses import replace
from datetime import datetime, timedelta

import pytest
from hypothesis import given
from hypothesis import strategies as st

from server.rules.distance import distance_m
from server.rules.facts import Heard, Place
from server.rules.policy import SOLO
from server.rules.position import REASON, Age, Empty, WhereIs, age_of, where_is
from tests.server.rules.build import HOME, at, hear

NOW = at("Wed 12:00")
STREET = Place(HOME.lat + 0.0005, HOME.lon, 20.0)  # 55 m on
TOWN = Place(HOME.lat + 0.05, HOME.lon, 20.0)  # 5.5 km on


def ask(*rows: Heard, now: datetime = NOW, **limits) -> WhereIs:
    return where_is(rows, now, SOLO, **limits)


@pytest.mark.parametrize(
    ("age", "word"),
    [(timedelta(0), "fresh"), (timedelta(minutes=15), "fresh"), (timedelta(minutes=15, seconds=1), "aging"),
     (timedelta(hours=24), "aging"), (timedelta(hours=24, seconds=1), "old")],
)  # fmt: skip
def test_age_words(age: timedelta, word: str) -> None:
    assert age_of(NOW - age, NOW, SOLO) == word
    assert age_of(None, NOW, SOLO) is Age.NEVER


def test_last_place_has_both_clocks_and_an_honest_accuracy() -> None:
    late = replace(hear("phone", at("Wed 11:58")), first_reached_at=at("Wed 11:59"), reached_us_at=at("Wed 11:59"))
    found = ask(hear("cafe", at("Wed 09:00")), late)
    assert found.last is not None
    assert (found.last.at, found.last.reached_us_at) == (at("Wed 11:58"), at("Wed 11:59"))
    assert found.last.place.accuracy_m == pytest.approx(HOME.accuracy_m + SOLO.radio_range_m)
    assert (found.age, found.empty) == (Age.FRESH, None)
    assert found.here_since == at("Wed 09:00")


def test_receivers_of_one_moment_are_one_fix() -> None:
    found = ask(hear("phone", at("Wed 11:00")), hear("cafe", at("Wed 11:01"), place=STREET))
    assert len(found.fixes) == 1
    fix = found.fixes[0]
    assert fix.gateways == ("cafe", "phone")
    assert HOME.lat < fix.place.lat < STREET.lat


coordinates = st.tuples(st.floats(-0.0006, 0.0006), st.floats(-0.0006, 0.0006), st.floats(5, 200))


@given(st.lists(coordinates, min_size=1, max_size=5), st.sampled_from((0.0, 45.0, 179.9999, -179.9999)))
def test_the_fused_circle_holds_every_point_that_all_circles_hold(offsets, lon: float) -> None:
    """On the date line too."""
    places = [Place(10 + dlat, (lon + dlon + 180) % 360 - 180, accuracy) for dlat, dlon, accuracy in offsets]
    rows = [hear("phone", at("Wed 11:00") + timedelta(seconds=n), place=p) for n, p in enumerate(places)]
    for fix in ask(*rows).fixes:
        for candidate in places:
            inside_all = all(distance_m(candidate, p) <= p.accuracy_m + SOLO.radio_range_m for p in places)
            if inside_all:
                assert distance_m(fix.place, candidate) <= fix.place.accuracy_m + 0.01


def test_stays_and_since_when() -> None:
    day = [hear("phone", at("Wed 06:00") + timedelta(minutes=30 * n)) for n in range(4)]
    moved = [hear("cafe", at("Wed 09:00") + timedelta(minutes=30 * n), place=TOWN) for n in range(3)]
    found = ask(*day, *moved)
    assert [(s.from_at, s.to_at, s.fixes) for s in found.stays] == [
        (at("Wed 06:00"), at("Wed 07:30"), 4),
        (at("Wed 09:00"), at("Wed 10:00"), 3),
    ]
    assert found.here_since == at("Wed 09:00")


def test_an_impossible_jump_is_set_aside_with_its_reason() -> None:
    found = ask(hear("phone", at("Wed 09:00")), hear("abroad", at("Wed 09:30")), hear("phone", at("Wed 10:00")))
    assert [fix.gateways for fix in found.fixes] == [("phone",), ("phone",)]
    assert len(found.doubtful) == 1
    assert found.doubtful[0].fix.gateways == ("abroad",)
    assert "Looks wrong" in found.doubtful[0].why


def test_the_wrong_one_of_two_is_the_one_its_successor_contradicts() -> None:
    """The first report of all may be the wrong one; then the rest must not be thrown away."""
    found = ask(hear("abroad", at("Wed 09:00")), hear("phone", at("Wed 09:30")), hear("phone", at("Wed 10:00")))
    assert [fix.gateways for fix in found.fixes] == [("phone",), ("phone",)]
    assert found.doubtful[0].fix.gateways == ("abroad",)


def test_a_recording_never_moves_the_tag() -> None:
    found = ask(hear("phone", at("Wed 09:00")), hear("abroad", at("Wed 11:00"), late_s=7200))
    assert found.last is not None
    assert found.last.gateways == ("phone",)
    assert found.stale == 1


@pytest.mark.parametrize(
    ("rows", "up", "empty"),
    [
        ((), True, Empty.NEVER_HEARD),
        ((), False, Empty.NO_GATEWAY_UP),
        ((hear("phone", at("Wed 09:00"), clock_good=False),), True, Empty.NO_GOOD_CLOCK),
        ((replace(hear("phone", at("Wed 09:00")), place=None),), True, Empty.NO_PLACE),
        ((hear("phone", at("Mon 09:00")), hear("phone", at("Wed 09:00"), late_s=7200)), True, Empty.ONLY_STALE),
        ((hear("phone", at("Mon 09:00")),), True, Empty.NOTHING_THEN),
        ((hear("phone", at("Mon 09:00")),), False, Empty.NO_GATEWAY_UP),
    ],
)
def test_every_empty_answer_has_a_reason(rows: tuple[Heard, ...], up: bool, empty: Empty) -> None:
    found = ask(*rows, since=at("Wed 00:00"), until=at("Thu 00:00"), any_gateway_up=up)
    assert (found.last, found.age, found.empty) == (None, Age.NEVER, empty)
    assert set(REASON) == set(Empty)


def test_a_day_without_reports_names_its_neighbours() -> None:
    rows = (hear("phone", at("Mon 09:00")), hear("phone", at("Thu 09:00")))
    found = ask(*rows, now=at("Fri 09:00"), since=at("Tue 00:00"), until=at("Wed 00:00"))
    assert (found.last_before, found.next_after) == (at("Mon 09:00"), at("Thu 09:00"))


def test_five_thousand_points_of_one_day_are_no_burden() -> None:
    rows = [hear("phone", at("Tue 00:00") + timedelta(seconds=15 * n)) for n in range(5_000)]
    assert sum(s.fixes for s in ask(*rows).stays) > 500
