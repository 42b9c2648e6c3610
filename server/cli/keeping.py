"""Keys and backups at the command line."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from server import wiring
from server.cli.common import ACTOR, database, say, settings, work
from server.local.postgres import programs
from server.refusal import conflict, invalid
from server.store import audit, keys
from server.store.audit import Entry
from server.store.crypto import key_id
from server.store.db import transaction, url_of


def add_to(app: typer.Typer) -> None:
    key = typer.Typer(no_args_is_help=True, help="Keys: new, rotate, public.")
    for name, command in (("new", new_key), ("rotate", rotate), ("public", public)):
        key.command(name)(command)
    app.add_typer(key, name="keys")
    app.command()(backup)
    app.command()(restore)


def new_key() -> None:
    """Print a new master key. Nothing is changed."""
    print(wiring.new_master_key())


def rotate() -> None:
    """Encrypt every secret anew under HEARSIGHT_MASTER_KEY; HEARSIGHT_MASTER_KEY_OLD opens those under the old one."""
    told = settings()
    if told.master_key is None or told.master_key_old is None:
        raise invalid(
            "rotation_needs_keys", "A rotation needs both keys.",
            "Set HEARSIGHT_MASTER_KEY to the new one (keys new) and HEARSIGHT_MASTER_KEY_OLD to the one before.",
        )  # fmt: skip
    with work() as at:
        renewed = keys.rotate(at.tx, wiring.vault(told, at.tx))
        ident = key_id(told.master_key).hex()
        audit.add(at.tx, Entry(at.now, ACTOR, "keys_rotated", f"master_key:{ident}", renewed))
    for column, count in renewed.items():
        print(f"{column}: {count}")
    say(f"Every secret is under the key {ident} now. Restart the server without HEARSIGHT_MASTER_KEY_OLD.")


def public() -> None:
    """Print the server's public key (64 hexadecimal digits): gateways pin it, and tags know it for releases."""
    with work() as at:
        key = keys.server_key(at.tx, wiring.vault(at.settings, at.tx), at.now)
    print(key.public_key().public_bytes_raw().hex())


def backup(file: Annotated[Path, typer.Argument(help="A file that does not exist yet.")]) -> None:
    """Write the whole database to a file, while everything runs. Without the master key it is of no use."""
    from server.store import dump

    with database() as (engine, told), transaction(engine) as tx:
        # A backup of secrets whose key is lost already would only be found out when it is needed.
        keys.server_key(tx, wiring.vault(told, tx), wiring.clock())
        dump.dump(programs(), url_of(engine), file)
    say(
        f"{file}: {file.stat().st_size:,} bytes. The master key is not in it, on purpose: keep "
        f"{'HEARSIGHT_MASTER_KEY' if told.master_key else told.data / wiring.MASTER_KEY_FILE} in another place."
    )


def restore(
    file: Annotated[Path, typer.Argument(help="A file that `backup` wrote.", exists=True, dir_okay=False)],
    replace: Annotated[bool, typer.Option("--replace", help="Drop what the database holds now.")] = False,
) -> None:
    """Bring a backup back, into an empty database or, with --replace, in place of everything. Stop the server first."""
    from server.store import dump

    told = settings()
    with wiring.database(told) as engine:
        with transaction(engine) as tx:
            others = dump.others_connected(tx)
            if others:
                raise conflict(
                    "database_in_use", f"Other programs use this database: {', '.join(others)}.", "Stop them first."
                )
            if not replace and not dump.is_empty(tx):
                raise conflict(
                    "database_not_empty", "The database is not empty.",
                    "Add --replace to drop what it holds now; `backup` saves it before.",
                )  # fmt: skip
        url = url_of(engine)
        engine.dispose()
        dump.restore(programs(), url, file)
        say(f"{file} is restored. Looking whether the master key fits …")
        done = wiring.prepare(told, engine)
    say(f"It fits. The database has version {done.after}{'' if done.before == done.after else f', was {done.before}'}.")
