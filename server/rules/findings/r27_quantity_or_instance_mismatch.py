"""R-27: what was packed or heard differs from the order's units: one tag twice, one left out, one left behind."""

from __future__ import annotations

from collections.abc import Iterable
from datetime import timedelta

from server.rules import words
from server.rules.case import Case, SlotCase
from server.rules.evidence import of_sightings, of_statement
from server.rules.facts import StatementKind
from server.rules.findings.finding import Found, ended, until
from server.rules.freshness import first_of_frames


def find(case: Case) -> Iterable[Found]:
    """One per slot that is affected."""
    yield from _same_tag_twice(case)
    yield from _packed_without_a_tag(case)
    yield from _left_behind(case)


def _same_tag_twice(case: Case) -> Iterable[Found]:
    first: dict[int, SlotCase] = {}
    for unit in case.slots:
        if unit.serial is None or unit.binding is None:
            continue
        other = first.setdefault(unit.serial, unit)
        if other is not unit and other.binding is not None:
            since = max(unit.binding.latest, other.binding.latest)
            evidence = tuple(of_statement(s, case.zone) for s in (other.binding, unit.binding))
            why = f"Tag {unit.serial} is bound to unit {other.slot.number} and to unit {unit.slot.number}."
            yield ended(unit, Found(unit.slot.number, "one tag twice", since, why, evidence))


def _packed_without_a_tag(case: Case) -> Iterable[Found]:
    """The whole order was packed, some of its units were scanned, this one was not."""
    packed = [s for s in case.statements if s.kind is StatementKind.PACKED and s.slot is None]
    if not packed or all(unit.serial is None for unit in case.slots):
        return
    first = min(u.binding.latest for units in case.units for u in units if u.binding)
    since = max(packed[0].latest, first)
    for units in case.units:
        unit, bound_at = units[-1], units[0].binding.latest if units[0].binding else None
        if bound_at is None or bound_at > packed[0].latest:
            found = Found(
                slot=unit.slot.number,
                subject="packed without a tag",
                since=since,
                why=f"The order was packed {words.moment(packed[0].latest, case.zone)} without a tag for this unit.",
                evidence=(of_statement(packed[0], case.zone),),
            )
            yield ended(unit, until(found, [(bound_at, "a tag was bound to it")]))


def _left_behind(case: Case) -> Iterable[Found]:
    """One label covers several units; one of them travels, this one is still heard with us a day later."""
    for unit in case.slots:
        others = [each for each in case.slots if each is not unit and _share_a_label(each, unit) and each.away]
        if not others or unit.departures:
            continue
        left_at = min(each.away[0].at for each in others)
        still = [s for s in unit.inside if s.anchored and s.at > left_at + timedelta(seconds=case.policy.return_min_s)]
        enough = first_of_frames(still)[: case.policy.inside_sightings_min]
        if len(enough) == case.policy.inside_sightings_min:
            found = Found(
                slot=unit.slot.number,
                subject="left behind",
                since=enough[-1].at,
                why="The other unit under the same label is on its way; this one is still heard with us.",
                evidence=of_sightings(still, case.sites, case.zone),
            )
            yield ended(unit, found)


def _share_a_label(one: SlotCase, other: SlotCase) -> bool:
    return bool({s.id for s in one.labels} & {s.id for s in other.labels})
