"""Did it ship, is it alive: gathers every fact of an order and lets the rules weigh them.

`collect` is the one place where stored rows become facts. A weighing is kept beside the facts for lists and for the
sweep; an order's own page is always weighed anew, so nobody reads yesterday's answer.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace
from datetime import date, datetime, timedelta
from typing import Any, Final, NamedTuple

import msgspec
from sqlalchemy import Connection

from server.rules import remedies
from server.rules.activation import RUNGS, Activation
from server.rules.authority import Role
from server.rules.case import standing_of
from server.rules.evidence import Verdict
from server.rules.facts import (
    Act,
    Correction,
    Line,
    Order,
    OrderFacts,
    Place,
    ShipTo,
    Slot,
    Source,
    Statement,
    StatementKind,
    bound_serials,
)
from server.rules.findings.finding import Finding
from server.rules.gone import pickup_deadlines
from server.rules.listening import ListenedDay
from server.rules.payload_json import payload_from
from server.rules.payloads import CarrierScan, Label, Payment, ShipmentStatus
from server.rules.policy import Policy
from server.rules.privacy import Viewer
from server.rules.promises import Promise
from server.rules.remedies import Taken
from server.rules.shown import Shown
from server.rules.steps import StepVerdict
from server.rules.timeline import Row, timeline
from server.rules.tracking import decode as tracking_number
from server.rules.verdicts import StatementVerdict
from server.rules.weigh import Weighing, weigh
from server.service import channel_health, desk_lists, ingest_health
from server.service.ingest_health import Late
from server.service.refusals import refuse
from server.store import accounts, acts, cohorts, coverage, listening, orders, sightings, statements, weighings
from server.store import remedies as remedy_store
from server.store.accounts import Account
from server.store.orders import StoredOrder, StoredSlot, slot_id
from server.store.statements import StoredStatement
from server.store.weighings import StoredWeighing

# A customer of an order is nobody's account here: no place is theirs to see on this way.
CUSTOMER: Final = Viewer(Role.OWNER)
_DELIVERED: Final = ShipmentStatus.DELIVERED


@dataclass(frozen=True, slots=True)
class SlotHead:
    """One physical unit as it was ordered, and the serial that was bound to it last."""

    slot: int
    line: int
    sku: str
    title: str
    personalised: bool
    ship_by: date | None
    lead_time_bd: int | None
    serial: int | None


@dataclass(frozen=True, slots=True)
class OrderHead:
    """An order as it was placed; its personalisation texts stay encrypted where they are."""

    number: str
    email: str
    customer_name: str
    phone: str | None
    ship_to: Mapping[str, Any]
    placed_at: datetime
    zone: str
    site: str | None
    profile: str
    source: str
    paid_service: str
    slots: tuple[SlotHead, ...]


@dataclass(frozen=True, slots=True)
class Tracking:
    """A carrier's number that was given, whose it is, and what it says by itself (`rules.tracking`), in words."""

    carrier: str
    number: str
    service: str
    words: str
    read_as: str


@dataclass(frozen=True, slots=True)
class OrderAnswer:
    """Everything that staff may read of an order. `shown` is what its customer reads, with the same `as_of`."""

    order: OrderHead
    as_of: datetime
    policy: str
    shown: Shown
    steps: tuple[StepVerdict, ...]
    verdicts: tuple[StatementVerdict, ...]
    findings: tuple[Finding, ...]
    cleared: tuple[Finding, ...]
    promises: tuple[Promise, ...]
    activations: tuple[Activation, ...]
    activation_ladder: tuple[tuple[Verdict, str], ...]
    tracking: tuple[Tracking, ...]
    timeline: tuple[Row, ...]
    replayed: bool
    late: Late | None
    next_look_at: datetime | None


@dataclass(frozen=True, slots=True)
class CustomerAnswer:
    """Everything that the customer of an order reads. `notes`: what we say about what went wrong."""

    number: str
    placed_at: datetime
    as_of: datetime
    shown: Shown
    notes: tuple[str, ...]
    tracking: tuple[Tracking, ...]
    timeline: tuple[Row, ...]
    replayed: bool
    late: Late | None


