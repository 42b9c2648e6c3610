"""What each code of EasyPost means to us: the shipment status, and whether somebody had the parcel in hand.

One explicit table, never a default that sounds better: a pair that does not stand in it is `unknown`, and a finding
(R-36). `docs/intake.md` shows the same table; a test holds the two together.

*Physical* is only what cannot be said without the parcel: received, arrived, departed, handed over, at the door.
Labels, notices, estimates, delays and everything that a carrier's computer says by itself ("in transit") are not.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Final

from server.rules.payloads import ShipmentStatus

_NOTICES: Final = ("status_update", "unknown")
_TROUBLE: Final = (
    "address_correction",
    "awaiting_information",
    "delayed",
    "held",
    "transit_exception",
    "weather_delay",
)
_ON_THE_WAY: Final = ("arrived_at_facility", "departed_facility", "missorted", "transferred_to_destination_carrier")

# By status: the details that need the parcel in hand, and those that anybody can say without it.
_TABLE: Final[Mapping[ShipmentStatus, tuple[tuple[str, ...], tuple[str, ...]]]] = {
    ShipmentStatus.UNKNOWN: ((), (*_NOTICES, "awaiting_information", "expired")),
    ShipmentStatus.PRE_TRANSIT: ((), (*_NOTICES, "label_created", "awaiting_information", "delayed")),
    ShipmentStatus.IN_TRANSIT: (
        (
            *_ON_THE_WAY, "arrived_at_destination", "departed_origin_facility",
            "received_at_origin_facility", "received_at_destination_facility",
        ),
        (*_NOTICES, *_TROUBLE, "in_transit", "damaged", "delivery_exception", "return"),
    ),
    ShipmentStatus.OUT_FOR_DELIVERY: (
        ("out_for_delivery",),
        (*_NOTICES, *_TROUBLE, "in_transit", "delivery_exception"),
    ),
    ShipmentStatus.DELIVERED: (("arrived_at_destination", "arrived_at_pickup_location"), _NOTICES),
    ShipmentStatus.AVAILABLE_FOR_PICKUP: (
        ("arrived_at_pickup_location", "arrived_at_destination", "arrived_at_facility"),
        (*_NOTICES, "held", "awaiting_information"),
    ),
    ShipmentStatus.RETURN_TO_SENDER: (
        (*_ON_THE_WAY, "arrived_at_destination", "refused"),
        (*_NOTICES, *_TROUBLE, "in_transit", "return", "delivery_exception"),
    ),
    ShipmentStatus.FAILURE: (
        ("refused",),
        (*_NOTICES, *_TROUBLE, "damaged", "delivery_exception", "expired", "failure", "lost"),
    ),
    ShipmentStatus.CANCELLED: ((), (*_NOTICES, "cancelled")),
    ShipmentStatus.ERROR: ((), (*_NOTICES, "failure")),
}  # fmt: skip


@dataclass(frozen=True, slots=True)
class Meaning:
    """What a code stands for."""

    status: ShipmentStatus
    physical: bool
    mapped: bool = True


CODES: Final[Mapping[tuple[str, str], Meaning]] = {
    (status.value, detail): Meaning(status, physical)
    for status, (in_hand, by_word) in _TABLE.items()
    for details, physical in ((in_hand, True), (by_word, False))
    for detail in details
}
"""(status, status_detail) of EasyPost → what it means."""

UNMAPPED: Final = Meaning(ShipmentStatus.UNKNOWN, physical=False, mapped=False)
# Nothing more is expected after these; scans that come all the same are taken.
OVER: Final = frozenset({"delivered", "return_to_sender", "cancelled"})


def meaning(status: str, detail: str) -> Meaning:
    """The meaning of any pair; a detail that is not told counts as EasyPost's own `unknown`."""
    return CODES.get((status, detail or "unknown"), UNMAPPED)
