"""Files that staff import: the list, a form to upload one (with a dry run), and what each row came to."""

from __future__ import annotations

from fastapi import APIRouter, Request
from fastapi.responses import Response

from server.service import imports, viewing
from server.service.imports import KINDS, File
from server.service.refusals import refuse
from server.web.api.imports import ImportInPath, importing
from server.web.auth import Staff
from server.web.deps import Address, Rates, TheHouse
from server.web.pages.render import FormWithFile, go, page

router = APIRouter(prefix="/s/imports", include_in_schema=False)
# More of them are read in the result file.
SHOWN_MAX = 500


@router.get("")
def every(request: Request, house: TheHouse, _: Staff) -> Response:
    """The form, and the imports that were begun last."""
    with house.work() as (tx, _now):
        newest = imports.newest(tx)
    return page(request, "imports.html", imports=newest, kinds=KINDS)


@router.post("")
def upload(
    request: Request, house: TheHouse, rates: Rates, address: Address, who: Staff, form: FormWithFile
) -> Response:
    """Import the file, or say what would be done."""
    if form.content is None:
        raise refuse("bad_request", detail="no file was chosen")
    rates.take("import", address)
    zone, dry_run = form.fields.get("zone", "")[:64], bool(form.fields.get("dry_run"))
    file = File(form.fields.get("kind", ""), form.file_name, form.content, zone)
    done = imports.run(house.engine, house.clock, file, importing(house, who, zone), dry_run=dry_run)
    if not dry_run:
        return go(f"/s/imports/{done.import_id}", "Imported.")
    return page(request, "import.html", report=done, shown_max=SHOWN_MAX)


@router.get("/{import_id}")
def one(request: Request, import_id: ImportInPath, house: TheHouse, who: Staff) -> Response:
    with house.work() as (tx, now):
        viewing.note(tx, who, f"import:{import_id}", now)
        done = imports.report(tx, import_id)
    return page(request, "import.html", report=done, shown_max=SHOWN_MAX)
