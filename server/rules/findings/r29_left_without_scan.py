"""R-29: heard well away from us while the carrier shows nothing: it is on its way, and nobody may call it lost."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import replace
from datetime import timedelta

from server.rules.case import Case, SlotCase
from server.rules.distance import at_least_apart_m
from server.rules.evidence import of_sightings
from server.rules.findings.finding import Found, ended
from server.rules.freshness import Sighting


def find(case: Case) -> Iterable[Found]:
    """One per unit, from the second frame heard afar and a first scan's usual delay on, until the carrier scans."""
    for unit in case.slots:
        far = [s for s in unit.away if _far(case, s)]
        frames = sorted({s.frame: s.at for s in reversed(far)}.values())
        if len(frames) < case.policy.inside_sightings_min:
            continue
        due = frames[case.policy.inside_sightings_min - 1] + timedelta(seconds=case.policy.first_scan_after_pickup_s)
        scanned_at = unit.accepted_at
        if (scanned_at is not None and scanned_at <= due) or not case.moment.passed(due):
            continue
        found = Found(
            slot=unit.slot.number,
            subject=str(unit.serial),
            since=due,
            why="Heard more than 5 km away from our sites at least twice; the carrier has no scan.",
            evidence=of_sightings(far, case.sites, case.zone),
            cleared_at=scanned_at,
            cleared_because="the carrier scanned it" if scanned_at else "",
        )
        yield ended(unit, _arrived(unit, found))


def _arrived(unit: SlotCase, found: Found) -> Found:
    """An activated tag was in its owner's hand: no scan is missed any more."""
    hand = min((a.at for a in unit.acts if a.receipt), default=None)
    if hand is None or found.cleared_at is not None:
        return found
    return replace(found, cleared_at=max(hand, found.since), cleared_because="it was activated")


def _far(case: Case, sighting: Sighting) -> bool:
    place = case.place_of(sighting)
    return place is not None and all(
        at_least_apart_m(place, site.place) > case.policy.left_min_m for site in case.sites.values()
    )
