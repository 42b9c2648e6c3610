"""Freshness: the fast judgement against the definition word by word, anchors, ended boots, and R-34 beside it."""

from __future__ import annotations

from dataclasses import replace
from datetime import timedelta

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from server.rules.facts import Heard
from server.rules.freshness import Freshness, Sighting, judge
from server.rules.moment import Moment
from server.rules.policy import SOLO
from tests.server.rules.build import PACKED, POWER_UP, STOCKED, at, dispatched, facts, hear, rules, step, verdict
from tests.server.rules.build import judge as weigh_at

LATER = at("Fri 12:00", week=3)


def judged(*rows: Heard) -> tuple[Sighting, ...]:
    return judge(rows, SOLO, Moment(LATER))


def stale_by_definition(one: Sighting, known: list[Sighting]) -> bool:
    """wire.md in its own words, over all pairs."""
    for other in known:
        if not (one.row.clock_good and other.row.clock_good) or one.row.serial != other.row.serial:
            continue
        if one.row.boot == other.row.boot:
            lag_s = (one.lag_us - other.lag_us) / 1e6
            if lag_s > 30 + 500e-6 * abs(one.uptime_s - other.uptime_s):
                return True
        elif other.row.boot > one.row.boot and one.at > other.at:
            return True
    return False


@st.composite
def rows(draw: st.DrawFn) -> Heard:
    """Rows whose uptimes and lags sit on the limits: 30 s, and 500 ppm of a day (43.2 s) and of an hour (1.8 s)."""
    uptime_s = draw(st.sampled_from((0, 1, 3600, 7200, 86_400, 172_800)))
    span_s = draw(st.sampled_from((0, 1, 3600, 86_400)))
    lag = timedelta(
        milliseconds=draw(st.sampled_from((0, 0, 500, 29_999, 30_000, 30_001, 31_799, 31_800, 31_801, 73_199, 73_201)))
    )
    boot = draw(st.sampled_from((1, 1, 1, 2)))
    first_at = POWER_UP + timedelta(seconds=uptime_s) + lag
    return replace(
        hear(draw(st.sampled_from(("bench", "van", "phone"))), at("Mon 09:00")),
        boot=boot,
        clock_good=draw(st.sampled_from((True, True, True, False))),
        serial=draw(st.sampled_from((1, 1, 2))),
        first_at=first_at,
        last_at=first_at + timedelta(seconds=span_s),
        first_uptime_s=uptime_s,
        last_uptime_s=uptime_s + span_s,
        first_reached_at=first_at,
        reached_us_at=first_at + timedelta(seconds=span_s),
    )


@settings(max_examples=250)
@given(st.lists(rows(), max_size=8))
def test_the_fast_judgement_is_the_definition(known: list[Heard]) -> None:
    sightings = list(judged(*known))
    for sighting in sightings:
        if not sighting.row.clock_good:
            assert sighting.freshness is Freshness.UNCLOCKED
            continue
        stale = stale_by_definition(sighting, sightings)
        assert (sighting.freshness is Freshness.STALE) == stale, sighting


def test_five_thousand_rows_in_well_under_a_second() -> None:
    """Not a benchmark: it fails if somebody makes it compare all pairs."""
    many = [hear("bench", POWER_UP + timedelta(minutes=n), late_s=n % 7) for n in range(1, 5_000)]
    assert len(judged(*many)) == len(many)


@pytest.mark.parametrize(("late_s", "freshness"), [(30, "fresh"), (31.8, "fresh"), (31.9, "stale"), (3600, "stale")])
def test_the_limit_of_lag(late_s: float, freshness: str) -> None:
    """One hour of uptime apart: 30 s and 500 ppm of 3,600 s, so 31.8 s."""
    live = hear("bench", at("Mon 10:00"))
    replayed = replace(
        hear("bench", at("Mon 09:00")),
        first_at=at("Mon 09:00") + timedelta(seconds=late_s),
        last_at=at("Mon 09:00") + timedelta(seconds=late_s),
        reached_us_at=at("Mon 09:00") + timedelta(seconds=late_s),
    )
    found = {s.row: s.freshness for s in judged(live, replayed)}
    assert found == {live: "fresh", replayed: freshness}


