"""Commands that run something: everything, one program, the migrations; and what is set."""

from __future__ import annotations

import json
import os
from dataclasses import fields
from importlib.metadata import version as version_of
from typing import Annotated, Any

import typer

from server import wiring
from server.cli.common import AsJson, say, settings, show
from server.observe import set_up_log
from server.settings import Settings, load, variable, without_userinfo


def add_to(app: typer.Typer) -> None:
    app.command()(up)
    app.command()(web)
    app.command()(ingest)
    app.command()(migrate)
    app.command("settings")(print_settings)
    app.command()(version)


def up() -> None:
    """Run everything on this machine: own PostgreSQL and broker (if none are set), ingest, API and pages."""
    from server import up as supervisor

    told = settings()
    set_up_log(told.log_format)
    raise typer.Exit(supervisor.run(told, os.environ))


def web() -> None:
    """Run the API and the pages, and beside them letters, sweeps and commands to gateways. Migrates first."""
    told = settings()
    set_up_log(told.log_format)
    engine = wiring.open_engine(told, "hearsight start")
    try:
        wiring.prepare(told, engine)
    finally:
        engine.dispose()
    from server.edges import Edges
    from server.web.run import run

    run(told, Edges)


def ingest(
    workers: Annotated[int | None, typer.Option(help="How many; otherwise HEARSIGHT_INGEST_WORKERS.")] = None,
    worker: Annotated[int | None, typer.Option(help="Run this one of them alone, counted from 1.")] = None,
) -> None:
    """Run the way from the broker to the database. Waits for a database that `up`, `web` or `migrate` made ready."""
    environ = dict(os.environ) | ({variable("ingest_workers"): str(workers)} if workers is not None else {})
    told = load(environ)
    set_up_log(told.log_format)
    from server.ingest import run, several

    if told.ingest_workers > 1 and worker is None:
        raise typer.Exit(several.run(told, environ))
    run.run(told, worker or 1)


def migrate() -> None:
    """Bring the database to this version's tables. Every start does it; this is for doing it beforehand."""
    told = settings()
    with wiring.database(told) as engine:
        done = wiring.prepare(told, engine)
    if done.before == done.after:
        say(f"The database has version {done.after} already.")
    else:
        say(f"The database went from {done.before or 'empty'} to version {done.after}.")


def print_settings(as_json: AsJson = False) -> None:
    """Print every setting: what is in force, and what it means. Secrets are not shown."""
    told = settings()
    rows = [(variable(each.name), _shown(told, each), each.metadata["meaning"]) for each in fields(Settings)]
    show(("setting", "in force", "meaning"), rows, as_json)


def _shown(told: Settings, each: Any) -> str:
    value = getattr(told, each.name)
    if value is None:
        return f"({each.metadata['otherwise']})"
    if each.metadata["secret"]:
        return without_userinfo(value) if isinstance(value, str) else "(set)"
    return f"{value:02x}" if each.name == "network_id" else str(value)


def version(as_json: AsJson = False) -> None:
    """Print the version of Hearsight and of its tables."""
    from server.store.migrations import newest

    said = {"hearsight": version_of("hearsight"), "tables": newest()}
    print(json.dumps(said) if as_json else " ".join(f"{name} {value}" for name, value in said.items()))
