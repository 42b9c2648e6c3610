"""Support's lists: open findings, promises by when they fall due, and who looked at what and changed it."""

from __future__ import annotations

from typing import Annotated

from fastapi import APIRouter, Query, Request
from fastapi.responses import Response

from server.rules.findings.finding import Severity
from server.rules.findings.registry import CATALOGUE, FINDERS
from server.service import desk_lists, viewing
from server.service.desk_lists import When
from server.service.refusals import refuse
from server.web.api.support import Auditor
from server.web.auth import Staff
from server.web.deps import TheHouse
from server.web.pages.render import page

router = APIRouter(prefix="/s", include_in_schema=False)
After = Annotated[str, Query(max_length=80)]


@router.get("/findings")
def findings(
    request: Request, house: TheHouse, who: Staff, rule: str = "", severity: str = "", after: After = ""
) -> Response:
    """Open findings of every order, the worst and oldest first."""
    if severity not in ("", *Severity):
        raise refuse("bad_request", detail="severity: there is no such severity")
    with house.work() as (tx, now):
        viewing.note(tx, who, "findings", now)
        found = desk_lists.findings(tx, rule or None, Severity(severity) if severity else None, after or None)
    rules = [CATALOGUE[each] for each in FINDERS]
    return page(request, "findings.html", found=found, rule=rule, severity=severity, rules=rules, severities=Severity)


@router.get("/promises")
def promises(request: Request, house: TheHouse, who: Staff, when: When = When.OVERDUE, after: After = "") -> Response:
    """Promises that nothing has met yet, the first due first."""
    with house.work() as (tx, now):
        viewing.note(tx, who, "promises", now)
        found = desk_lists.promises(tx, when, who.zone, after or None, now)
    return page(request, "promises.html", found=found, when=when, every=tuple(When))


@router.get("/audit")
def audit(
    request: Request,
    house: TheHouse,
    _: Auditor,
    subject: str = "",
    before: Annotated[int | None, Query(ge=1, le=2**53)] = None,
) -> Response:
    """Who looked at a thing, and who changed it, newest first."""
    asked = "".join(letter for letter in subject if letter.isprintable()).strip()[:200]
    with house.work() as (tx, _now):
        entries = viewing.of_subject(tx, asked, before) if asked else ()
    more = entries[-1].no if len(entries) == viewing.PAGE_ROWS else None
    return page(request, "audit.html", subject=asked, entries=entries, more=more)
