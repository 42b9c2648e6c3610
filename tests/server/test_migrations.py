"""Migrations make exactly the tables that server/store/tables/ describes, also when two programs start at once."""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor

import pytest
from alembic.autogenerate import compare_metadata
from alembic.runtime.migration import MigrationContext
from sqlalchemy import CheckConstraint, Engine, text

from server.refusal import Refusal
from server.store import db
from server.store.migrations import current, migrate, newest, require_newest
from server.store.tables import metadata


def test_migrations_make_what_the_tables_say(engine: Engine) -> None:
    with db.transaction(engine) as tx:
        context = MigrationContext.configure(tx, opts={"compare_type": True, "compare_server_default": True})
        assert compare_metadata(context, metadata) == [], "run tools/migration and read what it wrote"


def test_checks_are_there_too(engine: Engine) -> None:
    """Alembic does not compare CHECK constraints."""
    constraints = [c for table in metadata.tables.values() for c in table.constraints]
    said = {str(c.name) for c in constraints if isinstance(c, CheckConstraint)}
    with db.transaction(engine) as tx:
        made = set(tx.execute(text("select conname from pg_constraint where contype = 'c'")).scalars())
    assert said
    assert said <= made


def test_several_programs_may_start_at_once(empty_database_url: str) -> None:
    engines = [db.engine(empty_database_url) for _ in range(4)]
    with ThreadPoolExecutor(4) as pool:
        results = sorted(pool.map(migrate, engines), key=str)
    assert results.count((None, newest())) == 1
    assert results.count((newest(), newest())) == 3
    for each in engines:
        each.dispose()


def test_a_database_of_a_newer_program_is_refused(engine: Engine) -> None:
    with db.transaction(engine) as tx:
        require_newest(tx)
        tx.execute(text("update alembic_version set version_num = '9999'"))
    with pytest.raises(Refusal) as refused:
        migrate(engine)
    assert refused.value.code == "database_too_new"
    with db.transaction(engine) as tx:
        assert current(tx) == "9999"
        with pytest.raises(Refusal, match="9999"):
            require_newest(tx)
