"""Remedies: what can be done about an order and why, asking, granting, taking back, and the ledger to pay from."""

from __future__ import annotations

from typing import Annotated

from fastapi import APIRouter, Depends, Path
from pydantic import Field

from server.rules.authority import Action
from server.service import answers, remedies, remedy_desk, viewing
from server.service.caller import Caller
from server.service.ports import house_ports_of
from server.service.remedies import Ask, Offered
from server.service.remedy_desk import PAYING, CustomersRemedies, Desk
from server.store.house_ports import LedgerEntry
from server.store.remedies import StoredRemedy
from server.web.api.models import Body, Done, Line, NumberInPath, example, refusals
from server.web.auth import Customer, CustomerAlone, Granting, Staff, only
from server.web.deps import Address, Rates, TheHouse

router = APIRouter(tags=["remedies"])
Paying = Annotated[Caller, Depends(only(*PAYING))]
RemedyNo = Annotated[int, Path(ge=1, le=2**62, examples=[17])]
Key = Annotated[str, Field(max_length=128)]
_STAFF = ("sign_in_needed", "not_yours")


class RemedyIn(Body):
    """What is to be done. Without `slots`, every unit for which it may be had; asked for twice it is one remedy.

    `amount_minor` only where the payments do not say how much it is. `grant`: grant it at once if your role may.
    """

    model_config = example(
        action="express_reship",
        reason="It lies on our shelf.",
        slots=[1],
    )

    action: Annotated[Action, Field(examples=["express_reship"])]
    reason: Annotated[str, Field(max_length=500, examples=["Never left the shelf"])] = ""
    slots: Annotated[
        list[Annotated[int, Field(ge=1, le=5000)]], Field(max_length=100, examples=[[1]], default_factory=list)
    ]
    amount_minor: Annotated[int | None, Field(ge=1, le=100_000_000, examples=[1600])] = None
    key: Annotated[Key, Field(examples=["call-4711"])] = ""
    although_slow: Annotated[bool, Field(description="Buy the label although it is no faster; needs a reason.")] = False
    grant: Annotated[bool, Field(description="Grant it as well, if your role may.")] = True


class WithdrawIn(Body):
    """Why it is taken back."""

    model_config = example(
        reason="The parcel was found.",
    )

    reason: Annotated[str, Field(max_length=500, examples=["The parcel was found"])] = ""


class PaidIn(Body):
    """Which entry of the ledger was paid."""

    model_config = example(
        key="T-1001:full_refund:all:1",
    )

    key: Annotated[Line, Field(min_length=1, examples=["T-1001:full_refund:all:1"])]


@router.get("/orders/{number}/remedies", responses=refusals(*_STAFF, "order_unknown"))
def offered(number: NumberInPath, house: TheHouse, who: Staff) -> Offered:
    """Every remedy for an order, whether it can be had and why, and what was asked for already."""
    with house.work() as (tx, now):
        viewing.note(tx, who, f"order:{number}", now)
        looked = answers.weighing(tx, number, house.policy, now)
        return remedies.offered(tx, looked, who.role, house.policy)


@router.post(
    "/orders/{number}/remedies",
    status_code=201,
    responses=refusals(
        *_STAFF,
        "order_unknown",
        "remedy_not_yours",
        "remedy_not_eligible",
        "remedy_reason",
        "remedy_amount",
        "remedy_conflict",
        "replacement_no_faster",
        "second_person",
        "second_look_early",
        "port_failed",
    ),
)
def ask(number: NumberInPath, body: RemedyIn, house: TheHouse, who: Granting) -> StoredRemedy:
    """Ask for a remedy, and grant it if the role may; else it waits for somebody who may."""
    wanted = Ask(body.action, body.reason, tuple(body.slots), body.amount_minor, body.key, body.although_slow)
    with house.work() as (tx, now):
        ports = house_ports_of(house.engine, house.settings)
        return remedies.take(tx, who, number, wanted, ports, house.policy, now, grant_it=body.grant)


@router.get("/remedies", responses=refusals(*_STAFF))
def desk(house: TheHouse, who: Staff) -> Desk:
    """What waits for people: remedies that are not settled, the ledger, runs, living cohorts."""
    with house.work() as (tx, now):
        viewing.note(tx, who, "remedies", now)
        return remedy_desk.desk(tx)


_ONE = (*_STAFF, "remedy_unknown", "remedy_not_yours")


@router.post(
    "/remedies/{no}/grant", responses=refusals(*_ONE, "remedy_settled", "second_person", "second_look_early")
)  # fmt: skip
def grant(no: RemedyNo, house: TheHouse, who: Granting) -> StoredRemedy:
    """Agree to a remedy; where two people must, it is granted with the second one."""
    with house.work() as (tx, now):
        return remedies.grant(tx, who, no, house.policy, now)


@router.post("/remedies/{no}/withdraw", responses=refusals(*_ONE, "remedy_too_late"))
def withdraw(no: RemedyNo, body: WithdrawIn, house: TheHouse, who: Granting) -> StoredRemedy:
    """Take a remedy back, until it is tried for the first time."""
    with house.work() as (tx, now):
        return remedies.withdraw(tx, who, no, body.reason, now)


@router.post("/remedies/{no}/retry", responses=refusals(*_ONE, "remedy_settled"))
def retry(no: RemedyNo, house: TheHouse, who: Granting) -> StoredRemedy:
    """Try a failed remedy again; its key makes that safe."""
    with house.work() as (tx, now):
        return remedies.retry(tx, who, no, now)


@router.post("/remedies/paid", responses=refusals(*_STAFF, "remedy_not_yours", "payment_unknown"))
def paid(body: PaidIn, house: TheHouse, who: Paying) -> LedgerEntry:
    """Somebody paid an entry of the house's ledger by hand."""
    with house.work() as (tx, now):
        return remedy_desk.mark_paid(tx, who, body.key, now)


# --- The customer --------------------------------------------------------------------------------------------


@router.get("/orders/{number}/customer/remedies", responses=refusals("sign_in_needed", "view_ended", "order_unknown"))
def for_customer(number: NumberInPath, house: TheHouse, reader: Customer) -> CustomersRemedies:
    """What the customer may take without asking anybody, and what is on its way."""
    with house.work() as (tx, now):
        if reader.who is not None:
            viewing.note(tx, reader.who, f"order:{number}", now)
        return remedy_desk.for_customer(tx, answers.weighing(tx, number, house.policy, now), house.policy)


@router.post(
    "/orders/{number}/customer/refund",
    responses=refusals("sign_in_needed", "not_yours", "view_ended", "order_unknown", "refund_not_owed", "too_many"),
)
def ask_refund(number: NumberInPath, house: TheHouse, rates: Rates, address: Address, reader: CustomerAlone) -> Done:
    """The customer asks for the refund that is owed; asked twice is asked once."""
    rates.take("refund_ask", address)
    with house.work() as (tx, now):
        remedy_desk.ask_refund(tx, number, reader.who, house.policy, now)
    return Done()
