"""History under another policy: which findings and verdicts of stored orders would be otherwise. Reads only."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass, field
from datetime import UTC, datetime
from typing import Annotated, Any, Final

import typer
from rich.progress import Progress, SpinnerColumn, TextColumn, TimeElapsedColumn
from sqlalchemy import Engine, text

from server import wiring
from server.cli.common import AsJson, answer, database, err, say, show
from server.rules.policy import PROFILES, Policy
from server.service import recompute as service
from server.service.recompute import Recomputed
from server.store import orders
from server.store.db import transaction

COLUMNS: Final = ("order", "change", "what", "unit", "subject", "before", "after")
# Orders of one look at the list; each is judged in a transaction of its own.
PAGE: Final = 200

Moment = datetime | None


@dataclass(slots=True)
class Run:
    """How far it is: the last order judged, how many were, and those that would change."""

    last: str
    judged: int = 0
    changed: list[Recomputed] = field(default_factory=list)
    stopped: bool = False

    def add(self, answer: Recomputed) -> None:
        self.last, self.judged = answer.number, self.judged + 1
        if answer.changes:
            self.changed.append(answer)


def add_to(app: typer.Typer) -> None:
    app.command()(recompute)


def recompute(
    policy: Annotated[str, typer.Option(help="Another version, for example 2026.1; without one the newest.")] = "",
    profile: Annotated[str, typer.Option(help="How staff work: solo or team; without one as the server does.")] = "",
    set_: Annotated[
        list[str] | None, typer.Option("--set", help="A threshold: handling_bd=3. May be repeated.")
    ] = None,
    since: Annotated[Moment, typer.Option(help="Only orders placed since this day (UTC).")] = None,
    order: Annotated[str, typer.Option(help="Only this order.")] = "",
    at: Annotated[Moment, typer.Option(help="Judge as of this moment (UTC); without one: now.")] = None,
    after: Annotated[str, typer.Option(help="Go on behind this order.")] = "",
    as_json: AsJson = False,
) -> None:
    """Judge stored orders under another policy and tell what would change. Nothing is kept; it may be stopped."""
    with database() as (engine, settings):
        mine = PROFILES[settings.policy_profile]
        other = service.policy_of(profile or mine.profile, policy, set_ or ())
        now = at.replace(tzinfo=UTC) if at else wiring.clock().replace(microsecond=0)
        placed_since = since.replace(tzinfo=UTC) if since else None
        run = Run(after)
        _judge(engine, _numbers(engine, order, after, placed_since), mine, other, now, run)
    _tell(run, other, now, as_json)
    if run.stopped:
        behind = f" --after {run.last}" if run.last else ""
        say(f"Stopped. Go on with the same options and: --at {now:%Y-%m-%dT%H:%M:%S}{behind}")
        raise typer.Exit(130)


def _numbers(engine: Engine, order: str, after: str, since: datetime | None) -> Iterator[str]:
    if order:
        yield order
        return
    while True:
        with transaction(engine) as tx:
            page = orders.numbers_after(tx, after, since, PAGE)
        yield from page
        if len(page) < PAGE:
            return
        after = page[-1]


def _judge(engine: Engine, numbers: Iterator[str], policy: Policy, other: Policy, now: datetime, run: Run) -> None:
    columns = (SpinnerColumn(), TextColumn("{task.description}"), TimeElapsedColumn())
    with Progress(*columns, console=err, transient=True) as progress:
        task = progress.add_task("orders")
        try:
            for number in numbers:
                with transaction(engine) as tx:
                    tx.execute(text("set transaction read only"))
                    answer = service.order(tx, number, policy, other, now)
                run.add(answer)
                told = f"{run.judged:,} orders judged, {len(run.changed):,} would change ({number})"
                progress.update(task, description=told)
        except KeyboardInterrupt:
            run.stopped = True


def _tell(run: Run, other: Policy, now: datetime, as_json: bool) -> None:
    counts = Counter((c.what, c.change) for each in run.changed for c in each.changes)
    if as_json:
        told: dict[str, Any] = {
            "other": f"{other.version}/{other.profile}", "as_of": now, "judged": run.judged,
            "counts": [{"what": what, "change": change, "count": n} for (what, change), n in sorted(counts.items())],
            "orders": run.changed, "stopped": run.stopped, "after": run.last,
        }  # fmt: skip
        answer(told, as_json, ())
        return
    rows = [
        (each.number, c.change, c.what, c.slot, c.subject, c.before or None, c.after or None)
        for each in run.changed
        for c in each.changes
    ]
    show(COLUMNS, rows, as_json=False)
    for (what, change), count in sorted(counts.items()):
        say(f"{what} {change}: {count}")
    say(f"{run.judged:,} orders judged under {other.version}/{other.profile}; {len(run.changed):,} would change.")
