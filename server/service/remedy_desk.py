"""What waits on people's desks: the remedies to grant, the ledger to pay from, and what a customer may take unasked."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime
from typing import Final

from sqlalchemy import Connection

from server.rules.authority import Role
from server.rules.facts import Source, StatementKind
from server.rules.policy import Policy
from server.rules.remedy_runs import FOR_MANY
from server.service import answers
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
OWED: Final = ("R-03", "R-21")


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
    entry = house_ports.pay(tx, key, who.email, now)
    if entry is None:
        raise refuse("payment_unknown", reference=key)
    remedy = store.by_key(tx, key)
    if remedy is not None and remedy.state == "booked":
        store.change(tx, remedy.no, due_at=now)
    audit.add(tx, Entry(now, who.email, "refund_paid", f"order:{entry.order_number}", {"key": key}, who.account_no))
    return entry


# --- The customer ----------------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class CustomersRemedies:
    """What the customer may take without asking anybody, and what is on its way to them, in words."""

    refund_owed: bool
    asked: bool
    under_way: tuple[str, ...]


def for_customer(tx: Connection, number: str, policy: Policy, now: datetime) -> CustomersRemedies:
    """The remedies of an order as its customer reads them. Refusals: order_unknown."""
    facts, weighed = answers.weighing(tx, number, policy, now)
    owed = any(finding.rule.id in OWED for finding in weighed.findings)
    asked = any(s.kind is StatementKind.REFUND_REQUESTED for s in facts.statements)
    words = [_UNDER_WAY[each.state] for each in store.of_order(tx, number) if each.state in _UNDER_WAY]
    return CustomersRemedies(owed, asked, tuple(dict.fromkeys(words)))


_UNDER_WAY: Final = {
    "granted": "A remedy for your order is granted; you will get a letter when it is done.",
    "booked": "Your refund is booked; you will get a letter when it is paid.",
}


def ask_refund(tx: Connection, number: str, who: Caller | None, policy: Policy, now: datetime) -> bool:
    """The customer takes the refund that is owed: one click, nothing to explain. False if they asked before.

    Refusals: order_unknown, refund_not_owed.
    """
    if not orders.lock(tx, number):
        raise refuse("order_unknown", number=number, reference=number)
    theirs = for_customer(tx, number, policy, now)
    if theirs.asked:
        return False
    if not theirs.refund_owed:
        raise refuse("refund_not_owed", reference=number)
    said = Said("customer:refund", StatementKind.REFUND_REQUESTED, now, "customer", Source.CUSTOMER, at=now, via="page")
    state(tx, number, [said], Role.OWNER, now)
    by = who.email if who else "customer"
    audit.add(tx, Entry(now, by, "refund_requested", f"order:{number}", None, who.account_no if who else None))
    return True
