"""Runs of one remedy over many orders: preview, approve, take back, see how far they are."""

from __future__ import annotations

from typing import Annotated

from fastapi import APIRouter, Path
from pydantic import Field

from server.rules.authority import Action
from server.service import remedy_runs, viewing
from server.service.remedy_runs import ORDERS_MAX, RunAnswer, RunAsk
from server.store.remedy_runs import StoredRun
from server.web.api.models import Body, OrderNumber, example, refusals
from server.web.auth import Granting, Staff
from server.web.deps import Rates, TheHouse

router = APIRouter(prefix="/remedy-runs", tags=["remedies"])
RunNo = Annotated[int, Path(ge=1, le=2**31 - 1, examples=[3])]
_STAFF = ("sign_in_needed", "not_yours")


class RunIn(Body):
    """Which remedy for which orders: named ones, a cohort's, or those for which a rule's finding is open."""

    model_config = example(
        key="lettering-november",
        action="full_refund",
        cause="The lettering machine was broken.",
        customer_text="The lettering of your tag failed. Your money goes back; you need not do anything.",
        orders=["T-1001", "T-1002"],
    )

    key: Annotated[str, Field(min_length=1, max_length=128, examples=["wrong-day-2026-11-21"])]
    action: Annotated[Action, Field(examples=["full_refund"])]
    cause: Annotated[str, Field(min_length=1, max_length=500, examples=["We printed the wrong day"])]
    customer_text: Annotated[
        str, Field(min_length=1, max_length=2000, examples=["We printed the wrong day; your fee is paid back."])
    ]
    orders: Annotated[
        list[OrderNumber], Field(max_length=ORDERS_MAX, examples=[["T-1001", "T-1002"]], default_factory=list)
    ]
    cohort: Annotated[int | None, Field(ge=1, le=2**31 - 1)] = None
    rule: Annotated[str, Field(max_length=8, pattern=r"^(R-\d\d)?$", examples=["R-03"])] = ""


@router.post(
    "",
    status_code=201,
    responses=refusals(
        *_STAFF,
        "run_action",
        "run_orders",
        "run_conflict",
        "cohort_unknown",
        "order_unknown",
        "message_stopped",
        "too_many",
    ),
)
def preview(body: RunIn, house: TheHouse, rates: Rates, who: Granting) -> RunAnswer:
    """Who would get how much, who would not and why. Nothing is done; the same key is one run."""
    rates.take("run_preview", f"account {who.account_no}")
    ask = RunAsk(
        body.key, body.action, body.cause, body.customer_text, tuple(body.orders), body.cohort, body.rule
    )  # fmt: skip
    with house.work() as (tx, now):
        return remedy_runs.preview(tx, who, ask, house.policy, now)


@router.get("/{no}", responses=refusals(*_STAFF, "run_unknown"))
def run(no: RunNo, house: TheHouse, who: Staff) -> RunAnswer:
    """A run with its orders and how far it is."""
    with house.work() as (tx, now):
        viewing.note(tx, who, f"run:{no}", now)
        return remedy_runs.answer(tx, who.role, no, house.policy)


_ONE = (*_STAFF, "run_unknown", "remedy_not_yours", "run_settled")


@router.post("/{no}/approve", responses=refusals(*_ONE, "second_person", "second_look_early"))
def approve(no: RunNo, house: TheHouse, who: Granting) -> StoredRun:
    """Let it run when its undo window is over; above the limit somebody other than who made it."""
    with house.work() as (tx, now):
        return remedy_runs.approve(tx, who, no, house.policy, now)


@router.post("/{no}/withdraw", responses=refusals(*_ONE))
def withdraw(no: RunNo, house: TheHouse, who: Granting) -> StoredRun:
    """Take a run back before its undo window is over."""
    with house.work() as (tx, now):
        return remedy_runs.withdraw(tx, who, no, house.policy, now)
