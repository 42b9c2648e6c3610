"""Importing a file: row by row, in small transactions, so that it can be interrupted and goes on where it stood.

The same file (kind, zone and every byte) is the same import. A row that was added or known is not looked at again; one
that was refused is, because what it lacked may be there now. A dry run does all of it and keeps nothing.
"""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Final

from sqlalchemy import Connection, Engine

from server.refusal import Refusal
from server.service import import_orders, import_shipments, sheets
from server.service.import_kind import Importing, ImportKind
from server.service.refusals import refuse
from server.service.sheets import Row
from server.service.zones import check_zone
from server.store import audit, imports
from server.store.audit import Entry
from server.store.db import transaction
from server.store.imports import RowResult, StoredImport

KINDS: Final[Mapping[str, ImportKind]] = {
    kind.name: kind
    for kind in (
        ImportKind("orders", import_orders.COLUMNS, import_orders.groups, import_orders.take, "recorded"),
        ImportKind("shipments", import_shipments.COLUMNS, import_shipments.groups, import_shipments.take, "stated"),
    )
}
# Through a browser or the API, in one request: half a minute of work. The command line takes more.
ROWS_MAX: Final = 5_000
ROWS_MAX_HERE: Final = 200_000
FILE_MAX_HERE: Final = 64 * 1024 * 1024
# Rows in one transaction: what an interruption makes us do again, and how long others wait for these orders.
AT_ONCE: Final = 50
HEADER: Final = ("row", "order-id", "outcome", "code", "sentence")


@dataclass(frozen=True, slots=True)
class File:
    """A file to be imported. `zone` is that of times that name none; empty: none was named."""

    kind: str
    name: str
    content: bytes
    zone: str = ""


@dataclass(frozen=True, slots=True)
class Report:
    """What an import came to, or (`dry_run`) would come to. `results` of the rows in order of the file, as far as
    asked for; `counts` of all of them; `ignored`: columns that we do not know.
    """

    import_id: str
    kind: str
    file_name: str
    zone: str
    rows: int
    made_by: str
    made_at: datetime
    finished_at: datetime | None
    dry_run: bool
    counts: Mapping[str, int]
    results: tuple[RowResult, ...] = ()
    ignored: tuple[str, ...] = ()


def import_id_of(file: File) -> str:
    """The name of an import: the same file is the same import."""
    head = f"hearsight import v1\n{file.kind}\n{file.zone}\n".encode()
    return hashlib.sha256(head + file.content).hexdigest()[:24]


def run(
    engine: Engine, clock: Callable[[], datetime], file: File, of: Importing, *, dry_run: bool = False,
    rows_max: int = ROWS_MAX, progress: Callable[[int, int], None] = lambda done, total: None,
) -> Report:  # fmt: skip
    """Import a file. `progress` is told how many rows are done, of how many, after each transaction.

    Refusals: import_kind_unknown, zone_unknown, sheet_unreadable, sheet_columns, import_too_long.
    """
    kind = _kind(file.kind)
    if file.zone:
        check_zone(file.zone)
    sheet = sheets.read(file.content, kind.columns, rows_max)
    import_id, made_at = import_id_of(file), clock()
    new = StoredImport(import_id, kind.name, file.name[:200], file.zone, len(sheet.rows), of.actor, made_at)
    if not dry_run:
        with transaction(engine) as tx:
            imports.begin(tx, new)
    results: list[RowResult] = []
    progress(0, len(sheet.rows))
    for portion in _portions(kind.groups(sheet.rows)):
        results += _do(engine, clock, kind, import_id, portion, of, dry_run=dry_run)
        progress(len(results), len(sheet.rows))
    results.sort(key=lambda each: each.row)
    finished_at = clock()
    if not dry_run:
        with transaction(engine) as tx:
            imports.finish(tx, import_id, finished_at)
            detail = {"kind": kind.name, **_count(results)}
            audit.add(tx, Entry(finished_at, of.actor, "imported", f"import:{import_id}", detail, of.account_no))
    return Report(
        import_id, kind.name, new.file_name, file.zone, len(sheet.rows), of.actor, made_at,
        None if dry_run else finished_at, dry_run, _count(results), tuple(results), sheet.ignored,
    )  # fmt: skip


