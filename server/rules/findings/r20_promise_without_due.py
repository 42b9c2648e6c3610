"""R-20: a promise to everybody names no hours, so that nobody can say when it is broken."""

from __future__ import annotations

from collections.abc import Iterable

from server.rules import words
from server.rules.case import Case
from server.rules.evidence import of_statement
from server.rules.facts import Statement
from server.rules.findings.finding import Found
from server.rules.house import of_house, while_waiting
from server.rules.payloads import PublicText


def find(case: Case) -> Iterable[Found]:
    """One per text, until the same page or robot names hours. A promise to one customer always has a due moment.

    A text of the house is read by everybody and concerns those who wait while it stands.
    """
    yield from _vague(case, case.statements)
    yield from while_waiting(case, _vague(case, of_house(case)))


def _vague(case: Case, statements: Iterable[Statement]) -> Iterable[Found]:
    texts = [s for s in statements if isinstance(s.payload, PublicText)]
    for said in texts:
        assert isinstance(said.payload, PublicText), "not a public text"
        if said.payload.hours is not None:
            continue
        better = [s for s in texts if s.by == said.by and s.latest > said.latest and _names_hours(s.payload)]
        yield Found(
            slot=None,
            subject=said.id,
            since=said.latest,
            why=f"Said in public since {words.moment(said.latest, case.zone)}, without a time by which it holds.",
            evidence=(of_statement(said, case.zone),),
            cleared_at=better[0].latest if better else None,
            cleared_because="it names hours now" if better else "",
        )


def _names_hours(payload: object) -> bool:
    return isinstance(payload, PublicText) and payload.hours is not None
