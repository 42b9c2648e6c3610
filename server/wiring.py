"""The door of every process of the server: its clock, its dice, its database and its vault are made here.

A command that needs the database gets it from the settings, or from the server's own PostgreSQL: the running one,
or one started for this command only.
"""

from __future__ import annotations

import base64
import contextlib
import os
import secrets
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Final

from sqlalchemy import Connection, Engine

from server.local.postgres import shared
from server.refusal import Kind, Refusal
from server.service import gateways
from server.service.gateways import Registry
from server.settings import Settings
from server.store import db, keys
from server.store.crypto import KEY_LEN, Vault
from server.store.migrations import migrate

MASTER_KEY_FILE: Final = "master.key"


def clock() -> datetime:
    """This process's moment, in UTC."""
    return datetime.now(UTC)


def dice(length: int) -> bytes:
    """Random bytes that nobody can guess."""
    return secrets.token_bytes(length)


def data_folder(settings: Settings) -> Path:
    """The data folder, made if need be. Others may pass through it (root lends a part to PostgreSQL), not list it."""
    if not settings.data.exists():
        settings.data.mkdir(parents=True)
        settings.data.chmod(0o711)
    return settings.data


def open_engine(settings: Settings, application: str) -> Engine:
    """The database of the settings, for a process that others rely on. Refusals: database_missing."""
    if settings.database_url is None:
        raise Refusal(
            Kind.INVALID, "database_missing", "This command needs a database.",
            "Set HEARSIGHT_DATABASE_URL, or start everything with: python -m server up",
        )  # fmt: skip
    return db.engine(settings.database_url, application=application)


@contextmanager
def database(settings: Settings) -> Iterator[Engine]:
    """The database for one command, wherever it is. Refusals: those of OwnPostgres.start."""
    with contextlib.ExitStack() as stack:
        url = settings.database_url or stack.enter_context(shared(data_folder(settings) / "postgres"))
        engine = db.engine(url, application="hearsight command")
        stack.callback(engine.dispose)
        yield engine


# --- the master key


def vault(settings: Settings, tx: Connection) -> Vault:
    """Opens and seals under the master key: that of the settings, or the one in the data folder, made at first use.

    Refusals: master_key_missing, master_key_broken.
    """
    return Vault(settings.master_key or _key_of_folder(settings, tx), dice, settings.master_key_old)


def _key_of_folder(settings: Settings, tx: Connection) -> bytes:
    path = settings.data / MASTER_KEY_FILE
    if not path.exists():
        if keys.any_secret(tx):
            raise Refusal(
                Kind.LATER, "master_key_missing", "The database holds secrets, and their master key is not here.",
                f"Set HEARSIGHT_MASTER_KEY, or put the key back into {path}.",
            )  # fmt: skip
        _make_key(data_folder(settings) / MASTER_KEY_FILE)
    try:
        key = base64.b64decode(path.read_text(), validate=False)
    except ValueError:
        key = b""
    if len(key) != KEY_LEN:
        raise Refusal(
            Kind.LATER, "master_key_broken", f"{path} does not hold a master key.", "Put the right one back.", str(path)
        )
    return key


def new_master_key() -> str:
    """32 random bytes in base64, as HEARSIGHT_MASTER_KEY takes them."""
    return base64.b64encode(dice(KEY_LEN)).decode()


def _make_key(path: Path) -> None:
    """Whole or not at all, and never over an existing one: two processes may start at once."""
    new = path.with_name(f".{path.name}.{os.getpid()}")
    with os.fdopen(os.open(new, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o600), "w") as file:
        file.write(new_master_key() + "\n")
        file.flush()
        os.fsync(file.fileno())
    with contextlib.suppress(FileExistsError):
        os.link(new, path)
    new.unlink()


# --- before serving


@dataclass(frozen=True, slots=True)
class Prepared:
    """What `prepare` found and did: the database's version before (none: it was empty) and after."""

    before: str | None
    after: str


def prepare(settings: Settings, engine: Engine) -> Prepared:
    """Tables of this version, the server's own key, and the broker's list. Done at every start; twice does no harm."""
    before, after = migrate(engine)
    with db.transaction(engine) as tx:
        gateways.write_broker_list(tx, registry(settings, tx))
    return Prepared(before, after)


def registry(settings: Settings, tx: Connection) -> Registry:
    """What the enrolment of gateways needs."""
    return Registry(settings, dice, keys.server_key(tx, vault(settings, tx), clock()))
