"""Brings a database to the tables of this version, and says which version it has."""

from __future__ import annotations

from pathlib import Path
from typing import Final

from alembic import command
from alembic.config import Config
from alembic.runtime.migration import MigrationContext
from alembic.script import ScriptDirectory
from sqlalchemy import Connection, Engine, text

from server.refusal import Kind, Refusal, conflict

MIN_SERVER_VERSION: Final = 15
# Any number that only we use: whoever holds this lock is migrating.
_LOCK: Final = 0x4845_4152
_FOLDER: Final = Path(__file__).resolve().parent


def config(tx: Connection | None = None) -> Config:
    """Alembic's configuration, without a file of its own."""
    made = Config()
    made.set_main_option("script_location", str(_FOLDER).replace("%", "%%"))
    made.attributes["connection"] = tx
    return made


def newest() -> str:
    """The version that this program needs."""
    head = ScriptDirectory.from_config(config()).get_current_head()
    assert head is not None
    return head


def current(tx: Connection) -> str | None:
    """The version that the database has; none if it is empty."""
    return MigrationContext.configure(tx).get_current_revision()


def migrate(engine: Engine) -> tuple[str | None, str]:
    """Brings the database to the newest version in one transaction; returns (before, after).

    Several programs may start at once: the first one migrates, the others wait and find it done.
    Raises Refusal `database_too_old`, `database_too_new`.
    """
    with engine.begin() as tx:
        _check_server(tx)
        tx.execute(text("select pg_advisory_xact_lock(:lock)"), {"lock": _LOCK})
        before = current(tx)
        known = {script.revision for script in ScriptDirectory.from_config(config()).walk_revisions()}
        if before is not None and before not in known:
            raise conflict(
                "database_too_new", f"The database has version {before}, which this Hearsight does not know.",
                "Start the newer Hearsight that wrote it, or restore a backup.", before,
            )  # fmt: skip
        if before != newest():
            command.upgrade(config(tx), "head")
        return before, newest()


def require_newest(tx: Connection) -> None:
    """Raises Refusal `database_not_migrated` unless the database has the version that this program needs."""
    have = current(tx)
    if have != newest():
        raise Refusal(
            Kind.LATER, "database_not_migrated",
            f"The database has version {have or 'none'}, this program needs {newest()}.",
            "Run: python -m server migrate", have or "",
        )  # fmt: skip


def _check_server(tx: Connection) -> None:
    major = int(tx.execute(text("show server_version_num")).scalar_one()) // 10_000
    if major < MIN_SERVER_VERSION:
        raise conflict(
            "database_too_old", f"This is PostgreSQL {major}; Hearsight needs {MIN_SERVER_VERSION} or newer.",
            "Move to a newer PostgreSQL, or leave HEARSIGHT_DATABASE_URL unset: the server then runs its own.",
        )  # fmt: skip
