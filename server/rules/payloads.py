"""What a statement carries beside its kind: one small value per kind. `payload_json` reads and writes their JSON form.

Moments are aware, in UTC; shipment status words are EasyPost's.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime
from enum import StrEnum


class ShipmentStatus(StrEnum):
    """EasyPost's words. A code that maps to none of them is `unknown`, never a default that sounds better."""

    UNKNOWN = "unknown"
    PRE_TRANSIT = "pre_transit"
    IN_TRANSIT = "in_transit"
    OUT_FOR_DELIVERY = "out_for_delivery"
    DELIVERED = "delivered"
    AVAILABLE_FOR_PICKUP = "available_for_pickup"
    RETURN_TO_SENDER = "return_to_sender"
    FAILURE = "failure"
    CANCELLED = "cancelled"
    ERROR = "error"


class PromiseKind(StrEnum):
    """What was promised; `promises.CONDITIONS` says what proves each."""

    SHIP = "ship"
    RESHIP = "reship"
    NUMBER_LIVE = "number_live"
    ARRIVE = "arrive"
    REPLY = "reply"
    CALL_BACK = "call_back"
    REFUND = "refund"


class About(StrEnum):
    """What an assertion is about; its value is one of `STEPS_SAID`, a service in words, or nothing for an arrival."""

    STEP = "step"
    SERVICE = "service"
    ARRIVAL = "arrival"


STEPS_SAID = ("with_us", "left", "with_carrier", "arrived")
"""Where somebody says that a parcel is; no two of them are true at one moment."""
GONE_SAID = STEPS_SAID[1:]
"""Those that say that it is no longer with us."""


class Wants(StrEnum):
    """What a contact asks for or says, beside wanting an answer; `gift`: somebody else may activate it."""

    ANSWER = "answer"
    SUPERVISOR = "supervisor"
    CALL_BACK = "call_back"
    NOT_RECEIVED = "not_received"
    CHARGE_BACK = "charge_back"
    GIFT = "gift"


class OfferKind(StrEnum):
    """Money or kind words for the trouble, or the thing itself: a promise that can still be met needs the second."""

    COMPENSATION = "compensation"
    REPAIR = "repair"


@dataclass(frozen=True, slots=True)
class Nothing:
    """No more than the words: order placed, packed, dispatched, notice, note, consent, cancelled, returned."""

    text: str = ""


@dataclass(frozen=True, slots=True)
class Payment:
    """Money in or out, in minor units (cents); `service` is the shipping service that was paid for."""

    amount_minor: int
    currency: str
    service: str = ""


@dataclass(frozen=True, slots=True)
class Binding:
    """A serial belongs to a slot: scanned at packing, or heard alone on the packing bench."""

    serial: int
    how: str = "scan"


@dataclass(frozen=True, slots=True)
class Label:
    """A label was printed or a number given. Numbers are recycled: carrier + number + unique id or date is the key.

    A shipment is a chain of legs: `leg` counts from 1. `eta` is what the carrier said when it was booked.
    """

    carrier: str
    number: str
    service: str = ""
    unique_id: str = ""
    destination_postcode: str = ""
    leg: int = 1
    eta: datetime | None = None


@dataclass(frozen=True, slots=True)
class Quote:
    """A label that somebody is about to buy: judged before the money is spent (R-16)."""

    carrier: str
    service: str
    eta: datetime
    saturday: bool = False


@dataclass(frozen=True, slots=True)
class LegEnded:
    """One carrier's custody ended: the parcel was handed on. `leg` is the one that ended, counted from 1."""

    carrier: str
    leg: int = 1
    place: str = ""
    next_carrier: str = ""
    text: str = ""


@dataclass(frozen=True, slots=True)
class NumberGiven:
    """A number was told to the customer as one to look up, whatever it is."""

    number: str
    text: str = ""


@dataclass(frozen=True, slots=True)
class CarrierScan:
    """One event in a carrier's history. `physical`: a person or machine of the carrier had the parcel in hand.

    `found` False: the carrier was asked and has no record of the number. `eta` and `service` are the carrier's own.
    `mapped` False: its code stands in no table of ours, so `status` is unknown and a person must read it (R-36).
    """

    carrier: str
    number: str
    status: ShipmentStatus
    physical: bool
    unique_id: str = ""
    code: str = ""
    place: str = ""
    destination_postcode: str = ""
    found: bool = True
    eta: datetime | None = None
    service: str = ""
    mapped: bool = True


@dataclass(frozen=True, slots=True)
class PromiseMade:
    """A promise with a due moment (always: a promise without one cannot be saved). `grace_s` None = the policy's.

    `lapse` says what happens when it is broken ("refund"); `number` the tracking number it is about.
    """

    what: PromiseKind
    due: datetime
    to: str = "customer"
    grace_s: int | None = None
    number: str = ""
    lapse: str = ""
    text: str = ""


@dataclass(frozen=True, slots=True)
class PromiseEnded:
    """The person to whom it was promised let go of it; `promise` is the id of the promise's statement."""

    promise: str
    text: str = ""


@dataclass(frozen=True, slots=True)
class Contact:
    """Somebody wrote or called. `person`: a human answered (a robot's receipt is not an answer)."""

    inbound: bool
    channel: str
    person: bool = True
    text: str = ""
    wants: Wants = Wants.ANSWER


@dataclass(frozen=True, slots=True)
class Assertion:
    """Somebody or something says how it stands. The statement's source tells whose view it is: a person's (staff), our
    system's, the carrier's, or what the customer's own page shows (customer).
    """

    about: About
    value: str = ""
    by_when: datetime | None = None
    text: str = ""


@dataclass(frozen=True, slots=True)
class Offer:
    """Something was offered, as long as nothing else is said in place of what was asked for."""

    what: OfferKind
    text: str = ""
    amount_minor: int = 0
    currency: str = ""


@dataclass(frozen=True, slots=True)
class PublicText:
    """A promise to everybody, on a page or in a robot's mail; `hours` None: it names no time."""

    text: str
    hours: int | None = None


@dataclass(frozen=True, slots=True)
class ChannelState:
    """Whether people can reach us by a channel: `why` is mailbox_full, probe_failed, bot_loop or plain words."""

    channel: str
    works: bool
    why: str = ""


Payload = (
    Nothing
    | Payment
    | Binding
    | Label
    | Quote
    | LegEnded
    | NumberGiven
    | CarrierScan
    | PromiseMade
    | PromiseEnded
    | Contact
    | Assertion
    | Offer
    | PublicText
    | ChannelState
)

PAYLOAD_OF: Mapping[str, type[Payload]] = {
    "order_placed": Nothing,
    "payment": Payment,
    "serial_bound": Binding,
    "packed": Nothing,
    "label_printed": Label,
    "label_quoted": Quote,
    "leg_ended": LegEnded,
    "number_given": NumberGiven,
    "shipped_notice": Nothing,
    "dispatched": Nothing,
    "carrier_scan": CarrierScan,
    "delivered": Nothing,
    "returned": Nothing,
    "promise": PromiseMade,
    "promise_cancelled": PromiseEnded,
    "contact": Contact,
    "assertion": Assertion,
    "offer": Offer,
    "public_text": PublicText,
    "channel_state": ChannelState,
    "consent_to_delay": Nothing,
    "refund_requested": Nothing,
    "refund_withdrawn": Nothing,
    "refunded": Payment,
    "order_cancelled": Nothing,
    "note": Nothing,
}
"""The payload of every statement kind (keys are `facts.StatementKind` values; a test holds the two together)."""
