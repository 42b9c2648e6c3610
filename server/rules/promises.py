"""Promises: to whom, what, due when, and the condition, checked by machine, that proves each one kept.

States are debt collection's: `open, kept, broken, cancelled`. A promise kept late stays broken and says so.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from enum import StrEnum
from typing import Final

from server.rules.case import Case, SlotCase
from server.rules.facts import ActKind, Statement, StatementKind
from server.rules.payloads import CarrierScan, Contact, PromiseEnded, PromiseKind, PromiseMade, ShipmentStatus

LAPSE_REFUND: Final = "refund"
"""The lapse of a conditional keep: the customer keeps the order on a condition, and without it the money is due."""


class PromiseState(StrEnum):
    """A broken promise stays broken, also when it is kept late."""

    OPEN = "open"
    KEPT = "kept"
    BROKEN = "broken"
    CANCELLED = "cancelled"


@dataclass(frozen=True, slots=True)
class Promise:
    """One promise judged. `condition` in words; `met_at` when its condition was first true, early or late.

    `let_go_at`: when the one to whom it was made let go of it, early or late.
    """

    id: str
    order: str
    slot: int | None
    to: str
    by: str
    what: PromiseKind
    made_at: datetime
    due: datetime
    breaks_at: datetime
    state: PromiseState
    met_at: datetime | None
    condition: str
    lapse: str
    let_go_at: datetime | None = None

    @property
    def over(self) -> tuple[datetime, str] | None:
        """Since when it is no longer open, and why; None while it is."""
        match self.state:
            case PromiseState.KEPT if self.met_at is not None:
                return self.met_at, "the promise was kept"
            case PromiseState.CANCELLED if self.let_go_at is not None:
                return self.let_go_at, "the promise was let go"
            case PromiseState.BROKEN:
                return self.breaks_at, "the promised day is over"
            case _:
                return None

    @property
    def refunds(self) -> bool:
        """True if its lapse is the refund: broken, it makes the refund fall due without anybody asking."""
        return self.lapse.strip().lower() == LAPSE_REFUND


@dataclass(frozen=True, slots=True)
class Condition:
    """What proves a kind of promise, in words and as a question: since when is it true of this unit, or None."""

    words: str
    met_at: Callable[[Case, SlotCase, Statement, PromiseMade], datetime | None]


def _departed(case: Case, unit: SlotCase, said: Statement, made: PromiseMade) -> datetime | None:
    return min(unit.departures, default=None)


def _departed_after(case: Case, unit: SlotCase, said: Statement, made: PromiseMade) -> datetime | None:
    return min((d for d in unit.departures if d > said.said_at), default=None)


def _number_live(case: Case, unit: SlotCase, said: Statement, made: PromiseMade) -> datetime | None:
    dead = (ShipmentStatus.UNKNOWN, ShipmentStatus.ERROR, ShipmentStatus.CANCELLED)
    return min((s.latest for s in unit.scans if _shows(s, made.number, dead)), default=None)


def _shows(statement: Statement, number: str, dead: tuple[ShipmentStatus, ...]) -> bool:
    scan = statement.payload
    if not isinstance(scan, CarrierScan):
        return False
    return scan.found and scan.status not in dead and number in ("", scan.number)


def _arrived(case: Case, unit: SlotCase, said: Statement, made: PromiseMade) -> datetime | None:
    return _arrival(case, unit)


def _arrival(case: Case, unit: SlotCase) -> datetime | None:
    scans = [s.latest for s in unit.delivery_scans if _shows(s, "", ())]
    heard = [s.at for s in unit.away if case.near_ship_to(s) and s.row.gateway_class != "vehicle"]
    receipts = [a.at for a in unit.acts if a.kind is ActKind.ACTIVATED]
    return min([*scans, *heard, *receipts], default=None)


def _answered(case: Case, unit: SlotCase, said: Statement, made: PromiseMade) -> datetime | None:
    return _contact(unit, said, None)


def _called(case: Case, unit: SlotCase, said: Statement, made: PromiseMade) -> datetime | None:
    return _contact(unit, said, "call")


def _contact(unit: SlotCase, said: Statement, channel: str | None) -> datetime | None:
    return min(
        (
            s.said_at
            for s in unit.of_kind(StatementKind.CONTACT)
            if isinstance(s.payload, Contact)
            and not s.payload.inbound
            and s.payload.person
            and channel in (None, s.payload.channel)
            and s.said_at > said.said_at
        ),
        default=None,
    )


def _refunded(case: Case, unit: SlotCase, said: Statement, made: PromiseMade) -> datetime | None:
    return min((s.latest for s in unit.of_kind(StatementKind.REFUNDED) if s.latest > said.said_at), default=None)


CONDITIONS: Mapping[PromiseKind, Condition] = {
    PromiseKind.SHIP: Condition("A carrier's physical scan, or the tag heard away from our sites.", _departed),
    PromiseKind.RESHIP: Condition(
        "A carrier's physical scan, or the tag heard away from our sites, after the promise was made.", _departed_after
    ),
    PromiseKind.NUMBER_LIVE: Condition("The carrier shows this parcel under the number.", _number_live),
    PromiseKind.ARRIVE: Condition("The carrier's scan at the door, the tag heard there, or its receipt.", _arrived),
    PromiseKind.REPLY: Condition("A person's answer.", _answered),
    PromiseKind.CALL_BACK: Condition("A person's call.", _called),
    PromiseKind.REFUND: Condition("The refund is booked.", _refunded),
}


def promises_of(case: Case) -> tuple[Promise, ...]:
    """Every promise made about the order, judged, in order of making."""
    return case.once(_promises)


def _promises(case: Case) -> tuple[Promise, ...]:
    ends = [s for s in case.statements if isinstance(s.payload, PromiseEnded) or s.kind is _CANCELLED]
    return tuple(_judge(case, s, s.payload, ends) for s in case.statements if isinstance(s.payload, PromiseMade))


_CANCELLED: Final = StatementKind.ORDER_CANCELLED


def about(promises: Iterable[Promise], what: PromiseKind, slot: int) -> tuple[Promise, ...]:
    """Those of one kind that were made about a slot or about the whole order."""
    return tuple(p for p in promises if p.what is what and p.slot in (None, slot))


def keeps_on_condition(promises: Iterable[Promise], slot: int) -> tuple[Promise, ...]:
    """Conditional keeps of a slot: each suspends the refund until it breaks, and breaking makes the refund fall due.

    One that was due before it was made suspends nothing.
    """
    mine = (p for p in promises if p.refunds and p.slot in (None, slot))
    return tuple(p for p in mine if p.state is not PromiseState.CANCELLED and p.made_at < p.breaks_at)


def arrived_at(case: Case, units: Sequence[SlotCase]) -> datetime | None:
    """When the first of a slot's units was shown to have arrived: scan at the door, heard there, or a receipt."""
    return min((at for unit in units if (at := _arrival(case, unit)) is not None), default=None)


