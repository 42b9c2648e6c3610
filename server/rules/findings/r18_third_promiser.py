"""R-18: the same kind of thing is promised by a third person, or two such promises are broken already."""

from __future__ import annotations

from bisect import bisect_right
from collections.abc import Iterable, Mapping, Sequence
from datetime import datetime
from typing import Final

from server.rules import words
from server.rules.case import Case
from server.rules.facts import Source
from server.rules.findings.finding import Found
from server.rules.payloads import PromiseKind
from server.rules.promises import Promise, PromiseState, promises_of

# To a customer "it ships", "the number will work" and "it arrives" are one promise: that it comes.
KINDS: Final[Mapping[PromiseKind, str]] = {
    PromiseKind.SHIP: "that it comes",
    PromiseKind.RESHIP: "that it comes",
    PromiseKind.NUMBER_LIVE: "that it comes",
    PromiseKind.ARRIVE: "that it comes",
    PromiseKind.REPLY: "an answer",
    PromiseKind.CALL_BACK: "an answer",
    PromiseKind.REFUND: "the money",
}


def find(case: Case) -> Iterable[Found]:
    """One per kind, from the third person or the second broken promise on, until a promise of the kind is met."""
    by_staff = {s.id for s in case.statements if s.source is Source.STAFF}
    kinds: dict[str, list[Promise]] = {}
    for promise in promises_of(case):
        kinds.setdefault(KINDS[promise.what], []).append(promise)
    for kind, made in sorted(kinds.items()):
        since = min(_third_person(made, by_staff) + _second_broken(made), default=None)
        if since is not None:
            met = min((p.met_at for p in made if p.met_at is not None and p.met_at >= since), default=None)
            times = words.times(len([p for p in made if p.made_at <= since]), "time", "times")
            yield Found(
                slot=None,
                subject=kind,
                since=since,
                why=f"By {words.moment(since, case.zone)} {kind} had been promised {times}.",
                cleared_at=met,
                cleared_because="a promise of this kind was met" if met else "",
            )


def _third_person(made: Sequence[Promise], by_staff: set[str]) -> list[datetime]:
    """When a third person promised what two had and nobody had met; after a kept one the count begins anew."""
    ordered = sorted((p for p in made if p.id in by_staff), key=lambda p: (p.made_at, p.id))
    met = sorted(p.met_at for p in made if p.met_at is not None)
    people: set[str] = set()
    kept = 0
    for promise in ordered:
        if kept < len(met) and met[kept] <= promise.made_at:
            people, kept = set(), bisect_right(met, promise.made_at)
        people.add(promise.by)
        if len(people) == 3:
            return [promise.made_at]
    return []


def _second_broken(made: Sequence[Promise]) -> list[datetime]:
    broken = sorted(p.breaks_at for p in made if p.state is PromiseState.BROKEN)
    return broken[1:2]
