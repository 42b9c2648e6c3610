"""Places of one tag in time: which contradict each other, and which are one moment seen by several receivers.

Pure and of the standard library only; the server's own judge of managed tags is another program.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final, Protocol

# An airliner. Smaller: air mail is called an impossible jump. Larger: a relay across a country goes unnoticed.
SPEED_MAX_KMH: Final = 900
# Below this a jump is the spread of honest places. Larger: a relay between neighbouring towns goes unnoticed.
JUMP_MIN_M: Final = 5_000
# A receiver's clock may be this wrong, in either direction.
CLOCK_ERROR_S: Final = 5
# How far a tag is heard: the place of a report is the receiver's. Larger: every circle grows and helps nobody.
RADIO_RANGE_M: Final = 60
# What the arithmetic of degrees adds to a length; a whole metre for it would be said in vain.
_NOISE_M: Final = 1e-3
# Reports this close in time are one moment. Larger: a walking owner is drawn where he never was.
FUSE_WINDOW_S: Final = 120
# Stories that are followed at once. More cost time; fewer forget the true one in a flood of lies.
STORIES_MAX: Final = 64
# Mean radius of the earth; a sphere is half a percent wrong, which no airliner notices.
_EARTH_M: Final = 6_371_009.0


class Placed(Protocol):
    """Anything with a moment (unix s), a middle (degrees) and a radius (m)."""

    @property
    def unix_s(self) -> int: ...
    @property
    def lat(self) -> float: ...
    @property
    def lon(self) -> float: ...
    @property
    def accuracy_m(self) -> int: ...


@dataclass(frozen=True, slots=True)
class Fix:
    """One moment, seen by `reports` receivers. `accuracy_m` bounds where the tag was."""

    unix_s: int
    lat: float
    lon: float
    accuracy_m: int
    reports: int


def distance_m(lat: float, lon: float, other_lat: float, other_lon: float) -> float:
    """Metres along the sphere (haversine)."""
    north, east = math.radians(other_lat - lat), math.radians(other_lon - lon)
    rise = math.cos(math.radians(lat)) * math.cos(math.radians(other_lat))
    half = math.sin(north / 2) ** 2 + rise * math.sin(east / 2) ** 2
    return 2 * _EARTH_M * math.asin(min(1.0, math.sqrt(half)))


def apart_m(one: Placed, other: Placed) -> float:
    """How far apart the tag must have been at least, accuracies and the radio's range granted; never below 0."""
    middle = distance_m(one.lat, one.lon, other.lat, other.lon)
    return max(0.0, middle - one.accuracy_m - other.accuracy_m - 2 * RADIO_RANGE_M)


def contradict(one: Placed, other: Placed) -> bool:
    """True if nothing that travels could have been at both."""
    least_m = apart_m(one, other)
    seconds = abs(other.unix_s - one.unix_s) + 2 * CLOCK_ERROR_S
    return least_m > JUMP_MIN_M and least_m > seconds * SPEED_MAX_KMH / 3.6


def impossible(points: Sequence[Placed]) -> set[int]:
    """Positions of the points that a story told by more of the others contradicts; of two equal ones the later begun.

    `points` in order of time. What many receivers agree on wins: a lie needs more liars than there are honest reports.
    """
    stories: list[list[int]] = []
    for position, point in enumerate(points):
        fitting = [story for story in stories if not contradict(points[story[-1]], point)]
        if fitting:
            max(fitting, key=len).append(position)
        else:
            if len(stories) == STORIES_MAX:
                del stories[min(range(STORIES_MAX), key=lambda n: len(stories[n]))]
            stories.append([position])
    told = max(stories, key=len) if stories else []
    return set(range(len(points))) - set(told)


def fuse(points: Sequence[Placed]) -> list[Fix]:
    """One fix per moment: points within the window of the first, and near enough to be one place, become one."""
    groups: list[list[Placed]] = []
    for point in points:
        first = groups[-1][0] if groups else None
        if first and point.unix_s - first.unix_s <= FUSE_WINDOW_S and apart_m(first, point) <= 0:
            groups[-1].append(point)
        else:
            groups.append([point])
    return [_fix(group) for group in groups]


def _fix(group: Sequence[Placed]) -> Fix:
    """The middle, weighted by accuracy. Its radius is the tightest that any one circle gives, so it is always true.

    Longitudes are unrolled around the first one, so that a moment on the date line keeps its middle.
    """
    weights = [1 / max(each.accuracy_m + RADIO_RANGE_M, 1) ** 2 for each in group]
    whole, first_lon = sum(weights), group[0].lon
    lat = sum(w * each.lat for w, each in zip(weights, group, strict=True)) / whole
    east = sum(w * ((each.lon - first_lon + 180) % 360 - 180) for w, each in zip(weights, group, strict=True)) / whole
    lon = (first_lon + east + 180) % 360 - 180
    radius_m = min(distance_m(lat, lon, e.lat, e.lon) + e.accuracy_m + RADIO_RANGE_M for e in group)
    return Fix(group[-1].unix_s, lat, lon, math.ceil(radius_m - _NOISE_M), len(group))
