"""The days of private tags as gateways and readers meet them: what is open, what may be fetched, what was heard last.

Their owner writes them (`day_key_uploads.py`); a report only counts here, it never changes a key.
"""

from __future__ import annotations

from collections.abc import Collection, Mapping
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Final

from sqlalchemy import Connection, func, select, text

from server.store.among import among
from server.store.tables import day_keys
from server.store.tables.columns import utc


@dataclass(frozen=True, slots=True)
class OpenDay:
    """What decides whether reports of an EID are taken. `reports`: how many are counted already."""

    serial: int
    day: int
    first_report_at: datetime | None
    reports: int


@dataclass(frozen=True, slots=True)
class DayState:
    """What tells one directory of a day from another: how many keys, and a sum of all of them."""

    keys: int
    sum: int


# Held in the order of the EIDs, whoever asks for which: two gateways that heard the same tags wait for one another in
# turn. A tag given up or handed over has no living ownership, and nothing more is taken for its old owner.
_HELD: Final = text("""
    select d.eid, o.serial, d.day, d.first_report_at, d.reports
    from day_keys d join ownership o on o.no = d.ownership_no
    where d.eid = any(cast(:eids as bytea[])) and o.until is null
    order by d.eid
    for no key update of d
""")
_COUNT: Final = text("""
    update day_keys d
    set first_report_at = coalesce(d.first_report_at, :minute),
        last_report_at = greatest(d.last_report_at, :minute),
        reports = d.reports + told.count
    from unnest(cast(:eids as bytea[]), cast(:counts as integer[])) as told(eid, count)
    where d.eid = told.eid
""")
# A row for each that is asked for: how many of them we have shows in nothing that follows.
_FETCH_HASHES: Final = text("""
    select asked.eid, d.fetch_hash
    from unnest(cast(:eids as bytea[])) as asked(eid) left join day_keys d on d.eid = asked.eid
""")
# An EID is a hash, so its first eight bytes are as good as a checksum of it, and their sum changes with any of them.
_STATE: Final = text("""
    select count(*), coalesce(bit_xor(('x' || encode(substr(d.eid, 1, 8), 'hex'))::bit(64)::bigint), 0)
    from day_keys d join ownership o on o.no = d.ownership_no
    where d.day = :day and o.until is null
""")
_OF_DAY: Final = text("""
    select d.eid, d.public_key
    from day_keys d join ownership o on o.no = d.ownership_no
    where d.day = :day and o.until is null
""")


# --- reports come in


def held_for_reports(tx: Connection, eids: Collection[bytes]) -> dict[bytes, OpenDay]:
    """Those of these EIDs that a tag of ours has now; nobody else stores reports of them until the transaction ends."""
    rows = tx.execute(_HELD, {"eids": list(eids)})
    return {row.eid: OpenDay(row.serial, row.day, utc(row.first_report_at), row.reports) for row in rows}


def count_reports(tx: Connection, stored: Mapping[bytes, int], at: datetime) -> None:
    """So many reports of each EID were stored at a moment, of which only the minute is kept."""
    minute = at.replace(second=0, microsecond=0)
    tx.execute(_COUNT, {"eids": list(stored), "counts": list(stored.values()), "minute": minute})


# --- and are asked for


def fetch_hashes(tx: Connection, eids: Collection[bytes]) -> dict[bytes, bytes | None]:
    """SHA-256 of f_i of each of these EIDs; None of one that is not known."""
    return {row.eid: row.fetch_hash for row in tx.execute(_FETCH_HASHES, {"eids": list(eids)})}


def last_report_at(tx: Connection, ownership_nos: Collection[int]) -> dict[int, datetime]:
    """When the newest report of each of these ownerships reached us, to the minute; those without one are left out."""
    newest = func.max(day_keys.c.last_report_at)
    query = select(day_keys.c.ownership_no, newest.label("at")).where(among(day_keys.c.ownership_no, ownership_nos))
    rows = tx.execute(query.where(day_keys.c.last_report_at.is_not(None)).group_by(day_keys.c.ownership_no))
    return {row.ownership_no: row.at.astimezone(UTC) for row in rows}


# --- the directory


def state_of_day(tx: Connection, day: int) -> DayState:
    """Changes whenever a key of this day comes or goes; costs a look at each, and carries none out of the database."""
    count, total = tx.execute(_STATE, {"day": day}).one()
    return DayState(int(count), int(total))


def keys_of_day(tx: Connection, day: int) -> list[tuple[bytes, bytes]]:
    """(EID, P) of every tag of this day, in no order."""
    return [(row.eid, row.public_key) for row in tx.execute(_OF_DAY, {"day": day})]
