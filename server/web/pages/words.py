"""How pages say times and places: a relative age always with the absolute time beside it, in the reader's zone."""

from __future__ import annotations

from datetime import datetime, timedelta
from typing import Final
from zoneinfo import ZoneInfo

_STEPS: Final = (
    (timedelta(minutes=1), timedelta(seconds=1), "second"),
    (timedelta(hours=1), timedelta(minutes=1), "minute"),
    (timedelta(days=1), timedelta(hours=1), "hour"),
    (timedelta(days=14), timedelta(days=1), "day"),
    (timedelta(days=70), timedelta(weeks=1), "week"),
)


def duration(span: timedelta) -> str:
    """`3 minutes`, `5 days`, `2 months`: one unit, rounded down, as people say it."""
    for below, unit, name in _STEPS:
        if span < below:
            return _count(span // unit, name)
    return _count(span // timedelta(days=30), "month")


def _count(number: int, name: str) -> str:
    return f"{number} {name}" if number == 1 else f"{number} {name}s"


def ago(moment: datetime, now: datetime) -> str:
    """`3 minutes ago`, `just now`, `in 2 hours`."""
    past = now - moment
    if abs(past) < timedelta(seconds=10):
        return "just now"
    return f"{duration(past)} ago" if past > timedelta(0) else f"in {duration(-past)}"


def due(moment: datetime, now: datetime, zone: str) -> str:
    """As `clock`; a due moment at midnight is `the end of` the day before, which nobody reads as a day too late."""
    local = moment.astimezone(ZoneInfo(zone))
    if (local.hour, local.minute) != (0, 0):
        return clock(moment, now, zone)
    return f"the end of {_day(moment - timedelta(minutes=1), now, zone)}"


def clock(moment: datetime, now: datetime, zone: str) -> str:
    """`today 14:10`, `yesterday 08:05`, `Thu 12 Nov 03:20`; another year is named."""
    return f"{_day(moment, now, zone)} {moment.astimezone(ZoneInfo(zone)):%H:%M}"


def hour(start: datetime, now: datetime, zone: str) -> str:
    """A time that is told to the hour, as what is known of it: `today between 10:00 and 11:00`, or `… and now`."""
    end = start + timedelta(hours=1)
    until = "now" if now < end else f"{end.astimezone(ZoneInfo(zone)):%H:%M}"
    return f"{_day(start, now, zone)} between {start.astimezone(ZoneInfo(zone)):%H:%M} and {until}"


def _day(moment: datetime, now: datetime, zone: str) -> str:
    local, today = moment.astimezone(ZoneInfo(zone)), now.astimezone(ZoneInfo(zone)).date()
    day = {0: "today", 1: "yesterday", -1: "tomorrow"}.get((today - local.date()).days)
    return day or f"{local:%a} {local.day} {local:%b}" + ("" if local.year == today.year else f" {local.year}")
