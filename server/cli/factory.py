"""What comes from the factory, at the command line: trusted keys, lots, manifests."""

from __future__ import annotations

import csv
import sys
from pathlib import Path
from typing import Annotated, Final

import typer
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn

from server import wiring
from server.cli.common import ACTOR, AsJson, err, read_file, say, show, work
from server.service import factory
from server.service.factory import Imported, Outcome
from server.store import units
from wire.manifest import MAX_UNITS

_MAX_LOT_BYTES: Final = 64 * 1024
File = Annotated[Path, typer.Argument(help="The file as it came from the factory.")]
Lot = Annotated[str, typer.Argument(help="The lot's name.")]


def add_to(app: typer.Typer) -> None:
    trusted = typer.Typer(no_args_is_help=True, help="Factory keys that may sign manifests: trust.")
    trusted.callback()(_trusted)
    trusted.command("trust")(trust)
    app.add_typer(trusted, name="factory")
    lot = typer.Typer(no_args_is_help=True, help="Production lots: import, list, retire.")
    for name, command in (("import", import_lot), ("list", list_lots), ("retire", retire_lot)):
        lot.command(name)(command)
    app.add_typer(lot, name="lot")
    manifest = typer.Typer(no_args_is_help=True, help="Signed manifests: import, codes.")
    for name, manifest_command in (("import", import_manifest), ("codes", codes)):
        manifest.command(name)(manifest_command)
    app.add_typer(manifest, name="manifest")


def _trusted() -> None:
    """Factory keys that may sign manifests."""


def trust(
    public_key: Annotated[str, typer.Argument(help="64 hexadecimal digits, told by the factory by a way you trust.")],
    name: Annotated[str, typer.Option(help="Which factory.")] = "factory",
) -> None:
    """Let a factory key sign manifests."""
    with work() as at:
        new = factory.trust_factory_key(at.tx, public_key, name, at.now, actor=ACTOR)
    say("The key may sign manifests now." if new else "The key may sign manifests already.")


def import_lot(file: File) -> None:
    """Import a lot's secret keys (lot.json), which open the frames of its tags. Delete the file afterwards."""
    from server.ingest.reresolve import reresolve
    from server.ingest.resolve import LotKey
    from server.ingest.telling import told

    lot = factory.read_lot_file(read_file(file, _MAX_LOT_BYTES))
    with work() as at:
        new = factory.import_lot(at.tx, wiring.vault(at.settings, at.tx), lot, at.now, actor=ACTOR)
        opens = LotKey(0, bytes.fromhex(lot.k_lot))
        late = reresolve(at.tx, bytes.fromhex(lot.k_factory), [opens], at.settings.network_id, at.now)
        if late.rows:
            told(at.settings.base_url)(at.tx, late.serials, late.newest_ms, at.now)
    say(f"Lot {lot.lot} is imported." if new else f"Lot {lot.lot} is known already, with the same key.")
    if late.rows:
        say(f"{late.rows} frames that were heard before have become sightings.")


def list_lots(as_json: AsJson = False) -> None:
    """List every lot with the number of its units."""
    with work() as at:
        rows = [(each.lot, each.units, each.imported_at, each.retired_at) for each in units.all_lots(at.tx)]
    show(("lot", "units", "imported", "retired"), rows, as_json)


def retire_lot(lot: Lot) -> None:
    """Resolve a lot's tags no more: a key that is tried for every frame costs time."""
    with work() as at:
        factory.retire_lot(at.tx, lot, at.now, actor=ACTOR)
    say(f"Lot {lot} is retired.")


def import_manifest(
    file: File, dry_run: Annotated[bool, typer.Option("--dry-run", help="Say what would be done.")] = False
) -> None:
    """Import a signed manifest row by row. Wrong rows are named with their line and kept out (exit code 1)."""
    content = read_file(file, factory.MAX_MANIFEST_BYTES)
    total = min(max(content.count(b"\n") - 2, 0), MAX_UNITS)
    bar = Progress(TextColumn("rows"), BarColumn(), MofNCompleteColumn(), console=err, transient=True)
    with work() as at, bar:
        task = bar.add_task("rows", total=total)
        done = factory.import_manifest(
            at.tx, wiring.dice, content, at.now, actor=ACTOR, dry_run=dry_run,
            progress=lambda rows: bar.update(task, completed=rows),
        )  # fmt: skip
    _tell(done, dry_run)
    if done.refused:
        raise typer.Exit(1)


def _tell(done: Imported, dry_run: bool) -> None:
    for row in done.refused:
        print(f"line {row.line}: {row.code}: {row.message}")
    would = "would be " if dry_run else ""
    added, known = done.count(Outcome.ADDED), done.count(Outcome.KNOWN)
    counts = f"{added} {would}added, {known} known, {len(done.refused)} {would}refused"
    print(f"manifest {done.manifest}, lot {done.lot}: {counts}")


def codes(lot: Lot) -> None:
    """Print the found codes of a lot as CSV (serial, code, url): what is printed on the outside of each tag."""
    with work() as at:
        listed, base = units.of_lot(at.tx, lot), at.settings.base_url
    rows = csv.writer(sys.stdout)
    rows.writerow(("serial", "code", "url"))
    rows.writerows((unit.serial, unit.found_code, f"{base}/f/{unit.found_code}") for unit in listed)
