"""Frames of our network that no live lot opened: kept, because the lot's keys may come after its tags."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from datetime import date, datetime
from typing import Any, Final

from sqlalchemy import Connection, bindparam, text
from sqlalchemy.dialects.postgresql import ARRAY
from sqlalchemy.types import BigInteger, Integer, LargeBinary, SmallInteger

from server.store.private_stretches import HEARD_IN_PRIVATE
from server.store.tables.columns import utc


def distinct_frames(tx: Connection, at_once: int) -> Iterator[list[bytes]]:
    """Every kept frame once, in lists of at most `at_once`. Rows may be moved away while this goes on."""
    after = b""
    while True:
        frames: list[bytes] = list(tx.execute(_FRAMES, {"after": after, "limit": at_once}).scalars())
        if not frames:
            return
        yield frames
        after = frames[-1]


def days(tx: Connection) -> set[date]:
    """The days (UTC) on which kept frames were heard."""
    return set(tx.execute(_DAYS).scalars())


def move_to_sightings(
    tx: Connection,
    frames: Sequence[bytes],
    *,
    serials: Sequence[int],
    uptimes_s: Sequence[int],
    boots: Sequence[int],
    statuses: Sequence[int],
) -> list[tuple[int, datetime | None, int, int]]:
    """Rows of these frames become sightings of these tags, or nothing if the tag was private when it was heard: each
    serial, when it was last heard, how many rows, how many that became nothing. The caller holds `private_stretches`.
    """
    if not frames:
        return []
    opened = {"frame": frames, "serial": serials, "uptime_s": uptimes_s, "boot": boots, "status": statuses}
    moved = tx.execute(_MOVE, {name: list(values) for name, values in opened.items()})
    return [(serial, utc(newest), rows, private) for serial, newest, rows, private in moved]


_DAYS: Final = text("select distinct cast(heard_at at time zone 'UTC' as date) from unresolved_frames")
_FRAMES: Final = text("select distinct frame from unresolved_frames where frame > :after order by frame limit :limit")

_ARRAYS: Final[dict[str, Any]] = {
    "frame": LargeBinary(),
    "serial": BigInteger(),
    "uptime_s": BigInteger(),
    "boot": Integer(),
    "status": SmallInteger(),
}
_MOVE_SQL: Final = f"""
    with opened as (
        select * from unnest(:frame, :serial, :uptime_s, :boot, :status) as t(frame, serial, uptime_s, boot, status)
    ), taken as (
        delete from unresolved_frames u using opened o where u.frame = o.frame
        returning u.batch_no, u.heard_at, u.window_ms, u.adverts, u.rssi_max_dbm, u.rssi_mean_dbm,
            o.serial, o.uptime_s, o.boot, o.status
    ), judged as materialized (
        select t.*, {HEARD_IN_PRIVATE.format("t")} as private from taken t
    ), moved as (
        insert into sightings (serial, heard_at, window_ms, batch_no, uptime_s, boot, adverts, status,
            rssi_max_dbm, rssi_mean_dbm)
        select serial, heard_at, window_ms, batch_no, uptime_s, boot, adverts, status,
            rssi_max_dbm, rssi_mean_dbm
        from judged where not private
    )
    select serial, max(heard_at) filter (where not private), count(*) filter (where not private),
        count(*) filter (where private)
    from judged group by serial
"""  # noqa: S608 - put together from constants only
_MOVE: Final = text(_MOVE_SQL).bindparams(*(bindparam(name, type_=ARRAY(kind)) for name, kind in _ARRAYS.items()))
