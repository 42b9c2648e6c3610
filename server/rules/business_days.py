"""Business days, cut-offs, pickups and the ends of days, in the zone of the place they belong to.

Local times are turned into UTC at the last step, so that a day with 23 or 25 hours ends when its people say it ends.
Every search has a limit: a calendar without any workday or pickup within it gives None or an assertion, never a loop.
"""

from __future__ import annotations

from datetime import UTC, date, datetime, time, timedelta
from zoneinfo import ZoneInfo

from server.rules.facts import Site

# The longest stretch of holidays that anybody has, doubled; a search beyond it is a broken calendar.
SEARCH_DAYS = 62


def at_local(zone: str, day: date, clock: time) -> datetime:
    """The UTC moment of a local date and time. In a skipped hour it is the moment the clock would have shown."""
    return datetime.combine(day, clock, ZoneInfo(zone)).astimezone(UTC)


def local_date(zone: str, at: datetime) -> date:
    """The calendar date that people in `zone` have at this moment."""
    return at.astimezone(ZoneInfo(zone)).date()


def end_of_day(zone: str, day: date) -> datetime:
    """The UTC moment at which this local day is over: the next local midnight."""
    return at_local(zone, day + timedelta(days=1), time(0))


def is_business_day(site: Site, day: date) -> bool:
    """True if people work at the site on this date."""
    return day.weekday() in site.workdays and day not in site.holidays


def add_business_days(site: Site, day: date, count: int) -> date:
    """The `count`-th business day after `day` (`day` itself need not be one); for 0 the first one from `day` on."""
    assert count >= 0, "business days are counted forward"
    if count == 0:
        day, count = day - timedelta(days=1), 1
    for _ in range(SEARCH_DAYS + 7 * count):
        day += timedelta(days=1)
        if is_business_day(site, day):
            count -= 1
            if count == 0:
                return day
    raise AssertionError(f"site {site.id} has no business day within the search")


def business_day_of(site: Site, at: datetime) -> date:
    """The business day that an order placed at this moment belongs to: today's before the cut-off, else the next."""
    there = at.astimezone(ZoneInfo(site.zone))
    if is_business_day(site, there.date()) and there.time() < site.cutoff:
        return there.date()
    return add_business_days(site, there.date(), 1)


def business_days_end(site: Site, at: datetime, count: int) -> datetime:
    """The end of the `count`-th business day after the local day of `at`."""
    return end_of_day(site.zone, add_business_days(site, local_date(site.zone, at), count))


def next_pickup(site: Site, after: datetime) -> datetime | None:
    """The first scheduled pickup strictly after this moment (one at the same moment may have been missed), or None."""
    day = local_date(site.zone, after)
    for offset in range(SEARCH_DAYS):
        there = day + timedelta(days=offset)
        if there in site.holidays:
            continue
        moments = (at_local(site.zone, there, p.at) for p in site.pickups if p.weekday == there.weekday())
        coming = [moment for moment in moments if moment > after]
        if coming:
            return min(coming)
    return None
