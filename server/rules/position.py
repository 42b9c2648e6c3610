"""Where is my tag, and since when: last place with its accuracy, both clocks, history, and a reason when there is none.

Only fresh sightings count. Receivers that heard it in the same moment are fused; what is faster than an airliner is
set aside as "looks wrong", with the reason. An older point is never called current.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from enum import StrEnum

from server.rules.distance import at_least_apart_m, distance_m
from server.rules.facts import Heard, Place
from server.rules.freshness import Freshness, Sighting, judge
from server.rules.moment import Moment
from server.rules.policy import Policy


class Age(StrEnum):
    """How old the last place is, in a word."""

    FRESH = "fresh"
    AGING = "aging"
    OLD = "old"
    NEVER = "never"


class Empty(StrEnum):
    """Why there is no place to show."""

    NEVER_HEARD = "never_heard"
    NO_GATEWAY_UP = "no_gateway_up"
    ONLY_STALE = "only_stale"
    NO_GOOD_CLOCK = "no_good_clock"
    NO_PLACE = "no_place"
    NOTHING_THEN = "nothing_then"
    PRIVATE = "private"


REASON = {
    Empty.NEVER_HEARD: "Never heard so far.",
    Empty.NO_GATEWAY_UP: "No receiver reported in that time, so silence says nothing.",
    Empty.ONLY_STALE: "Only recordings of old frames were heard; they say nothing of where it is.",
    Empty.NO_GOOD_CLOCK: "Heard only by receivers whose clock cannot be trusted.",
    Empty.NO_PLACE: "Heard, by receivers that do not know where they are.",
    Empty.NOTHING_THEN: "Nothing was heard in that time.",
    Empty.PRIVATE: "Only your keys open where it is.",
}


@dataclass(frozen=True, slots=True)
class Fix:
    """A moment at which it was heard, by one receiver or several. `place.accuracy_m` bounds where the tag was."""

    at: datetime
    reached_us_at: datetime
    place: Place
    gateways: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class Stay:
    """A stretch in one place: middle and radius, how many fixes, how many receivers."""

    from_at: datetime
    to_at: datetime
    place: Place
    fixes: int
    receivers: int


@dataclass(frozen=True, slots=True)
class Doubtful:
    """A fix set aside, and why."""

    fix: Fix
    why: str


@dataclass(frozen=True, slots=True)
class WhereIs:
    """The answer. `last` None: `empty` says why; `last_before` and `next_after` then help a day without reports."""

    last: Fix | None
    age: Age
    here_since: datetime | None
    fixes: tuple[Fix, ...]
    stays: tuple[Stay, ...]
    doubtful: tuple[Doubtful, ...]
    stale: int
    empty: Empty | None
    last_before: datetime | None
    next_after: datetime | None


def where_is(
    rows: Iterable[Heard],
    now: datetime,
    policy: Policy,
    since: datetime | None = None,
    until: datetime | None = None,
    any_gateway_up: bool = True,
) -> WhereIs:
    """The place of one serial as known at `now`, and its history from `since` to before `until` (None: no bound).

    The caller has made sure that the viewer may see places, and passes `since` no earlier than the ownership.
    """
    sightings = judge(rows, policy, Moment(now))
    within = [s for s in sightings if (since is None or s.at >= since) and (until is None or s.at < until)]
    fixes, doubtful = _set_jumps_aside(_fuse(within, policy), policy)
    stays = _stays(fixes, policy)
    last = fixes[-1] if fixes else None
    return WhereIs(
        last=last,
        age=age_of(last.at if last else None, now, policy),
        here_since=stays[-1].from_at if stays else None,
        fixes=tuple(fixes),
        stays=tuple(stays),
        doubtful=tuple(doubtful),
        stale=sum(s.freshness is Freshness.STALE for s in within),
        empty=None if last else _why_empty(sightings, within, any_gateway_up),
        last_before=max((s.at for s in sightings if since and s.at < since and _counts(s)), default=None),
        next_after=min((s.at for s in sightings if until and s.at >= until and _counts(s)), default=None),
    )


def age_of(at: datetime | None, now: datetime, policy: Policy) -> Age:
    """The word for a last heard moment: fresh up to 15 min, aging up to 24 h, then old."""
    if at is None:
        return Age.NEVER
    age = now - at
    if age <= timedelta(seconds=policy.fresh_s):
        return Age.FRESH
    return Age.AGING if age <= timedelta(seconds=policy.aging_s) else Age.OLD


def _counts(sighting: Sighting) -> bool:
    return sighting.freshness is Freshness.FRESH and sighting.row.place is not None


def _why_empty(known: Sequence[Sighting], within: Sequence[Sighting], any_gateway_up: bool) -> Empty:
    if not known:
        return Empty.NEVER_HEARD if any_gateway_up else Empty.NO_GATEWAY_UP
    if not within:
        return Empty.NOTHING_THEN if any_gateway_up else Empty.NO_GATEWAY_UP
    if any(s.freshness is Freshness.FRESH for s in within):
        return Empty.NO_PLACE
    return Empty.ONLY_STALE if any(s.freshness is Freshness.STALE for s in within) else Empty.NO_GOOD_CLOCK


def _fuse(sightings: Iterable[Sighting], policy: Policy) -> list[Fix]:
    """One fix per moment: sightings within the window of the first, and near enough to be one place, become one."""
    groups: list[list[tuple[Sighting, Place]]] = []
    window = timedelta(seconds=policy.fuse_window_s)
    for sighting in sightings:
        place = sighting.row.place
        if sighting.freshness is not Freshness.FRESH or place is None:
            continue
        around = Place(place.lat, place.lon, place.accuracy_m + policy.radio_range_m)
        group = groups[-1] if groups else None
        together = group and sighting.at - group[0][0].at <= window and at_least_apart_m(group[0][1], around) <= 0
        if group and together:
            group.append((sighting, around))
        else:
            groups.append([(sighting, around)])
    return [_fix(group) for group in groups]


def _fix(group: list[tuple[Sighting, Place]]) -> Fix:
    newest = group[-1][0]
    gateways = tuple(sorted({s.row.gateway for s, _ in group}))
    return Fix(newest.at, newest.reached_at, _fused([place for _, place in group]), gateways)


class _Middle:
    """The running middle of places, weighted by accuracy. Degrees may be averaged: it spans some hundred metres.

    Longitudes are unrolled around the first one, so that a stay on the date line keeps its middle.
    """

    def __init__(self) -> None:
        self._weight = self._lat = self._lon = 0.0
        self._first_lon: float | None = None

    def add(self, place: Place) -> None:
        if self._first_lon is None:
            self._first_lon = place.lon
        weight = 1 / max(place.accuracy_m, 1.0) ** 2
        self._weight += weight
        self._lat += weight * place.lat
        self._lon += weight * ((place.lon - self._first_lon + 180) % 360 - 180)

    def place(self) -> Place:
        assert self._first_lon is not None, "the middle of nothing"
        lon = self._first_lon + self._lon / self._weight
        return Place(self._lat / self._weight, (lon + 180) % 360 - 180, 0.0)


def _middle(places: Iterable[Place]) -> Place:
    middle = _Middle()
    for place in places:
        middle.add(place)
    return middle.place()


def _fused(places: list[Place]) -> Place:
    """Their middle. Its accuracy is the tightest bound that any one receiver's circle gives, so it is always true."""
    middle = _middle(places)
    return Place(middle.lat, middle.lon, min(p.accuracy_m + distance_m(middle, p) for p in places))


