"""The port by which carriers speak: what an adapter must give, and in which values. EasyPost is the first behind it.

It stands here and not beside the adapters, because both the web (which takes webhooks) and the polling rounds use it,
and neither may know an adapter. An adapter reads its vendor's words; it never decides what they prove.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime
from typing import Protocol

from server.rules.payloads import CarrierScan

_FAMILIES = ("ups", "usps", "fedex", "dhl")


@dataclass(frozen=True, slots=True)
class Scan:
    """One event as the vendor tells it: the event happened in [`earliest`, `latest`], both aware.

    `zone` is the zone of the place if it is known (else UTC), `told` the vendor's own spelling of the time: it is part
    of what makes two tellings one event.
    """

    event: CarrierScan
    earliest: datetime
    latest: datetime
    told: str
    zone: str = "UTC"


@dataclass(frozen=True, slots=True)
class Told:
    """Everything that a vendor says about one number. `over`: the vendor expects nothing more to happen."""

    carrier: str
    number: str
    vendor_id: str
    scans: tuple[Scan, ...]
    over: bool = False


@dataclass(frozen=True, slots=True)
class Delivery:
    """A webhook that was read. `event` is the vendor's id of it; `told` None: it is about something else."""

    event: str
    told: Told | None


class UnreadableError(ValueError):
    """A body that is signed and still not what the vendor documents. Nothing of the body stands in the message."""


class AwayError(Exception):
    """The vendor cannot answer just now: slow, broken, or too often asked. `retry_after_s` if it said so."""

    def __init__(self, what: str, retry_after_s: int | None = None) -> None:
        super().__init__(what)
        self.retry_after_s = retry_after_s


class RefusedError(Exception):
    """The vendor answered that this question will never have an answer: no such carrier, no such number."""


class CarrierPort(Protocol):
    """One vendor. `vendor` is its name in addresses and tables."""

    vendor: str

    def verify(self, headers: Mapping[str, str], raw: bytes) -> bool:
        """True if the vendor signed these very bytes. Without a secret: False."""
        ...  # pragma: no cover - a protocol

    def parse(self, raw: bytes, now: datetime) -> Delivery:
        """Read a webhook. Raises UnreadableError."""
        ...  # pragma: no cover - a protocol

    def lookup(self, carrier: str, number: str, vendor_id: str | None, now: datetime) -> Told:
        """Ask the vendor. Raises AwayError, RefusedError, UnreadableError."""
        ...  # pragma: no cover - a protocol

    @property
    def can_look_up(self) -> bool:
        """Whether there is a key to ask with."""
        ...  # pragma: no cover - a protocol


def plain(number: str) -> str:
    """A carrier's number without spaces and hyphens, in capitals: as it is compared, however somebody typed it."""
    return re.sub(r"[\s\-().]", "", number).upper()[:80]


def family(carrier: str) -> str:
    """`usps` for `USPS`, `U.S.P.S. First` or `USPSReturns`: services and daughters of one carrier are one.

    A carrier that we do not know is its own name in small letters; empty if nobody named one.
    """
    name = re.sub(r"[^a-z0-9]", "", carrier.lower())
    # USPS before UPS: no name of the one holds the other, but a list is read from the left.
    return next((known for known in _FAMILIES if name.startswith(known)), name)


def may_be_one(one: str, other: str) -> bool:
    """Whether two names of a carrier can mean the same: unless both are known families and differ, they can.

    A consolidator's parcel has the number of the carrier that ends its way.
    """
    first, second = family(one), family(other)
    return first == second or first not in _FAMILIES or second not in _FAMILIES
