"""The database of all worlds: a real PostgreSQL, furnished with the cast once and emptied between two seeds.

Every statement that a worker sends passes through here, so that it can be cut off, refused or delayed at that point.
A second connection, the *witness*, sees only what is committed.
"""

from __future__ import annotations

import secrets
from collections.abc import Callable, Iterable
from datetime import UTC, datetime, timedelta
from typing import Any, Final

import psycopg
from sqlalchemy import Connection, Engine, event, text
from sqlalchemy.exc import OperationalError

from server.ingest.keyring import Keys
from server.store import db, gateways, keys, units
from server.store.crypto import Vault
from server.store.gateways import NewSite
from tests.world import cast
from wire.frames import NETWORK_ID_LAB

_BEFORE: Final = datetime(2026, 1, 1, tzinfo=UTC)
# Workers take turns within one thread: who waits for a lock that another holds would wait for ever.
_LOCK_TIMEOUT: Final = "4ms"
_TRACES: Final = "batches, dead_letters, sightings, unresolved_frames, outboxes, weighings, statements, slots, orders"


class House:
    """One per run; not for two worlds at a time."""

    def __init__(self, url: str) -> None:
        self.engine: Engine = db.engine(url, pool_size=12, application="world")
        self.vault = Vault(cast.MASTER_KEY, secrets.token_bytes)  # seals only; nobody looks at what it throws
        self.witness = psycopg.connect(url, autocommit=True)
        self.holder = psycopg.connect(url)
        self.numbers: dict[str, int] = {}
        self.forged: set[bytes] = set()  # payloads that a stranger made: nothing is owed for them
        self.on_statement: Callable[[Connection], None] | None = None
        self.on_commit: Callable[[Connection], None] | None = None
        self._listen()
        self._furnish()

    def close(self) -> None:
        self.holder.close()
        self.witness.close()
        self.engine.dispose()

    def keys(self, clock: Callable[[], datetime]) -> Keys:
        return Keys(self.vault, NETWORK_ID_LAB, clock)

    def _listen(self) -> None:
        @event.listens_for(self.engine, "before_cursor_execute")
        def statement(tx: Connection, *_: Any) -> None:
            if self.on_statement is not None:
                self.on_statement(tx)

        @event.listens_for(self.engine, "commit")
        def commit(tx: Connection) -> None:
            if self.on_commit is not None:
                self.on_commit(tx)

    # --- the cast

    def _furnish(self) -> None:
        with self.engine.begin() as tx:
            name = tx.execute(text("select current_database()")).scalar_one()
            tx.execute(text(f"alter database \"{name}\" set lock_timeout = '{_LOCK_TIMEOUT}'"))
            tx.execute(
                text(f"alter table sightings add constraint unthought_of check (serial <> {cast.POISON_SERIAL})")
            )
            keys.keep_secret(tx, self.vault, keys.K_FACTORY, cast.K_FACTORY, _BEFORE)
            self.server_key = keys.server_key(tx, self.vault, _BEFORE)
            for lot, key in cast.LOTS.items():
                keys.add_lot(tx, self.vault, lot, key, _BEFORE)
            calendar = {
                "pickups": [{"weekday": day, "at": f"{cast.PICKUP_HOUR}:00"} for day in range(5)],
                "pickup_grace_s": cast.PICKUP_GRACE_MS // 1000,
            }
            place = cast.WAREHOUSE.place
            gateways.add_site(tx, NewSite(cast.SITE, "The warehouse", cast.ZONE, place.lat_e7, place.lon_e7, calendar))
            for each in cast.GATEWAYS:
                self._enrol(tx, each)
            units.add_manifest(tx, "m-1", bytes(32), "lot-a", _BEFORE, _BEFORE)
            units.add(tx, [_unit(serial) for serial in cast.SERIALS])
        self.engine.dispose()  # connections made before the timeout was set

    def _enrol(self, tx: Connection, each: cast.CastGateway) -> None:
        site = cast.SITE if each.spot is cast.WAREHOUSE else None
        place = each.spot.place if each.spot else None
        made = gateways.add(tx, each.name, each.gateway_class, each.owner, site, place, _BEFORE)
        assert made is not None
        public = each.key.public_key().public_bytes_raw()
        gateways.change(tx, made.no, enrolled_at=_BEFORE, public_key=public)
        self.numbers[each.name] = made.no

    def empty(self) -> None:
        """As it was after furnishing: a seed must find nothing of the one before, not even a partition."""
        self.on_statement = self.on_commit = None
        self.forged.clear()
        self.holder.rollback()
        parts = self.witness.execute(
            "select inhrelid::regclass::text from pg_inherits where inhparent = 'sightings'::regclass"
        ).fetchall()
        with self.engine.begin() as tx:
            for (part,) in sorted(parts):
                tx.execute(text(f"drop table {part}"))
            tx.execute(text(f"truncate {_TRACES} restart identity cascade"))
            tx.execute(text("delete from lots where lot = :late"), {"late": cast.LATE_LOT})

    # --- what can go wrong

    def import_late_lot(self, now: datetime) -> None:
        with self.engine.begin() as tx:
            keys.add_lot(tx, self.vault, cast.LATE_LOT, cast.LATE_LOT_KEY, now)

    def hold_lock(self, table: str) -> bool:
        """Somebody holds a table; False if a worker in the middle of its transaction was first."""
        try:
            self.holder.execute(f"lock table {table} in exclusive mode".encode())
        except psycopg.errors.LockNotAvailable:
            self.holder.rollback()
            return False
        return True

    def let_go(self) -> None:
        self.holder.rollback()

    def kill_backend(self, tx: Connection) -> None:
        """Ends the session of this transaction, as a restarted database would; waits until it is gone."""
        driver = tx.connection.driver_connection
        assert driver is not None
        self.witness.execute("select pg_terminate_backend(%s, 5000)", (driver.info.backend_pid,))

    # --- what the witness sees

    def committed(self, wanted: Iterable[tuple[int, bytes, int]]) -> set[tuple[int, bytes, int]]:
        """Those of these (gateway number, outbox, sequence) that stand in the ledger for everybody to see."""
        asked = list(wanted)
        rows = self.witness.execute(
            "select b.gateway_no, b.outbox_id, b.sequence from batches b join unnest(%s::int[], %s::bytea[], "
            "%s::bigint[]) as k(gateway_no, outbox_id, sequence) using (gateway_no, outbox_id, sequence)",
            ([each[0] for each in asked], [each[1] for each in asked], [each[2] for each in asked]),
        )
        return {(no, bytes(outbox), sequence) for no, outbox, sequence in rows}

    def unbroken(self, gateway: str, outbox_id: bytes) -> int:
        """The end of the unbroken run of this outbox's ledger rows, counted by hand."""
        rows = self.witness.execute(
            "select sequence from batches where gateway_no = %s and outbox_id = %s order by sequence",
            (self.numbers[gateway], outbox_id),
        )
        end = -1
        for (sequence,) in rows:
            if sequence != end + 1:
                break
            end = sequence
        return end


def _unit(serial: int) -> units.Unit:
    return units.Unit(
        serial=serial,
        lot=cast.lot_of(serial),
        model="model-1",
        beacon_mode="transit_beacon",
        public_key=bytes(32),
        claim_hash=serial.to_bytes(32, "big"),
        found_code=f"F{serial:09d}",
        manifest="m-1",
        made_at=_BEFORE - timedelta(days=30),
    )


def operational_error(what: str) -> OperationalError:
    """What SQLAlchemy raises when the database itself has trouble."""
    return OperationalError("simulated", None, psycopg.OperationalError(what))
