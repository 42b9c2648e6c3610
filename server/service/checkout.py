"""What a shop may show before anybody pays: by when each unit leaves us, by the rule that it is held to afterwards."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime

from sqlalchemy import Connection

from server.rules.facts import Slot
from server.rules.policy import Policy
from server.rules.sale_profiles import PROFILES
from server.rules.ship_by import ShipBy, before_payment
from server.service.refusals import refuse
from server.store import coverage


@dataclass(frozen=True, slots=True)
class ShipByAnswer:
    """The days to show, each unit's. `policy` names the version of the rule; `zone` is the site's."""

    site: str
    zone: str
    placed_at: datetime
    policy: str
    profile: str
    slots: tuple[ShipBy, ...]


def ship_by(
    tx: Connection, site: str, slots: Sequence[Slot], profile: str, placed_at: datetime, policy: Policy
) -> ShipByAnswer:
    """By when each unit leaves us if the order is placed at this moment. Refusals: site_unknown, profile_unknown."""
    calendar = next((each for each in coverage.all_sites(tx) if each.id == site), None)
    if calendar is None:
        raise refuse("site_unknown", site=site, reference=site)
    if profile not in PROFILES:
        raise refuse("profile_unknown", profile=profile, known=", ".join(PROFILES), reference=profile)
    shown = before_payment(calendar, placed_at, slots, PROFILES[profile], policy)
    return ShipByAnswer(calendar.id, calendar.zone, placed_at, policy.version, profile, shown)
