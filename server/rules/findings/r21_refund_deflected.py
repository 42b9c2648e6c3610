"""R-21: a refund was asked for and something else was offered; or only money, while the thing can still come.

A conditional keep (a promise whose lapse is the refund) suspends the request. When its condition lapses, the refund
falls due by itself.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta

from server.rules import words
from server.rules.case import Case, is_refund
from server.rules.evidence import of_statement
from server.rules.facts import Source, Statement, StatementKind
from server.rules.findings.finding import OVER, Found, Severity, over_at, until
from server.rules.payloads import Offer, OfferKind, PromiseKind
from server.rules.promises import Promise, PromiseState, promises_of


def find(case: Case) -> Iterable[Found]:
    """One per request, one per keep that lapsed, one per compensation in place of a promise that can be met."""
    promises = promises_of(case)
    ends = _ends(case, promises)
    for request in _of_kind(case, StatementKind.REFUND_REQUESTED):
        yield from _of_request(case, request, ends)
    for keep in promises:
        if keep.refunds and keep.state is PromiseState.BROKEN:
            yield _lapsed(case, keep, ends)
    yield from _only_compensation(case, promises)


def asked_at(case: Case) -> datetime | None:
    """Since when the customer asks for the money and nothing answered it; a keep answers while its condition holds."""
    ends = [e for e in _ends(case, promises_of(case)) if e.holds_until is None or not case.moment.passed(e.holds_until)]
    requests = _of_kind(case, StatementKind.REFUND_REQUESTED)
    return min((r.said_at for r in requests if _first(ends, r.said_at, r.slot) is None), default=None)


@dataclass(frozen=True, slots=True)
class _End:
    """What answers a request: the money, or a keep that holds at least until `holds_until` (None: for good)."""

    at: datetime
    slot: int | None
    because: str
    holds_until: datetime | None = None


def _ends(case: Case, promises: Iterable[Promise]) -> list[_End]:
    """Every answer, in order of time. The fee of a service is not the money; only the customer lets go of a request."""
    found = [_End(s.said_at, s.slot, "it was refunded") for s in case.statements if is_refund(s)]
    found += [
        _End(s.said_at, s.slot, "the customer keeps it")
        for s in _of_kind(case, StatementKind.REFUND_WITHDRAWN)
        if s.source is Source.CUSTOMER
    ]
    keeps = [p for p in promises if p.refunds and p.made_at < p.breaks_at]
    found += [_End(p.made_at, p.slot, "the customer keeps it on a condition", p.breaks_at) for p in keeps]
    return sorted(found, key=lambda end: (end.at, end.because))


def _first(ends: Iterable[_End], since: datetime, slot: int | None) -> _End | None:
    return next((e for e in ends if e.at >= since and (slot is None or e.slot in (None, slot))), None)


def _of_request(case: Case, request: Statement, ends: Sequence[_End]) -> Iterable[Found]:
    """A warning from the first counter-offer on, high after a day with neither the refund nor a keep."""
    end = _first(ends, request.said_at, request.slot)
    offers = [s for s in case.statements if isinstance(s.payload, Offer) and s.said_at >= request.said_at]
    offered_at = min((s.said_at for s in offers), default=None)
    overdue_at = request.said_at + timedelta(seconds=case.policy.refund_answer_s)
    overdue = (end is None or end.at > overdue_at) and case.moment.passed(overdue_at)
    deflected = offered_at is not None and (end is None or end.at > offered_at)
    held = [at for at, holds in ((offered_at, deflected), (overdue_at, overdue)) if holds and at is not None]
    if not held:
        return
    yield Found(
        slot=request.slot,
        subject=request.id,
        since=min(held),
        why=f"A refund was asked for {words.moment(request.said_at, case.zone)}; neither refund nor a keep followed.",
        evidence=tuple(of_statement(s, case.zone) for s in (request, *offers[:1])),
        severity=Severity.HIGH if overdue else Severity.WARNING,
        cleared_at=end.at if end else None,
        cleared_because=end.because if end else "",
    )


def _lapsed(case: Case, keep: Promise, ends: Sequence[_End]) -> Found:
    """Until the money, the customer's word, or another keep that holds longer; a refund paid early counts as well."""
    later = [e for e in ends if e.at >= keep.made_at and (e.holds_until is None or e.holds_until > keep.breaks_at)]
    end = _first(later, keep.made_at, keep.slot)
    return Found(
        slot=keep.slot,
        subject=keep.id,
        since=keep.breaks_at,
        why=f"Kept on a condition that lapsed at {words.due(keep.due, case.zone)}: the refund is due without asking.",
        severity=Severity.CRITICAL,
        cleared_at=max(end.at, keep.breaks_at) if end else None,
        cleared_because=end.because if end else "",
    )


def _only_compensation(case: Case, promises: Iterable[Promise]) -> Iterable[Found]:
    """Money instead of the thing, while a promise that it comes is still open: a repair must be offered beside it."""
    offers = [(s, s.payload) for s in case.statements if isinstance(s.payload, Offer)]
    repaired = [s.said_at for s, offer in offers if offer.what is OfferKind.REPAIR]
    repaired += [p.made_at for p in promises if p.what is PromiseKind.RESHIP]
    repair_at = min(repaired, default=None)
    coming = [p for p in promises if p.what in (PromiseKind.ARRIVE, PromiseKind.SHIP)]
    for said, offer in offers:
        if offer.what is not OfferKind.COMPENSATION or (repair_at is not None and repair_at <= said.said_at):
            continue
        open_then = [p for p in coming if _could_still_be_met(p, said.said_at)]
        if open_then:
            found = Found(
                slot=said.slot,
                subject=said.id,
                since=said.said_at,
                why="Only compensation was offered, while what was promised could still be done.",
                evidence=(of_statement(said, case.zone),),
                severity=Severity.WARNING,
            )
            over = [p.over[0] for p in open_then if p.over is not None]
            ends = [(repair_at, "a repair was offered"), (over_at(case, said.slot), OVER)]
            ends += [(max(over), "nothing that was promised is open any more")] if len(over) == len(open_then) else []
            yield until(found, ends)


def _could_still_be_met(promise: Promise, at: datetime) -> bool:
    return promise.made_at <= at < promise.breaks_at and (promise.met_at is None or promise.met_at > at)


def _of_kind(case: Case, kind: StatementKind) -> list[Statement]:
    return [s for s in case.statements if s.kind is kind]
