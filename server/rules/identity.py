"""One identity in two places, or one moment of its life at two times: somebody replays or relays a tag.

A stale sighting opens R-34 and changes no verdict, else anybody with a recorder could erase a refutation. Only a
conflict among *fresh* sightings makes them disputed: verdicts that rest on a disputed row fall to unknown.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable
from dataclasses import dataclass
from datetime import timedelta
from enum import StrEnum
from itertools import pairwise

from server.rules.distance import at_least_apart_m
from server.rules.facts import Heard, Place
from server.rules.freshness import Freshness, Sighting
from server.rules.policy import Policy

PlaceOf = Callable[[Sighting], Place | None]


class ConflictKind(StrEnum):
    """`two_times`: a moment of its uptime heard again later. `two_places`: faster than an airliner."""

    TWO_TIMES = "two_times"
    TWO_PLACES = "two_places"


@dataclass(frozen=True, slots=True)
class Conflict:
    """The sighting that cannot be true together with the earlier ones (`two_times`) or with `other`."""

    kind: ConflictKind
    sighting: Sighting
    other: Sighting | None = None


def conflicts(sightings: Iterable[Sighting], place_of: PlaceOf, policy: Policy) -> tuple[Conflict, ...]:
    """Every conflict among all sightings of one serial, stale ones too, in order of time."""
    clocked = [s for s in sightings if s.freshness is not Freshness.UNCLOCKED]
    limit_us = policy.clock_error_s * 1_000_000
    found = [Conflict(ConflictKind.TWO_TIMES, s) for s in clocked if s.late_us > limit_us]
    found += [Conflict(ConflictKind.TWO_PLACES, later, one) for one, later in _jumps(clocked, place_of, policy)]
    return tuple(sorted(found, key=lambda c: (c.sighting.key, c.kind)))


def disputed(sightings: Iterable[Sighting], place_of: PlaceOf, policy: Policy) -> frozenset[Heard]:
    """The rows whose fresh sightings of one serial contradict one another."""
    fresh = [s for s in sightings if s.freshness is Freshness.FRESH]
    return frozenset(s.row for pair in _jumps(fresh, place_of, policy) for s in pair)


def _jumps(sightings: list[Sighting], place_of: PlaceOf, policy: Policy) -> Iterable[tuple[Sighting, Sighting]]:
    """Neighbours in time that are too far apart; if any two are, then two neighbours between them are."""
    placed = [(s, place) for s in sorted(sightings, key=lambda s: s.key) if (place := place_of(s)) is not None]
    for (one, here), (other, there) in pairwise(placed):
        apart_m = at_least_apart_m(here, there)
        if apart_m > policy.jump_min_m and apart_m > _reach_m(other.at - one.at, policy):
            yield one, other


def _reach_m(gap: timedelta, policy: Policy) -> float:
    # Both clocks may be wrong, each in its own direction.
    return (gap.total_seconds() + 2 * policy.clock_error_s) * policy.speed_max_kmh / 3.6
