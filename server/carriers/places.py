"""From a time as a vendor spells it to the interval in which it can be true: never local time stamped as UTC.

EasyPost's page on trackers says that a time is placed in the zone of the scan where the location suffices, and defaults
to UTC where it does not. So a `Z` beside a place is a moment, and a `Z` beside nothing is a clock on a wall somewhere:
the event then lies anywhere between the earliest zone of the earth and the latest. Rules use the latest (a departure
is never believed earlier than it can have been).
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import UTC, date, datetime, time, timedelta
from typing import Final
from zoneinfo import ZoneInfo

from server.rules.payload_json import FIRST_YEAR, LAST_YEAR

# The first land to see a new day and the last one: no wall clock is farther from UTC.
AHEAD_MAX: Final = timedelta(hours=14)
BEHIND_MAX: Final = timedelta(hours=12)

_EASTERN, _CENTRAL, _MOUNTAIN, _PACIFIC = "America/New_York", "America/Chicago", "America/Denver", "America/Los_Angeles"
_ALASKA, _HAWAII, _PHOENIX, _PUERTO_RICO = (
    "America/Anchorage",
    "Pacific/Honolulu",
    "America/Phoenix",
    "America/Puerto_Rico",
)
_OF_STATES: Final[Mapping[str, str]] = {
    _EASTERN: "CT DC DE GA MA MD ME NC NH NJ NY OH PA RI SC VA VT WV",
    _CENTRAL: "AL AR IA IL LA MN MO MS OK WI",
    _MOUNTAIN: "CO MT NM UT WY",
    _PACIFIC: "CA WA",
    _PHOENIX: "AZ",
    _ALASKA: "AK",
    _HAWAII: "HI",
    _PUERTO_RICO: "PR VI",
}
# A state that two zones share: the event can have been in either.
_DIVIDED: Final[Mapping[str, tuple[str, ...]]] = {
    **dict.fromkeys(("FL", "IN", "KY", "MI", "TN"), (_EASTERN, _CENTRAL)),
    **dict.fromkeys(("KS", "ND", "NE", "SD", "TX"), (_CENTRAL, _MOUNTAIN)),
    **dict.fromkeys(("ID", "OR"), (_MOUNTAIN, _PACIFIC)),
    "NV": (_PACIFIC, _MOUNTAIN),
}
_STATES: Final[Mapping[str, tuple[str, ...]]] = {
    state: (zone,) for zone, states in _OF_STATES.items() for state in states.split()
} | dict(_DIVIDED)
# Countries whose parcels are scanned in one zone.
_COUNTRIES: Final[Mapping[str, str]] = {
    "AT": "Europe/Vienna", "BE": "Europe/Brussels", "CH": "Europe/Zurich", "CN": "Asia/Shanghai",
    "CZ": "Europe/Prague", "DE": "Europe/Berlin", "DK": "Europe/Copenhagen", "FI": "Europe/Helsinki",
    "FR": "Europe/Paris", "GB": "Europe/London", "HK": "Asia/Hong_Kong", "HU": "Europe/Budapest",
    "IE": "Europe/Dublin", "IN": "Asia/Kolkata", "IT": "Europe/Rome", "JP": "Asia/Tokyo", "KR": "Asia/Seoul",
    "LU": "Europe/Luxembourg", "NL": "Europe/Amsterdam", "NO": "Europe/Oslo", "PL": "Europe/Warsaw",
    "SE": "Europe/Stockholm", "SG": "Asia/Singapore", "TW": "Asia/Taipei",
}  # fmt: skip


@dataclass(frozen=True, slots=True)
class Place:
    """Where a scan was, as far as it was told."""

    city: str = ""
    state: str = ""
    country: str = ""
    zip: str = ""

    @property
    def words(self) -> str:
        """`Tampa FL 33602 US`, for people."""
        return " ".join(part for part in (self.city, self.state, self.zip, self.country) if part)

    @property
    def complete(self) -> bool:
        """Whether it suffices to know the place's zone: a ZIP, or a city with its state or country."""
        return bool(self.zip or (self.city and (self.state or self.country)))

    @property
    def zones(self) -> tuple[str, ...]:
        """The zones in which the place can lie; none if that is not known."""
        country, state = self.country.upper(), self.state.upper()
        if country in ("US", "USA", "") and state in _STATES:
            return _STATES[state]
        return (_COUNTRIES[country],) if country in _COUNTRIES else ()


def when(told: str, place: Place) -> tuple[datetime, datetime, str]:
    """(earliest, latest, zone) in which a time can be true. Raises ValueError for what is no time.

    With an offset other than zero it is a moment. With `Z` (or +00:00) it is one beside a place that suffices.
    Without any offset it is the wall clock of the place. Else it is a wall clock of nobody knows where. A day without
    a time is all of that day.
    """
    moment = datetime.fromisoformat(told)
    day = timedelta(days=1 if len(told) <= len("2026-11-22") else 0)
    if not FIRST_YEAR <= moment.year < LAST_YEAR:
        raise ValueError("a time outside of the years that are taken")
    zones = place.zones
    zone = zones[0] if len(zones) == 1 else "UTC"
    offset = moment.utcoffset()
    if offset is not None and (offset or place.complete):
        return moment.astimezone(UTC), moment.astimezone(UTC), zone
    wall = moment.replace(tzinfo=None)
    if offset is None and zones:
        return _in_zones(wall, zones)[0], _in_zones(wall + day, zones)[1], zone
    return (wall - AHEAD_MAX).replace(tzinfo=UTC), (wall + day + BEHIND_MAX).replace(tzinfo=UTC), zone


def _in_zones(wall: datetime, zones: tuple[str, ...]) -> tuple[datetime, datetime]:
    """The moments at which a wall clock showed this, in any of the zones; an hour told twice is both of them."""
    moments = [wall.replace(tzinfo=ZoneInfo(zone), fold=fold).astimezone(UTC) for zone in zones for fold in (0, 1)]
    return min(moments), max(moments)


def end_of_day(day: date, place: Place) -> datetime:
    """The end of a day that a carrier expects to deliver on, at the destination. Without its zone: the first such end
    on earth, so that no estimate is called later than it is.
    """
    midnight = datetime.combine(day + timedelta(days=1), time())
    if place.zones:
        return _in_zones(midnight, place.zones)[0]
    return (midnight - AHEAD_MAX).replace(tzinfo=UTC)
