"""Small facts for tests of single rules: one order, one site, one tag, and words to say and hear things about it.

The clock of these tests is `at("Tue 10:05")` in the week of Monday 7 November 2016, local time of the warehouse.
"""

from __future__ import annotations

from dataclasses import replace
from datetime import UTC, date, datetime, time, timedelta
from zoneinfo import ZoneInfo

from server.rules.facts import (
    Act,
    ActKind,
    Gateway,
    GatewayClass,
    Healthy,
    Heard,
    Line,
    Order,
    OrderFacts,
    Place,
    ShipTo,
    Site,
    Slot,
    Source,
    Statement,
    StatementKind,
    Unit,
)
from server.rules.findings.finding import Finding
from server.rules.payloads import (
    Binding,
    CarrierScan,
    Label,
    Nothing,
    Payload,
    PromiseKind,
    PromiseMade,
    ShipmentStatus,
)
from server.rules.policy import SOLO
from server.rules.schedule import Pickup
from server.rules.weigh import Weighing, weigh

ZONE = "America/New_York"
MONDAY = date(2016, 11, 7)
DAYS = {name: offset for offset, name in enumerate(("Mon", "Tue", "Wed", "Thu", "Fri", "Sat", "Sun"))}
SERIAL = 4711
NUMBER = "1Z999AA10123456784"

WAREHOUSE = Place(42.2855, -71.7990, 20.0)
HUB = Place(42.2959, -71.7128, 15.0)  # 7 km from the warehouse
HOME = Place(35.6130, -82.5510, 20.0)
FAR = Place(51.3127, 9.4797, 20.0)  # another continent

SITE = Site(
    id="wh",
    name="Test warehouse",
    zone=ZONE,
    place=WAREHOUSE,
    pickups=tuple(Pickup(day, time(17, 0)) for day in range(5)),
    pickup_grace_s=7200,
)
GATEWAYS = {
    "bench": (GatewayClass.OWN_SITE, "shop", "wh", WAREHOUSE),
    "dock": (GatewayClass.OWN_SITE, "shop", "wh", WAREHOUSE),
    "van": (GatewayClass.VEHICLE, "carrier", None, HUB),
    "cafe": (GatewayClass.PARTNER, "cafe", None, HOME),
    "phone": (GatewayClass.CROWD, "neighbour", None, HOME),
    "phone2": (GatewayClass.CROWD, "neighbour", None, HOME),
    "abroad": (GatewayClass.CROWD, "stranger", None, FAR),
}


def at(words: str, week: int = 0) -> datetime:
    """`at("Tue 10:05")`: a local time of the test week in UTC; `week` counts on from there."""
    day, clock = words.split()
    on = MONDAY + timedelta(days=DAYS[day], weeks=week)
    return datetime.combine(on, time.fromisoformat(clock), ZoneInfo(ZONE)).astimezone(UTC)


POWER_UP = at("Mon 06:00", week=-2)


def say(
    kind: StatementKind,
    said_at: datetime,
    payload: Payload | None = None,
    *,
    ref: str = "",
    slot: int | None = 1,
    source: Source = Source.STAFF,
    latest: datetime | None = None,
    exact: bool = False,
    learnt_at: datetime | None = None,
) -> Statement:
    """A statement; without `latest` its event is "no time given". `exact`: the event's time is known."""
    event = latest or said_at
    return Statement(
        id=ref or f"{kind}-{said_at:%d%H%M%S}",
        kind=kind,
        order="T-1",
        slot=slot,
        said_at=said_at,
        earliest=event if exact else None,
        latest=event,
        by="somebody",
        source=source,
        learnt_at=learnt_at or said_at,
        payload=payload or Nothing(),
        zone=ZONE,
    )


def bound(said_at: datetime, serial: int = SERIAL, slot: int = 1) -> Statement:
    return say(StatementKind.SERIAL_BOUND, said_at, Binding(serial), slot=slot, source=Source.WAREHOUSE, exact=True)


def label(said_at: datetime, number: str = NUMBER) -> Statement:
    return say(StatementKind.LABEL_PRINTED, said_at, Label("UPS", number), source=Source.WAREHOUSE, exact=True)


def dispatched(said_at: datetime, latest: datetime | None = None, ref: str = "said") -> Statement:
    return say(StatementKind.DISPATCHED, said_at, ref=ref, latest=latest)


def scan(
    said_at: datetime, status: str = "in_transit", physical: bool = True, number: str = NUMBER, found: bool = True
) -> Statement:
    payload = CarrierScan("UPS", number, ShipmentStatus(status), physical, found=found)
    return say(StatementKind.CARRIER_SCAN, said_at, payload, source=Source.CARRIER, exact=True)


