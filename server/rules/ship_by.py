"""The day by whose end a unit must have left us: computed once, the same before payment, for R-02 and for R-03.

A day stated for the unit, or the business day of the order plus handling and the option's lead time – which counts only
if the customer was shown it. What a checkout shows with this rule is therefore what the order is held to later.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from datetime import date, datetime, timedelta
from zoneinfo import ZoneInfo

from server.rules import business_days, words
from server.rules.facts import Site, Slot
from server.rules.policy import Policy
from server.rules.sale_profiles import SaleProfile


@dataclass(frozen=True, slots=True)
class ShipBy:
    """What to show for one unit: by the end of `ship_by` in the site's zone (UTC: just before `over_at`) it leaves.

    From `over_at` on the money is owed, unasked, if it has not left and the customer agreed to no delay. To one who is
    shown no day it is owed from `unstated_limit` on, which is the sale profile's.
    """

    slot: int
    ship_by: date
    over_at: datetime
    unstated_limit: datetime
    sentence: str


def ship_by(calendar: Site, placed_at: datetime, slot: Slot, policy: Policy) -> date:
    """The day, in the zone of the site that fulfils it."""
    if slot.ship_by is not None:
        return slot.ship_by
    handling = policy.handling_bd + (slot.lead_bd if slot.lead_shown else 0)
    placed_on = business_days.business_day_of(calendar, placed_at)
    return business_days.add_business_days(calendar, placed_on, handling) if handling else placed_on


def refund_owed_at(
    calendar: Site, placed_at: datetime, zone: str, slot: Slot, profile: SaleProfile, policy: Policy
) -> datetime:
    """From when on the money is owed: the end of the stated day, else the profile's days after placing the order.

    A lead time that was shown was stated, so the limit is never before the ship-by that it gives.
    """
    stated = business_days.end_of_day(calendar.zone, ship_by(calendar, placed_at, slot, policy))
    if slot.ship_by is not None:
        return stated
    placed = placed_at.astimezone(ZoneInfo(zone)).replace(tzinfo=None)
    by_profile = business_days.at_local(zone, (placed + timedelta(days=profile.ship_within_d)).date(), placed.time())
    return max(stated, by_profile) if slot.lead_bd and slot.lead_shown else by_profile


def before_payment(
    calendar: Site, at: datetime, slots: Sequence[Slot], profile: SaleProfile, policy: Policy
) -> tuple[ShipBy, ...]:
    """What a checkout shows for each unit if the order is placed at this moment.

    Showing the day states it: the order is to be recorded with it.
    """
    return tuple(_shown(calendar, at, slot, profile, policy) for slot in slots)


def _shown(calendar: Site, at: datetime, slot: Slot, profile: SaleProfile, policy: Policy) -> ShipBy:
    day = ship_by(calendar, at, slot, policy)
    untold = replace(slot, lead_shown=False)
    return ShipBy(
        slot=slot.number,
        ship_by=day,
        over_at=business_days.end_of_day(calendar.zone, day),
        unstated_limit=refund_owed_at(calendar, at, calendar.zone, untold, profile, policy),
        sentence=_sentence(slot, day),
    )


def _sentence(slot: Slot, day: date) -> str:
    what = slot.title or "It"
    made = ""
    if slot.lead_bd:
        days = f"{slot.lead_bd} business {'day' if slot.lead_bd == 1 else 'days'}"
        made = f" The option that you chose takes {days} of that time."
    return (
        f"{what} leaves us by {words.day(day)}.{made} If it has not left by then and you do not agree to wait,"
        " we owe you your money back without your asking."
    )
