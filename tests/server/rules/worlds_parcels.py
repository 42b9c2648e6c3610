"""Words about a parcel for property tests: labels with service, ZIP, leg and estimate, carriers' views, quotes.

Drawn beside the usual words of `worlds`; the order has an address, a charge and a site with services, so that the rules
about parcels have something to compare.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from datetime import date, datetime, time, timedelta

from hypothesis import strategies as st

from server.rules.facts import OrderFacts, Source, Statement, StatementKind
from server.rules.payloads import (
    About,
    Assertion,
    CarrierScan,
    Label,
    LegEnded,
    NumberGiven,
    Payload,
    Payment,
    PromiseKind,
    PromiseMade,
    Quote,
    ShipmentStatus,
)
from server.rules.schedule import Service
from tests.server.rules.build import NUMBER, at, say

PARCEL_RULES = {f"R-{number:02}" for number in (1, 3, 6, 7, 8, 9, 10, 11, 13, 14, 16, 36)}
SERVICES = (Service("overnight", time(15, 0), 1), Service("overnight Saturday", time(12, 0), 1, saturday=True))
NUMBERS = (NUMBER, NUMBER, "420331019205500000000000000001", "T-1")
NAMES = ("", "ground", "overnight")
POSTCODES = ("", "28801", "28801-4411", "99201")


@st.composite
def parcel_words(draw: st.DrawFn, number: int, moments: st.SearchStrategy[datetime]) -> Statement:
    """One statement that the rules about parcels read, learnt at once or later."""
    said_at = draw(moments)
    eta = st.one_of(st.none(), moments)
    what = draw(
        st.sampled_from(("label", "label", "scan", "scan", "quote", "leg", "number", "consent", "eta", "promise"))
    )
    source = Source.CARRIER if what in ("scan", "eta") else Source.STAFF
    ways: dict[str, Callable[[], tuple[StatementKind, Payload | None]]] = {
        "label": lambda: (
            StatementKind.LABEL_PRINTED,
            Label(
                "UPS",
                draw(st.sampled_from(NUMBERS)),
                draw(st.sampled_from(NAMES)),
                draw(st.sampled_from(("", "a", "b"))),
                draw(st.sampled_from(POSTCODES)),
                draw(st.sampled_from((1, 1, 2))),
                draw(eta),
            ),
        ),
        "scan": lambda: (
            StatementKind.CARRIER_SCAN,
            CarrierScan(
                "UPS",
                draw(st.sampled_from(NUMBERS)),
                draw(st.sampled_from((ShipmentStatus.IN_TRANSIT, ShipmentStatus.DELIVERED))),
                draw(st.booleans()),
                draw(st.sampled_from(("", "a", "b"))),
                code=draw(st.sampled_from(("", "in_transit/held"))),
                destination_postcode=draw(st.sampled_from(POSTCODES)),
                found=draw(st.sampled_from((True, True, False))),
                eta=draw(eta),
                service=draw(st.sampled_from(NAMES)),
                mapped=draw(st.sampled_from((True, True, False))),
            ),
        ),
        "quote": lambda: (StatementKind.LABEL_QUOTED, Quote("UPS", draw(st.sampled_from(NAMES)), draw(moments))),
        "leg": lambda: (StatementKind.LEG_ENDED, LegEnded("UPS", draw(st.sampled_from((1, 2))))),
        "number": lambda: (StatementKind.NUMBER_GIVEN, NumberGiven(draw(st.sampled_from((*NUMBERS, "12"))))),
        "consent": lambda: (
            draw(st.sampled_from((StatementKind.CONSENT_TO_DELAY, StatementKind.REFUND_WITHDRAWN))),
            None,
        ),
        "eta": lambda: (StatementKind.ASSERTION, Assertion(About.ARRIVAL, by_when=draw(moments))),
        "promise": lambda: (StatementKind.PROMISE, PromiseMade(PromiseKind.ARRIVE, draw(moments))),
    }
    kind, payload = ways[what]()
    source = Source.CUSTOMER if what == "consent" else source
    made = say(kind, said_at, payload, ref=f"p{number}", slot=draw(st.sampled_from((1, 1, 2, None))), source=source)
    if what == "scan":
        made = replace(made, latest=said_at - timedelta(seconds=draw(st.sampled_from((0, 0, 600, 90_000)))))
    return replace(made, learnt_at=said_at + timedelta(seconds=draw(st.sampled_from((0, 1, 3600, 86_400)))))


@st.composite
def with_address(draw: st.DrawFn, world: OrderFacts) -> OrderFacts:
    """The same order with a ZIP, perhaps a charged service and a stated day, at a site that books services."""
    ship_by = draw(st.sampled_from((None, None, date(2016, 11, 9))))
    lines = tuple(
        replace(line, slots=tuple(replace(slot, ship_by=ship_by) for slot in line.slots)) for line in world.order.lines
    )
    ship_to = world.order.ship_to
    assert ship_to is not None, "built with one"
    order = replace(
        world.order,
        lines=lines,
        ship_to=replace(ship_to, country="US", postcode=draw(st.sampled_from(POSTCODES))),
        paid_service=draw(st.sampled_from(NAMES)),
    )
    services = draw(st.sampled_from(((), SERVICES)))
    paid = say(StatementKind.PAYMENT, at("Mon 09:00"), Payment(1600, "USD", "overnight"), slot=None, ref="charged")
    more = (paid,) if draw(st.booleans()) else ()
    sites = tuple(replace(site, services=services) for site in world.sites)
    return replace(world, order=order, sites=sites, statements=(*world.statements, *more))
