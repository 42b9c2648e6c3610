"""Support: find anything, the life of a tag, and who looked at what. No place of a claimed tag is here."""

from __future__ import annotations

from typing import Annotated

from fastapi import APIRouter, Depends, Query
from pydantic import AfterValidator, Field

from server.rules.authority import Role
from server.service import find as finding
from server.service import tag_life, viewing
from server.service.caller import Caller
from server.service.find import Found, OrderRow
from server.service.tag_life import TagLife
from server.store.audit import Entry
from server.web.api.models import Serial, plain, refusals
from server.web.auth import Staff, only
from server.web.deps import TheHouse

router = APIRouter(tags=["support"])
_STAFF = ("sign_in_needed", "not_yours")
Typed = Annotated[str, Field(min_length=1, max_length=finding.QUERY_MAX), AfterValidator(plain)]
Question = Annotated[Typed, Query(description="Anything.", examples=["T-1001"])]
Subject = Annotated[
    Typed, Query(description="Such as order:T-1001, tag:1099511627 or gateway:dock-1.", examples=["order:T-1001"])
]
Auditor = Annotated[Caller, Depends(only(Role.LEAD, Role.SUPERVISOR, Role.FINANCE, Role.OPERATOR))]


@router.get("/find", responses=refusals(*_STAFF))
def find(q: Question, house: TheHouse, who: Staff) -> Found:
    """Read what was typed in every way that fits: order, tag, QR address, name, e-mail, telephone, number, gateway."""
    with house.work() as (tx, now):
        found = finding.find(tx, q, house.policy, now)
        viewing.note(tx, who, f"find:{found.query}", now)
        return found


@router.get("/support/orders", responses=refusals(*_STAFF))
def newest(house: TheHouse, who: Staff) -> tuple[OrderRow, ...]:
    """The orders placed last, with what the evidence says."""
    with house.work() as (tx, now):
        return finding.newest(tx, house.policy, now)


@router.get("/support/tags/{serial}", responses=refusals(*_STAFF, "tag_unknown"))
def life(serial: Serial, house: TheHouse, who: Staff) -> TagLife:
    """The life of a tag: what it is, where it belongs, heard or not heard, and our own sites."""
    with house.work() as (tx, now):
        viewing.note(tx, who, f"tag:{serial}", now)
        return tag_life.tag_life(tx, serial, house.policy, now)


@router.get("/audit", responses=refusals(*_STAFF))
def audit(
    subject: Subject,
    house: TheHouse,
    _: Auditor,
    before: Annotated[
        int | None, Query(ge=1, le=2**53, description="`no` of the last entry shown.", examples=[4711])
    ] = None,
) -> tuple[Entry, ...]:
    """Who looked at a thing, and who changed it, newest first, a hundred at a time."""
    with house.work() as (tx, _now):
        return viewing.of_subject(tx, subject, before)