def _set_jumps_aside(fixes: list[Fix], policy: Policy) -> tuple[list[Fix], list[Doubtful]]:
    """Of two fixes too far apart for their time the one that its successor contradicts is set aside."""
    kept: list[Fix] = []
    doubtful: list[Doubtful] = []
    for position, fix in enumerate(fixes):
        if not kept or not _too_fast(kept[-1], fix, policy):
            kept.append(fix)
            continue
        after = fixes[position + 1] if position + 1 < len(fixes) else None
        previous_is_wrong = (
            after is not None and _too_fast(kept[-1], after, policy) and not _too_fast(fix, after, policy)
        )
        wrong = kept.pop() if previous_is_wrong else fix
        if previous_is_wrong:
            kept.append(fix)
        km = distance_m(kept[-1].place, wrong.place) / 1000
        why = f"Looks wrong: {km:.0f} km from the other reports, faster than any aircraft."
        doubtful.append(Doubtful(wrong, why))
    return kept, doubtful


def _too_fast(one: Fix, other: Fix, policy: Policy) -> bool:
    apart_m = at_least_apart_m(one.place, other.place)
    seconds = abs((other.at - one.at).total_seconds()) + 2 * policy.clock_error_s
    return apart_m > policy.jump_min_m and apart_m > seconds * policy.speed_max_kmh / 3.6


def _stays(fixes: Iterable[Fix], policy: Policy) -> list[Stay]:
    """Runs of fixes around one running middle, one pass over a day of thousands."""
    groups: list[list[Fix]] = []
    middle = _Middle()
    for fix in fixes:
        reach_m = policy.stay_radius_m + min(fix.place.accuracy_m, policy.stay_radius_m)
        if not groups or distance_m(middle.place(), fix.place) > reach_m:
            groups.append([])
            middle = _Middle()
        groups[-1].append(fix)
        middle.add(fix.place)
    return [_stay(group) for group in groups]


def _stay(group: list[Fix]) -> Stay:
    middle = _middle(fix.place for fix in group)
    radius_m = max(distance_m(middle, fix.place) for fix in group) + min(fix.place.accuracy_m for fix in group)
    receivers = {gateway for fix in group for gateway in fix.gateways}
    return Stay(group[0].at, group[-1].at, Place(middle.lat, middle.lon, radius_m), len(group), len(receivers))
