"""Refused batches at the command line: how many and why, and another try once the fault is repaired."""

from __future__ import annotations

from collections import Counter
from datetime import timedelta
from typing import Annotated

import structlog
import typer
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeElapsedColumn

from server import wiring
from server.cli.common import AsJson, database, err, say, show, work
from server.ingest.again import Became, Trying
from server.ingest.keyring import Keys
from server.ingest.telling import told
from server.ingest.worker import POISON
from server.store import dead_letters
from server.store.db import transaction
from server.store.partitions import Covered


def add_to(app: typer.Typer) -> None:
    letters = typer.Typer(no_args_is_help=True, help="Batches that were refused and kept whole: list, retry.")
    letters.command("list")(list_piles)
    letters.command()(retry)
    app.add_typer(letters, name="dead-letters")


def list_piles(as_json: AsJson = False) -> None:
    """List the reasons for which batches were refused, with how many and since when."""
    with work() as at:
        rows = [(each.reason, each.letters, each.first_at, each.last_at) for each in dead_letters.piles(at.tx)]
    show(("reason", "batches", "first", "last"), rows, as_json)


def retry(
    reason: Annotated[str, typer.Option(help="Which of them; `list` names the reasons.")] = POISON,
    as_json: AsJson = False,
) -> None:
    """Store refused batches after all, as of when they came: after a fault of ours was repaired.

    It may be interrupted (Ctrl-C) and started again; what cannot be stored stays where it is.
    """
    with database() as (engine, settings):
        with transaction(engine) as tx:
            keys = Keys(wiring.vault(settings, tx), settings.network_id, wiring.clock)
            ring, numbers = keys.load(tx), dead_letters.numbers(tx, reason)
        retention = timedelta(days=settings.retention_days)
        log = structlog.get_logger("dead letters")
        trying = Trying(engine, ring, Covered(engine), retention, [told(settings.base_url)], log)
        counts: Counter[Became] = Counter()
        with _progress() as progress:
            task = progress.add_task(f"refused as {reason}", total=len(numbers))

            def became(_no: int, what: Became) -> None:
                counts[what] += 1
                progress.advance(task)

            trying.again(numbers, became)
    show(("became", "batches"), [(each.value, counts[each]) for each in Became], as_json)
    if counts[Became.REFUSED] and not as_json:
        say("What was refused again stays; the log says why.")


def _progress() -> Progress:
    columns = (TextColumn("{task.description}"), BarColumn(), MofNCompleteColumn(), TimeElapsedColumn())
    return Progress(*columns, console=err, transient=True)
