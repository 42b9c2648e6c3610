"""Distances between places, in metres on the WGS 84 ellipsoid (geopy)."""

from __future__ import annotations

from functools import lru_cache

from geopy.distance import geodesic

from server.rules.facts import Place


# The same few gateways are compared again and again; 4,096 pairs are some hundred kilobytes.
@lru_cache(maxsize=4096)
def distance_m(one: Place, other: Place) -> float:
    """Metres between the middles of two places."""
    return float(geodesic((one.lat, one.lon), (other.lat, other.lon)).meters)


def at_least_apart_m(one: Place, other: Place) -> float:
    """How far apart the tag must have been, the two accuracies granted; never below 0."""
    return max(0.0, distance_m(one, other) - one.accuracy_m - other.accuracy_m)


def detour_m(place: Place, start: Place, end: Place) -> float:
    """How much longer the way from start to end becomes through a place, its accuracy granted; never below 0."""
    through = distance_m(start, place) + distance_m(place, end) - 2 * place.accuracy_m
    return max(0.0, through - distance_m(start, end))


def at_most_apart_m(one: Place, other: Place) -> float:
    """How far apart the two may be at most, the two accuracies added."""
    return distance_m(one, other) + one.accuracy_m + other.accuracy_m
