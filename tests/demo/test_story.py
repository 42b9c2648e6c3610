"""The demo tells a story so that a chosen day of it is today, and nothing of what comes after it."""

from __future__ import annotations

from datetime import UTC, date, datetime

import pytest

from demo import story

NOW = datetime(2026, 11, 22, 18, tzinfo=UTC)  # a Sunday


@pytest.mark.parametrize("until", [None, date(2016, 12, 2)])
def test_weekdays_stay_and_the_day_is_today_or_shortly_before(until: date | None) -> None:
    told = story.read("T", NOW, until)
    day = date.fromisoformat(told.day(until or told.raw["story"]["last_day"]))
    assert day.weekday() == (until or told.raw["story"]["last_day"]).weekday()
    assert 0 <= (NOW.date() - day).days < 7


def test_what_was_said_later_is_not_said_yet() -> None:
    whole = [each["key"] for each in story.read("T", NOW).statements(NOW)]
    begun = [each["key"] for each in story.read("T", NOW, date(2016, 12, 2)).statements(NOW)]
    assert 0 < len(begun) < len(whole)
    assert begun == whole[: len(begun)]