def collect(tx: Connection, number: str, policy: Policy, now: datetime) -> OrderFacts:
    """Every fact of an order. Refusals: order_unknown."""
    stored = orders.order(tx, number)
    if stored is None:
        raise refuse("order_unknown", number=number, reference=number)
    said = tuple(_statement(stored, each) for each in statements.of_order(tx, number))
    serials = bound_serials(said)
    done = tuple(acts.fact(act) for act in acts.of_serials(tx, serials, number))
    bare = OrderFacts(
        order=_order(stored, said, accounts.by_email(tx, stored.email)),
        statements=said,
        acts=done,
        units=coverage.units_of(tx, serials),
        sites=coverage.all_sites(tx),
        healthy=coverage.healthy(tx, stored.placed_at, now),
        cohorts=cohorts.marks_of(tx, number),
        listened=_listened(tx, stored, said, policy),
        house=channel_health.of_waits(tx, said),
    )
    cuts = _cuts(said, done, policy) | pickup_deadlines(bare, policy, now)
    heard = tuple(sightings.heard(tx, serials, stored.placed_at - sightings.LOOK_BACK, cuts, policy.anchor_age_s))
    return replace(bare, heard=heard, gateways=coverage.gateways_of(tx, {row.gateway for row in heard}))


def statements_of(tx: Connection, number: str) -> tuple[Statement, ...]:
    """What stands of what was said about an order, in order of time. Refusals: order_unknown."""
    stored = orders.order(tx, number)
    if stored is None:
        raise refuse("order_unknown", number=number, reference=number)
    return standing_of([_statement(stored, each) for each in statements.of_order(tx, number)])[0]


def _listened(
    tx: Connection, stored: StoredOrder, said: tuple[Statement, ...], policy: Policy
) -> tuple[ListenedDay, ...]:
    """How the ship-to was listened to, from the days by which it is measured on; only once it was delivered (R-31)."""
    where = _place(stored)
    delivered = [s.latest for s in said if isinstance(s.payload, CarrierScan) and s.payload.status is _DELIVERED]
    if where is None or not delivered:
        return ()
    return listening.days_of(tx, where, min(delivered).date() - timedelta(days=policy.listened_d))


def _cuts(said: tuple[Statement, ...], done: tuple[Act, ...], policy: Policy) -> set[datetime]:
    """Moments across which sightings must not be thinned: rules ask what was heard just before, at and after them.

    "Heard while it was packed" looks furthest to either side of the words.
    """
    around = timedelta(seconds=policy.packing_window_s)
    moments = {s.latest for s in said} | {a.at for a in done}
    return {moment + aside for moment in moments for aside in (-around, timedelta(0), around)}


class Looked(NamedTuple):
    """An order that was weighed: all answers of one request are made of it, so that it is gathered and weighed once."""

    facts: OrderFacts
    weighed: Weighing


def weighing(tx: Connection, number: str, policy: Policy, now: datetime) -> Looked:
    """Weigh an order now, and keep the result for lists. Refusals: order_unknown."""
    weighings.hold(tx, number)
    facts = collect(tx, number, policy, now)
    weighed = weigh(facts, policy, now)
    owed = remedies.anything_owed(weighed)
    unasked = owed and bool(remedies.unasked(facts, weighed, policy, taken(tx, number)))
    waits_since = weighed.reply.since if weighed.reply else None
    as_json = msgspec.to_builtins(weighed)
    keep = StoredWeighing(number, now, _version(policy), weighed.next_look_at, as_json, waits_since, unasked)
    weighings.put(tx, keep)
    desk_lists.keep(tx, weighed)
    return Looked(facts, weighed)


def taken(tx: Connection, number: str) -> tuple[Taken, ...]:
    """The remedies of an order that were asked for already, as rules read them."""
    return tuple(remedy_store.as_taken(each) for each in remedy_store.of_order(tx, number))


def kept(tx: Connection, number: str, policy: Policy, now: datetime) -> Mapping[str, Any]:
    """The JSON form of an order's weighing for lists: the kept one while it holds, else a new one."""
    current = weighings.current(tx, number, _version(policy), now)
    if current is not None:
        return current.weighing
    new: Mapping[str, Any] = msgspec.json.decode(msgspec.json.encode(weighing(tx, number, policy, now).weighed))
    return new


def for_staff(tx: Connection, looked: Looked, policy: Policy, viewer: Viewer) -> OrderAnswer:
    """The answer about an order for support."""
    facts, weighed = looked
    return OrderAnswer(
        order=_head(tx, facts, weighed),
        as_of=weighed.as_of,
        policy=_version(policy),
        shown=weighed.shown,
        steps=weighed.steps,
        verdicts=weighed.verdicts,
        findings=weighed.findings,
        cleared=weighed.cleared,
        promises=weighed.promises,
        activations=weighed.activations,
        activation_ladder=RUNGS,
        tracking=_tracking(facts),
        timeline=timeline(facts, policy, weighed, viewer),
        replayed=any(said.replay for said in facts.statements),
        late=ingest_health.late(tx),
        next_look_at=weighed.next_look_at,
    )


