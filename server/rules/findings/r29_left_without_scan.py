"""R-29: heard well away from us while the carrier shows nothing: it is on its way, and nobody may call it lost."""

from __future__ import annotations

from bisect import bisect_right
from collections.abc import Iterable, Sequence
from datetime import datetime, timedelta
from itertools import groupby

from server.rules.case import Case, SlotCase
from server.rules.distance import at_least_apart_m
from server.rules.evidence import of_sightings
from server.rules.findings.finding import Found, earliest, ended, until
from server.rules.freshness import Sighting, first_of_frames


def find(case: Case) -> Iterable[Found]:
    """One per unit, from the second frame heard afar and a first scan's usual delay on, until the carrier scans."""
    for unit in case.slots:
        found = (each for far, back in _journeys(case, unit) for each in _of_journey(case, unit, far, back))
        yield from earliest(ended(unit, each) for each in found)


def _journeys(case: Case, unit: SlotCase) -> Iterable[tuple[list[Sighting], datetime | None]]:
    """What was heard afar between two hearings at our sites, and when it was back with us."""
    inside = [s.at for s in unit.inside]
    far = (s for s in unit.away if _far(case, s))
    for number, journey in groupby(far, key=lambda s: bisect_right(inside, s.at)):
        yield list(journey), inside[number] if number < len(inside) else None


def _of_journey(case: Case, unit: SlotCase, far: Sequence[Sighting], back: datetime | None) -> Iterable[Found]:
    frames = first_of_frames(far)
    if len(frames) < case.policy.inside_sightings_min:
        return
    due = frames[case.policy.inside_sightings_min - 1].at + timedelta(seconds=case.policy.first_scan_after_pickup_s)
    scanned_at = unit.accepted_at
    if (scanned_at is not None and scanned_at <= due) or not case.moment.passed(due):
        return
    found = Found(
        slot=unit.slot.number,
        subject=str(unit.serial),
        since=due,
        why="Heard more than 5 km away from our sites at least twice; the carrier has no scan.",
        evidence=of_sightings(far, case.sites, case.zone),
    )
    hand = min((a.at for a in unit.acts if a.receipt), default=None)
    yield until(
        found, [(scanned_at, "the carrier scanned it"), (hand, "it was activated"), (back, "it is back with us")]
    )


def _far(case: Case, sighting: Sighting) -> bool:
    place = case.place_of(sighting)
    return place is not None and all(
        at_least_apart_m(place, site.place) > case.policy.left_min_m for site in case.sites.values()
    )
