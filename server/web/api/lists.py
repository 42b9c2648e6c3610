"""What support works through: open findings and promises of every order, a page at a time."""

from __future__ import annotations

from typing import Annotated

from fastapi import APIRouter, Query
from pydantic import Field

from server.rules.findings.finding import Severity
from server.service import desk_lists, viewing
from server.service.desk_lists import FindingsPage, PromisesPage, When
from server.web.api.models import refusals
from server.web.auth import Staff
from server.web.deps import TheHouse

router = APIRouter(tags=["support"])
_STAFF = ("sign_in_needed", "not_yours", "bad_request")
RuleId = Annotated[str, Field(pattern="^R-[0-9]{2}$", examples=["R-17"])]
After = Annotated[
    str, Field(max_length=80, description="`next` of the page before.", examples=["3,2026-11-20T12:00:00+00:00,17"])
]


@router.get("/findings", responses=refusals(*_STAFF))
def findings(
    house: TheHouse,
    who: Staff,
    rule: Annotated[RuleId | None, Query()] = None,
    severity: Annotated[Severity | None, Query()] = None,
    after: Annotated[After | None, Query()] = None,
) -> FindingsPage:
    """Open findings of every order, the worst and oldest first, fifty at a time."""
    with house.work() as (tx, now):
        viewing.note(tx, who, "findings", now)
        return desk_lists.findings(tx, rule, severity, after)


@router.get("/promises", responses=refusals(*_STAFF))
def promises(
    house: TheHouse,
    who: Staff,
    when: Annotated[When, Query(description="The day ends at midnight in the caller's zone.")] = When.OVERDUE,
    after: Annotated[After | None, Query()] = None,
) -> PromisesPage:
    """Promises that nothing has met yet, the first due first, fifty at a time. They close themselves on evidence."""
    with house.work() as (tx, now):
        viewing.note(tx, who, "promises", now)
        return desk_lists.promises(tx, when, who.zone, after, now)
