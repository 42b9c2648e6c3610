"""Every threshold that a rule compares with, in one versioned value; beside each stands what goes wrong on either side.

A number with `_bd` is business days of the fulfilling site's calendar (`business_days`), which belongs to the site's
facts: pickups, workdays, holidays, cut-off. Change a number, change `version`: verdicts name the version they used.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import Final


@dataclass(frozen=True, slots=True)
class Policy:
    """The thresholds of one version. Compare values with `==`; two policies of one version are equal."""

    version: str = "2026.2"
    profile: str = "solo"

    # -- radio -----------------------------------------------------------------------------------------------
    # Smaller: gateways whose clocks differ by some seconds call each other's sightings stale.
    # Larger: a recording may be played back that much later and still count as live.
    freshness_slack_s: int = 30
    # Smaller: a tag on a cheap crystal in a cold van calls itself stale. Larger: a recording played months later fits.
    clock_drift_ppm: int = 500
    # How wrong a clock that calls itself good may be. Smaller: R-34 opens for two honest gateways. Larger: a replay
    # within that time is not noticed (it is stale all the same).
    clock_error_s: int = 5
    # A boot carries full weight only this long after its first fresh hearing. Smaller: a recorded boot that nobody
    # heard live counts as proof after a short replay. Larger: a tag restarted on the way proves nothing for too long.
    anchor_age_s: int = 3600
    # An airliner. Smaller: air mail is called an impossible jump. Larger: a relay across a country goes unnoticed.
    speed_max_kmh: int = 900
    # Below this a jump is the spread of honest places. Smaller: two gateways in one town disagree about nothing.
    # Larger: a relay between neighbouring towns goes unnoticed.
    jump_min_m: int = 5000
    # Farther than this from every own site is away. Smaller: the street before the dock counts as "left".
    # Larger: a courier's depot next door never counts. Radio range plus a phone's accuracy stays well below it.
    away_min_m: int = 1000
    # Nearer than this to ship-to is "at the address". Smaller: a crowd receiver two streets on is ignored.
    # Larger: the courier's depot in the same town counts as delivered. R-30 uses the same distance.
    near_m: int = 2000

    # Heard farther away than this, a parcel without a scan has certainly left. Smaller: a neighbour's receiver on the
    # roof counts. Larger: a parcel on a truck is called lost.
    left_min_m: int = 5000
    # How much longer the way to the address may become through a place: 100 km there and back, and a quarter of the
    # straight way, for carriers drive from hub to hub. Smaller: a hub is a wrong turn (story G's lies 130 km beside the
    # straight way). Larger: the parcel crosses half a country before anybody asks.
    detour_max_m: int = 200_000
    detour_max_percent: int = 25
    # After "delivered" the tag may still be with a neighbour. Smaller: that is called misrouted. Larger: a parcel at a
    # wrong door is looked for when it is gone.
    delivered_settle_s: int = 86_400

    # R-31, silence after delivery. Smaller: a weekend away is one. Larger: a dead tag waits for its owner to notice.
    silent_min_s: int = 259_200
    # How likely the silence of a living tag may be. Smaller: weeks go by. Larger: one in ten is asked for nothing.
    silent_doubt_percent: int = 5
    # Days before the delivery in which the place's chance of hearing a tag is measured. Smaller: too few tags to count.
    # Larger: receivers that have moved away still speak for it.
    listened_d: int = 30
    # Smaller: one tag that lies beside a receiver speaks for a town. Larger: only cities are ever measured.
    listened_tags_min: int = 3
    # Smaller: "2 of 2" is called certain. Larger: as above.
    listened_tag_days_min: int = 20
    # How long an order is looked at every night for it. Smaller: a place with a low chance is never sure in time.
    # Larger: orders that are settled cost a look every night.
    silent_look_d: int = 30

    # -- handing over ----------------------------------------------------------------------------------------
    # Time between saying "dispatched" and the parcel leaving the bench. Smaller: the walk to the dock is a lie.
    # Larger: R-17 says nothing for longer, which costs only minutes.
    inside_settle_s: int = 1800
    # Smaller: one odd frame refutes a person. Larger: a quiet tag in a shielded corner is never heard often enough.
    inside_sightings_min: int = 2
    # After a departure a parcel needs at least this to come back through a carrier. Smaller: a van that turned round
    # is called a return. Larger: a true return the next day looks like never having left.
    return_min_s: int = 86_400
    # From the pickup to the carrier's first scan at its hub. Smaller: R-05 fires every evening while the truck drives.
    # Larger: the customer waits a night longer for the truth.
    first_scan_after_pickup_s: int = 21_600
    # For sites without a pickup schedule: evidence is due at the end of this many business days.
    evidence_due_bd: int = 1
    # A serial is at the bench within this of its packing scan. Smaller: a batch scanned after lunch has no witness.
    # Larger: a tag merely in stock that day counts as packed.
    packing_window_s: int = 3600

    # -- dates and promises ----------------------------------------------------------------------------------
    # Smaller: R-02 fires for orders that nobody was late with. Larger: the customer notices first.
    handling_bd: int = 2
    # Label without physical scan, whole business days after the label's. Smaller: a label printed after the pickup
    # warns every evening. Larger: the parcel is looked for when its trail is cold.
    label_warn_bd: int = 1
    label_high_bd: int = 2
    label_critical_bd: int = 5
    # How far before its known date a label's own scans may lie (a date without a time). Smaller: a true scan of the
    # same day is called a previous parcel's. Larger: yesterday's parcel under a recycled number becomes ours.
    label_date_slack_s: int = 86_400
    # Due dates end with their day already; more would hide one of the waits of story T.
    promise_grace_s: int = 0
    # R-01, whole business days in one state, the day it began apart (an option's lead time that was shown is added to
    # the first). Ordered and not packed. Smaller: a busy Monday is "stuck". Larger: the customer asks first.
    dwell_placed_bd: int = 2
    # Packed and not left. Smaller: a box closed after Friday's pickup is "stuck". Larger: it lies until somebody asks.
    dwell_packed_bd: int = 2
    # Left and not arrived. Smaller: every parcel by slow ground is "stuck". Larger: its trail is cold.
    dwell_on_the_way_bd: int = 10
    # from one carrier's end to the next one's first scan. Smaller: a hand-over on Friday evening is a gap.
    # Larger: it lies at a drop centre for days and neither carrier looks.
    custody_gap_bd: int = 1
    # before the last cut-off that keeps the day. Smaller: too late to find, pack and hand over a unit.
    # Larger: it wakes people for what the day's ordinary work settles.
    last_safe_s: int = 14_400

    # -- people ----------------------------------------------------------------------------------------------
    # Calendar hours to a person's answer. Smaller: a night is late. Larger: business days hide two waits of story T.
    reply_s: int = 86_400
    # From asking for the money to the money or a clear keep. Smaller: a bank's own day is called deflection.
    # Larger: an offer that nobody asked for wears the customer down.
    refund_answer_s: int = 86_400
    # How long a card's holder may dispute a charge. Smaller: the evidence is thrown away while the bank may still ask.
    # Larger: orders stay on the list for which nobody can come back any more.
    dispute_window_d: int = 120

    # One mistake behind several orders. Smaller: a busy day's coincidence is one. Larger: victims write in one by one.
    cohort_orders_min: int = 5
    # As often as among the others. Smaller: a slow week colours every lot. Larger: a mistake that hits half of all
    # orders is never seen.
    cohort_times_min: int = 3

    # -- remedies --------------------------------------------------------------------------------------------
    # How long granted money waits to be taken back. Smaller: whoever sees the slip is too late. Larger: the customer
    # waits longer for what is theirs. A label does not wait (`remedy_life.undo_time`).
    undo_s: int = 900
    # Profile solo: from the first look to the second. Smaller: the same eyes see the same mistake. Larger: what two
    # people settle at once takes one person until tomorrow.
    second_look_s: int = 3600

    # -- the owner's answer ----------------------------------------------------------------------------------
    # Smaller: the word flickers between two beacons of a quiet place. Larger: "fresh" no longer means "still there".
    fresh_s: int = 900
    # Smaller: a night without a passer-by is called old. Larger: yesterday's place is shown as today's.
    aging_s: int = 86_400
    # How far a tag is from the receiver that hears it, indoors to open field: added to the receiver's own accuracy.
    # Smaller: the circle misses the tag. Larger: "within 35 m" becomes "within 200 m" and helps nobody.
    radio_range_m: int = 60
    # Reports this close in time are one moment and are fused. Smaller: two receivers of one room are two places.
    # Larger: a walking owner is drawn where he never was.
    fuse_window_s: int = 120
    # Reports within this of a stay's middle belong to it. Smaller: a house is three stays. Larger: a street is one.
    stay_radius_m: int = 150


SOLO: Final = Policy()
TEAM: Final = replace(SOLO, profile="team")

VERSIONS: Final[Mapping[str, Policy]] = {each.version: each for each in (replace(SOLO, version="2026.1"), SOLO)}
"""Every version whose values are known, so that history can be judged again under another one. 2026.2 adds thresholds
of rules that 2026.1 did not have, and changes none."""

PROFILES: Final[Mapping[str, Policy]] = {"solo": SOLO, "team": TEAM}
"""`solo`: below three staff, one person may grant after a delay and a second look. `team`: the table of authority."""
