"""R-16: a replacement is about to be sent that would not arrive before the original, or not by the promised day.

It is judged when the label is looked up, before the money is spent, and once more when it is printed.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from datetime import datetime

from server.rules import words
from server.rules.case import Case, SlotCase
from server.rules.etas import Estimate, current, estimates
from server.rules.evidence import of_statement
from server.rules.facts import SAYS_GONE, Statement
from server.rules.findings.finding import Found, earliest, ended, until
from server.rules.payloads import Label, PromiseKind, Quote
from server.rules.promises import Promise, about, arrived_at, promises_of
from server.rules.spells import Observed, spells


def find(case: Case) -> Iterable[Found]:
    """One per slot, from the look-up of a label that does not help, until a better one is chosen or it arrived."""
    promises = promises_of(case)
    for units in case.units:
        arriving = about(promises, PromiseKind.ARRIVE, units[0].slot.number)
        every = estimates(case, units)
        plans = [(said, eta, _reason(case, said, eta, every, arriving)) for said, eta in _plans(units)]
        reasons = {said.id: reason for said, _, reason in plans}
        arrived = arrived_at(case, units)
        found = []
        for spell in spells(Observed(said.said_at, bool(reason), said) for said, _, reason in plans):
            said = spell.first.by
            assert said is not None, "made from a statement"
            ends = [(spell.until, "a faster one was chosen"), (arrived, "it arrived")]
            found.append(until(_found(case, units[-1], said, reasons[said.id]), ends))
        yield from earliest(ended(units[-1], each) for each in found)


def _plans(units: Sequence[SlotCase]) -> Iterable[tuple[Statement, datetime]]:
    """Every label looked up or printed, with its estimate, while there was an original already."""
    labels = [(unit, s, s.payload) for unit in units for s in unit.labels if isinstance(s.payload, Label)]
    gone = [s.said_at for s in units[-1].said if s.kind in SAYS_GONE]
    original = min([*(s.said_at for _, s, _ in labels), *gone], default=None)
    for said in units[-1].said:
        if isinstance(said.payload, Quote) and original is not None and original < said.said_at:
            yield said, said.payload.eta
    sent = min([*gone, *(d for unit in units for d in unit.departures)], default=None)
    for mine, said, label in labels:
        # Another number for a box that never left replaces a label, not a parcel.
        out = sent is not None and sent < said.said_at
        before = (s for unit, s, other in labels if _other(label, other) and (out or unit is not mine))
        if label.eta is not None and any(s.said_at < said.said_at for s in before):
            yield said, label.eta


def _other(label: Label, other: Label) -> bool:
    return other.number != label.number and other.leg == label.leg


def _reason(case: Case, said: Statement, eta: datetime, every: Sequence[Estimate], promises: Sequence[Promise]) -> str:
    """Why this plan does not help, as it was known when it was made; nothing if it does."""
    known = current([e for e in every if e.said.said_at < said.said_at], said.said_at)
    original = min((e.by for e in known.values()), default=None)
    if original is not None and eta >= original:
        return f"the original is expected by {words.due(original, case.zone)}"
    missed = [p.due for p in promises if _open(p, said.said_at) and eta > p.due]
    return f"it was promised by {words.due(min(missed), case.zone)}" if missed else ""


def _open(promise: Promise, at: datetime) -> bool:
    ends = [promise.breaks_at, *(end for end in (promise.met_at, promise.let_go_at) if end is not None)]
    return promise.made_at <= at < min(ends)


def _found(case: Case, unit: SlotCase, said: Statement, reason: str) -> Found:
    assert isinstance(said.payload, Quote | Label), "a plan"
    assert said.payload.eta is not None, "a plan has an estimate"
    eta = words.due(said.payload.eta, case.zone)
    return Found(
        slot=unit.slot.number,
        subject="",
        since=said.said_at,
        why=f"The replacement by {said.payload.carrier} arrives by {eta}; {reason}.",
        evidence=(of_statement(said, case.zone),),
    )
