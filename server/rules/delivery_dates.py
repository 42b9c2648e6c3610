"""Which service still arrives by a day: a site's services, their cut-offs and days on the way, counted backwards."""

from __future__ import annotations

from datetime import date, datetime, timedelta

from server.rules import business_days
from server.rules.facts import Site
from server.rules.schedule import Service

_SATURDAY = 5


def arrives_by(site: Site, service: Service, handed_over: date, zones: tuple[str, ...]) -> datetime:
    """The end (UTC) of the day on which a parcel handed over on this day arrives, where that day ends first.

    `zones`: the receiver's and the promiser's; "by Friday" was meant in one of them, and nobody said in which.
    """
    day, left = handed_over, service.transit_bd
    for _ in range(business_days.SEARCH_DAYS + 7 * service.transit_bd):
        if left == 0:
            return min(business_days.end_of_day(zone, day) for zone in zones)
        day += timedelta(days=1)
        left -= _carried(site, service, day)
    raise AssertionError(f"site {site.id} has no business day within the search")


def last_cutoff(site: Site, due: datetime, zones: tuple[str, ...]) -> tuple[datetime, Service] | None:
    """The last moment (UTC) at which a parcel can be handed over and still arrive by `due`, and by which service.

    None if no service of the site does it, from however far back.
    """
    found = [(at, service) for service in site.services if (at := _last(site, service, due, zones)) is not None]
    return max(found, key=lambda each: (each[0], each[1].name), default=None)


def _last(site: Site, service: Service, due: datetime, zones: tuple[str, ...]) -> datetime | None:
    day = business_days.local_date(site.zone, due)
    for _ in range(business_days.SEARCH_DAYS + 7 * service.transit_bd):
        if business_days.is_business_day(site, day) and arrives_by(site, service, day, zones) <= due:
            return business_days.at_local(site.zone, day, service.cutoff)
        day -= timedelta(days=1)
    return None


def _carried(site: Site, service: Service, day: date) -> bool:
    """True if carriers deliver by this service on this day; a site's holidays count for its carriers, too."""
    saturday = service.saturday and day.weekday() == _SATURDAY and day not in site.holidays
    return saturday or business_days.is_business_day(site, day)
