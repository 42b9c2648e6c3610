"""Importing files over HTTP: the same import as at the command line, of as many rows as one request can do."""

from __future__ import annotations

from typing import Annotated, Any

from fastapi import APIRouter, Path, Query, Response
from pydantic import AfterValidator, Field

from server.service import imports, viewing
from server.service.caller import Caller
from server.service.house import House
from server.service.import_kind import Importing
from server.service.imports import File, Report
from server.web.api.models import plain, refusals
from server.web.auth import Staff
from server.web.deps import Address, Rates, Raw, TheHouse

router = APIRouter(prefix="/imports", tags=["intake"])
_STAFF = ("sign_in_needed", "not_yours")
Kind = Annotated[str, Path(pattern=r"^[a-z]{1,32}$", examples=["shipments"])]
ImportInPath = Annotated[str, Path(pattern=r"^[0-9a-f]{24}$", examples=["0123456789abcdef01234567"])]
ZoneOfFile = Annotated[str, Field(max_length=64), AfterValidator(plain)]
FileName = Annotated[str, Field(max_length=200), AfterValidator(plain)]
_CSV: dict[str, Any] = {
    "requestBody": {
        "required": True,
        "content": {"text/csv": {"schema": {"type": "string", "examples": ["order-id,ship-date\nT-1,2026-11-20\n"]}}},
    }
}


def importing(house: House, who: Caller, zone: str) -> Importing:
    """Whose import it is."""
    return Importing(who.email, who.account_no, zone, house.vault)


@router.post(
    "/{kind}",
    status_code=201,
    responses=refusals(
        *_STAFF, "import_kind_unknown", "zone_unknown", "sheet_unreadable", "sheet_columns", "import_too_long",
        "too_large", "too_many",
    ),
    openapi_extra=_CSV,
)  # fmt: skip
def create(
    kind: Kind,
    house: TheHouse,
    rates: Rates,
    address: Address,
    who: Staff,
    content: Raw,
    zone: Annotated[ZoneOfFile, Query(description="Zone of times that name none.")] = "",
    name: Annotated[FileName, Query(description="The file's name, for people.")] = "",
    dry_run: Annotated[bool, Query(description="Say what would be done, and keep nothing.")] = False,
) -> Report:
    """Import a CSV file row by row; the same file again goes on where it was interrupted, and adds nothing twice."""
    rates.take("import", address)
    file = File(kind, name, content, zone)
    return imports.run(house.engine, house.clock, file, importing(house, who, zone), dry_run=dry_run)


@router.get("", responses=refusals(*_STAFF))
def newest(house: TheHouse, _: Staff) -> tuple[Report, ...]:
    """The imports that were begun last, without their rows."""
    with house.work() as (tx, _now):
        return imports.newest(tx)


@router.get("/{import_id}", responses=refusals(*_STAFF, "import_unknown"))
def one(
    import_id: ImportInPath,
    house: TheHouse,
    who: Staff,
    after: Annotated[int, Query(ge=0, le=10_000_000, description="Results of the rows behind this one.")] = 0,
) -> Report:
    """An import with what each row came to, at most 5,000 at a time."""
    with house.work() as (tx, now):
        viewing.note(tx, who, f"import:{import_id}", now)
        return imports.report(tx, import_id, after)


@router.get("/{import_id}/result.csv", response_class=Response, responses=refusals(*_STAFF, "import_unknown"))
def result(import_id: ImportInPath, house: TheHouse, who: Staff) -> Response:
    """What each row came to, as a file for a spreadsheet; no cell of it is taken for a formula."""
    with house.work() as (tx, now):
        viewing.note(tx, who, f"import:{import_id}", now)
        done = imports.report(tx, import_id, limit=imports.ROWS_MAX_HERE)
    headers = {"content-disposition": f'attachment; filename="import-{import_id}.csv"'}
    return Response(imports.result_file(done.results), media_type="text/csv; charset=utf-8", headers=headers)
