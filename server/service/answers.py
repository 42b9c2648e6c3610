"""Did it ship, is it alive: gathers every fact of an order and lets the rules weigh them.

`collect` is the one place where stored rows become facts. A weighing is kept beside the facts for lists and for the
sweep; an order's own page is always weighed anew, so nobody reads yesterday's answer.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime
from typing import Any

import msgspec
from sqlalchemy import Connection

from server.rules.explain import why as explain_why
from server.rules.facts import (
    Correction,
    Heard,
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
from server.rules.payloads import Payment, payload_from
from server.rules.policy import Policy
from server.rules.privacy import Viewer
from server.rules.timeline import Row, timeline
from server.rules.weigh import Weighing, weigh
from server.service.refusals import refuse
from server.store import acts, coverage, orders, sightings, statements, weighings
from server.store.orders import StoredOrder, StoredSlot, slot_id
from server.store.statements import StoredStatement
from server.store.weighings import StoredWeighing


@dataclass(frozen=True, slots=True)
class OrderAnswer:
    """Everything that may be said of an order to one viewer: the weighing, the timeline, the contact data."""

    order: StoredOrder
    weighing: Weighing
    timeline: tuple[Row, ...]
    tracking: tuple[Mapping[str, str], ...]


def collect(tx: Connection, number: str, now: datetime) -> OrderFacts:
    """Every fact of an order. Refusals: order_unknown."""
    stored = orders.order(tx, number)
    if stored is None:
        raise refuse("order_unknown", number=number, reference=number)
    said = tuple(_statement(stored, each) for each in statements.of_order(tx, number))
    serials = bound_serials(said)
    heard: tuple[Heard, ...] = tuple(sightings.heard(tx, serials))
    return OrderFacts(
        order=_order(stored, said),
        statements=said,
        acts=tuple(acts.fact(act) for act in acts.of_serials(tx, serials, number)),
        heard=heard,
        units=coverage.units_of(tx, serials),
        sites=coverage.all_sites(tx),
        gateways=coverage.gateways_of(tx, {row.gateway for row in heard}),
        healthy=coverage.healthy(tx, stored.placed_at, now),
    )


def weighing(tx: Connection, number: str, policy: Policy, now: datetime) -> tuple[OrderFacts, Weighing]:
    """Weigh an order now, and keep the result for lists. Refusals: order_unknown."""
    facts = collect(tx, number, now)
    weighed = weigh(facts, policy, now)
    keep = StoredWeighing(number, now, _version(policy), weighed.next_look_at, msgspec.to_builtins(weighed))
    weighings.put(tx, keep)
    return facts, weighed


def kept(tx: Connection, number: str, policy: Policy, now: datetime) -> Mapping[str, Any]:
    """The JSON form of an order's weighing for lists: the kept one while it holds, else a new one."""
    current = weighings.current(tx, number, _version(policy), now)
    if current is not None:
        return current.weighing
    built: Mapping[str, Any] = msgspec.to_builtins(weighing(tx, number, policy, now)[1])
    return built


def order(tx: Connection, number: str, policy: Policy, viewer: Viewer, now: datetime) -> OrderAnswer:
    """The answer about an order as this viewer may read it; customer and support read the same `shown`."""
    facts, weighed = weighing(tx, number, policy, now)
    stored = orders.order(tx, number)
    assert stored is not None, "collected a moment ago"
    return OrderAnswer(stored, weighed, timeline(facts, policy, weighed, viewer), _tracking(tx, number))


def why(tx: Connection, number: str, policy: Policy, viewer: Viewer, now: datetime) -> tuple[str, ...]:
    """The explanation of every verdict of an order, line by line. Refusals: order_unknown."""
    facts, weighed = weighing(tx, number, policy, now)
    return explain_why(facts, weighed, viewer)


def _version(policy: Policy) -> str:
    return f"{policy.version}/{policy.profile}"


def _tracking(tx: Connection, number: str) -> tuple[Mapping[str, str], ...]:
    """Every number that was given, labelled by whose it is, so that nobody asks a carrier for an order number."""
    labels = [each for each in statements.of_order(tx, number) if each.kind == str(StatementKind.LABEL_PRINTED)]
    scanned = {
        each.payload["number"]
        for each in statements.of_order(tx, number)
        if each.kind == str(StatementKind.CARRIER_SCAN) and each.payload.get("physical")
    }
    return tuple(
        {
            "carrier": each.payload["carrier"],
            "number": each.payload["number"],
            "word": "the carrier's number"
            if each.payload["number"] in scanned
            else "the carrier's number, never scanned",
        }
        for each in labels
    )


def _order(stored: StoredOrder, said: tuple[Statement, ...]) -> Order:
    to = stored.ship_to
    where = to.get("place")
    ship_to = ShipTo(
        zone=to.get("zone") or stored.zone,
        country=to.get("country", ""),
        region=to.get("region", ""),
        postcode=to.get("postcode", ""),
        place=Place(where["lat"], where["lon"], where["accuracy_m"]) if where else None,
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
    )


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
