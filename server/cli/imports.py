"""Importing files at the command line: orders and shipments, with progress, a dry run and a result file."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeRemainingColumn

from server import wiring
from server.cli.common import ACTOR, database, err, read_file, say
from server.refusal import Kind, Refusal, invalid
from server.service import imports
from server.service.import_kind import Importing
from server.service.imports import FILE_MAX_HERE, ROWS_MAX_HERE, Report
from server.store.db import transaction

_SHOWN_MAX = 20
Csv = Annotated[Path, typer.Argument(help="CSV or tab-separated file; docs/intake.md lists its columns.")]
DryRun = Annotated[bool, typer.Option("--dry-run", help="Say what would be done, and keep nothing.")]
Result = Annotated[Path | None, typer.Option("--result", help="Where to write what each row came to (CSV).")]
Zone = Annotated[str, typer.Option("--zone", help="Zone of times that name none, such as America/New_York.")]


def add_to(app: typer.Typer) -> None:
    chapter = typer.Typer(no_args_is_help=True, help="Files: orders, shipments.")
    for command in (orders, shipments):
        chapter.command()(command)
    app.add_typer(chapter, name="import")


def orders(file: Csv, dry_run: DryRun = False, result: Result = None, zone: Zone = "") -> None:
    """Import orders row by row. Rows that are refused are named with their line (exit code 1)."""
    _run("orders", file, dry_run, result, zone)


def shipments(file: Csv, dry_run: DryRun = False, result: Result = None, zone: Zone = "") -> None:
    """Import shipments (Amazon's confirm-shipment columns, leg, serials). Refused rows are named (exit code 1)."""
    _run("shipments", file, dry_run, result, zone)


def _run(kind: str, path: Path, dry_run: bool, result: Path | None, zone: str) -> None:
    given = imports.File(kind, path.name, read_file(path, FILE_MAX_HERE), zone)
    columns = (TextColumn("rows"), BarColumn(), MofNCompleteColumn(), TimeRemainingColumn())
    seen = [0, 0]
    with database() as (engine, told), Progress(*columns, console=err, transient=True) as bar:
        with transaction(engine) as tx:
            of = Importing(ACTOR, None, zone, wiring.vault(told, tx))
        task = bar.add_task("rows", total=None)

        def progress(done: int, total: int) -> None:
            seen[:] = done, total
            bar.update(task, completed=done, total=total)

        try:
            report = imports.run(
                engine, wiring.clock, given, of, dry_run=dry_run, rows_max=ROWS_MAX_HERE, progress=progress
            )
        except KeyboardInterrupt:
            raise Refusal(
                Kind.LATER, "interrupted", f"Interrupted after {seen[0]} of {seen[1]} rows, which are kept.",
                "Run the same command again: it goes on from there.",
            ) from None  # fmt: skip
    _tell(report)
    if result is not None:
        try:
            result.write_text(imports.result_file(report.results), encoding="utf-8", newline="")
        except OSError as error:
            raise invalid(
                "file_unwritable", f"{result} cannot be written: {error.strerror}.", "Name another."
            ) from None
    if report.counts["refused"]:
        raise typer.Exit(1)


def _tell(report: Report) -> None:
    refused = [row for row in report.results if row.outcome == "refused"]
    for row in refused[:_SHOWN_MAX]:
        print(f"row {row.row}: {row.code}: {row.sentence}")
    if len(refused) > _SHOWN_MAX:
        print(f"… and {len(refused) - _SHOWN_MAX} more; --result FILE has them all")
    if report.ignored:
        say(f"Columns that were not read: {', '.join(report.ignored)}")
    would = "would be " if report.dry_run else ""
    counts = report.counts
    print(f"{counts['added']} {would}added, {counts['known']} known, {counts['refused']} {would}refused")
    if not report.dry_run:
        say(f"Import {report.import_id}")
