"""Where carriers and the shop call us: signed webhooks, each taken once, whoever repeats it."""

from __future__ import annotations

from typing import Annotated, Any, Literal

from fastapi import APIRouter, Path, Request
from pydantic import Field, TypeAdapter, ValidationError

from server.refusal import Refusal
from server.rules.authority import Role
from server.rules.facts import Source
from server.service import orders, shop, tracking
from server.service.carrier_port import UnreadableError
from server.service.house import House
from server.service.refusals import refuse
from server.service.tracking import Taken
from server.store import inbox, keys
from server.store.inbox import Arrived
from server.web.api.models import Body, Moment, OrderNumber, refusals
from server.web.api.orders import OrderIn, StatementIn, said, stored
from server.web.auth import Anybody
from server.web.deps import Address, Rates, Raw, TheHouse

router = APIRouter(tags=["intake"])
Vendor = Annotated[str, Path(pattern=r"^[a-z]{1,32}$", examples=["easypost"])]


def _json(example: dict[str, Any]) -> dict[str, Any]:
    schema = {"type": "object", "examples": [example]}
    return {"requestBody": {"required": True, "content": {"application/json": {"schema": schema}}}}


_EVENT = {
    "id": "evt_1", "object": "Event", "description": "tracker.updated",
    "result": {
        "id": "trk_1", "object": "Tracker", "tracking_code": "9400110200881234567896", "carrier": "USPS",
        "status": "in_transit", "tracking_details": [],
    },
}  # fmt: skip


class OrderPlaced(Body):
    """`data` is an order as `POST /api/v1/orders` takes it."""

    type: Literal["order.placed"]
    timestamp: Moment
    data: OrderIn


class OfOrder(Body):
    """What the shop says about an order of its own."""

    number: OrderNumber
    statements: Annotated[list[StatementIn], Field(min_length=1, max_length=100)]


class OrderStated(Body):
    """`data` holds statements with the source `shop`, of the kinds that a shop may say (docs/intake.md)."""

    type: Literal["order.stated"]
    timestamp: Moment
    data: OfOrder


_SHOP: TypeAdapter[OrderPlaced | OrderStated] = TypeAdapter(
    Annotated[OrderPlaced | OrderStated, Field(discriminator="type")]
)


@router.post(
    "/carriers/{vendor}",
    responses=refusals("carrier_unknown", "signature_invalid", "webhook_unreadable", "too_large", "too_many"),
    openapi_extra=_json(_EVENT),
)
def carrier(
    vendor: Vendor, request: Request, raw: Raw, house: TheHouse, rates: Rates, address: Address, _: Anybody
) -> Taken:
    """A carrier's webhook, signed by its vendor. The same event again changes nothing."""
    port = house.parcel_carriers.get(vendor)
    if port is None:
        raise refuse("carrier_unknown", vendor=vendor)
    if not port.verify(request.headers, raw):
        rates.take("bad_signature", address)
        raise refuse("signature_invalid")

    with house.work() as (tx, now):
        try:
            delivery = port.parse(raw, now)
        except UnreadableError as error:
            raise refuse("webhook_unreadable", detail=error) from None
        return tracking.take(tx, vendor, delivery, _sealed(house, raw), now)


@router.post(
    "/shop/orders",
    responses=refusals(
        "signature_invalid", "webhook_old", "webhook_unreadable", "too_large", "too_many", "order_conflict",
        "site_unknown", "order_unknown", "slot_unknown", "source_not_yours", "said_in_future", "statement_conflict",
        "statement_unknown", "payload_unknown_key", "payload_missing_key", "payload_bad_value",
    ),
    openapi_extra=_json({"type": "order.stated", "timestamp": "2026-11-22T12:00:00Z", "data": {}}),
)  # fmt: skip
def from_shop(request: Request, raw: Raw, house: TheHouse, rates: Rates, address: Address, _: Anybody) -> Taken:
    """The shop's webhook (Standard Webhooks): an order that was placed, or what the shop says about one."""
    try:
        message_id = shop.verify(house.settings.shop_webhook_secret, request.headers, raw, house.clock())
    except Refusal:
        rates.take("bad_signature", address)
        raise
    message = _read(raw)

    with house.work() as (tx, now):
        if inbox.put(tx, Arrived(shop.VENDOR, message_id, now, _sealed(house, raw))) is None:
            return Taken(False)
        if isinstance(message, OrderPlaced):
            orders.record(tx, stored(message.data, house, now))
            return Taken(True, (message.data.number,))
        number, statements = message.data.number, message.data.statements
        for each in statements:
            if each.source is not Source.SHOP or each.kind not in shop.SAYS:
                raise refuse("source_not_yours", role="shop", source=f"{each.source} ({each.kind})")
        # A shop speaks for itself alone, which any member of staff may.
        given = orders.state(tx, number, [said(each) for each in statements], Role.AGENT, now)
        return Taken(True, (number,), sum(each.new for each in given))


def _read(raw: bytes) -> OrderPlaced | OrderStated:
    try:
        return _SHOP.validate_json(raw)
    except ValidationError as error:
        first = error.errors(include_input=False, include_context=False)[0]
        where = ".".join(str(part) for part in first["loc"])
        raise refuse("webhook_unreadable", detail=f"{where}: {first['msg']}") from None


def _sealed(house: House, raw: bytes) -> bytes:
    return house.vault.seal(keys.WEBHOOK_BODY.what(), raw)
