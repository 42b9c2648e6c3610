"""R-11: little time is left until the last cut-off at which a service still keeps the promised day, and nothing left.

Once a parcel is on its way that can be in time, the rule is silent; a carrier's estimate after the day wakes it again.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from datetime import datetime, timedelta

from server.rules import business_days, words
from server.rules.case import Case, SlotCase
from server.rules.delivery_dates import arrives_by, last_cutoff
from server.rules.etas import Estimate, current, estimates
from server.rules.findings.finding import Found, earliest, ended, until
from server.rules.payloads import Label, PromiseKind
from server.rules.promises import Promise, about, promises_of
from server.rules.schedule import Service
from server.rules.services import speed_of
from server.rules.spells import Observed, Spell, spells
from server.rules.tracking.reading import Speed


def find(case: Case) -> Iterable[Found]:
    """One per slot and promise to arrive, open past the cut-off until the promise ends: silence would hide it."""
    if not case.calendar.services:
        return
    promises = promises_of(case)
    for units in case.units:
        for promise in about(promises, PromiseKind.ARRIVE, units[0].slot.number):
            last = last_cutoff(case.calendar, promise.due, zones(case))
            if last is None:
                continue
            since = max(promise.made_at, last[0] - timedelta(seconds=case.policy.last_safe_s))
            if case.moment.passed(since):
                found = _stretches(case, units, promise, since)
                yield from earliest(ended(units[-1], _found(case, units[-1], promise, spell, last)) for spell in found)


def zones(case: Case) -> tuple[str, ...]:
    """In whose days a promised day may have been meant: the receiver's, the order's and the site's."""
    ship_to = case.facts.order.ship_to
    return (*((ship_to.zone,) if ship_to else ()), case.facts.order.zone, case.zone)


def _stretches(case: Case, units: Sequence[SlotCase], promise: Promise, since: datetime) -> tuple[Spell, ...]:
    """When, from `since` on, no unit was on its way in time."""
    every = estimates(case, units)
    changes = [*(d for unit in units for d in unit.departures[:1]), *(e.said.said_at for e in every)]
    moments = sorted({since, *(at for at in changes if at > since)})
    return spells(Observed(at, not _in_time(case, units, promise, every, at)) for at in moments)


def _in_time(case: Case, units: Sequence[SlotCase], promise: Promise, every: Sequence[Estimate], at: datetime) -> bool:
    """True if a unit had left by then that may arrive in time: by the carrier's word, else by the service's days."""
    expected = current(every, at)
    for index, unit in enumerate(units):
        left_at = next(iter(unit.departures), None)
        if left_at is not None and left_at <= at:
            if index in expected:
                in_time = expected[index].by <= promise.due
            else:
                in_time = not _too_slow(case, unit, left_at, promise)
            if in_time:
                return True
    return False


def _too_slow(case: Case, unit: SlotCase, left_at: datetime, promise: Promise) -> bool:
    """True if its label names a service of the site that arrives too late from the day on which it left."""
    labels = [s.payload for s in unit.labels if isinstance(s.payload, Label)]
    speed = speed_of(labels[-1].service) if labels else Speed.UNKNOWN
    alike = [s for s in case.calendar.services if speed is not Speed.UNKNOWN and speed_of(s.name) is speed]
    day = business_days.local_date(case.zone, left_at)
    return bool(alike) and all(arrives_by(case.calendar, s, day, zones(case)) > promise.due for s in alike)


def _found(case: Case, unit: SlotCase, promise: Promise, spell: Spell, last: tuple[datetime, Service]) -> Found:
    cutoff = f"{last[1].name}, {words.moment(last[0], case.zone)}"
    kept = "would have kept it was" if case.moment.passed(last[0]) else "keeps it:"
    found = Found(
        slot=unit.slot.number,
        subject=promise.id,
        since=spell.since,
        why=f"Promised by {words.due(promise.due, case.zone)}, and nothing is on its way in time."
        f" The last cut-off that {kept} {cutoff}.",
    )
    return until(found, [(spell.until, "it is on its way"), *([promise.over] if promise.over else [])])
