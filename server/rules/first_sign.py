"""When the first physical sign of a parcel is due, by the calendar of the site that sends it."""

from __future__ import annotations

from datetime import datetime, timedelta

from server.rules import business_days
from server.rules.facts import OrderFacts, Place, Site
from server.rules.policy import Policy


def calendar_of(facts: OrderFacts) -> Site:
    """The fulfilling site's calendar; without a site, Monday to Friday in the order's zone and no pickups."""
    bare = Site("", "our site", facts.order.zone, Place(0.0, 0.0, 0.0))
    return next((site for site in facts.sites if site.id == facts.order.site), bare)


def first_sign_due(site: Site, at: datetime, policy: Policy) -> datetime:
    """When the carrier's first scan must be there of what is ready at this moment: after the next scheduled pickup."""
    pickup = business_days.next_pickup(site, at)
    if pickup is None:
        return business_days.business_days_end(site, at, policy.evidence_due_bd)
    return pickup + timedelta(seconds=policy.first_scan_after_pickup_s)
