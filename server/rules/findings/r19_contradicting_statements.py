"""R-19: two of us said things that cannot both be true: it had left and was still with us later; or two services."""

from __future__ import annotations

from collections.abc import Iterable
from itertools import combinations
from typing import Final

from server.rules import words
from server.rules.case import Case
from server.rules.evidence import of_statement
from server.rules.facts import SAYS_GONE, Source, Statement
from server.rules.findings.finding import Found
from server.rules.payloads import About, Assertion
from server.rules.services import speed_of
from server.rules.tracking.reading import Speed

_OURS: Final = frozenset({Source.STAFF, Source.WAREHOUSE, Source.SHOP, Source.SYSTEM})
_GONE: Final = ("left", "with_carrier", "arrived")


def find(case: Case) -> Iterable[Found]:
    """One per pair, at least one of them a person's word. Correcting either by name ends it."""
    said = [
        s for s in case.statements if s.source in _OURS and (s.kind in SAYS_GONE or isinstance(s.payload, Assertion))
    ]
    for one, other in combinations(said, 2):
        if Source.STAFF in (one.source, other.source) and _meet(one, other) and contradict(one, other):
            first, second = sorted((one, other), key=lambda s: (s.said_at, s.id))
            yield Found(
                slot=first.slot if first.slot is not None else second.slot,
                subject=f"{first.id}+{second.id}",
                since=second.said_at,
                why=f"“{words.said(first, case.zone)}” and “{words.said(second, case.zone)}” cannot both be true.",
                evidence=(of_statement(first, case.zone), of_statement(second, case.zone)),
            )


def contradict(one: Statement, other: Statement) -> bool:
    """True if they exclude one another, whoever said which first."""
    return _gone_and_here(one, other) or _gone_and_here(other, one) or _two_services(one, other)


def _meet(one: Statement, other: Statement) -> bool:
    return None in (one.slot, other.slot) or one.slot == other.slot


def _gone_and_here(gone: Statement, here: Statement) -> bool:
    """Left by one moment, and with us at that moment or later."""
    return _says_gone(gone) and _step(here) == "with_us" and here.latest >= gone.latest


def _says_gone(said: Statement) -> bool:
    return said.kind in SAYS_GONE or _step(said) in _GONE


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
