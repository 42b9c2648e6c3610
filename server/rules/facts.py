"""The facts that every rule reads: an order, what was said about it, what was done, what the radio heard.

All values are frozen and hashable, so facts can be sorted, de-duplicated and compared; a rule sees no database row.
Moments are aware datetimes in UTC (a naive one is a bug and stops the process); the zone of an event stands beside it.
Payloads of statements live in `payloads`, their JSON form too. Words and ranks follow the order design, section 1.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from datetime import date, datetime, time, timedelta
from enum import IntEnum, StrEnum

from server.rules.causes import CauseKind
from server.rules.listening import ListenedDay
from server.rules.payloads import Binding, CarrierScan, Nothing, Payload
from server.rules.schedule import Pickup, Service


class Source(StrEnum):
    """Who said it. Whether it was played back from a file is `Statement.replay`, not a source of its own."""

    SHOP = "shop"
    WAREHOUSE = "warehouse"
    CARRIER = "carrier"
    STAFF = "staff"
    SYSTEM = "system"
    CUSTOMER = "customer"


class StatementKind(StrEnum):
    """Everything somebody can say about an order. The payload of each kind is in `payloads.PAYLOAD_OF`."""

    ORDER_PLACED = "order_placed"
    PAYMENT = "payment"
    SERIAL_BOUND = "serial_bound"
    PACKED = "packed"
    LABEL_PRINTED = "label_printed"
    LABEL_QUOTED = "label_quoted"
    LEG_ENDED = "leg_ended"
    NUMBER_GIVEN = "number_given"
    SHIPPED_NOTICE = "shipped_notice"
    DISPATCHED = "dispatched"
    CARRIER_SCAN = "carrier_scan"
    DELIVERED = "delivered"
    RETURNED = "returned"
    PROMISE = "promise"
    PROMISE_CANCELLED = "promise_cancelled"
    CONTACT = "contact"
    ASSERTION = "assertion"
    OFFER = "offer"
    PUBLIC_TEXT = "public_text"
    CHANNEL_STATE = "channel_state"
    CONSENT_TO_DELAY = "consent_to_delay"
    REFUND_REQUESTED = "refund_requested"
    REFUND_WITHDRAWN = "refund_withdrawn"
    REFUNDED = "refunded"
    ORDER_CANCELLED = "order_cancelled"
    NOTE = "note"


SAYS_GONE = frozenset({StatementKind.DISPATCHED, StatementKind.SHIPPED_NOTICE})
"""The kinds by which we say that a parcel is no longer with us."""


class ActKind(StrEnum):
    """What an owner or an operator did. `claimed` is the code only; `activated` exists only with a verified receipt."""

    CLAIMED = "claimed"
    ACTIVATED = "activated"
    TRANSFERRED = "transferred"
    RELEASED = "released"
    SHARED = "shared"
    REPORTED_LOST = "reported_lost"
    FOUND = "found"
    REFURBISHED = "refurbished"
    RETIRED = "retired"
    REMEDY_AUTHORISED = "remedy_authorised"
    REMEDY_DONE = "remedy_done"


class Correction(StrEnum):
    """Why a later row names an earlier one (EPCIS error declaration)."""

    DID_NOT_OCCUR = "did_not_occur"
    INCORRECT_DATA = "incorrect_data"


class GatewayClass(StrEnum):
    """Set by the operator at enrolment; evidence weighs it."""

    OWN_SITE = "own_site"
    VEHICLE = "vehicle"
    PARTNER = "partner"
    CROWD = "crowd"


class BeaconMode(StrEnum):
    """Whether the unit beacons on its way. Silence of a `silent` unit proves nothing."""

    TRANSIT_BEACON = "transit_beacon"
    SILENT = "silent"


class Rank(IntEnum):
    """How much a source weighs, the strongest highest. Conflicts never merge: both facts stay."""

    PERSON = 1
    OWN_RECORD = 2
    CARRIER_NOTICE = 3
    PICKUP_MANIFEST = 4
    OTHER_SIGHTING = 5
    PHYSICAL = 6  # a carrier's physical scan, about equal to an authenticated own-site sighting


def require_utc(*moments: datetime | None) -> None:
    """Stop on a moment without a zone or in another zone than UTC: such a value is a bug of its maker."""
    for moment in moments:
        assert moment is None or moment.utcoffset() == timedelta(0), f"not in UTC: {moment!r}"


@dataclass(frozen=True, slots=True)
class Place:
    """A point in WGS 84 degrees and the radius in metres within which the truth lies."""

    lat: float
    lon: float
    accuracy_m: float


@dataclass(frozen=True, slots=True)
class Slot:
    """One physical unit of an order line. Numbers run through the whole order, from 1.

    `ship_by` is a date stated for this slot, in the site's zone; without one the policy's handling time counts.
    `lead_bd`: business days that a chosen option adds; they count only if `lead_shown` (R-02).
    """

    number: int
    line: int
    title: str = ""
    personalised: bool = False
    ship_by: date | None = None
    lead_bd: int = 0
    lead_shown: bool = False


@dataclass(frozen=True, slots=True)
class Line:
    """One line of the order: two for the price of one is one line with two slots."""

    number: int
    sku: str
    title: str
    slots: tuple[Slot, ...]


@dataclass(frozen=True, slots=True)
class ShipTo:
    """Where the parcel should go, as coarse as rules need it: no name, no street."""

    zone: str
    country: str = ""
    region: str = ""
    postcode: str = ""
    place: Place | None = None


@dataclass(frozen=True, slots=True)
class Order:
    """An order as placed. `zone` is the zone in which it was placed, `site` the own site that fulfils it,
    `account` that of its customer, if there is one under the order's address, `profile` one of `sale_profiles`.
    """

    number: str
    placed_at: datetime
    zone: str
    lines: tuple[Line, ...]
    site: str | None = None
    ship_to: ShipTo | None = None
    paid_service: str = ""
    account: str | None = None
    profile: str = "standard"

    def __post_init__(self) -> None:
        require_utc(self.placed_at)

    @property
    def slots(self) -> tuple[Slot, ...]:
        """All units of the order, by number."""
        return tuple(sorted((slot for line in self.lines for slot in line.slots), key=lambda slot: slot.number))


@dataclass(frozen=True, slots=True)
class Statement:
    """Somebody said something about an order. `slot` None = about every slot.

    The event lies in [`earliest`, `latest`] ("weeks ago": latest = said_at − 7 d; no time given: latest = said_at; use
    `interval`). `learnt_at` is when it reached us, never used to judge, only to know what was known when.
    `corrects` names the statement that this one corrects; the corrected row stays.
    """

    id: str
    kind: StatementKind
    order: str
    slot: int | None
    said_at: datetime
    earliest: datetime | None
    latest: datetime
    by: str
    source: Source
    learnt_at: datetime
    payload: Payload = field(default_factory=Nothing)
    zone: str = "UTC"
    replay: bool = False
    corrects: str | None = None
    correction: Correction | None = None

    def __post_init__(self) -> None:
        require_utc(self.said_at, self.earliest, self.latest, self.learnt_at)
        assert self.earliest is None or self.earliest <= self.latest, "event interval turned round"

    @property
    def rank(self) -> Rank:
        """The weight of its source, computed so that no row can claim another."""
        if self.source is Source.CARRIER:
            physical = isinstance(self.payload, CarrierScan) and self.payload.physical
            return Rank.PHYSICAL if physical else Rank.CARRIER_NOTICE
        return Rank.PERSON if self.source in (Source.STAFF, Source.CUSTOMER) else Rank.OWN_RECORD

    def covers(self, slot: int) -> bool:
        """True if it is about this slot."""
        return self.slot is None or self.slot == slot

    def meets(self, other: Statement) -> bool:
        """True if there is a slot that both are about."""
        return other.slot is None or self.covers(other.slot)


def interval(
    said_at: datetime, at: datetime | None = None, at_least_ago: timedelta | None = None
) -> tuple[datetime | None, datetime]:
    """Give (earliest, latest) of an event from what was said: a time, "at least so long ago", or nothing."""
    if at is not None:
        return at, at
    if at_least_ago is not None:
        return None, said_at - at_least_ago
    return None, said_at


@dataclass(frozen=True, slots=True)
class Act:
    """An owner or operator did something. `account` is the owner's account, `boot`/`uptime_s` stand on a receipt."""

    id: str
    kind: ActKind
    at: datetime
    by: str
    learnt_at: datetime
    order: str | None = None
    slot: int | None = None
    serial: int | None = None
    account: str | None = None
    receipt: str | None = None
    boot: int | None = None
    uptime_s: int | None = None
    text: str = ""

    def __post_init__(self) -> None:
        require_utc(self.at, self.learnt_at)
        assert self.kind is not ActKind.ACTIVATED or self.receipt, "an activation without a receipt is no activation"


