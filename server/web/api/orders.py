"""Orders: recording them and what is said about them, the answer for staff, and the answer for the customer."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Annotated, Any, Literal

from fastapi import APIRouter, Query
from pydantic import AfterValidator, Field

from server.rules.facts import Correction, Source, StatementKind
from server.rules.privacy import Viewer
from server.service import answers, explain, orders, recompute, viewing
from server.service.answers import CustomerAnswer, OrderAnswer
from server.service.house import House
from server.service.orders import Recorded, Said
from server.service.recompute import Recomputed
from server.store import keys
from server.store.orders import StoredOrder, StoredSlot
from server.web.api.models import Body, Day, Email, Line, Moment, NumberInPath, OrderNumber, Zone, example, refusals
from server.web.auth import Anybody, Customer, Staff
from server.web.deps import Address, Rates, TheHouse

router = APIRouter(prefix="/orders", tags=["orders"])
_STAFF = ("sign_in_needed", "not_yours", "order_unknown")
PolicyVersion = Annotated[str, Query(max_length=32, examples=["2026.1"])]
Threshold = Annotated[str, Field(max_length=64, examples=["handling_bd=3"])]
Thresholds = Annotated[tuple[Threshold, ...], Query(max_length=16, description="Other thresholds, NAME=VALUE.")]
Business = Annotated[int, Field(ge=0, le=365)]


# What the server itself records bears these: whoever took such a key first would keep it from being recorded.
_OURS = ("contact:", "contact-call:", "contact-answer:", "customer:", "mail:", "message:", "remedy:", "scan:")


def _own(key: str) -> str:
    if key.startswith(_OURS):
        raise ValueError(f"a key of your own: not one that begins with {', '.join(_OURS)}")
    return key


class PlaceIn(Body):
    """A point in degrees and the radius in metres within which the address lies."""

    lat: Annotated[float, Field(ge=-90, le=90)]
    lon: Annotated[float, Field(ge=-180, le=180)]
    accuracy_m: Annotated[float, Field(ge=0, le=100_000)] = 100


class ShipToIn(Body):
    """Where the parcel should go. Rules read zone, country, region, postcode and place."""

    country: Annotated[str, Field(max_length=2, examples=["US"])] = ""
    region: Line = ""
    postcode: Annotated[str, Field(max_length=16)] = ""
    city: Line = ""
    street: Line = ""
    name: Line = ""
    zone: Zone | None = None
    place: PlaceIn | None = None


class SlotIn(Body):
    """One physical unit."""

    personalisation: Annotated[str | None, Field(max_length=500)] = None
    lead_time_bd: Annotated[Business | None, Field(description="Only if it was shown before payment.")] = None
    ship_by: Annotated[Day | None, Field(description="Only if a date was stated at checkout.")] = None


class LineIn(Body):
    """One line of the order, with a slot for each physical unit: two for the price of one are two slots."""

    sku: Line
    title: Line
    slots: Annotated[list[SlotIn], Field(min_length=1, max_length=100)]


class OrderIn(Body):
    """An order as it was placed. Recording the same order again changes nothing."""

    model_config = example(
        number="T-1001", email="ann@example.com", customer_name="Ann Example", placed_at="2026-11-16T09:30:00-05:00",
        zone="America/New_York", site="main", profile="us_ftc",
        ship_to={"country": "US", "region": "FL", "postcode": "33101", "city": "Miami", "zone": "America/New_York"},
        lines=[{"sku": "TAG-2", "title": "Pet tag", "slots": [{"personalisation": "BISCUIT", "lead_time_bd": 10}, {}]}],
    )  # fmt: skip

    number: OrderNumber
    email: Email
    customer_name: Line
    placed_at: Moment
    zone: Zone = "UTC"
    ship_to: ShipToIn
    lines: Annotated[list[LineIn], Field(min_length=1, max_length=50)]
    phone: Annotated[str | None, Field(max_length=40)] = None
    site: Annotated[str | None, Field(max_length=32)] = None
    profile: Annotated[str, Field(max_length=32)] = "standard"
    source: Annotated[str, Field(max_length=32)] = "shop"


class StatementIn(Body):
    """One thing somebody said about an order; `key` is the sender's own name for it, which makes it idempotent.

    The event happened `at`, or `at_least_ago_s` before it was said, or nobody told. See docs/api.md for the payload of
    each kind.
    """

    key: Annotated[str, Field(min_length=1, max_length=128), AfterValidator(_own)]
    kind: StatementKind
    said_at: Moment
    by: Line
    source: Source
    slot: Annotated[int | None, Field(ge=1, le=5000)] = None
    at: Moment | None = None
    at_least_ago_s: Annotated[int | None, Field(ge=0, le=315_360_000)] = None
    zone: Zone = "UTC"
    via: Literal["api", "cli", "page", "import", "replay"] = "api"
    payload: Annotated[dict[str, Any], Field(max_length=16, default_factory=dict)]
    corrects: Annotated[str | None, Field(max_length=128)] = None
    correction: Correction | None = None


class StatementsIn(Body):
    """What was said; all of it is recorded, or nothing."""

    model_config = example(
        statements=[
            {
                "key": "label-1", "kind": "label_printed", "said_at": "2026-11-17T10:00:00-05:00", "by": "bench 2",
                "source": "warehouse", "slot": 1,
                "payload": {"carrier": "UPS", "number": "1Z999AA10312345670", "service": "ground"},
            }
        ]
    )  # fmt: skip

    statements: Annotated[list[StatementIn], Field(min_length=1, max_length=500)]


class ViewIn(Body):
    """The e-mail address that the order was placed with."""

    model_config = example(email="ann@example.com")

    email: Email


@dataclass(frozen=True, slots=True)
class OrderRecorded:
    """An order that is known now. `new` False: it was known already."""

    number: str
    new: bool


@dataclass(frozen=True, slots=True)
class Link:
    """A read-only way to one order, fit to be forwarded: the token goes into the header X-Order-Link or ?link=."""

    token: str
    url: str
    until: datetime


@dataclass(frozen=True, slots=True)
class Why:
    """The explanation of every verdict, line by line."""

    number: str
    lines: tuple[str, ...]


@router.post("", status_code=201, responses=refusals("sign_in_needed", "not_yours", "order_conflict", "site_unknown"))
def record(body: OrderIn, house: TheHouse, who: Staff) -> OrderRecorded:
    """Record an order."""
    with house.work() as (tx, now):
        new = orders.record(tx, stored(body, house, now))
        if new:
            orders.sign(tx, who, body.number, None, now)
        return OrderRecorded(body.number, new)


def stored(body: OrderIn, house: House, now: datetime) -> StoredOrder:
    """The order as it is kept, its personalisation encrypted."""
    slots = tuple(
        StoredSlot(
            number=0,
            line=line,
            unit=unit,
            sku=each.sku,
            title=each.title,
            personalisation=_sealed(house, slot.personalisation),
            lead_time_bd=slot.lead_time_bd,
            ship_by=slot.ship_by,
        )
        for line, each in enumerate(body.lines, 1)
        for unit, slot in enumerate(each.slots, 1)
    )
    return StoredOrder(
        number=body.number,
        email=body.email.lower(),
        customer_name=body.customer_name,
        phone=body.phone,
        ship_to=body.ship_to.model_dump(exclude_none=True),
        placed_at=body.placed_at,
        zone=body.zone,
        site=body.site,
        profile=body.profile,
        source=body.source,
        learnt_at=now,
        slots=slots,
    )


@router.post(
    "/{number}/statements",
    status_code=201,
    responses=refusals(
        *_STAFF,
        "slot_unknown",
        "source_not_yours",
        "said_in_future",
        "statement_conflict",
        "statement_unknown",
        "payload_unknown_key",
        "payload_missing_key",
        "payload_bad_value",
    ),
)
def state(number: NumberInPath, body: StatementsIn, house: TheHouse, who: Staff) -> tuple[Recorded, ...]:
    """Record what was said about an order, in one piece. Only an operator's token speaks for carriers and systems."""
    with house.work() as (tx, now):
        given = orders.state(tx, number, [said(each) for each in body.statements], who.role, now)
        orders.sign(tx, who, number, given, now)
        return given


