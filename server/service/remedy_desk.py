"""What waits on people's desks: the remedies to grant, the ledger to pay from, and what a customer may take unasked."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Final

from sqlalchemy import Connection

from server.rules.authority import Role
from server.rules.case import lay_out
from server.rules.facts import Source, StatementKind
from server.rules.findings.r21_refund_deflected import asked_at
from server.rules.moment import Moment
from server.rules.policy import Policy
from server.rules.remedies import refund_owed
from server.rules.remedy_runs import FOR_MANY
from server.service import answers
from server.service.answers import Looked
from server.service.caller import Caller
from server.service.orders import Said, state
from server.service.refusals import refuse
from server.service.remedy_runs import newest as newest_runs
from server.store import audit, cohorts, house_ports, orders
from server.store import remedies as store
from server.store.audit import Entry
from server.store.cohorts import StoredCohort
from server.store.house_ports import LedgerEntry
from server.store.remedies import StoredRemedy
from server.store.remedy_runs import StoredRun

LISTED_MAX: Final = 200
PAYING: Final = (Role.SUPERVISOR, Role.FINANCE)
"""Who pays from the house's ledger."""


@dataclass(frozen=True, slots=True)
class Desk:
    """Everything that waits for a person. `remedies`: not settled, the oldest first; `cohorts`: those that live."""

    remedies: tuple[StoredRemedy, ...]
    payments: tuple[LedgerEntry, ...]
    runs: tuple[StoredRun, ...]
    cohorts: tuple[StoredCohort, ...]
    for_many: tuple[str, ...] = tuple(str(action) for action in FOR_MANY)


def desk(tx: Connection) -> Desk:
    """What waits."""
    return Desk(
        store.open_ones(tx, LISTED_MAX), house_ports.unpaid(tx, LISTED_MAX), newest_runs(tx), cohorts.living(tx)
    )


def mark_paid(tx: Connection, who: Caller, key: str, now: datetime) -> LedgerEntry:
    """Somebody paid an entry of the ledger; its remedy is settled at the next round.

    Refusals: remedy_not_yours, payment_unknown.
    """
    if who.role not in PAYING:
        raise refuse("remedy_not_yours", why=f"{who.role} pays nothing from the ledger.", reference=key)
    counts = house_ports.pay(tx, key, who.email, now)
    entry = house_ports.entry(tx, key)
    if entry is None:
        raise refuse("payment_unknown", reference=key)
    remedy = store.by_key(tx, key)
    if remedy is not None and remedy.state == "booked":
        store.change(tx, remedy.no, due_at=now)
    if counts:
        audit.add(tx, Entry(now, who.email, "refund_paid", f"order:{entry.order_number}", {"key": key}, who.account_no))
    return entry


# --- The customer ----------------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class CustomersRemedies:
    """What the customer may take without asking anybody, and what is on its way to them, in words.

    `asked_at`: since when they ask for their money and nothing answered it; `answer_by`: when that is late.
    """

    refund_owed: bool
    asked_at: datetime | None
    answer_by: datetime | None
    under_way: tuple[str, ...]


def for_customer(tx: Connection, looked: Looked, policy: Policy) -> CustomersRemedies:
    """The remedies of an order as its customer reads them."""
    facts, weighed = looked
    owed = any(refund_owed(finding) for finding in weighed.findings)
    asked = asked_at(lay_out(facts, policy, Moment(weighed.as_of)))
    answer_by = None if asked is None else asked + timedelta(seconds=policy.refund_answer_s)
    words = [_UNDER_WAY[each.state] for each in store.of_order(tx, facts.order.number) if each.state in _UNDER_WAY]
    return CustomersRemedies(owed, asked, answer_by, tuple(dict.fromkeys(words)))


_UNDER_WAY: Final = {
    "granted": "A remedy for your order is granted; you will get a letter when it is done.",
    "booked": "Your refund is booked; you will get a letter when it is paid.",
}


def ask_refund(tx: Connection, number: str, who: Caller | None, policy: Policy, now: datetime) -> bool:
    """The customer takes the refund that is owed: one click, nothing to explain. False if they are asking already.

    Refusals: order_unknown, refund_not_owed.
    """
    if not orders.lock(tx, number):
        raise refuse("order_unknown", number=number, reference=number)
    theirs = for_customer(tx, answers.weighing(tx, number, policy, now), policy)
    if theirs.asked_at is not None:
        return False
    if not theirs.refund_owed:
        raise refuse("refund_not_owed", reference=number)
    key = f"customer:refund:{now.isoformat()}"  # once more after they had let go of it
    said = Said(key, StatementKind.REFUND_REQUESTED, now, "customer", Source.CUSTOMER, at=now, via="page")
    state(tx, number, [said], Role.OWNER, now)
    by = who.email if who else "customer"
    audit.add(tx, Entry(now, by, "refund_requested", f"order:{number}", None, who.account_no if who else None))
    return True
