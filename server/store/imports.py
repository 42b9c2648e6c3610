"""Imported files: what each row came to. The same file is the same import, and goes on where it was interrupted."""

from __future__ import annotations

from collections.abc import Collection, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any

from sqlalchemy import Connection, Row, func, select, update
from sqlalchemy.dialects.postgresql import insert as upsert

from server.store.tables import import_rows, imports
from server.store.tables.columns import utc


@dataclass(frozen=True, slots=True)
class StoredImport:
    """A file. `finished_at` None: it was interrupted, or is being read."""

    import_id: str
    kind: str
    file_name: str
    zone: str
    rows: int
    made_by: str
    made_at: datetime
    finished_at: datetime | None = None


@dataclass(frozen=True, slots=True)
class RowResult:
    """What a row came to: added, known or refused; `code` and `sentence` say why it was refused."""

    row: int
    order_number: str
    outcome: str
    code: str = ""
    sentence: str = ""


def begin(tx: Connection, new: StoredImport) -> None:
    """Write an import down, unless it is known."""
    row = {name: getattr(new, name) for name in StoredImport.__slots__}
    tx.execute(upsert(imports).values(row).on_conflict_do_nothing())


def hold(tx: Connection, import_id: str) -> None:
    """Nobody else reads rows of this import until the end of the transaction."""
    tx.execute(select(imports.c.import_id).where(imports.c.import_id == import_id).with_for_update())


def put(tx: Connection, import_id: str, results: Sequence[RowResult]) -> None:
    """Keep what rows came to; one that was refused before may come to something now."""
    if not results:
        return
    rows = [{"import_id": import_id, **{name: getattr(each, name) for name in RowResult.__slots__}} for each in results]
    stated = upsert(import_rows).values(rows)
    renew = {name: stated.excluded[name] for name in ("order_number", "outcome", "code", "sentence")}
    refused = import_rows.c.outcome == "refused"
    tx.execute(stated.on_conflict_do_update(index_elements=["import_id", "row"], set_=renew, where=refused))


def finish(tx: Connection, import_id: str, now: datetime) -> None:
    """Every row has come to something."""
    open_one = (imports.c.import_id == import_id) & imports.c.finished_at.is_(None)
    tx.execute(update(imports).where(open_one).values(finished_at=now))


def settled(tx: Connection, import_id: str, lines: Collection[int]) -> dict[int, RowResult]:
    """Of these rows those that came to something and are not looked at again."""
    theirs = (import_rows.c.import_id == import_id) & import_rows.c.row.in_(sorted(lines))
    query = select(import_rows).where(theirs, import_rows.c.outcome != "refused")
    return {row.row: _result(row) for row in tx.execute(query)}


def one(tx: Connection, import_id: str) -> StoredImport | None:
    """An import."""
    row = tx.execute(select(imports).where(imports.c.import_id == import_id)).first()
    return _import(row) if row else None


def newest(tx: Connection, limit: int) -> tuple[StoredImport, ...]:
    """The imports that were begun last."""
    return tuple(_import(row) for row in tx.execute(select(imports).order_by(imports.c.made_at.desc()).limit(limit)))


def counts(tx: Connection, import_ids: Collection[str]) -> dict[str, dict[str, int]]:
    """How many rows came to what, of each import."""
    query = select(import_rows.c.import_id, import_rows.c.outcome, func.count()).where(
        import_rows.c.import_id.in_(sorted(import_ids))
    )
    found: dict[str, dict[str, int]] = {}
    for import_id, outcome, count in tx.execute(query.group_by(import_rows.c.import_id, import_rows.c.outcome)):
        found.setdefault(import_id, {})[outcome] = count
    return found


def results(tx: Connection, import_id: str, after: int, limit: int) -> tuple[RowResult, ...]:
    """What the rows came to, in order of the file, from the one behind `after` on."""
    theirs = (import_rows.c.import_id == import_id) & (import_rows.c.row > after)
    query = select(import_rows).where(theirs).order_by(import_rows.c.row).limit(limit)
    return tuple(_result(row) for row in tx.execute(query))


def _import(row: Row[Any]) -> StoredImport:
    ended = utc(row.finished_at)
    made_at = row.made_at.astimezone(UTC)
    return StoredImport(row.import_id, row.kind, row.file_name, row.zone, row.rows, row.made_by, made_at, ended)


def _result(row: Row[Any]) -> RowResult:
    return RowResult(row.row, row.order_number, row.outcome, row.code, row.sentence)
