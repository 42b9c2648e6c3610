"""Who waits for a tag at this moment, and the word that it was heard: leases in a table, NOTIFY out, LISTEN in.

A web process holds a lease on each tag that somebody watches there. Ingest asks for these in the transaction that
stores, and notifies of them alone: a NOTIFY takes a lock of the whole database at its commit, and sets that nobody
waits for must not stand in line for it. Moments are the database's own: a lease is written by one machine and read by
another, and a minute between their clocks would end every lease before it began, or never.
"""

from __future__ import annotations

from collections.abc import AsyncGenerator, AsyncIterator, Collection, Iterable, Mapping
from contextlib import aclosing, asynccontextmanager
from typing import Any, Final

import psycopg
from psycopg.errors import Error as PsycopgError
from sqlalchemy import Connection, text

CHANNEL: Final = "hearsight_heard"
# A killed process goes on costing a NOTIFY for this long; a renewal may fail twice before anybody misses a sighting.
LEASE_S: Final = 60
# A payload must stay below 8,000 bytes, and a serial has at most 19 digits and a comma.
_SERIALS_A_WORD: Final = 390
# A database whose machine is gone says nothing; without these the kernel would wait for it for two hours.
_KEEPALIVE: Final[Mapping[str, Any]] = {
    "keepalives_idle": 10,
    "keepalives_interval": 5,
    "keepalives_count": 3,
    "connect_timeout": 5,
}

_LEASE: Final = text("""
    insert into live_watches (serial, watcher, until)
    select serial, :watcher, now() + make_interval(secs => :lease_s)
    from unnest(cast(:serials as bigint[])) as serial
    on conflict (serial, watcher) do update set until = excluded.until
""")
_END: Final = text("""
    delete from live_watches
    where (watcher = :watcher and not serial = any(cast(:serials as bigint[]))) or until < now()
""")
_TELL: Final = text(f"select pg_notify('{CHANNEL}', word) from unnest(cast(:words as text[])) as word")  # noqa: S608


class EarLostError(Exception):
    """The connection that listens could not be made, or was lost; what was said meanwhile is not said again."""


# --- the side that waits


def lease(tx: Connection, watcher: str, serials: Collection[int]) -> None:
    """From the commit on, and for `LEASE_S`, this watcher is told of these tags."""
    tx.execute(_LEASE, {"watcher": watcher, "serials": list(serials), "lease_s": LEASE_S})


def end_others(tx: Connection, watcher: str, serials: Collection[int]) -> None:
    """Ends this watcher's leases on all other tags, and everybody's that were not renewed."""
    tx.execute(_END, {"watcher": watcher, "serials": list(serials)})


def mark(tx: Connection) -> int:
    """A number that is larger than that of any transaction which has written anything until now.

    One of those may have asked for the leases before the newest was there, and commit without a word. Whoever has
    leased takes a mark, reads, and reads once more when `over` says that they have all ended.
    """
    return int(tx.execute(text("select cast(cast(pg_current_xact_id() as text) as bigint)")).scalar_one())


def over(tx: Connection, marked: int) -> bool:
    """Whether every transaction older than the mark has ended: what they wrote can be read from now on."""
    oldest = "select cast(cast(pg_snapshot_xmin(pg_current_snapshot()) as text) as bigint)"
    return int(tx.execute(text(oldest)).scalar_one()) >= marked


@asynccontextmanager
async def listening(url: str) -> AsyncIterator[AsyncIterator[frozenset[int]]]:
    """One connection that listens: inside the block, the serials of every word that was said from then on.

    Raises EarLostError when the connection cannot be made or ends. It needs a session of its own: a pooler that
    shares sessions between transactions loses the words.
    """
    try:
        conn = await psycopg.AsyncConnection.connect(
            url, autocommit=True, application_name="hearsight live", **_KEEPALIVE
        )
        try:
            await conn.execute(f"listen {CHANNEL}".encode())
            async with aclosing(_words(conn)) as words:
                yield words
        finally:
            await conn.close()
    except (PsycopgError, OSError) as error:
        raise EarLostError(str(error)) from error


async def _words(conn: psycopg.AsyncConnection[tuple[object, ...]]) -> AsyncGenerator[frozenset[int], None]:
    async with aclosing(conn.notifies()) as words:
        async for word in words:
            yield frozenset(int(serial) for serial in word.payload.split(",") if serial.isdecimal())


# --- the side that tells


def tell(tx: Connection, serials: Iterable[int]) -> None:
    """Says, at the commit, that these tags were heard."""
    told = sorted(serials)
    words = [
        ",".join(map(str, told[first : first + _SERIALS_A_WORD])) for first in range(0, len(told), _SERIALS_A_WORD)
    ]
    tx.execute(_TELL, {"words": words})
