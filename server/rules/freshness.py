"""Which sightings are live: a frame recorded and played back later has a larger lag and carries no weight.

`lag = heard_at − uptime`. A sighting x is stale if some y of the same boot, both by gateways with good clocks, has
`lag(x) − lag(y) > 30 s + 500 ppm × |Δuptime|`, or if a later boot was heard before it. Stale ones are kept and marked.

Known limit: a replayed boot that nobody heard live cannot be told from a live one. Therefore a sighting is *anchored*
only if a fresh sighting of the same boot is at least `anchor_age_s` older; without an anchor it gives at most
`supported`. Somebody who recorded a boot nobody heard, and replays it for longer than that with a constant delay,
passes. So does a dishonest gateway that predates what it heard; its class and its revocation are the remedy there.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, replace
from datetime import UTC, datetime, timedelta
from enum import StrEnum
from itertools import groupby

from server.rules.facts import Heard
from server.rules.moment import Moment
from server.rules.policy import Policy

_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
_US = timedelta(microseconds=1)


class Freshness(StrEnum):
    """`unclocked`: heard by a gateway whose clock was not good, so nobody can say when; it carries no weight."""

    FRESH = "fresh"
    STALE = "stale"
    UNCLOCKED = "unclocked"


@dataclass(frozen=True, slots=True)
class Sighting:
    """One authenticated frame at one gateway: an end of a `Heard` row, judged.

    `late_us`: by how many microseconds it is too late to be live; above 0 it is stale.
    """

    row: Heard
    at: datetime
    uptime_s: int
    reached_at: datetime
    freshness: Freshness = Freshness.UNCLOCKED
    late_us: int = 0
    anchored: bool = False

    @property
    def lag_us(self) -> int:
        """Heard time minus uptime: the same for every live frame of one boot, but for drift."""
        return (self.at - _EPOCH) // _US - self.uptime_s * 1_000_000

    @property
    def frame(self) -> tuple[int, int, int]:
        """Which frame it is: heard by two gateways it is still one."""
        return self.row.serial, self.row.boot, self.uptime_s

    @property
    def key(self) -> tuple[object, ...]:
        """A total order that does not depend on the order in which rows came."""
        row = self.row
        return (self.at, row.serial, row.boot, self.uptime_s, row.gateway, row.first_at, row.last_at, row.count)


def judge(rows: Iterable[Heard], policy: Policy, moment: Moment) -> tuple[Sighting, ...]:
    """All sightings that had reached us by the moment, each marked fresh, stale or unclocked, in order of time."""
    known = sorted(_ends(rows, moment), key=lambda sighting: sighting.key)
    unclocked = [sighting for sighting in known if not sighting.row.clock_good]
    judged: list[Sighting] = []
    boots = _by_boot(known)
    for (serial, boot), sightings in boots.items():
        ended_at = min(
            (s[0].at for (other, later), s in boots.items() if other == serial and later > boot), default=None
        )
        judged.extend(_judge_boot(sightings, ended_at, policy))
    return tuple(sorted(judged + unclocked, key=lambda sighting: sighting.key))


def _ends(rows: Iterable[Heard], moment: Moment) -> Iterable[Sighting]:
    for row in _once(rows):
        if moment.passed(max(row.first_at, row.first_reached_at)):
            yield Sighting(row, row.first_at, row.first_uptime_s, row.first_reached_at)
        if (row.last_at, row.last_uptime_s) != (row.first_at, row.first_uptime_s) and moment.passed(
            max(row.last_at, row.reached_us_at)
        ):
            yield Sighting(row, row.last_at, row.last_uptime_s, row.reached_us_at)


def _once(rows: Iterable[Heard]) -> Iterable[Heard]:
    """Each row once; of one that reached us twice, the earlier arrival of each end."""
    kept: dict[Heard, Heard] = {}
    for row in rows:
        what = replace(row, first_reached_at=row.first_at, reached_us_at=row.last_at)
        known = kept.get(what, row)
        kept[what] = replace(
            row,
            first_reached_at=min(known.first_reached_at, row.first_reached_at),
            reached_us_at=min(known.reached_us_at, row.reached_us_at),
        )
    return kept.values()


def _by_boot(known: list[Sighting]) -> dict[tuple[int, int], list[Sighting]]:
    boots: dict[tuple[int, int], list[Sighting]] = {}
    for sighting in known:
        if sighting.row.clock_good:
            boots.setdefault((sighting.row.serial, sighting.row.boot), []).append(sighting)
    return boots


def _judge_boot(sightings: list[Sighting], ended_at: datetime | None, policy: Policy) -> list[Sighting]:
    late = lateness_us(sightings, policy)
    judged = []
    for sighting in sightings:
        too_late = late[sighting]
        if ended_at is not None:
            too_late = max(too_late, (sighting.at - ended_at) // _US)
        freshness = Freshness.STALE if too_late > 0 else Freshness.FRESH
        judged.append(replace(sighting, freshness=freshness, late_us=max(too_late, 0)))
    anchor_at = min((s.at for s in judged if s.freshness is Freshness.FRESH), default=None)
    if anchor_at is None:
        return judged
    proven_from = anchor_at + timedelta(seconds=policy.anchor_age_s)
    return [replace(s, anchored=s.freshness is Freshness.FRESH and s.at >= proven_from) for s in judged]


def lateness_us(sightings: list[Sighting], policy: Policy) -> dict[Sighting, int]:
    """For sightings of one boot by good clocks: max over y of lag(x) − lag(y) − 500 ppm × |Δuptime| − 30 s.

    In O(n log n): for a y that ran less than x the bound is `lag − ppm·uptime`, a running minimum upwards; for a y that
    ran longer it is `lag + ppm·uptime`, a running minimum downwards. Whole microseconds, so that nothing is rounded.
    """
    slack_us = policy.freshness_slack_s * 1_000_000
    ppm = policy.clock_drift_ppm  # microseconds per second of uptime
    late: dict[Sighting, int] = {}
    runs = [list(run) for _, run in groupby(sorted(sightings, key=lambda s: s.uptime_s), key=lambda s: s.uptime_s)]
    for direction, ordered in ((1, runs), (-1, runs[::-1])):
        least: int | None = None
        for run in ordered:
            bounds = {s: s.lag_us - direction * ppm * s.uptime_s for s in run}
            lowest = min(bounds.values())
            least = lowest if least is None else min(least, lowest)
            for sighting, bound in bounds.items():
                late[sighting] = max(late.get(sighting, -slack_us), bound - least - slack_us)
    return late


def first_of_frames(sightings: Iterable[Sighting]) -> list[Sighting]:
    """The first sighting of each frame, in order of time: one frame heard by three gateways is one."""
    frames: dict[tuple[int, int, int], Sighting] = {}
    for sighting in sorted(sightings, key=lambda s: s.at):
        frames.setdefault(sighting.frame, sighting)
    return list(frames.values())
