"""Jumps and moments: what many receivers agree on wins, in bounded time, on the date line and at the poles too."""

from __future__ import annotations

import itertools
import random
from dataclasses import dataclass

import pytest
from hypothesis import given
from hypothesis import strategies as st

from owner.places import RADIO_RANGE_M, contradict, distance_m, fuse, impossible
from tests.owner.tag import BERLIN, PARIS, POTSDAM


@dataclass(frozen=True)
class At:
    unix_s: int
    lat: float
    lon: float
    accuracy_m: int = 35


def at(unix_s: int, place: tuple[float, float], accuracy_m: int = 35) -> At:
    return At(unix_s, *place, accuracy_m)


def test_distances() -> None:
    assert distance_m(*BERLIN, *BERLIN) == 0
    assert distance_m(*BERLIN, *PARIS) == pytest.approx(878_000, rel=0.005)
    assert distance_m(0, 179.999, 0, -179.999) == pytest.approx(222.4, rel=0.005)
    assert distance_m(90, 0, 90, 120) == pytest.approx(0, abs=1e-6)
    assert distance_m(90, 0, -90, 0) == pytest.approx(20_015_000, rel=0.001)


def test_two_lies_in_a_row_before_the_truth_lose() -> None:
    """Seeing only the neighbour would keep the first lie."""
    points = [at(0, PARIS), at(1, PARIS), *(at(2 + n, BERLIN) for n in range(3))]
    assert impossible(points) == {0, 1}


def test_what_fits_two_stories_is_told_by_the_longer_one() -> None:
    points = [at(0, PARIS), *(at(1 + n, BERLIN) for n in range(3)), *(at(43_200 + n, POTSDAM) for n in range(3))]
    assert impossible(points) == {0}


def test_of_equal_stories_the_earlier_stays() -> None:
    assert impossible([at(0, BERLIN), at(1, PARIS)]) == {1}
    assert impossible([]) == set()


def test_near_places_never_contradict() -> None:
    assert impossible([at(0, BERLIN), at(0, (BERLIN[0] + 0.04, BERLIN[1]))]) == set()
    assert impossible([at(0, BERLIN, 30_000), at(0, POTSDAM)]) == set(), "the accuracy is granted"
    assert impossible([at(0, BERLIN), at(0, POTSDAM)]) == {1}


def test_a_journey_is_no_jump() -> None:
    flight = [at(n * 3_600, (BERLIN[0], BERLIN[1] - 10 * n)) for n in range(8)]
    assert impossible(flight) == set()


def test_a_flood_of_lies_costs_bounded_time_and_does_not_win(monkeypatch: pytest.MonkeyPatch) -> None:
    dice = random.Random(7)
    honest = [at(n * 10, BERLIN) for n in range(500)]
    lies = [at(dice.randrange(5_000), (dice.uniform(-80, 80), dice.uniform(-180, 180))) for _ in range(2_500)]
    points = sorted(honest + lies, key=lambda each: each.unix_s)
    asked = 0

    def counted(one: At, other: At) -> bool:
        nonlocal asked
        asked += 1
        return contradict(one, other)

    monkeypatch.setattr("owner.places.contradict", counted)
    wrong = impossible(points)
    assert asked <= 64 * len(points)
    assert all(points[n] in lies for n in wrong)
    assert len(points) - len(wrong) < 520


PLACES = st.builds(At, st.integers(0, 200_000), st.floats(-90, 90), st.floats(-180, 180), st.integers(0, 65_535))


@given(st.lists(PLACES, max_size=40).map(lambda rows: sorted(rows, key=lambda each: each.unix_s)))
def test_what_is_believed_holds_together(points: list[At]) -> None:
    wrong = impossible(points)
    believed = [point for n, point in enumerate(points) if n not in wrong]
    assert not any(contradict(one, other) for one, other in itertools.pairwise(believed))
    assert bool(believed) is bool(points)
    assert sum(fix.reports for fix in fuse(believed)) == len(believed), "no report is lost in a fix"


@given(st.lists(st.tuples(st.integers(0, 120), st.floats(-40, 40), st.floats(-40, 40), st.integers(0, 500))))
def test_a_fix_bounds_where_the_tag_was(offsets: list[tuple[int, float, float, int]]) -> None:
    """Receivers around a tag on the date line, each within its accuracy and the radio's range of it."""
    lat, lon = 10.0, 180.0
    points = []
    for second, north_m, east_m, accuracy_m in sorted(offsets):
        east = lon + east_m / (111_195 * 0.9848)
        points.append(At(second, lat + north_m / 111_195, (east + 180) % 360 - 180, accuracy_m))
    for fix in fuse(points):
        assert distance_m(fix.lat, fix.lon, lat, lon) <= fix.accuracy_m + 1
        assert fix.accuracy_m >= RADIO_RANGE_M
        assert -180 <= fix.lon < 180
