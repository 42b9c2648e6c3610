"""Words about one parcel for tests of its rules: labels, what carriers show, quotes, and how findings are asked for."""

from __future__ import annotations

from dataclasses import replace
from datetime import datetime, time

from server.rules.facts import Order, OrderFacts, ShipTo, Slot, Source, Statement, StatementKind
from server.rules.findings.finding import Finding
from server.rules.payloads import (
    About,
    Assertion,
    CarrierScan,
    Label,
    LegEnded,
    NumberGiven,
    Payment,
    Quote,
    ShipmentStatus,
)
from server.rules.schedule import Service
from server.rules.weigh import Weighing
from tests.server.rules.build import (
    HOME,
    NUMBER,
    PACKED,
    ZONE,
    at,
    promise,
    rules,
    say,
)

USPS = "9400110200881234567896"
TO_SPOKANE = "420992019205500000000000000001"
OVER = say(StatementKind.ORDER_CANCELLED, at("Thu 09:00", week=5))


def open_of(weighing: Weighing, rule: str) -> Finding:
    found = [f for f in weighing.findings if f.rule.id == rule]
    assert len(found) == 1, [f.why for f in found]
    return found[0]


def cleared_of(weighing: Weighing, rule: str) -> Finding:
    assert rule not in rules(weighing)
    return next(f for f in weighing.cleared if f.rule.id == rule)


def never(weighing: Weighing, rule: str) -> None:
    assert rule not in {f.rule.id for f in (*weighing.findings, *weighing.cleared)}


def label(said_at: datetime, number: str = NUMBER, ref: str = "", **more: object) -> Statement:
    payload = Label("USPS" if number == USPS else "UPS", number, **more)  # type: ignore[arg-type]
    return say(StatementKind.LABEL_PRINTED, said_at, payload, ref=ref, source=Source.WAREHOUSE, exact=True)


def shows(said_at: datetime, number: str = NUMBER, latest: datetime | None = None, **more: object) -> Statement:
    """What the carrier shows; physical unless it has no record."""
    found = bool(more.get("found", True))
    status = ShipmentStatus.IN_TRANSIT if found else ShipmentStatus.UNKNOWN
    payload = CarrierScan("USPS" if number == USPS else "UPS", number, status, found, **more)  # type: ignore[arg-type]
    return say(StatementKind.CARRIER_SCAN, said_at, payload, source=Source.CARRIER, latest=latest, exact=True)


def view(said_at: datetime, source: Source, about: About, value: str = "", by: datetime | None = None) -> Statement:
    ref = f"{source}-{about}-{said_at:%d%H%M}"
    return say(StatementKind.ASSERTION, said_at, Assertion(about, value, by), source=source, ref=ref)


def with_order(case: OrderFacts, **changes: object) -> OrderFacts:
    order: Order = replace(case.order, **changes)  # type: ignore[arg-type]
    return replace(case, order=order)


def with_slot(case: OrderFacts, **changes: object) -> OrderFacts:
    slot = Slot(1, 1, **changes)  # type: ignore[arg-type]
    return with_order(case, lines=(replace(case.order.lines[0], slots=(slot,)),))


def addressed(case: OrderFacts, postcode: str = "32601", country: str = "US") -> OrderFacts:
    return with_order(case, ship_to=ShipTo(ZONE, country, postcode=postcode, place=HOME))


CHARGED = say(StatementKind.PAYMENT, at("Mon 09:00"), Payment(1600, "USD", "overnight"), slot=None, source=Source.SHOP)


BY_FRIDAY = promise(at("Mon 09:05"), "arrive", at("Sat 00:00"))
MONDAY = at("Tue 00:00", week=1)


def booking(case: OrderFacts, *services: Service) -> OrderFacts:
    return replace(case, sites=tuple(replace(site, services=services) for site in case.sites))


OVERNIGHT = Service("overnight", time(18, 0), 1)
GROUND = Service("ground", time(17, 0), 4)


def told(said_at: datetime, number: str) -> Statement:
    return say(StatementKind.NUMBER_GIVEN, said_at, NumberGiven(number), ref=f"told-{number}")


def handed_on(said_at: datetime, latest: datetime | None = None) -> Statement:
    payload = LegEnded("Consolidator", 1, next_carrier="USPS")
    return say(StatementKind.LEG_ENDED, said_at, payload, source=Source.SYSTEM, latest=latest, exact=True)


def quote(said_at: datetime, eta: datetime) -> Statement:
    return say(StatementKind.LABEL_QUOTED, said_at, Quote("UPS", "overnight", eta), ref=f"quote-{said_at:%d%H%M}")


ORIGINAL = (*PACKED, label(at("Tue 10:00"), eta=MONDAY))