def _kind(name: str) -> ImportKind:
    if name not in KINDS:
        raise refuse("import_kind_unknown", kind=name[:32], kinds=", ".join(KINDS))
    return KINDS[name]


Group = tuple[str, list[Row]]


def _portions(groups: Sequence[Group]) -> Iterator[list[Group]]:
    """Groups in portions of about as many rows as one transaction takes; a group is never divided."""
    portion: list[Group] = []
    for group in groups:
        portion.append(group)
        if sum(len(rows) for _, rows in portion) >= AT_ONCE:
            yield portion
            portion = []
    if portion:
        yield portion


def _do(
    engine: Engine, clock: Callable[[], datetime], kind: ImportKind, import_id: str, portion: Sequence[Group],
    of: Importing, *, dry_run: bool,
) -> list[RowResult]:  # fmt: skip
    with engine.connect() as tx:
        whole = tx.begin()
        if not dry_run:
            imports.hold(tx, import_id)
        portion = sorted(portion, key=lambda group: group[0])  # everybody who holds several orders goes by number
        lines = [row.line for _, rows in portion for row in rows]
        done = imports.settled(tx, import_id, lines)
        results: list[RowResult] = []
        for number, rows in portion:
            if all(row.line in done for row in rows):
                results += [done[row.line] for row in rows]
            else:
                results += _take(tx, kind, import_id, number, rows, of, clock())
        if dry_run:
            whole.rollback()
        else:
            imports.put(tx, import_id, [each for each in results if each.row not in done])
            whole.commit()
    return results


def _take(
    tx: Connection, kind: ImportKind, import_id: str, number: str, rows: Sequence[Row], of: Importing, now: datetime
) -> list[RowResult]:
    shown = "".join(letter for letter in number if letter.isprintable())[:64]
    try:
        with tx.begin_nested():
            new = kind.take(tx, rows, of, now)
            if new:
                entry = Entry(now, of.actor, kind.does, f"order:{number}", {"import": import_id}, of.account_no)
                audit.add(tx, entry)
    except Refusal as refusal:
        sentence = f"{refusal.message} {refusal.do}".strip()
        return [RowResult(row.line, shown, "refused", refusal.code, sentence) for row in rows]
    return [RowResult(row.line, shown, "added" if new else "known") for row in rows]


def _count(results: Sequence[RowResult]) -> dict[str, int]:
    return {word: sum(each.outcome == word for each in results) for word in ("added", "known", "refused")}


# --- looking at imports


def report(tx: Connection, import_id: str, after: int = 0, limit: int = ROWS_MAX) -> Report:
    """An import with the results behind row `after`. Refusals: import_unknown."""
    known = imports.one(tx, import_id)
    if known is None:
        raise refuse("import_unknown")
    return _report(
        known, imports.counts(tx, [import_id]).get(import_id, {}), imports.results(tx, import_id, after, limit)
    )


def newest(tx: Connection, limit: int = 50) -> tuple[Report, ...]:
    """The imports that were begun last, without their rows."""
    known = imports.newest(tx, limit)
    counted = imports.counts(tx, [each.import_id for each in known])
    return tuple(_report(each, counted.get(each.import_id, {}), ()) for each in known)


def result_file(results: Sequence[RowResult]) -> str:
    """The rows' results as CSV, safe to open in a spreadsheet."""
    rows = ((each.row, each.order_number, each.outcome, each.code, each.sentence) for each in results)
    return sheets.write(HEADER, rows)


def _report(known: StoredImport, counted: Mapping[str, int], results: tuple[RowResult, ...]) -> Report:
    counts = {word: counted.get(word, 0) for word in ("added", "known", "refused")}
    return Report(
        known.import_id, known.kind, known.file_name, known.zone, known.rows, known.made_by, known.made_at,
        known.finished_at, False, counts, results,
    )  # fmt: skip