def said(each: StatementIn) -> Said:
    """A statement as the service takes it."""
    return Said(
        key=each.key,
        kind=each.kind,
        said_at=each.said_at,
        by=each.by,
        source=each.source,
        slot=each.slot,
        at=each.at,
        at_least_ago=None if each.at_least_ago_s is None else timedelta(seconds=each.at_least_ago_s),
        zone=each.zone,
        via=each.via,
        payload=each.payload,
        corrects=each.corrects,
        correction=each.correction,
    )


@router.get("/{number}", responses=refusals(*_STAFF))
def answer(number: NumberInPath, house: TheHouse, who: Staff) -> OrderAnswer:
    """The order for staff: Said / Heard / Agrees?, stated / evidenced / shown, findings, the ladder of activation."""
    with house.work() as (tx, now):
        viewing.note(tx, who, f"order:{number}", now)
        looked = answers.weighing(tx, number, house.policy, now)
        return answers.for_staff(tx, looked, house.policy, Viewer(who.role))


@router.get("/{number}/why", responses=refusals(*_STAFF))
def why(number: NumberInPath, house: TheHouse, who: Staff) -> Why:
    """Every verdict explained from facts."""
    with house.work() as (tx, now):
        viewing.note(tx, who, f"order:{number}", now)
        return Why(number, explain.why(tx, number, now, house.policy, Viewer(who.role)))


@router.get("/{number}/recomputed", responses=refusals(*_STAFF, "policy_unknown", "threshold_unknown"))
def recomputed(
    number: NumberInPath, house: TheHouse, who: Staff, policy: PolicyVersion = "", threshold: Thresholds = ()
) -> Recomputed:
    """What would be found and judged otherwise under another policy version or other thresholds. Nothing is kept."""
    other = recompute.policy_of(house.policy.profile, policy, threshold)
    with house.work() as (tx, now):
        viewing.note(tx, who, f"order:{number}", now)
        return recompute.order(tx, number, house.policy, other, now)


@router.post("/{number}/view", status_code=201, responses=refusals("view_refused", "too_many"))
def view(number: NumberInPath, body: ViewIn, house: TheHouse, rates: Rates, address: Address, _: Anybody) -> Link:
    """A read-only link for whoever knows the order's number and its e-mail address."""
    rates.take("order_view", address)
    token = orders.new_link_token(house.dice)
    with house.work() as (tx, now):
        number, until = orders.open_link(tx, number, body.email, token, now)
    return Link(token, f"{house.settings.base_url}/o/{number}?link={token}", until)


@router.get("/{number}/customer", responses=refusals("sign_in_needed", "view_ended", "order_unknown"))
def customer(number: NumberInPath, house: TheHouse, reader: Customer) -> CustomerAnswer:
    """The order as its customer reads it: the same projection as support's, and no person's name."""
    with house.work() as (tx, now):
        if reader.who is not None:
            viewing.note(tx, reader.who, f"order:{number}", now)
        return answers.for_customer(tx, answers.weighing(tx, number, house.policy, now), house.policy)


def _sealed(house: House, text: str | None) -> bytes | None:
    return None if text is None else house.vault.seal(keys.PERSONALISATION.what(), text.encode())
