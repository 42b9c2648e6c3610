"""R-15: a person asserts what neither our system, the carrier nor a receiver shows. A second assurance is critical.

Only what is shown can close it: the person who asserted it cannot.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from datetime import datetime

from server.rules import words
from server.rules.case import Case
from server.rules.evidence import of_statement
from server.rules.facts import Source, Statement
from server.rules.findings.finding import Found, Severity
from server.rules.payloads import About, Assertion, CarrierScan, Label
from server.rules.services import speed_of
from server.rules.tracking.reading import Speed


def find(case: Case) -> Iterable[Found]:
    """One per subject (service, arrival), from the first assurance that a view denies until the view agrees."""
    yield from _found(case, About.SERVICE, [s for s in _assured(case, About.SERVICE) if _service_denied(case, s)])
    yield from _found(case, About.ARRIVAL, [s for s in _assured(case, About.ARRIVAL) if _arrival_denied(case, s)])


def _found(case: Case, about: About, assured: Sequence[Statement]) -> Iterable[Found]:
    if not assured:
        return
    first, last = assured[0], assured[-1]
    agreed_at = _agreed_at(case, about, last)
    times = words.times(len(assured), "assurance", "assurances")
    yield Found(
        slot=first.slot,
        subject=about,
        since=first.said_at,
        why=f"{times} about the {about} that nothing we can see confirms.",
        evidence=tuple(of_statement(s, case.zone) for s in assured),
        severity=Severity.CRITICAL if len(assured) > 1 else Severity.HIGH,
        cleared_at=agreed_at,
        cleared_because="what is shown agrees now" if agreed_at else "",
    )


def _assured(case: Case, about: About) -> list[Statement]:
    """What people of ours asserted about it, in order of saying."""
    said = [s for s in case.statements if isinstance(s.payload, Assertion) and s.payload.about is about]
    return sorted((s for s in said if s.source is Source.STAFF), key=lambda s: (s.said_at, s.id))


def _service_denied(case: Case, said: Statement) -> bool:
    assert isinstance(said.payload, Assertion), "not an assertion"
    shown = [speed for at, speed in _services_shown(case) if at <= said.said_at]
    return bool(shown) and Speed.UNKNOWN != speed_of(said.payload.value) > shown[-1]


def _services_shown(case: Case) -> list[tuple[datetime, Speed]]:
    """Every service that something other than a person showed, in order of showing, as far as its words are known."""
    shown = []
    for said in case.statements:
        view = said.payload
        if isinstance(view, Assertion) and view.about is About.SERVICE and said.source is not Source.STAFF:
            shown.append((said.said_at, speed_of(view.value)))
        elif isinstance(view, Label | CarrierScan):
            shown.append((said.said_at, speed_of(view.service)))
    return sorted((at, speed) for at, speed in shown if speed is not Speed.UNKNOWN)


def _arrival_denied(case: Case, said: Statement) -> bool:
    assert isinstance(said.payload, Assertion), "not an assertion"
    shown = [eta for at, eta in _arrivals_shown(case) if at <= said.said_at]
    return bool(shown) and said.payload.by_when is not None and said.payload.by_when < shown[-1]


def _arrivals_shown(case: Case) -> list[tuple[datetime, datetime]]:
    """The carrier's own estimates, in order of showing; an internal event never makes one."""
    shown = []
    for said in case.statements:
        view = said.payload
        if isinstance(view, Assertion) and view.about is About.ARRIVAL and said.source is Source.CARRIER:
            shown.append((said.said_at, view.by_when))
        elif isinstance(view, Label | CarrierScan):
            shown.append((said.said_at, view.eta))
    return sorted((at, eta) for at, eta in shown if eta is not None)


def _agreed_at(case: Case, about: About, last: Statement) -> datetime | None:
    """The first moment after the last assurance at which what is shown is as good as what was said."""
    view = last.payload
    assert isinstance(view, Assertion), "not an assertion"
    if about is About.SERVICE:
        said = speed_of(view.value)
        agreed = [at for at, speed in _services_shown(case) if speed >= said]
    else:
        agreed = [at for at, eta in _arrivals_shown(case) if view.by_when is not None and eta <= view.by_when]
    return min((at for at in agreed if at > last.said_at), default=None)