def test_a_tag_that_lay_unpowered_for_ninety_days_is_fresh() -> None:
    """Uptime stands still without power: the next boot has a larger lag, and is not compared with the earlier one."""
    asleep = 90 * 86_400
    before = hear("bench", POWER_UP + timedelta(hours=2))
    after = hear("bench", POWER_UP + timedelta(days=90, hours=3), boot=2, late_s=asleep)
    found = judge((before, after), SOLO, Moment(POWER_UP + timedelta(days=91)))
    assert [s.freshness for s in found] == ["fresh", "fresh"]


def test_the_first_hearing_of_a_boot_ends_its_predecessors() -> None:
    old, restarted = hear("bench", at("Mon 09:00")), hear("bench", at("Tue 09:00"), boot=2, late_s=100)
    recording = hear("dock", at("Tue 09:00") + timedelta(seconds=1), boot=1, late_s=0)
    assert [s.freshness for s in judged(old, restarted, recording)] == ["fresh", "fresh", "stale"]
    before = hear("dock", at("Tue 08:59"), boot=1)
    assert [s.freshness for s in judged(old, before, restarted)] == ["fresh", "fresh", "fresh"]


def test_a_gateway_without_a_good_clock_judges_nobody_and_carries_no_weight() -> None:
    early = hear("phone", at("Mon 09:00"), late_s=-86_400, clock_good=False)
    found = judged(STOCKED, hear("bench", at("Mon 10:00")), early)
    assert {s.freshness for s in found if s.row.clock_good} == {"fresh"}
    assert [s.freshness for s in found if not s.row.clock_good] == ["unclocked"]


@pytest.mark.parametrize(("older_s", "anchored"), [(3599, False), (3600, True)])
def test_a_sighting_needs_an_anchor_an_hour_older(older_s: int, anchored: bool) -> None:
    first = hear("bench", at("Mon 10:00") - timedelta(seconds=older_s))
    found = judged(first, hear("bench", at("Mon 10:00")))
    assert [s.anchored for s in found] == [False, anchored]


def test_without_an_anchor_a_boot_gives_at_most_supported() -> None:
    """A boot that nobody heard before might be a recording of one that nobody heard live."""
    restarted = (*PACKED[1:3], hear("bench", at("Mon 10:00"), at("Mon 10:40"), boot=2))
    assert step(weigh_at(facts(*restarted), at("Mon 12:00")), "packed") == "supported"
    anchored = (*restarted, hear("bench", at("Mon 08:30"), boot=2))
    assert step(weigh_at(facts(*anchored), at("Mon 12:00")), "packed") == "proved"


def test_an_unanchored_boot_inside_contradicts_and_never_refutes() -> None:
    lie = (*PACKED, dispatched(at("Tue 10:00")))
    strange = hear("dock", at("Wed 08:00"), at("Wed 08:50"), boot=2)
    weighing = weigh_at(facts(*lie, strange), at("Wed 12:00"))
    assert verdict(weighing, "said") == "contradicted"
    assert "R-17" not in rules(weighing)


@pytest.mark.parametrize(("late_s", "opens"), [(30, False), (35, False), (36, True), (3600, True)])
def test_r34_opens_beyond_thirty_seconds_and_the_clock_error(late_s: int, opens: bool) -> None:
    """The same frame again: stale from 30 s on, but a quarrel only when two honest clocks cannot explain it."""
    live = hear("bench", at("Tue 10:00"))
    again = hear("phone", at("Tue 10:00") + timedelta(seconds=late_s), late_s=late_s)
    weighing = weigh_at(facts(*PACKED, live, again), at("Tue 12:00"))
    jump = {f.subject for f in weighing.findings if f.rule.id == "R-34"} - {"4711 two_places"}
    assert bool(jump) == opens


@pytest.mark.parametrize(("hours", "opens"), [(6.5, True), (7.5, False)])
def test_r34_opens_above_nine_hundred_kilometres_an_hour(hours: float, opens: bool) -> None:
    """Worcester to Kassel is 6,190 km: 6.9 hours at that speed."""
    here = hear("bench", at("Tue 06:00"))
    there = hear("abroad", at("Tue 06:00") + timedelta(hours=hours))
    assert ("R-34" in rules(weigh_at(facts(*PACKED, here, there), at("Wed 12:00")))) == opens
