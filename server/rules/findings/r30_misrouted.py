"""R-30: heard far off the way from our site to the address, or not at the address a day after "delivered"."""

from __future__ import annotations

from collections.abc import Iterable
from datetime import timedelta

from server.rules.case import Case, SlotCase
from server.rules.distance import at_least_apart_m, detour_m, distance_m
from server.rules.evidence import of_sightings
from server.rules.facts import Place
from server.rules.findings.finding import Found, ended
from server.rules.freshness import Sighting, first_of_frames


def find(case: Case) -> Iterable[Found]:
    """At most two per unit: off its way, and away from the address; each clears when it is heard at the address."""
    ship_to = case.facts.order.ship_to
    if ship_to is None or ship_to.place is None:
        return
    for unit in case.slots:
        if case.site is not None:
            off = [s for s in unit.away if _off_way(case, s, case.site.place, ship_to.place)]
            yield from _found(case, unit, "off its way", off, "Heard where no way from our site to the address leads.")
        delivered_at = min((s.latest for s in unit.delivery_scans), default=None)
        if delivered_at is not None:
            settled = delivered_at + timedelta(seconds=case.policy.delivered_settle_s)
            elsewhere = [s for s in unit.away if s.at > settled and _not_near(case, s, ship_to.place)]
            why = "The carrier says delivered; a day later it was heard more than 2 km from the address."
            yield from _found(case, unit, "not at the address", elsewhere, why)


def _found(case: Case, unit: SlotCase, subject: str, heard: list[Sighting], why: str) -> Iterable[Found]:
    frames = first_of_frames(heard)
    if len(frames) < case.policy.inside_sightings_min:
        return
    since = frames[case.policy.inside_sightings_min - 1].at
    there_at = min((s.at for s in unit.away if s.at > since and case.near_ship_to(s)), default=None)
    found = Found(
        slot=unit.slot.number,
        subject=subject,
        since=since,
        why=why,
        evidence=of_sightings(heard, case.sites, case.zone),
        cleared_at=there_at,
        cleared_because="it was heard at the address" if there_at else "",
    )
    yield ended(unit, found)


def _off_way(case: Case, sighting: Sighting, start: Place, end: Place) -> bool:
    place = case.place_of(sighting)
    allowed_m = case.policy.detour_max_m + distance_m(start, end) * case.policy.detour_max_percent / 100
    return place is not None and detour_m(place, start, end) > allowed_m


def _not_near(case: Case, sighting: Sighting, address: Place) -> bool:
    place = case.place_of(sighting)
    return place is not None and at_least_apart_m(place, address) > case.policy.near_m
