"""The life of a tag and the way of its parcel, as a table: what may follow what, who may cause it, what proves it.

The diagram of `docs/rules.md` is drawn from this table. Release and second hand are ordinary.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from enum import StrEnum
from typing import Final


class Step(StrEnum):
    """States of a tag, and `accepted` and `on_the_way`, which are its parcel's between leaving and delivery."""

    MANUFACTURED = "manufactured"
    KEYED = "keyed"
    STOCKED = "stocked"
    BOUND = "bound"
    PACKED = "packed"
    LEFT = "left"
    ACCEPTED = "accepted"
    ON_THE_WAY = "on_the_way"
    DELIVERED = "delivered"
    CLAIMED = "claimed"
    ACTIVATED = "activated"
    RETURNED = "returned"
    RELEASED = "released"
    REFURBISHED = "refurbished"
    RETIRED = "retired"


@dataclass(frozen=True, slots=True)
class Way:
    """How a state is reached: from where, caused by whom, proved by what. `physical`: something one can hear or touch.

    `event` is the GS1 EPCIS 2.0 business step (`activating` is our own, the standard has none).
    """

    after: frozenset[Step]
    caused_by: str
    proved_by: str
    physical: bool
    event: str = ""


def _after(*steps: Step) -> frozenset[Step]:
    return frozenset(steps)


S = Step
TABLE: Final[Mapping[Step, Way]] = {
    S.MANUFACTURED: Way(_after(), "factory", "factory manifest", False, "commissioning"),
    S.KEYED: Way(
        _after(S.MANUFACTURED), "factory", "signed manifest with the tag's public key", False, "commissioning"
    ),
    S.STOCKED: Way(_after(S.KEYED, S.RETURNED, S.REFURBISHED), "warehouse", "heard at an own site", True, "storing"),
    S.BOUND: Way(
        _after(S.KEYED, S.STOCKED),
        "warehouse",
        "serial scanned at packing, or heard alone on the packing bench",
        False,
        "reserving",
    ),
    S.PACKED: Way(_after(S.BOUND), "warehouse", "heard at the own site while it was packed", True, "packing"),
    S.LEFT: Way(
        _after(S.PACKED, S.BOUND), "warehouse, carrier", "carrier's scan, or heard elsewhere", True, "departing"
    ),
    S.ACCEPTED: Way(
        _after(S.PACKED, S.LEFT), "carrier", "carrier's first physical scan, and heard elsewhere", True, "accepting"
    ),
    S.ON_THE_WAY: Way(
        _after(S.LEFT, S.ACCEPTED), "carrier", "heard or scanned between the two ends", True, "transporting"
    ),
    S.DELIVERED: Way(
        _after(S.LEFT, S.ACCEPTED, S.ON_THE_WAY),
        "carrier",
        "carrier's scan at the door, and heard near the address or a receipt",
        True,
        "arriving",
    ),
    # Never "too early": a tag claimed before it was delivered is somebody's all the same, and R-32 asks how.
    S.CLAIMED: Way(
        _after(
            S.KEYED,
            S.STOCKED,
            S.BOUND,
            S.PACKED,
            S.LEFT,
            S.ACCEPTED,
            S.ON_THE_WAY,
            S.DELIVERED,
            S.RETURNED,
            S.RELEASED,
            S.REFURBISHED,
        ),
        "owner",
        "code from the box; a receipt proves it",
        False,
    ),
    S.ACTIVATED: Way(_after(S.CLAIMED), "owner", "receipt signed by the tag", True, "activating"),
    S.RETURNED: Way(
        _after(S.LEFT, S.ACCEPTED, S.ON_THE_WAY, S.DELIVERED, S.RELEASED),
        "carrier, customer",
        "heard at an own site after it had left",
        True,
        "receiving",
    ),
    S.RELEASED: Way(_after(S.ACTIVATED), "owner", "signed release", False),
    S.REFURBISHED: Way(_after(S.RETURNED, S.RELEASED), "warehouse", "our record", False, "repairing"),
    S.RETIRED: Way(frozenset(S) - {S.RETIRED}, "operator, owner", "our record", False, "decommissioning"),
}

SHIPPING: Final = (S.BOUND, S.PACKED, S.LEFT, S.ACCEPTED, S.ON_THE_WAY, S.DELIVERED, S.CLAIMED, S.ACTIVATED)
"""The way from the bench to the owner's hand, in order: how far a slot has come."""


def may_follow(after: Step | None, step: Step) -> bool:
    """True if a tag in state `after` (None: not yet made) may enter `step`."""
    way = TABLE[step]
    return not way.after if after is None else after in way.after


def far(step: Step | None) -> int:
    """How far along the way a step is; 0 before the bench, and for states that are not on the way."""
    return SHIPPING.index(step) + 1 if step in SHIPPING else 0
