"""What is kept of what was heard, and for how long: looked at and put in force at the command line."""

from __future__ import annotations

import time
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import timedelta
from typing import Annotated

import typer
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeElapsedColumn
from sqlalchemy import Connection

from server import wiring
from server.cli.common import AsJson, database, err, say, show, work
from server.refusal import Kind, Refusal, conflict
from server.store import partitions, private_pruning, pruning
from server.store.locking import BusyError
from server.store.partitions import Partition
from server.sweep import housekeeping, private
from server.sweep.housekeeping import KeptAlreadyError, Plan, Tell


def add_to(app: typer.Typer) -> None:
    retention = typer.Typer(no_args_is_help=True, help="What is kept of what was heard: run, show.")
    retention.command()(run)
    retention.command("show")(show_partitions)
    app.add_typer(retention, name="retention")


def run(
    dry_run: Annotated[bool, typer.Option("--dry-run", help="Say what would go, and change nothing.")] = False,
    as_json: AsJson = False,
) -> None:
    """Remove what is older than HEARSIGHT_RETENTION_DAYS for good, and merge old days into months.

    Sealed reports of private tags go after HEARSIGHT_PRIVATE_REPORTS_DAYS.

    The server does the same every hour. It may be interrupted (Ctrl-C): the next run goes on where this one ended.
    """
    if dry_run:
        _tell_plan(as_json)
        return
    with database() as (engine, told), _refusals(), _progress() as tell:
        retention = timedelta(days=told.retention_days)
        reports = timedelta(days=told.private_reports_days)
        done = housekeeping.keep_house(engine, retention, wiring.clock(), time.sleep, tell, reports_kept=reports)
    show(("what", "count"), list(done.items()), as_json)


def show_partitions(as_json: AsJson = False) -> None:
    """List the partitions of the sightings with their rows (about) and bytes, index included."""
    with work() as at:
        rows = [
            (part.name, str(part.first), str(part.until), *pruning.size(at.tx, part))
            for part in partitions.every(at.tx)
        ]
    show(("partition", "from", "until", "rows", "bytes"), rows, as_json)


def _tell_plan(as_json: bool) -> None:
    with work() as at:
        todo = housekeeping.plan(at.tx, timedelta(days=at.settings.retention_days), at.now)
        rows: list[tuple[object, ...]] = [_row(at.tx, "drop", part, "all of it") for part in todo.drop]
        rows += [_row(at.tx, "erase", part, f"heard before {todo.horizon:%Y-%m-%d}") for part in todo.erase]
        rows += [_row(at.tx, "merge", part, "nothing goes") for part in _days_to_merge(at.tx, todo)]
        batches = pruning.old_batches(at.tx, todo.ledger_before)
        reports_before = private.reports_before(timedelta(days=at.settings.private_reports_days), at.now)
        reports = private_pruning.old_reports(at.tx, reports_before)
    rows.append(("remove", "batches", f"received before {todo.ledger_before:%Y-%m-%d %H:%M:%SZ}", batches, None))
    rows.append(("remove", "sealed_reports", f"received before {reports_before:%Y-%m-%d %H:%M:%SZ}", reports, None))
    show(("do", "table", "what", "rows", "bytes"), rows, as_json)
    if not as_json:
        say("Nothing was changed. Of a table to be erased all rows are counted, gone or not.")


def _days_to_merge(tx: Connection, todo: Plan) -> list[Partition]:
    there = [part for part in partitions.every(tx) if part not in todo.drop]
    return [part for whole in todo.merge for part in there if whole.holds(part.first) and not part.is_month]


def _row(tx: Connection, do: str, part: Partition, what: str) -> tuple[object, ...]:
    return (do, part.name, what, *pruning.size(tx, part))


@contextmanager
def _progress() -> Iterator[Tell]:
    """One bar for each kind of work, on standard error."""
    columns = (TextColumn("{task.description}"), BarColumn(), MofNCompleteColumn(), TimeElapsedColumn())
    with Progress(*columns, console=err, transient=True) as bars:
        tasks = {}

        def tell(what: str, done: int, total: int) -> None:
            if what not in tasks:
                tasks[what] = bars.add_task(what)
            bars.update(tasks[what], completed=done, total=total)

        yield tell


@contextmanager
def _refusals() -> Iterator[None]:
    try:
        yield
    except KeptAlreadyError:
        raise conflict(
            "retention_runs",
            "The server, or somebody else, is doing this at this moment.",
            "Try again in a few minutes.",
        ) from None
    except BusyError:
        raise Refusal(
            Kind.LATER, "sightings_busy", "Somebody reads the sightings for long; no partition can be exchanged.",
            "Wait for the backup or report that is under way, and run it again. What was done until then is done.",
        ) from None  # fmt: skip