def for_customer(tx: Connection, looked: Looked, policy: Policy) -> CustomerAnswer:
    """The answer about an order for its customer: the same projection, no person's name."""
    facts, weighed = looked
    return CustomerAnswer(
        number=facts.order.number,
        placed_at=facts.order.placed_at,
        as_of=weighed.as_of,
        shown=weighed.shown,
        notes=tuple(dict.fromkeys(f.rule.customer for f in weighed.findings if f.rule.customer)),
        tracking=_tracking(facts),
        timeline=timeline(facts, policy, weighed, CUSTOMER),
        replayed=any(said.replay for said in facts.statements),
        late=ingest_health.late(tx),
    )


def _version(policy: Policy) -> str:
    return f"{policy.version}/{policy.profile}"


def _tracking(facts: OrderFacts) -> tuple[Tracking, ...]:
    """Every number that was given, labelled by whose it is, so that nobody asks a carrier for an order number."""
    scanned = {
        (said.payload.carrier, said.payload.number)
        for said in facts.statements
        if isinstance(said.payload, CarrierScan) and said.payload.physical
    }
    given = [said.payload for said in facts.statements if isinstance(said.payload, Label)]
    return tuple(
        Tracking(
            label.carrier,
            label.number,
            label.service,
            "the carrier's number"
            if (label.carrier, label.number) in scanned
            else "the carrier's number, never scanned",
            tracking_number.words(tracking_number.decode(label.number)),
        )
        for label in dict.fromkeys(given)
    )


def _head(tx: Connection, facts: OrderFacts, weighed: Weighing) -> OrderHead:
    stored = orders.order(tx, facts.order.number)
    assert stored is not None, "collected a moment ago"
    bound = {each.slot: each.serial for each in weighed.activations}
    return OrderHead(
        number=stored.number,
        email=stored.email,
        customer_name=stored.customer_name,
        phone=stored.phone,
        ship_to=stored.ship_to,
        placed_at=stored.placed_at,
        zone=stored.zone,
        site=stored.site,
        profile=stored.profile,
        source=stored.source,
        paid_service=facts.order.paid_service,
        slots=tuple(
            SlotHead(
                slot=each.number,
                line=each.line,
                sku=each.sku,
                title=each.title,
                personalised=each.personalisation is not None,
                ship_by=each.ship_by,
                lead_time_bd=each.lead_time_bd,
                serial=bound.get(each.number),
            )
            for each in stored.slots
        ),
    )


def _order(stored: StoredOrder, said: tuple[Statement, ...], customer: Account | None) -> Order:
    to = stored.ship_to
    ship_to = ShipTo(
        zone=to.get("zone") or stored.zone,
        country=to.get("country", ""),
        region=to.get("region", ""),
        postcode=to.get("postcode", ""),
        place=_place(stored),
    )
    paid = [s.payload.service for s in said if isinstance(s.payload, Payment) and s.kind is StatementKind.PAYMENT]
    return Order(
        number=stored.number,
        placed_at=stored.placed_at,
        zone=stored.zone,
        lines=_lines(stored.slots),
        site=stored.site,
        ship_to=ship_to,
        paid_service=next((service for service in paid if service), ""),
        profile=stored.profile,
        account=str(customer.no) if customer else None,
    )


def _place(stored: StoredOrder) -> Place | None:
    where = stored.ship_to.get("place")
    return Place(where["lat"], where["lon"], where["accuracy_m"]) if where else None


def _lines(slots: tuple[StoredSlot, ...]) -> tuple[Line, ...]:
    by_line: dict[int, list[StoredSlot]] = {}
    for slot in slots:
        by_line.setdefault(slot.line, []).append(slot)
    return tuple(
        Line(number, units[0].sku, units[0].title, tuple(_slot(unit) for unit in units))
        for number, units in by_line.items()
    )


def _slot(unit: StoredSlot) -> Slot:
    return Slot(
        number=unit.number,
        line=unit.line,
        title=unit.title,
        personalised=unit.personalisation is not None,
        ship_by=unit.ship_by,
        lead_bd=unit.lead_time_bd or 0,
        lead_shown=unit.lead_time_bd is not None,
    )


def _statement(order: StoredOrder, each: StoredStatement) -> Statement:
    numbers = {slot_id(order.number, slot.line, slot.unit): slot.number for slot in order.slots}
    return Statement(
        id=str(each.no),
        kind=StatementKind(each.kind),
        order=order.number,
        slot=numbers[each.slots[0]] if each.slots else None,
        said_at=each.said_at,
        earliest=each.earliest,
        latest=each.latest,
        by=each.by,
        source=Source(each.source),
        learnt_at=each.learnt_at,
        payload=payload_from(each.kind, each.payload),
        zone=each.zone,
        replay=each.via == "replay",
        corrects=None if each.corrects is None else str(each.corrects),
        correction=Correction(each.correction) if each.correction else None,
    )