@dataclass(frozen=True, slots=True)
class Heard:
    """Authenticated P frames of one (serial, boot, gateway, place, lag bucket, UTC day), thinned to their two ends.

    The place belongs to the key because a van moves within a day. `first_at`/`first_uptime_s` belong to one frame,
    `last_at`/`last_uptime_s` to one frame. `count` ≥ 1 frames. `site` only for own_site gateways.
    `gateway_owner` is the independence group: gateways of one owner are one witness.
    `first_reached_at` / `reached_us_at`: when the first and the last of them reached us.
    """

    serial: int
    boot: int
    gateway: str
    gateway_class: GatewayClass
    gateway_owner: str
    site: str | None
    place: Place | None
    clock_good: bool
    first_at: datetime
    last_at: datetime
    first_uptime_s: int
    last_uptime_s: int
    count: int
    first_reached_at: datetime
    reached_us_at: datetime
    status: int = 0

    def __post_init__(self) -> None:
        require_utc(self.first_at, self.last_at, self.first_reached_at, self.reached_us_at)
        assert self.first_at <= self.last_at, "first heard after last heard"
        assert self.count >= 1, "an empty row"


@dataclass(frozen=True, slots=True)
class Site:
    """One of our own sites: place, calendar, when the carriers come, and which services can be booked.

    `holidays` and `workdays` make its business calendar; an order placed after `cutoff` counts from the next workday.
    """

    id: str
    name: str
    zone: str
    place: Place
    pickups: tuple[Pickup, ...] = ()
    pickup_grace_s: int = 7200
    workdays: frozenset[int] = frozenset({0, 1, 2, 3, 4})
    holidays: frozenset[date] = frozenset()
    cutoff: time = time(17, 0)
    services: tuple[Service, ...] = ()


