"""What a statement carries beside its kind: one small value per kind, and its JSON form.

`payload_from(kind, raw)` reads the JSON object that the store keeps and an API receives; `payload_to` writes it.
Unknown keys, missing keys and wrong types raise `PayloadError` with a code and the key, for its caller to refuse.
Moments are ISO 8601 with an offset; shipment status words are EasyPost's.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import MISSING, dataclass, fields
from datetime import UTC, datetime
from enum import StrEnum

# A mail fits; a pasted log file does not.
TEXT_MAX = 4_000
# Above it JavaScript rounds.
INT_MAX = 2**53 - 1


class PayloadError(ValueError):
    """A payload that cannot be read. `code` is one of payload_unknown_key, payload_missing_key, payload_bad_value."""

    def __init__(self, code: str, key: str, message: str) -> None:
        super().__init__(message)
        self.code = code
        self.key = key


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
    """A label was printed or a number given. Numbers are recycled: carrier + number + unique id or date is the key."""

    carrier: str
    number: str
    service: str = ""
    unique_id: str = ""
    destination_postcode: str = ""


@dataclass(frozen=True, slots=True)
class CarrierScan:
    """One event in a carrier's history. `physical`: a person or machine of the carrier had the parcel in hand.

    `found` False: the carrier was asked and has no record of the number.
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


Payload = Nothing | Payment | Binding | Label | CarrierScan | PromiseMade | PromiseEnded | Contact

PAYLOAD_OF: Mapping[str, type[Payload]] = {
    "order_placed": Nothing,
    "payment": Payment,
    "serial_bound": Binding,
    "packed": Nothing,
    "label_printed": Label,
    "shipped_notice": Nothing,
    "dispatched": Nothing,
    "carrier_scan": CarrierScan,
    "delivered": Nothing,
    "returned": Nothing,
    "promise": PromiseMade,
    "promise_cancelled": PromiseEnded,
    "contact": Contact,
    "consent_to_delay": Nothing,
    "refund_requested": Nothing,
    "refunded": Payment,
    "order_cancelled": Nothing,
    "note": Nothing,
}
"""The payload of every statement kind (keys are `facts.StatementKind` values; a test holds the two together)."""


def _moment(value: object) -> datetime:
    if not isinstance(value, str):
        raise ValueError("a moment is ISO 8601 text")
    moment = datetime.fromisoformat(value)
    if moment.tzinfo is None:
        raise ValueError("a moment needs an offset")
    return moment.astimezone(UTC)


def _text(value: object) -> str:
    if not isinstance(value, str):
        raise ValueError("expected text")
    if len(value) > TEXT_MAX:
        raise ValueError(f"longer than {TEXT_MAX} characters")
    if "\0" in value or (not value.isascii() and any("\ud800" <= c <= "\udfff" for c in value)):
        raise ValueError("holds a character that no database keeps")
    return value


def _whole(value: object) -> int:
    if type(value) is not int:
        raise ValueError("expected a whole number")
    if abs(value) > INT_MAX:
        raise ValueError("a number beyond what JSON readers agree on")
    return value


def _truth(value: object) -> bool:
    if not isinstance(value, bool):
        raise ValueError("expected true or false")
    return value


def _word(kind: type[StrEnum]) -> Callable[[object], object]:
    def read(value: object) -> object:
        if not isinstance(value, str):
            raise ValueError("expected a word")
        return kind(value)

    return read


_READERS: Mapping[str, Callable[[object], object]] = {
    "str": _text,
    "int": _whole,
    "bool": _truth,
    "int | None": lambda value: None if value is None else _whole(value),
    "datetime": _moment,
    "ShipmentStatus": _word(ShipmentStatus),
    "PromiseKind": _word(PromiseKind),
}


def payload_from(kind: str, raw: Mapping[str, object]) -> Payload:
    """Read the payload of a statement of this kind from its JSON object. Raises `PayloadError`, never anything else."""
    made = PAYLOAD_OF.get(kind)
    if made is None:
        raise PayloadError("payload_bad_value", "kind", f"no such kind of statement: {kind}")
    known = {f.name: f for f in fields(made)}
    for key in raw:
        if key not in known:
            raise PayloadError("payload_unknown_key", key, f"{kind} has no field {key}")
    values: dict[str, object] = {}
    for name, f in known.items():
        if name in raw:
            try:
                values[name] = _READERS[str(f.type)](raw[name])
            except (ValueError, OverflowError) as wrong:
                raise PayloadError("payload_bad_value", name, f"{kind}.{name}: {wrong}") from None
        elif f.default is MISSING:
            raise PayloadError("payload_missing_key", name, f"{kind} needs {name}")
    return made(**values)  # type: ignore[arg-type]  # each value was read by the reader of its field's type


def payload_to(payload: Payload) -> dict[str, object]:
    """Write a payload as its JSON object; `payload_from` of it gives the same payload."""
    raw: dict[str, object] = {}
    for f in fields(payload):
        value = getattr(payload, f.name)
        raw[f.name] = value.isoformat() if isinstance(value, datetime) else value
    return raw
