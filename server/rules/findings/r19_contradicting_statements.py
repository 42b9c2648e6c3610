"""R-19: two of us said things that cannot both be true: it had left and was still with us later; or two services."""

from __future__ import annotations

from bisect import bisect_right
from collections.abc import Iterable, Sequence
from datetime import datetime, timedelta
from typing import Final

from server.rules import words
from server.rules.case import Case
from server.rules.evidence import of_statement
from server.rules.facts import SAYS_GONE, Source, Statement, StatementKind
from server.rules.findings.finding import OVER, Found, over_at, until
from server.rules.payloads import GONE_SAID, About, Assertion, CarrierScan, ShipmentStatus
from server.rules.services import speed_of
from server.rules.tracking.reading import Speed

# Of us: what a system or the customer's own page shows against a person's word is R-15.
_OURS: Final = frozenset({Source.STAFF, Source.WAREHOUSE, Source.SHOP})


def find(case: Case) -> Iterable[Found]:
    """One per statement that excludes an earlier one, with the first such; correcting either by name ends it."""
    said = sorted(
        (s for s in case.statements if s.source in _OURS and (s.kind in SAYS_GONE or isinstance(s.payload, Assertion))),
        key=lambda s: (s.said_at, s.id),
    )
    back = _came_back(case)
    # Of statements that say the same of the same slot the most telling one stands for all: hundreds cost no pairs.
    told: dict[tuple[object, ...], Statement] = {}
    for other in said:
        excluded = [one for one in told.values() if _excludes(one, other, back)]
        if excluded:
            yield _found(case, min(excluded, key=lambda s: (s.said_at, s.id)), other)
        key = (_says(other), other.slot, other.source is Source.STAFF, bisect_right(back, other.latest))
        told[key] = _more_telling(told.get(key), other)


def _found(case: Case, first: Statement, second: Statement) -> Found:
    slot = first.slot if first.slot is not None else second.slot
    found = Found(
        slot=slot,
        subject=f"{first.id}+{second.id}",
        since=second.said_at,
        why=f"“{words.said(first, case.zone)}” and “{words.said(second, case.zone)}” cannot both be true.",
        evidence=(of_statement(first, case.zone), of_statement(second, case.zone)),
    )
    return until(found, [(over_at(case, slot), OVER)])


def _excludes(one: Statement, other: Statement, back: Sequence[datetime]) -> bool:
    """Both were said by us, at least one by a person, of one unit that had not come back or been replaced between."""
    if Source.STAFF not in (one.source, other.source) or not one.meets(other) or not _contradict(one, other):
        return False
    return _two_services(one, other) or bisect_right(back, one.latest) == bisect_right(back, other.latest)


def _says(said: Statement) -> object:
    if _says_gone(said):
        return "gone"
    view = said.payload
    service = isinstance(view, Assertion) and view.about is About.SERVICE
    return speed_of(view.value) if service and isinstance(view, Assertion) else _step(said)


def _more_telling(known: Statement | None, said: Statement) -> Statement:
    """The earliest "gone" and the latest "here" exclude whatever any of their kind does; of services the first."""
    if known is None:
        return said
    if _step(said) == "with_us":
        return max(known, said, key=lambda s: s.latest)
    return min(known, said, key=lambda s: s.latest) if _says_gone(said) else known


def _came_back(case: Case) -> list[datetime]:
    """When a parcel was said, scanned or heard to be back with us, or another unit took its place."""
    back = timedelta(seconds=case.policy.return_min_s)
    moments = [s.latest for s in case.statements if s.kind is StatementKind.RETURNED or _sent_back(s)]
    for units in case.units:
        moments += [unit.binding.latest for unit in units[1:] if unit.binding is not None]
        for unit in units:
            left = next(iter(unit.departures), None)
            moments += [s.at for s in unit.inside if left is not None and s.at >= left + back][:1]
    return sorted(moments)


def _sent_back(said: Statement) -> bool:
    return isinstance(said.payload, CarrierScan) and said.payload.status is ShipmentStatus.RETURN_TO_SENDER


def _contradict(one: Statement, other: Statement) -> bool:
    return _gone_and_here(one, other) or _gone_and_here(other, one) or _two_services(one, other)


def _gone_and_here(gone: Statement, here: Statement) -> bool:
    """Left by one moment, and with us at that moment or later."""
    return _says_gone(gone) and _step(here) == "with_us" and here.latest >= gone.latest


def _says_gone(said: Statement) -> bool:
    return said.kind in SAYS_GONE or _step(said) in GONE_SAID


def _step(said: Statement) -> str:
    view = said.payload
    return view.value if isinstance(view, Assertion) and view.about is About.STEP else ""


def _two_services(one: Statement, other: Statement) -> bool:
    speeds = [
        speed_of(s.payload.value)
        for s in (one, other)
        if isinstance(s.payload, Assertion) and s.payload.about is About.SERVICE
    ]
    return len(speeds) == 2 and Speed.UNKNOWN not in speeds and speeds[0] is not speeds[1]