def _judge(case: Case, said: Statement, made: PromiseMade, ends: Sequence[Statement]) -> Promise:
    condition = CONDITIONS[made.what]
    grace_s = case.policy.promise_grace_s if made.grace_s is None else made.grace_s
    # One that was due before it was made is broken when it is made: before, nobody had promised anything.
    breaks_at = max(said.said_at, made.due + timedelta(seconds=grace_s))
    met_at = _met_at(case, said, made, condition)
    let_go_at = min(_ends(ends, said), default=None)
    return Promise(
        id=said.id,
        order=said.order,
        slot=said.slot,
        to=made.to,
        by=said.by,
        what=made.what,
        made_at=said.said_at,
        due=made.due,
        breaks_at=breaks_at,
        state=_state(case, met_at, let_go_at, breaks_at),
        met_at=met_at,
        condition=condition.words,
        lapse=made.lapse,
        let_go_at=let_go_at,
    )


def _met_at(case: Case, said: Statement, made: PromiseMade, condition: Condition) -> datetime | None:
    """When every slot that the promise is about had met it; a replacement may meet it as well as the first unit."""
    moments = []
    for units in case.units:
        if said.covers(units[0].slot.number):
            met = [at for unit in units if (at := condition.met_at(case, unit, said, made)) is not None]
            if not met:
                return None
            moments.append(min(met))
    return max(moments, default=None)


def _state(case: Case, met_at: datetime | None, let_go_at: datetime | None, breaks_at: datetime) -> PromiseState:
    if met_at is not None and met_at <= breaks_at:
        return PromiseState.KEPT
    if let_go_at is not None and let_go_at <= breaks_at:
        return PromiseState.CANCELLED
    return PromiseState.BROKEN if case.moment.passed(breaks_at) else PromiseState.OPEN


def _ends(ends: Sequence[Statement], said: Statement) -> Iterable[datetime]:
    for statement in ends:
        named = isinstance(statement.payload, PromiseEnded) and statement.payload.promise == said.id
        over = statement.kind is _CANCELLED and statement.slot in (None, said.slot)
        if (named or over) and statement.said_at >= said.said_at:
            yield statement.said_at
