"""R-28: the customer may turn to their bank, the window for that is open, and delivery is not proved."""

from __future__ import annotations

from collections.abc import Iterable
from datetime import datetime, timedelta

from server.rules import words
from server.rules.case import Case, SlotCase
from server.rules.facts import ActKind, StatementKind
from server.rules.findings import r21_refund_deflected
from server.rules.findings.finding import Found, over_at
from server.rules.payloads import Contact, Wants


def find(case: Case) -> Iterable[Found]:
    """One per order, from the first sign of a dispute until it is delivered, refunded, or the window closes."""
    paid = [s.said_at for s in case.statements if s.kind is StatementKind.PAYMENT]
    signs = _signs(case)
    if not paid or not signs:
        return
    since, closes_at = max(min(signs), min(paid)), max(paid) + timedelta(days=case.policy.dispute_window_d)
    settled = [(at, "delivery is proved") for at in _all_delivered(case)]
    refunded_at = over_at(case, None)
    settled += [(refunded_at, "it was refunded")] if refunded_at else []
    if since >= closes_at or any(at <= since for at, _ in settled):
        return
    ends = [*settled, *([(closes_at, "the window is closed")] if case.moment.passed(closes_at) else [])]
    cleared_at, because = min(ends, default=(None, ""))
    yield Found(
        slot=None,
        subject="",
        since=since,
        why=f"A charge-back is possible until {words.moment(closes_at, case.zone)}. Missing: {_missing(case)}.",
        cleared_at=cleared_at,
        cleared_because=because,
    )


def _signs(case: Case) -> list[datetime]:
    said = [
        s.said_at
        for s in case.statements
        if isinstance(s.payload, Contact)
        and s.payload.inbound
        and s.payload.wants in (Wants.CHARGE_BACK, Wants.NOT_RECEIVED)
    ]
    return said + [found.since for found in r21_refund_deflected.find(case)]


def _all_delivered(case: Case) -> list[datetime]:
    """When the last slot was delivered, if all were."""
    moments = [_delivered_at(unit) for unit in case.slots]
    return [max(at for at in moments if at is not None)] if moments and None not in moments else []


def _delivered_at(unit: SlotCase) -> datetime | None:
    receipts = [act.at for act in unit.acts if act.kind is ActKind.ACTIVATED]
    return min([*(s.latest for s in unit.delivery_scans), *receipts], default=None)


def _missing(case: Case) -> str:
    """What an evidence pack would lack, in words."""
    gaps = []
    if any(unit.accepted_at is None for unit in case.slots):
        gaps.append("the carrier's acceptance")
    if any(not unit.away for unit in case.slots):
        gaps.append("the tag heard away from us")
    if any(_delivered_at(unit) is None for unit in case.slots):
        gaps.append("delivery")
    if any(not any(act.kind is ActKind.ACTIVATED for act in unit.acts) for unit in case.slots):
        gaps.append("activation")
    return ", ".join(gaps) or "nothing"
