"""The law or custom under which an order was sold, as data: by when it must ship if no day was stated at checkout."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Final


@dataclass(frozen=True, slots=True)
class SaleProfile:
    """`ship_within_d`: calendar days from placing the order; after them a refund is owed without being asked for."""

    name: str
    ship_within_d: int
    source: str


PROFILES: Final[Mapping[str, SaleProfile]] = {
    each.name: each
    for each in (
        SaleProfile("us_ftc", 30, "16 CFR 435.2: without a stated time within 30 days, else refund or consent"),
        SaleProfile("standard", 30, "the shop named no law: we hold ourselves to the same 30 days"),
    )
}


def profile_of(name: str) -> SaleProfile:
    """The profile of this name; one that we do not know is the standard one, so that no order is without a limit."""
    return PROFILES.get(name, PROFILES["standard"])
