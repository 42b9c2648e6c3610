"""When the carrier itself expects each unit to arrive. An event of our own never makes an estimate.

Its words come on a label when it is booked, with a scan, or when somebody reads its page (an assertion of the carrier).
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from datetime import datetime

from server.rules.case import Case, SlotCase
from server.rules.facts import Source, Statement
from server.rules.payloads import About, Assertion, CarrierScan, Label
from server.rules.promises import Promise
from server.rules.spells import Observed, Spell, spells


@dataclass(frozen=True, slots=True)
class Estimate:
    """The carrier's word for one unit (its index among the slot's), known from `said.said_at` on."""

    unit: int
    by: datetime
    said: Statement


def estimates(case: Case, units: Sequence[SlotCase]) -> tuple[Estimate, ...]:
    """Every estimate for the units of one slot, in order of saying."""
    found = list(_of_parcels(units)) + list(_read_aloud(case, units))
    return tuple(sorted(found, key=lambda e: (e.said.said_at, e.said.id, e.unit)))


def current(every: Iterable[Estimate], at: datetime) -> dict[int, Estimate]:
    """The last estimate of each unit as it was known at a moment."""
    return {estimate.unit: estimate for estimate in every if estimate.said.said_at <= at}


def late_spells(every: Sequence[Estimate], promise: Promise) -> tuple[Spell, ...]:
    """The stretches, since the promise was made, in which every unit with an estimate is expected after its due day."""
    known: dict[int, Estimate] = {}
    best: dict[datetime, Estimate] = {}  # as it was known at each moment, after everything that was said then
    for estimate in every:
        known[estimate.unit] = estimate
        at = max(estimate.said.said_at, promise.made_at)
        best[at] = min(known.values(), key=lambda e: (e.by, e.unit))
    return spells(Observed(at, each.by > promise.due, each.said) for at, each in best.items())


def estimated_by(said: Statement) -> datetime | None:
    """When the carrier expects arrival by these words, if they are its own or those of a label that it booked."""
    view = said.payload
    if isinstance(view, Label):
        return view.eta
    if said.source is not Source.CARRIER:
        return None
    if isinstance(view, Assertion):
        return view.by_when if view.about is About.ARRIVAL else None
    return view.eta if isinstance(view, CarrierScan) else None


def _of_parcels(units: Sequence[SlotCase]) -> Iterator[Estimate]:
    for index, unit in enumerate(units):
        for said in (*unit.labels, *unit.scans):
            by = estimated_by(said)
            if by is not None:
                yield Estimate(index, by, said)


def _read_aloud(case: Case, units: Sequence[SlotCase]) -> Iterator[Estimate]:
    for said in units[-1].said:
        by = estimated_by(said) if isinstance(said.payload, Assertion) else None
        if by is not None:
            yield Estimate(units.index(case.witness(units[0].slot.number, said.said_at)), by, said)
