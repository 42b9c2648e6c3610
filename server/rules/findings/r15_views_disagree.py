"""R-15: a person asserts what neither our system, the carrier nor a receiver shows. A second assurance is critical.

Only what is shown can close it: the person who asserted it cannot.
"""

from __future__ import annotations

from bisect import bisect_right
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from datetime import datetime

from server.rules import words
from server.rules.case import Case, SlotCase
from server.rules.etas import estimated_by
from server.rules.evidence import of_statement
from server.rules.facts import Source, Statement
from server.rules.findings.finding import OVER, Found, Severity, earliest, ended, over_at, until
from server.rules.gone import Unshown, unshown
from server.rules.payloads import GONE_SAID, About, Assertion, CarrierScan, Label
from server.rules.services import speed_of
from server.rules.tracking.reading import Speed


def find(case: Case) -> Iterable[Found]:
    """One per subject (service, arrival; leaving per slot), from the first assurance denied until the view agrees."""
    for about, shown in ((About.SERVICE, _services_shown(case)), (About.ARRIVAL, _arrivals_shown(case))):
        denied = [s for s in _assured(case, about) if _denied(s, shown)]
        yield from earliest(_found(case, about, each, shown) for each in _stretches(denied, shown))
    for units in case.units:
        yield from _gone(case, units)


def _gone(case: Case, units: Sequence[SlotCase]) -> Iterable[Found]:
    """People say that it is no longer with us, and when a first sign of it was due, nothing showed it."""
    denied: list[tuple[Unshown, Statement]] = []
    for said in _assured(case, About.STEP):
        gone = isinstance(said.payload, Assertion) and said.payload.value in GONE_SAID
        if gone and said.covers(units[0].slot.number):
            judged = unshown(case, units, said)
            if judged is not None:
                denied.append((judged, said))
    if denied:
        first, _ = min(denied, key=lambda each: (each[0].due, each[1].id))
        times = words.times(len(denied), "assurance", "assurances")
        found = Found(
            slot=units[0].slot.number,
            subject=About.STEP,
            since=first.due,
            why=f"{times} that it is no longer with us, which nothing we can see confirms.",
            evidence=tuple(of_statement(said, case.zone) for _, said in denied),
            severity=Severity.CRITICAL if len(denied) > 1 else Severity.HIGH,
        )
        yield ended(units[-1], until(found, first.ends))


@dataclass(frozen=True, slots=True)
class _View:
    """What something showed: of a service its speed, of an arrival how early (the higher, the better)."""

    at: datetime
    good: float
    said: Statement


def _stretches(denied: Sequence[Statement], shown: Sequence[_View]) -> list[list[Statement]]:
    """Assurances that belong together: what comes after the view had agreed is a new matter."""
    found: list[list[Statement]] = []
    agreed_at: datetime | None = None
    for said in denied:
        if not found or (agreed_at is not None and agreed_at <= said.said_at):
            found.append([])
        found[-1].append(said)
        agreed_at = _agreed_at(found[-1], shown)
    return found


def _found(case: Case, about: About, assured: Sequence[Statement], shown: Sequence[_View]) -> Found:
    slots = {said.slot for said in assured}
    slot = assured[0].slot if len(slots) == 1 else None
    times = words.times(len(assured), "assurance", "assurances")
    found = Found(
        slot=assured[0].slot,
        subject=about,
        since=assured[0].said_at,
        why=f"{times} about the {about} that nothing we can see confirms.",
        evidence=tuple(of_statement(s, case.zone) for s in assured),
        severity=Severity.CRITICAL if len(assured) > 1 else Severity.HIGH,
    )
    ends = [(_agreed_at(assured, shown), "what is shown agrees now"), (over_at(case, slot), OVER)]
    return until(found, ends)


def _assured(case: Case, about: About) -> list[Statement]:
    """What people of ours asserted about it, in order of saying."""
    said = [s for s in case.statements if isinstance(s.payload, Assertion) and s.payload.about is about]
    return sorted((s for s in said if s.source is Source.STAFF), key=lambda s: (s.said_at, s.id))


def _denied(said: Statement, shown: Sequence[_View]) -> bool:
    """True if the last view of that unit before the words was worse than the words."""
    before = [view for view in shown[: bisect_right(shown, said.said_at, key=lambda v: v.at)] if view.said.meets(said)]
    good = _good(said)
    return bool(before) and good is not None and before[-1].good < good


def _good(said: Statement) -> float | None:
    view = said.payload
    assert isinstance(view, Assertion), "not an assertion"
    return _speed(view.value) if view.about is About.SERVICE else _early(view.by_when)


def _speed(service: str) -> float | None:
    speed = speed_of(service)
    return None if speed is Speed.UNKNOWN else float(speed)


def _early(by_when: datetime | None) -> float | None:
    return None if by_when is None else -by_when.timestamp()


def _services_shown(case: Case) -> list[_View]:
    """Every service that something other than a person showed, in order of showing, as far as its words are known."""
    return _views((s, _speed(service)) for s in case.statements if (service := _service(s)) is not None)


def _service(said: Statement) -> str | None:
    view = said.payload
    if isinstance(view, Assertion) and view.about is About.SERVICE and said.source is not Source.STAFF:
        return view.value
    carriers = isinstance(view, CarrierScan) and said.source is Source.CARRIER
    return view.service if isinstance(view, Label | CarrierScan) and (carriers or isinstance(view, Label)) else None


def _arrivals_shown(case: Case) -> list[_View]:
    """The carrier's own estimates, in order of showing; an internal event never makes one."""
    return _views((s, _early(estimated_by(s))) for s in case.statements)


def _views(shown: Iterable[tuple[Statement, float | None]]) -> list[_View]:
    views = [_View(said.said_at, good, said) for said, good in shown if good is not None]
    return sorted(views, key=lambda view: (view.at, view.good, view.said.id))


def _agreed_at(assured: Sequence[Statement], shown: Sequence[_View]) -> datetime | None:
    """The first moment after the last assurance at which what is shown is as good as what was said.

    A label that one of those who assured it has entered shows nothing: they cannot close it.
    """
    last = assured[-1]
    people, good = {said.by for said in assured}, _good(last)
    assert good is not None, "a denied assurance says something"
    later = shown[bisect_right(shown, last.said_at, key=lambda v: v.at) :]
    agreed = (v for v in later if v.good >= good and v.said.meets(last) and not _by_them(v.said, people))
    return next((view.at for view in agreed), None)


def _by_them(said: Statement, people: set[str]) -> bool:
    return said.source is Source.STAFF and said.by in people
