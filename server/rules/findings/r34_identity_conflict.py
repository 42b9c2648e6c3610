"""R-34 ★: one identity in two places, or a moment of its life heard again later: somebody replays or relays the tag.

It reads stale sightings too, and lowers no verdict by itself; only a conflict among fresh ones does (`identity`).
"""

from __future__ import annotations

from collections.abc import Iterable

from server.rules import words
from server.rules.case import Case
from server.rules.evidence import of_sightings
from server.rules.findings.finding import Found
from server.rules.identity import Conflict, ConflictKind

_WHY = {
    ConflictKind.TWO_TIMES: "Frames of an earlier moment of its life were heard again; a recording carries no weight.",
    ConflictKind.TWO_PLACES: "It was heard in two places faster than any aircraft flies.",
}


def find(case: Case) -> Iterable[Found]:
    """One per serial and kind of conflict, since the first sighting that cannot be true with the others."""
    by_subject: dict[tuple[int, ConflictKind], list[Conflict]] = {}
    for conflict in case.conflicts:
        by_subject.setdefault((conflict.sighting.row.serial, conflict.kind), []).append(conflict)
    for (serial, kind), found in sorted(by_subject.items()):
        first = found[0].sighting
        yield Found(
            slot=_slot_of(case, serial),
            subject=f"{serial} {kind}",
            since=first.at,
            why=f"{_WHY[kind]} First {words.moment(first.at, case.zone)}.",
            evidence=of_sightings([first, *([found[0].other] if found[0].other else [])], case.sites, case.zone),
        )


def _slot_of(case: Case, serial: int) -> int | None:
    return next((u.slot.number for units in case.units for u in units if u.serial == serial), None)
