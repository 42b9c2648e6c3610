"""Business days, cut-offs and pickups across week-ends, holidays and changes of the clocks."""

from __future__ import annotations

from dataclasses import replace
from datetime import UTC, date, datetime, time, timedelta

import pytest
from hypothesis import given
from hypothesis import strategies as st

from server.rules import business_days as bd
from server.rules import words
from server.rules.facts import Site
from server.rules.schedule import Pickup
from tests.server.rules.build import MONDAY, SITE, at


def test_a_day_ends_when_its_people_say_so() -> None:
    """New York changed its clocks on Sunday 6 November 2016: that day had 25 hours, 13 March 23."""
    for day, hours in ((date(2016, 11, 6), 25), (date(2016, 3, 13), 23), (date(2016, 11, 7), 24)):
        begin = bd.at_local(SITE.zone, day, time(0))
        assert bd.end_of_day(SITE.zone, day) - begin == timedelta(hours=hours)


def test_a_skipped_hour_is_still_a_moment() -> None:
    assert bd.at_local(SITE.zone, date(2016, 3, 13), time(2, 30)) == datetime(2016, 3, 13, 7, 30, tzinfo=UTC)


def test_business_days_skip_weekends_and_holidays() -> None:
    thanksgiving = replace(SITE, holidays=frozenset({date(2016, 11, 24)}))
    assert bd.add_business_days(thanksgiving, date(2016, 11, 23), 1) == date(2016, 11, 25)
    assert bd.add_business_days(thanksgiving, date(2016, 11, 25), 1) == date(2016, 11, 28)
    assert bd.add_business_days(thanksgiving, date(2016, 11, 26), 0) == date(2016, 11, 28)
    assert bd.add_business_days(thanksgiving, date(2016, 11, 23), 0) == date(2016, 11, 23)


@pytest.mark.parametrize(("moment", "offset"), [("Mon 16:59", 0), ("Mon 17:00", 1), ("Fri 17:00", 7), ("Sat 09:00", 7)])
def test_an_order_belongs_to_the_day_of_its_cutoff(moment: str, offset: int) -> None:
    assert bd.business_day_of(SITE, at(moment)) == MONDAY + timedelta(days=offset)


@pytest.mark.parametrize(
    ("after", "pickup"), [("Tue 16:59", "Tue 17:00"), ("Tue 17:00", "Wed 17:00"), ("Thu 18:00", "Fri 17:00")]
)
def test_the_next_pickup_is_strictly_after(after: str, pickup: str) -> None:
    assert bd.next_pickup(SITE, at(after)) == at(pickup)


def test_no_pickup_on_a_holiday_and_none_without_a_schedule() -> None:
    assert bd.next_pickup(SITE, at("Fri 17:30")) == at("Mon 17:00", week=1)
    closed = replace(SITE, holidays=frozenset({MONDAY + timedelta(days=7)}))
    assert bd.next_pickup(closed, at("Fri 17:30")) == at("Tue 17:00", week=1)
    assert bd.next_pickup(replace(SITE, pickups=()), at("Fri 17:30")) is None


def test_the_earliest_of_several_pickups() -> None:
    twice = replace(SITE, pickups=(Pickup(1, time(17)), Pickup(1, time(11))))
    assert bd.next_pickup(twice, at("Tue 10:00")) == at("Tue 11:00")
    assert bd.next_pickup(twice, at("Tue 12:00")) == at("Tue 17:00")


def test_a_calendar_without_any_business_day_is_a_bug_not_a_loop() -> None:
    with pytest.raises(AssertionError, match="no business day"):
        bd.add_business_days(replace(SITE, workdays=frozenset()), MONDAY, 1)


@given(st.integers(0, 11 * 365 * 24 * 60), st.integers(0, 30), st.sampled_from(("UTC", SITE.zone)))
def test_counting_forward_never_goes_back(minutes: int, count: int, zone: str) -> None:
    site: Site = replace(SITE, zone=zone)
    moment = datetime(2016, 1, 1, tzinfo=UTC) + timedelta(minutes=minutes)
    day = bd.business_day_of(site, moment)
    later = bd.add_business_days(site, day, count)
    assert bd.is_business_day(site, day)
    assert bd.is_business_day(site, later)
    assert later >= day
    assert bd.business_days_end(site, moment, count) > moment
    pickup = bd.next_pickup(site, moment)
    assert pickup is not None
    assert moment < pickup <= moment + timedelta(days=4)


def test_words_for_moments() -> None:
    assert words.moment(at("Tue 10:05"), SITE.zone) == "Tue 8 Nov 2016 10:05 EST"
    assert words.due(at("Wed 00:00"), SITE.zone) == "the end of Tue 8 Nov 2016"
    assert words.due(at("Wed 00:01"), SITE.zone) == "Wed 9 Nov 2016 00:01 EST"
