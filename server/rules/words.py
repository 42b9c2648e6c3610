"""Words that several chapters use: dates and moments in a zone, kinds of receivers, stages of an order.

Texts name absolute moments only, never "in two hours": a sentence must stay true until the next moment to look.
"""

from __future__ import annotations

from collections.abc import Mapping
from datetime import date, datetime, timedelta
from typing import Final
from zoneinfo import ZoneInfo

from server.rules.facts import GatewayClass, Statement, StatementKind
from server.rules.payloads import (
    About,
    Assertion,
    Binding,
    CarrierScan,
    ChannelState,
    Contact,
    Label,
    LegEnded,
    NumberGiven,
    Offer,
    Payment,
    PromiseMade,
    Quote,
)

_DAYS: Final = ("Mon", "Tue", "Wed", "Thu", "Fri", "Sat", "Sun")
_MONTHS: Final = ("Jan", "Feb", "Mar", "Apr", "May", "Jun", "Jul", "Aug", "Sep", "Oct", "Nov", "Dec")


def day(on: date) -> str:
    """A date: `Fri 2 Dec 2016`."""
    return f"{_DAYS[on.weekday()]} {on.day} {_MONTHS[on.month - 1]} {on.year}"


def moment(at: datetime, zone: str) -> str:
    """A moment as people in `zone` write it: `Fri 2 Dec 2016 09:05 EST`."""
    there = at.astimezone(ZoneInfo(zone))
    return f"{day(there.date())} {there:%H:%M} {there.tzname()}"


def due(at: datetime, zone: str) -> str:
    """A due moment; one at local midnight is the end of the day before it: `the end of Mon 7 Nov 2016`."""
    there = at.astimezone(ZoneInfo(zone))
    if (there.hour, there.minute, there.second) == (0, 0, 0):
        return f"the end of {day(there.date() - timedelta(days=1))}"
    return moment(at, zone)


RECEIVER: Final[Mapping[GatewayClass, str]] = {
    GatewayClass.OWN_SITE: "our own receiver",
    GatewayClass.VEHICLE: "a receiver in the carrier's vehicle",
    GatewayClass.PARTNER: "a partner's receiver",
    GatewayClass.CROWD: "a passer-by's receiver",
}

SAID: Final[Mapping[StatementKind, str]] = {
    StatementKind.ORDER_PLACED: "order placed",
    StatementKind.PAYMENT: "paid",
    StatementKind.SERIAL_BOUND: "serial scanned at packing",
    StatementKind.PACKED: "packed",
    StatementKind.LABEL_PRINTED: "label printed",
    StatementKind.LABEL_QUOTED: "label looked up, not bought",
    StatementKind.LEG_ENDED: "handed on",
    StatementKind.NUMBER_GIVEN: "number given",
    StatementKind.SHIPPED_NOTICE: "shipping notice sent",
    StatementKind.DISPATCHED: "dispatched",
    StatementKind.CARRIER_SCAN: "carrier's event",
    StatementKind.DELIVERED: "delivered",
    StatementKind.RETURNED: "returned",
    StatementKind.PROMISE: "promise",
    StatementKind.PROMISE_CANCELLED: "promise let go",
    StatementKind.CONTACT: "contact",
    StatementKind.ASSERTION: "assertion",
    StatementKind.OFFER: "offer",
    StatementKind.PUBLIC_TEXT: "public promise",
    StatementKind.CHANNEL_STATE: "state of a channel",
    StatementKind.CONSENT_TO_DELAY: "consent to the delay",
    StatementKind.REFUND_REQUESTED: "refund asked for",
    StatementKind.REFUND_WITHDRAWN: "refund no longer asked for",
    StatementKind.REFUNDED: "refunded",
    StatementKind.ORDER_CANCELLED: "order cancelled",
    StatementKind.NOTE: "note",
}


def times(count: int, one: str, many: str) -> str:
    """`1 frame`, `14 frames`."""
    return f"{count} {one if count == 1 else many}"


def said(statement: Statement, zone: str) -> str:
    """What was said, with the part of its payload that anybody may read: never a free text, which may name people."""
    return _of_parcel(statement, zone) or _of_people(statement, zone) or SAID[statement.kind]


def _of_parcel(statement: Statement, zone: str) -> str:
    match statement.payload:
        case Binding(serial=serial):
            return f"serial {serial} {'scanned' if statement.payload.how == 'scan' else 'heard alone'} at packing"
        case Label(carrier=carrier, number=number):
            return f"label printed, {carrier} number {number}"
        case Quote(carrier=carrier, service=service, eta=eta):
            return f"label looked up, {carrier} {service}: arrives by {due(eta, zone)}"
        case LegEnded(carrier=carrier, next_carrier=following):
            return f"{carrier} handed the parcel on{f' to {following}' if following else ''}"
        case NumberGiven(number=number):
            return f"number {number} given"
        case CarrierScan(carrier=carrier, number=number) as scan:
            what = scan.status.replace("_", " ") if scan.found else "no record of the number"
            return f"{carrier} number {number}: {what}{' (parcel in hand)' if scan.physical else ''}"
        case _:
            return ""


def _of_people(statement: Statement, zone: str) -> str:
    match statement.payload:
        case PromiseMade(what=what, due=until):
            return f"promise: {what.replace('_', ' ')} by {due(until, zone)}"
        case Contact(inbound=inbound, channel=channel):
            return f"{'customer wrote or called' if inbound else 'we answered'} ({channel})"
        case Assertion() as view:
            return _asserted(view, zone)
        case Offer(what=what):
            return f"{what} offered"
        case ChannelState(channel=channel, works=works):
            return f"{channel} {'works' if works else 'does not work'}"
        case Payment(amount_minor=minor, currency=currency):
            return f"{SAID[statement.kind]} {minor / 100:.2f} {currency}"
        case _:
            return ""


_STEPS: Final[Mapping[str, str]] = {
    "with_us": "said to be still with us",
    "left": "said to have left us",
    "with_carrier": "said to be with the carrier",
    "arrived": "said to have arrived",
}


def _asserted(view: Assertion, zone: str) -> str:
    match view.about:
        case About.STEP:
            return _STEPS.get(view.value, f"said to be “{view.value}”")
        case About.SERVICE:
            return f"service said to be {view.value or 'another'}"
        case About.ARRIVAL:
            return f"said to arrive by {due(view.by_when, zone)}" if view.by_when else "said to arrive as promised"
