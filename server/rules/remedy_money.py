"""What was paid for an order and what of it went back: no remedy gives more than is left."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime

from server.rules.case import standing_at
from server.rules.facts import Order, OrderFacts, StatementKind
from server.rules.moment import Moment
from server.rules.payloads import Payment


@dataclass(frozen=True, slots=True)
class Money:
    """Minor units (cents). `left_minor`: paid, less what is back or on its way back. `fee_minor`: what was paid for the
    service alone, 0 if the payments do not say; `fee_back`: it went back already. `mixed`: several currencies.
    """

    paid_minor: int
    left_minor: int
    fee_minor: int
    fee_back: bool
    currency: str
    mixed: bool

    def share(self, slots: Sequence[int], order: Order) -> int:
        """The units' equal share of the goods, at most what is left; 0 if the lines may differ in price."""
        if len(order.lines) != 1 or not slots:
            return 0
        goods = self.paid_minor - self.fee_minor
        return min(goods * len(slots) // len(order.slots), self.left_minor)

    def said(self, amount_minor: int) -> str:
        """An amount in words, such as 37.78 USD."""
        return amount_words(amount_minor, self.currency)


def amount_words(amount_minor: int, currency: str) -> str:
    """An amount of money for people. Currencies here have two decimals."""
    return f"{amount_minor / 100:.2f} {currency}".rstrip()


def money_of(facts: OrderFacts, now: datetime, under_way_minor: int) -> Money:
    """The order's money by what stood at `now`; `under_way_minor` is asked for and not back yet."""
    known, _ = standing_at(facts, Moment(now))
    came = [s.payload for s in known if s.kind is StatementKind.PAYMENT and isinstance(s.payload, Payment)]
    back = [s.payload for s in known if s.kind is StatementKind.REFUNDED and isinstance(s.payload, Payment)]
    paid, returned = sum(p.amount_minor for p in came), sum(p.amount_minor for p in back)
    # One payment of all names the service too: only a payment beside it is the fee alone.
    apart = any(not p.service for p in came)
    return Money(
        paid_minor=paid,
        left_minor=max(0, paid - returned - under_way_minor),
        fee_minor=sum(p.amount_minor for p in came if p.service) if apart else 0,
        fee_back=any(p.service for p in back),
        currency=next((p.currency for p in came), ""),
        mixed=len({p.currency for p in (*came, *back)}) > 1,
    )