@dataclass(frozen=True, slots=True)
class Gateway:
    """A gateway that could have heard: its class, independence group and, for own ones, its site."""

    id: str
    gateway_class: GatewayClass
    owner: str
    site: str | None = None


@dataclass(frozen=True, slots=True)
class Healthy:
    """A stretch in which a gateway was up and heard radio. `to_at` None = still so. Absence counts only inside."""

    gateway: str
    from_at: datetime
    to_at: datetime | None = None

    def __post_init__(self) -> None:
        require_utc(self.from_at, self.to_at)


@dataclass(frozen=True, slots=True)
class Unit:
    """What the factory's signed manifest and stock-keeping say about one tag."""

    serial: int
    lot: str = ""
    beacon_mode: BeaconMode = BeaconMode.TRANSIT_BEACON
    manufactured_at: datetime | None = None
    keyed_at: datetime | None = None

    def __post_init__(self) -> None:
        require_utc(self.manufactured_at, self.keyed_at)


@dataclass(frozen=True, slots=True)
class CohortMark:
    """The order is one of `orders` that share a rule's finding and a cause, as `server.rules.cohorts` found."""

    rule: str
    kind: CauseKind
    cause: str
    orders: int
    since: datetime
    ended_at: datetime | None = None

    def __post_init__(self) -> None:
        require_utc(self.since, self.ended_at)


@dataclass(frozen=True, slots=True)
class OrderFacts:
    """Everything known about one order; the store gathers it, `weigh` judges it.

    Heard rows and acts are those of every serial ever bound to the order (`bound_serials`). `house` is what was said of
    the house as a whole (channels, texts that everybody reads). Order and repetition of the tuples mean nothing.
    """

    order: Order
    statements: tuple[Statement, ...] = ()
    acts: tuple[Act, ...] = ()
    heard: tuple[Heard, ...] = ()
    units: tuple[Unit, ...] = ()
    sites: tuple[Site, ...] = ()
    gateways: tuple[Gateway, ...] = ()
    healthy: tuple[Healthy, ...] = ()
    cohorts: tuple[CohortMark, ...] = ()
    listened: tuple[ListenedDay, ...] = ()
    house: tuple[Statement, ...] = ()


def bound_serials(statements: tuple[Statement, ...]) -> frozenset[int]:
    """Serials that any statement, corrected or not, bound to a slot: whose sightings and acts the store must fetch."""
    return frozenset(s.payload.serial for s in statements if isinstance(s.payload, Binding))
