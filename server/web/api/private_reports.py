"""Sealed reports: gateways bring them by their signature, and whoever has a day's token fetches them. No accounts."""

from __future__ import annotations

import base64
from dataclasses import dataclass
from typing import Annotated, Final

import structlog
from fastapi import APIRouter, Request
from fastapi.concurrency import run_in_threadpool
from prometheus_client import Counter
from pydantic import AfterValidator, Field

from server.refusal import Refusal
from server.rules.private_reports import Why
from server.service import private_reports
from server.service.private_reports import Asked, Page, Taken
from server.web.api.models import Body, example, refusals
from server.web.auth import Anybody
from server.web.deps import Address, Rates, TheHouse, body_within
from wire.report_upload import MAX_BYTES
from wire.sealed import REPORT_LEN

router = APIRouter(tags=["private finding"])
log = structlog.get_logger(__name__)
# As many as a share has: nobody looks back further.
MAX_DAYS: Final = 31
REPORTS: Final = Counter(
    "hearsight_private_reports_total", "Sealed reports that gateways brought, by what became of them", ["outcome"]
)
FETCHED: Final = Counter("hearsight_private_reports_fetched_total", "Sealed reports that were fetched")
for _outcome in ("stored", "known", *Why):
    REPORTS.labels(_outcome)
_OCTETS: Final = "application/octet-stream"
_UPLOAD: Final = {"requestBody": {"required": True, "content": {_OCTETS: {"schema": {"format": "binary"}}}}}
Eid = Annotated[str, Field(pattern="^[0-9a-f]{32}$", description="16 bytes, hexadecimal.")]


class DayIn(Body):
    """A day to read: its EID, its token f, and the last report of the page before, if there was one."""

    eid: Eid
    f: Annotated[str, Field(pattern="^[0-9a-f]{32}$", description="The fetch token, hexadecimal.", repr=False)]
    after: Annotated[
        str | None, Field(pattern=f"^[0-9a-f]{{{2 * REPORT_LEN}}}$", description="The last report seen, hexadecimal.")
    ] = None


def _each_once(days: list[DayIn]) -> list[DayIn]:
    if len({day.eid for day in days}) < len(days):
        raise ValueError("each identifier once")
    return days


class FetchIn(Body):
    """Days whose reports somebody wants to read."""

    model_config = example(days=[{"eid": "00" * 16, "f": "11" * 16, "after": None}])

    days: Annotated[list[DayIn], Field(min_length=1, max_length=MAX_DAYS), AfterValidator(_each_once)]


@dataclass(frozen=True, slots=True)
class DayReports:
    """`reports`: base64 of reports of 89 bytes, ascending; `more`: ask again with the last of them as `after`."""

    eid: str
    reports: str
    more: bool


@dataclass(frozen=True, slots=True)
class Fetched:
    """One page of each day, and the identifiers that are not known or whose token is not right; as they were asked."""

    days: tuple[DayReports, ...]
    refused: tuple[str, ...]


@router.post(
    "/reports", responses=refusals("gateway_refused", "too_large", "too_many"), openapi_extra=_UPLOAD
)  # fmt: skip
async def upload(request: Request, house: TheHouse, rates: Rates, address: Address, _: Anybody) -> Taken:
    """Sealed reports, signed by an enrolled gateway; it deletes them whatever became of each (docs/wire-format.md)."""
    payload = await body_within(request, MAX_BYTES)

    def work() -> Taken:
        with house.report_quotas.counting() as counting, house.work() as (tx, now):
            return private_reports.take(tx, house.settings, counting, payload, now)

    try:
        taken = await run_in_threadpool(work)
    except Refusal:
        rates.take("bad_signature", address)
        raise
    REPORTS.labels("stored").inc(taken.stored)
    REPORTS.labels("known").inc(taken.known)
    for why, count in taken.refused.items():
        REPORTS.labels(why).inc(count)
    # Not which gateway: beside the minute of a tag's newest report it would say where that was.
    log.info("private_reports_taken", stored=taken.stored, known=taken.known, refused=sum(taken.refused.values()))
    return taken


@router.post("/reports/fetch", responses=refusals("too_many"))
def fetch(body: FetchIn, house: TheHouse, rates: Rates, address: Address, _: Anybody) -> Fetched:
    """Sealed reports of days, for whoever has their tokens: of each at most 2,000 at a time, ascending."""
    # By days: many in one request are as many guesses, and as much work.
    rates.take("fetch_reports", address, len(body.days))
    asked = [
        Asked(bytes.fromhex(day.eid), bytes.fromhex(day.f), bytes.fromhex(day.after or "")) for day in body.days
    ]  # fmt: skip
    with house.work() as (tx, _now):
        given = private_reports.fetch(tx, asked)
    FETCHED.inc(sum(len(page.reports) for page in given.pages))
    return Fetched(tuple(_told(page) for page in given.pages), tuple(eid.hex() for eid in given.refused))


def _told(page: Page) -> DayReports:
    return DayReports(page.eid.hex(), base64.b64encode(b"".join(page.reports)).decode(), page.more)
