"""When carriers come to a site of ours, and which services it can book."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import time


@dataclass(frozen=True, slots=True)
class Pickup:
    """A carrier's scheduled pickup at a site: weekday (Monday 0) and local time."""

    weekday: int
    at: time


@dataclass(frozen=True, slots=True)
class Service:
    """A shipping service that a site can book: handed over before `cutoff` (local time), it arrives `transit_bd`
    business days later; `saturday`: Saturday counts as one of them.
    """

    name: str
    cutoff: time
    transit_bd: int
    saturday: bool = False
