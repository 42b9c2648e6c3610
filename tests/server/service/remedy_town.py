"""Orders that went wrong, in the town: late ones, half-gone ones, and people who may put them right."""

from __future__ import annotations

from dataclasses import dataclass, field
from datetime import datetime, timedelta

import pytest
from sqlalchemy import func, select

from server.refusal import Refusal
from server.rules.authority import Action, Role
from server.rules.facts import Source, StatementKind
from server.rules.payloads import Quote
from server.rules.policy import SOLO
from server.service import answers
from server.service.accounts import caller
from server.service.caller import Caller
from server.service.orders import Said, record, state
from server.service.ports import Bought, HouseLabels, HousePayments, PortError, Ports, Refund
from server.service.remedies import Ask, grant, propose
from server.service.remedy_work import Shop
from server.store import accounts
from server.store.orders import StoredOrder, StoredSlot
from server.store.remedies import StoredRemedy
from server.store.tables import notices, statements
from server.sweep.orders import sweep_orders
from server.sweep.remedies import sweep_remedies
from tests.server.web.town import Town

REFUND = Action.FULL_REFUND
SHIP_TO = {"country": "US", "region": "FL", "postcode": "33101", "city": "Miami"}


@dataclass
class CountingPayments:
    """The house's ledger, and how often it was asked; `fails`: it says no so many times first."""

    house: HousePayments
    asked: list[str] = field(default_factory=list)
    fails: int = 0
    final: bool = False

    def refund(self, asked: Refund, now: datetime) -> datetime | None:
        self.asked.append(asked.key)
        if self.fails:
            self.fails -= 1
            raise PortError("the bank is closed", final=self.final)
        return self.house.refund(asked, now)


@dataclass
class SlowLabels:
    """Labels whose estimate is what a test says."""

    house: HouseLabels
    eta: datetime

    def quote(self, order: object, site: object, now: datetime) -> Quote:
        return Quote("own label", "ground", self.eta)

    def buy(self, key: str, order_number: str, quote: Quote, now: datetime) -> Bought:
        return self.house.buy(key, order_number, quote, now)


def shop_of(town: Town, *, by_hand: bool = False) -> tuple[Shop, CountingPayments]:
    """The town's shop with a payment port that counts."""
    payments = CountingPayments(HousePayments(town.engine, by_hand=by_hand))
    ports = Ports(payments, HouseLabels(town.engine))
    return Shop(town.engine, ports, town.house.policy, lambda: town.now, "http://tags.test"), payments


def somebody(town: Town, role: Role, name: str = "") -> Caller:
    """A caller with an account."""
    email = town.somebody(f"{name or role}@shop.example", role).email
    with town.house.work() as (tx, _):
        account = accounts.by_email(tx, email)
    assert account is not None
    return caller(account)


def place(
    town: Town, number: str, *, paid: int = 3778, units: int = 1, days_ago: int = 40, fee: int = 0, email: str = "",
    service: str = "",
) -> None:  # fmt: skip
    """An order that was paid and of which nothing else is known; after 30 days its money is owed (R-03)."""
    at = town.now - timedelta(days=days_ago)
    slots = tuple(StoredSlot(0, 1, unit, "TAG-1", "Tag") for unit in range(1, units + 1))
    order = StoredOrder(
        number,
        email or f"{number.lower()}@example.com",
        "Ann",
        None,
        SHIP_TO,
        at,
        "UTC",
        None,
        "us_ftc",
        "shop",
        at,
        slots,
    )
    goods = {"amount_minor": paid, "currency": "USD", "service": "" if fee else service}
    with town.house.work() as (tx, now):
        record(tx, order)
        said = [Said("paid", StatementKind.PAYMENT, at, "shop", Source.SHOP, at=at, payload=goods)]
        if fee:
            payload = {"amount_minor": fee, "currency": "USD", "service": service or "overnight"}
            said.append(Said("fee", StatementKind.PAYMENT, at, "shop", Source.SHOP, at=at, payload=payload))
        state(tx, number, said, Role.AGENT, now)


def say(town: Town, number: str, kind: StatementKind, source: Source, **more: object) -> None:
    """Something is said about an order now."""
    at = more.pop("at", town.now)
    with town.house.work() as (tx, now):
        said = Said(f"{kind}:{at}", kind, at, "somebody", source, at=at, **more)  # type: ignore[arg-type]
        state(tx, number, [said], Role.OPERATOR, now)


def granted(town: Town, shop: Shop, who: Caller, ask: Ask) -> StoredRemedy:
    """A remedy that was asked for and granted by one who may."""
    with town.house.work() as (tx, now):
        asked = propose(tx, who, "T-1", ask, shop.ports, SOLO, now)
        return grant(tx, who, asked.no, SOLO, now)


def leave(town: Town, number: str, slot: int | None = None) -> None:
    """The carrier has the parcel in hand."""
    scan = {"carrier": "UPS", "number": "1Z999AA10123456784", "status": "in_transit", "physical": True}
    say(town, number, StatementKind.CARRIER_SCAN, Source.CARRIER, slot=slot, payload=scan)


def letters(town: Town) -> dict[str, int]:
    """How many letters each order's customer got."""
    with town.house.work() as (tx, _):
        query = select(notices.c.order_number, func.count()).where(notices.c.order_number.is_not(None))
        return {row.order_number: row[1] for row in tx.execute(query.group_by(notices.c.order_number))}


def refunded(town: Town) -> dict[str, list[int]]:
    """The sums that went back by order, as statements say."""
    with town.house.work() as (tx, _):
        query = select(statements.c.order_number, statements.c.payload).where(statements.c.kind == "refunded")
        found: dict[str, list[int]] = {}
        for number, payload in tx.execute(query):
            found.setdefault(number, []).append(payload["amount_minor"])
    return found


def sweep(town: Town, shop: Shop) -> dict[str, int]:
    """A round of the orders and one of the remedies; what the second did."""
    sweep_orders(town.engine, town.house.policy, lambda: town.now, 100)
    return sweep_remedies(shop)


def rules(town: Town, number: str) -> set[str]:
    """The rules whose findings are open."""
    with town.house.work() as (tx, now):
        return {f.rule.id for f in answers.weighing(tx, number, town.house.policy, now)[1].findings}


def refused(code: str) -> pytest.RaisesExc[Refusal]:
    """Expects a refusal with this code."""
    return pytest.raises(Refusal, check=lambda refusal: refusal.code == code)
