"""R-21: a refund was asked for and something else was offered; or only money, while the thing can still come.

A conditional keep (a promise whose lapse is the refund) suspends the request. When its condition lapses, the refund
falls due by itself.
"""

from __future__ import annotations

from collections.abc import Iterable
from datetime import datetime, timedelta

from server.rules import words
from server.rules.case import Case
from server.rules.evidence import of_statement
from server.rules.facts import Statement, StatementKind
from server.rules.findings.finding import Found, Severity
from server.rules.payloads import Offer, OfferKind, PromiseKind
from server.rules.promises import Promise, PromiseState, promises_of


def find(case: Case) -> Iterable[Found]:
    """One per request, one per keep that lapsed, one per compensation in place of a promise that can be met."""
    for request in _of_kind(case, StatementKind.REFUND_REQUESTED):
        yield from _of_request(case, request)
    for keep in promises_of(case):
        if keep.refunds and keep.state is PromiseState.BROKEN:
            yield _lapsed(case, keep)
    yield from _only_compensation(case)


def _of_request(case: Case, request: Statement) -> Iterable[Found]:
    """A warning from the first counter-offer on, high after a day with neither the refund nor a keep."""
    settled_at, because = _settled(case, request)
    offers = [s for s in case.statements if isinstance(s.payload, Offer) and s.said_at >= request.said_at]
    offered_at = min((s.said_at for s in offers), default=None)
    overdue_at = request.said_at + timedelta(seconds=case.policy.refund_answer_s)
    overdue = (settled_at is None or settled_at > overdue_at) and case.moment.passed(overdue_at)
    deflected = offered_at is not None and (settled_at is None or settled_at > offered_at)
    if not (deflected or overdue):
        return
    yield Found(
        slot=request.slot,
        subject=request.id,
        since=offered_at if deflected and offered_at is not None else overdue_at,
        why=f"A refund was asked for {words.moment(request.said_at, case.zone)}; neither refund nor a keep followed.",
        evidence=tuple(of_statement(s, case.zone) for s in (request, *offers[:1])),
        severity=Severity.HIGH if overdue else Severity.WARNING,
        cleared_at=settled_at,
        cleared_because=because,
    )


def _settled(case: Case, request: Statement) -> tuple[datetime | None, str]:
    """When the request was answered by what it asked for, or let go, and how."""
    ends = [
        *((s.said_at, "it was refunded") for s in _of_kind(case, StatementKind.REFUNDED)),
        *((s.said_at, "the customer keeps it") for s in _of_kind(case, StatementKind.REFUND_WITHDRAWN)),
        *((p.made_at, "the customer keeps it on a condition") for p in promises_of(case) if p.refunds),
    ]
    return min(((at, why) for at, why in ends if at >= request.said_at), default=(None, ""))


def _lapsed(case: Case, keep: Promise) -> Found:
    paid = [s.said_at for s in _of_kind(case, StatementKind.REFUNDED) if s.said_at >= keep.made_at]
    return Found(
        slot=keep.slot,
        subject=keep.id,
        since=keep.breaks_at,
        why=f"Kept on a condition that lapsed at {words.due(keep.due, case.zone)}: the refund is due without asking.",
        severity=Severity.CRITICAL,
        cleared_at=min(paid, default=None),
        cleared_because="it was refunded" if paid else "",
    )


def _only_compensation(case: Case) -> Iterable[Found]:
    """Money instead of the thing, while a promise that it comes is still open: a repair must be offered beside it."""
    offers = [(s, s.payload) for s in case.statements if isinstance(s.payload, Offer)]
    repaired = [s.said_at for s, offer in offers if offer.what is OfferKind.REPAIR]
    repaired += [p.made_at for p in promises_of(case) if p.what is PromiseKind.RESHIP]
    for said, offer in offers:
        if offer.what is not OfferKind.COMPENSATION or any(at <= said.said_at for at in repaired):
            continue
        if any(_could_still_be_met(p, said.said_at) for p in promises_of(case)):
            repair_at = min(repaired, default=None)
            yield Found(
                slot=said.slot,
                subject=said.id,
                since=said.said_at,
                why="Only compensation was offered, while what was promised could still be done.",
                evidence=(of_statement(said, case.zone),),
                severity=Severity.WARNING,
                cleared_at=repair_at,
                cleared_because="a repair was offered" if repair_at else "",
            )


def _could_still_be_met(promise: Promise, at: datetime) -> bool:
    comes = promise.what in (PromiseKind.ARRIVE, PromiseKind.SHIP)
    return comes and promise.made_at <= at < promise.breaks_at and (promise.met_at is None or promise.met_at > at)


def _of_kind(case: Case, kind: StatementKind) -> list[Statement]:
    return [s for s in case.statements if s.kind is kind]
