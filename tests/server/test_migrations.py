"""Migrations make exactly the tables that server/store/tables/ describes, also when two programs start at once."""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor
from datetime import UTC

import pytest
from alembic import command
from alembic.autogenerate import compare_metadata
from alembic.runtime.migration import MigrationContext
from sqlalchemy import CheckConstraint, Engine, text

from server.refusal import Refusal
from server.store import db, partitions
from server.store.migrations import config, current, migrate, newest, require_newest
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


OLD = """
    insert into gateways (gateway, gateway_class, owner, created_at) values ('gw-1', 0, 'us', now());
    insert into places (lat_e7, lon_e7, accuracy_m, source) values (1, 2, 3, 0), (525200000, -134050000, 8, 1);
    insert into batches (gateway_no, outbox_id, sequence, body_sha256, received_at, sent_at, gateway_class, clock,
        place_no, outcome, rows, unresolved)
    select 1, '1', n, '2', now(), now(), 0, 2, case when n < 2 then n + 1 end, 0, 0, 0 from generate_series(0, 2) n;
    insert into sightings select n, now() - n * interval '7 days 1 hour', now() - n * interval '7 days 1 hour 1.5 s',
        1 + n % 3, n, 1, 30000 + 1000 * n, 0, -60, -70 from generate_series(0, 60) n;
    insert into sightings values (99, '1970-01-01 00:00:00+00', '2026-01-01', 1, 1, 1, 1, 0, -60, -70);
    insert into unresolved_frames values (1, now(), now() - interval '2 s', 99999, -60, -70, '3', 'no_lot')
"""


def test_what_is_there_moves_into_partitions(empty_database_url: str) -> None:
    """Every row as it was, in the partition that ingest would have put it into; each batch with its place."""
    engine = db.engine(empty_database_url)
    with engine.begin() as tx:
        command.upgrade(config(tx), "0001")
        tx.execute(text(OLD.replace(":", r"\:")))
        before = tx.execute(text("select serial, heard_at, batch_no, uptime_s from sightings order by serial")).all()
        now = tx.execute(text("select now()")).scalar_one()
    migrate(engine)
    with engine.begin() as tx:
        after = tx.execute(text("select serial, heard_at, batch_no, uptime_s from sightings order by serial")).all()
        assert after == before
        there = partitions.every(tx)
        partitions.cover(tx, {row.heard_at.astimezone(UTC).date() for row in before}, now)
        assert partitions.every(tx) == there
        for part in there:
            assert part.is_month != partitions.is_young(partitions.month(part.first), now), part
        rows = tx.execute(text("select window_ms, adverts from sightings where serial in (1, 60, 99) order by serial"))
        assert rows.all() == [(1500, 31_000), (60 * 1500, 32_767), (-(2**31 - 1), 1)]
        places = tx.execute(text("select lat_e7, lon_e7, accuracy_m, place_source from batches order by no")).all()
        assert places == [(1, 2, 3, 0), (525_200_000, -134_050_000, 8, 1), (None,) * 4]
        frame = tx.execute(text("select window_ms, adverts, frame from unresolved_frames")).one()
        assert frame == (2000, 32_767, b"3")
        assert tx.execute(text("select count(*) from pg_tables where tablename = 'places'")).scalar_one() == 0
    engine.dispose()


LABELS = """
    insert into orders (number, email, customer_name, ship_to, placed_at, zone, profile, source, learnt_at)
        values ('T-1', 'e', 'n', '{}', now(), 'UTC', 'p', 'shop', now());
    insert into slots (slot, order_number, line, unit, sku, title)
        select 'T-1/' || line || '/' || unit, 'T-1', line, unit, 's', 't'
        from (values (1, 1), (1, 2), (2, 1)) as units (line, unit);
    insert into statements (order_number, slots, kind, said_at, latest, zone, by, source, via, payload, natural_key,
        learnt_at)
    select 'T-1', slots::text[], kind, now(), now(), 'UTC', 'b', 'warehouse', 'api', payload::jsonb, payload, now()
    from (values
        ('label_printed', '{T-1/2/1}', '{"carrier": "USPS", "number": "9400 1102-0088t"}'),
        ('number_given', '{}', '{"number": "1Z1"}'), ('packed', '{}', '{}')) as said (kind, slots, payload)
"""


def test_labels_that_were_stated_before_are_followed(empty_database_url: str) -> None:
    engine = db.engine(empty_database_url)
    with engine.begin() as tx:
        command.upgrade(config(tx), "0004")
        tx.execute(text(LABELS.replace(":", r"\:")))
    migrate(engine)
    with engine.begin() as tx:
        followed = tx.execute(text("select number, carrier, slot, spelled from trackers order by number")).all()
    assert followed == [("1Z1", "", 0, "1Z1"), ("940011020088T", "USPS", 3, "9400 1102-0088t")]
    engine.dispose()
