"""How well a place is listened to: the chance, measured there, that a tag which is there is heard within a day.

Measured on tags that nobody owned, days before the parcel came. A tag that was heard there on two days was there on the
days between: of those days on which receivers of the place heard any other tag at all, on how many did they hear it?
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from datetime import UTC, date, datetime, time, timedelta

from server.rules.policy import Policy


@dataclass(frozen=True, slots=True)
class ListenedDay:
    """A UTC day on which receivers that are not ours heard tags near the ship-to, and which: only such as nobody owned
    that day. A place or a receiver is not in it.
    """

    day: date
    serials: frozenset[int]


def midnight(day: date) -> datetime:
    """The first moment of a UTC day."""
    return datetime.combine(day, time(), UTC)


def by_day(listened: Iterable[ListenedDay], but: int) -> Mapping[date, frozenset[int]]:
    """The serials other than `but` that were heard at the place on each day; days without any are not in it."""
    days: dict[date, frozenset[int]] = {}
    for each in listened:
        days[each.day] = days.get(each.day, frozenset()) | (each.serials - {but})
    return {day: serials for day, serials in sorted(days.items()) if serials}


def chance(days: Mapping[date, frozenset[int]], before: date, policy: Policy) -> float | None:
    """The chance of being heard in a day, from the `listened_d` days before a day; None where too little is known."""
    window = {day: heard for day, heard in days.items() if before - timedelta(policy.listened_d) <= day < before}
    tags, tag_days, heard_days = 0, 0, 0
    for serial in frozenset().union(*window.values()):
        seen = [day for day, heard in window.items() if serial in heard]
        # The two ends are the days by which we know that it was there: they would count themselves as heard.
        between = [heard for day, heard in window.items() if seen[0] < day < seen[-1] and heard - {serial}]
        tags += bool(between)
        tag_days += len(between)
        heard_days += sum(serial in heard for heard in between)
    if tags < policy.listened_tags_min or tag_days < policy.listened_tag_days_min:
        return None
    return heard_days / tag_days


def days_to_be_sure(p: float, doubt_percent: int) -> int | None:
    """How many days of silence leave a doubt (1 − p)^n below so many percent; None if no number of days does."""
    if p <= 0:
        return None
    if p >= 1:
        return 1
    # The first n for which it is below, not equal: silence that leaves exactly the doubt allowed is not enough.
    return math.floor(math.log(doubt_percent / 100) / math.log(1 - p)) + 1
