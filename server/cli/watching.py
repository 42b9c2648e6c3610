"""How the house is, at the command line: whether sightings arrive, and what waits."""

from __future__ import annotations

import typer

from server.cli.common import AsJson, say, show, work
from server.service.ingest_health import ingest_health
from server.store import notices, weighings


def add_to(app: typer.Typer) -> None:
    app.command()(status)


def status(as_json: AsJson = False) -> None:
    """Tell how late sightings arrive, how each ingest worker is, and what waits. Ends with 1 if they are late."""
    with work() as at:
        ingest = ingest_health(at.tx)
        letters, due = notices.waiting(at.tx), weighings.how_many_due(at.tx, at.now)
    rows = [
        (each.worker, each.seen_at, round(each.lag_s), each.waiting, "yes" if each.connected else "no", each.stored)
        for each in ingest.workers
    ]
    show(("worker", "seen", "lag s", "in hand", "broker", "stored since its start"), rows, as_json)
    say(f"{ingest.sentence} {ingest.do}".rstrip())
    say(f"Messages to people that wait: {letters.count}. Orders to be looked at again: {due}.")
    if not ingest.well:
        raise typer.Exit(1)
