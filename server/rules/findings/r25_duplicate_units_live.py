"""R-25: the first unit moves although its replacement is on its way: two parcels for one order."""

from __future__ import annotations

from collections.abc import Iterable
from datetime import datetime

from server.rules import words
from server.rules.case import Case, SlotCase
from server.rules.evidence import of_sightings
from server.rules.findings.finding import Found


def find(case: Case) -> Iterable[Found]:
    """One per slot with a replacement, from when both were shown out of our hands until the first came back."""
    for units in case.units:
        original, replacement = units[0], units[-1]
        bound_at = replacement.binding.latest if replacement.binding else None
        accepted_at = min((at for at in replacement.departures if bound_at and at > bound_at), default=None)
        if original is replacement or accepted_at is None:
            continue
        # Without labels a scan may be either parcel's, so it is no sign of two.
        both = set(replacement.departures)
        moved = [at for at in original.departures if at >= accepted_at and at not in both]
        if moved:
            yield _found(case, original, moved[0])


def _found(case: Case, original: SlotCase, since: datetime) -> Found:
    back_at = min((s.at for s in original.inside if s.at > max(original.departures)), default=None)
    return Found(
        slot=original.slot.number,
        subject=str(original.serial),
        since=since,
        why=f"Its replacement was on its way, and the first unit moved {words.moment(since, case.zone)}.",
        evidence=of_sightings([s for s in original.away if s.at >= since], case.sites, case.zone),
        cleared_at=back_at,
        cleared_because="the first unit is back with us" if back_at else "",
    )