def promise(said_at: datetime, what: str, due: datetime, grace_s: int | None = None) -> Statement:
    return say(
        StatementKind.PROMISE, said_at, PromiseMade(PromiseKind(what), due, grace_s=grace_s), ref=f"promise-{what}"
    )


def hear(
    gateway: str,
    first_at: datetime,
    last_at: datetime | None = None,
    *,
    serial: int = SERIAL,
    boot: int = 1,
    late_s: float = 0.0,
    count: int = 2,
    clock_good: bool = True,
    place: Place | None = None,
) -> Heard:
    """A heard row of a tag running since `POWER_UP`; `late_s` makes it a recording played back that much later."""
    kind, owner, site, where = GATEWAYS[gateway]
    last_at = last_at or first_at
    live = timedelta(seconds=late_s)
    return Heard(
        serial=serial,
        boot=boot,
        gateway=gateway,
        gateway_class=kind,
        gateway_owner=owner,
        site=site,
        place=place or where,
        clock_good=clock_good,
        first_at=first_at,
        last_at=last_at,
        first_uptime_s=int((first_at - live - POWER_UP).total_seconds()),
        last_uptime_s=int((last_at - live - POWER_UP).total_seconds()),
        count=1 if last_at == first_at else count,
        first_reached_at=first_at,
        reached_us_at=last_at,
    )


def act(kind: ActKind, moment: datetime, account: str = "owner", serial: int = SERIAL) -> Act:
    receipt = f"receipt-{serial}" if kind is ActKind.ACTIVATED else None
    return Act(f"{kind}-{moment:%d%H%M}", kind, moment, "customer", moment, "T-1", 1, serial, account, receipt)


def facts(
    *parts: Statement | Heard | Act, slots: int = 1, unit: Unit | None = None, placed: str = "Mon 09:00"
) -> OrderFacts:
    """An order of Monday 09:00 with these facts; all own gateways were up the whole time."""
    return OrderFacts(
        order=Order(
            number="T-1",
            placed_at=at(placed),
            zone=ZONE,
            lines=(Line(1, "TAG", "Tag", tuple(Slot(n, 1) for n in range(1, slots + 1))),),
            site="wh",
            ship_to=ShipTo(ZONE, place=HOME),
        ),
        statements=tuple(p for p in parts if isinstance(p, Statement)),
        acts=tuple(p for p in parts if isinstance(p, Act)),
        heard=tuple(p for p in parts if isinstance(p, Heard)),
        units=(unit or Unit(SERIAL),),
        sites=(SITE,),
        gateways=tuple(Gateway(name, kind, owner, site) for name, (kind, owner, site, _) in GATEWAYS.items()),
        healthy=tuple(Healthy(name, POWER_UP) for name in GATEWAYS),
    )


def judge(case: OrderFacts, now: datetime) -> Weighing:
    return weigh(case, SOLO, now)


def rules(weighing: Weighing) -> set[str]:
    """The ids of open findings."""
    return {finding.rule.id for finding in weighing.findings}


def only(weighing: Weighing, rule: str) -> Finding:
    """The one open finding of this rule."""
    found = [f for f in weighing.findings if f.rule.id == rule]
    assert len(found) == 1, [f.why for f in found]
    return found[0]


def cleared(weighing: Weighing, rule: str) -> Finding:
    """The first finding of this rule, which is over."""
    assert rule not in rules(weighing)
    return next(f for f in weighing.cleared if f.rule.id == rule)


def of_customer(case: OrderFacts, account: str = "owner") -> OrderFacts:
    """The same order, of a customer who has an account."""
    return replace(case, order=replace(case.order, account=account))


def step(weighing: Weighing, name: str, slot: int = 1) -> str:
    """The verdict word of a step."""
    return next(s.verdict.value for s in weighing.steps if s.step == name and s.slot == slot)


def verdict(weighing: Weighing, statement: str, slot: int = 1) -> str:
    """The verdict word of a statement."""
    return next(v.verdict.value for v in weighing.verdicts if v.statement == statement and v.slot == slot)


STOCKED = hear("bench", POWER_UP + timedelta(hours=1), at("Mon 08:00"))
"""Two weeks in stock: the anchor that every later sighting of the boot needs."""

PACKED = (
    STOCKED,
    bound(at("Mon 10:00")),
    say(StatementKind.PACKED, at("Mon 10:05"), ref="packed", source=Source.WAREHOUSE),
    hear("bench", at("Mon 09:55"), at("Mon 10:20")),
)


def without_health(case: OrderFacts) -> OrderFacts:
    return replace(case, healthy=())
