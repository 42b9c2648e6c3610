"""The two ports by which remedies reach the world, money back and labels, and the house's own way through each.

A port is asked with a key and may be asked again with it: it does the thing once and gives the same answer. The house's
own parts use transactions of their own, as a provider on the other side of a network would.
"""

from __future__ import annotations

from dataclasses import dataclass
from datetime import date, datetime, timedelta
from typing import Final, Protocol

from sqlalchemy import Engine

from server.rules import business_days
from server.rules.delivery_dates import arrives_by
from server.rules.facts import Order, Site
from server.rules.payloads import Quote
from server.rules.schedule import Service
from server.settings import Settings
from server.store import house_ports
from server.store.db import transaction
from server.store.house_ports import HouseLabel, LedgerEntry

CARRIER: Final = "own label"
# For a site that names no services: two business days is what "express" means to most carriers. Less would promise
# what nobody checked.
TYPICAL_BD: Final = 2


class PortError(Exception):
    """The port could not do it. `final`: asking again changes nothing (the card is closed, the address unknown)."""

    def __init__(self, why: str, *, final: bool = False) -> None:
        super().__init__(why)
        self.final = final


@dataclass(frozen=True, slots=True)
class Refund:
    """Money that is to go back, in minor units; `key` makes it one refund."""

    key: str
    order_number: str
    amount_minor: int
    currency: str


@dataclass(frozen=True, slots=True)
class Bought:
    """A label as it was bought."""

    carrier: str
    number: str
    service: str
    eta: datetime


class Payments(Protocol):
    """Gives money back."""

    def refund(self, asked: Refund, now: datetime) -> datetime | None:
        """When the money went back; None: booked, and not paid yet: ask again. Raises PortError."""
        ...  # pragma: no cover - a protocol


class Labels(Protocol):
    """Looks labels up and buys them."""

    def quote(self, order: Order, site: Site, now: datetime) -> Quote:
        """The fastest label that can be had now; nothing is bought. Raises PortError."""
        ...  # pragma: no cover - a protocol

    def buy(self, key: str, order_number: str, quote: Quote, now: datetime) -> Bought:
        """Buy the label that was looked up. Raises PortError."""
        ...  # pragma: no cover - a protocol


@dataclass(frozen=True, slots=True)
class Ports:
    """Both of them, as a process holds them."""

    payments: Payments
    labels: Labels


class HousePayments:
    """A ledger. `by_hand`: a person pays from it and says so; else booked is paid, for demos."""

    def __init__(self, engine: Engine, *, by_hand: bool) -> None:
        self._engine = engine
        self._by_hand = by_hand

    def refund(self, asked: Refund, now: datetime) -> datetime | None:
        """See Payments."""
        paid_at, paid_by = (None, None) if self._by_hand else (now, "at once")
        entry = LedgerEntry(
            asked.key, asked.order_number, asked.amount_minor, asked.currency, now, paid_at, paid_by
        )  # fmt: skip
        with transaction(self._engine) as tx:
            booked = house_ports.book(tx, entry)
        if (booked.amount_minor, booked.currency) != (asked.amount_minor, asked.currency):
            raise PortError("the ledger has another amount under this key", final=True)
        return booked.paid_at


class HouseLabels:
    """Labels of our own number range, by the services that the site can book."""

    def __init__(self, engine: Engine) -> None:
        self._engine = engine

    def quote(self, order: Order, site: Site, now: datetime) -> Quote:
        """See Labels."""
        zones = (*((order.ship_to.zone,) if order.ship_to else ()), order.zone, site.zone)
        services = site.services or (Service("express", site.cutoff, TYPICAL_BD),)
        found = [(arrives_by(site, each, _handed_over(site, each, now), zones), each) for each in services]
        eta, service = min(found, key=lambda one: (one[0], one[1].name))
        return Quote(CARRIER, service.name, eta, service.saturday)

    def buy(self, key: str, order_number: str, quote: Quote, now: datetime) -> Bought:
        """See Labels."""
        with transaction(self._engine) as tx:
            made = house_ports.make_label(tx, HouseLabel(0, key, order_number, quote.service, now, quote.eta))
        return Bought(CARRIER, f"HSL-{made.no:08d}", made.service, made.eta)


def _handed_over(site: Site, service: Service, now: datetime) -> date:
    """The first business day whose cut-off for the service is not over."""
    day = business_days.local_date(site.zone, now)
    for _ in range(business_days.SEARCH_DAYS):
        if business_days.is_business_day(site, day) and now <= business_days.at_local(site.zone, day, service.cutoff):
            return day
        day += timedelta(days=1)
    raise PortError(f"the site {site.id} has no business day")


def house_ports_of(engine: Engine, settings: Settings) -> Ports:
    """The house's own ports on this database."""
    return Ports(HousePayments(engine, by_hand=settings.house_payments == "by_hand"), HouseLabels(engine))
