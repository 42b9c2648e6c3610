"""The days that owners of private tags upload: what gateways seal to, the hash of what fetches, nothing that opens."""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass

from sqlalchemy import ColumnElement, Connection, delete, func, select, update
from sqlalchemy.dialects.postgresql import insert as upsert

from server.store.among import among
from server.store.tables import day_keys, ownership
from wire import keys


@dataclass(frozen=True, slots=True)
class DayKey:
    """One UTC day of a private tag. `day` counts from 1970-01-01; `fetch_hash` is SHA-256(f_i)."""

    day: int
    public_key: bytes
    fetch_hash: bytes

    @property
    def eid(self) -> bytes:
        """Computed here, so that nobody can file a key under an identifier that is not its own."""
        return keys.eid(self.public_key)


def of_days(tx: Connection, ownership_no: int, first: int, last: int) -> Mapping[int, DayKey]:
    """The days from `first` to `last` that stand already."""
    mine = (day_keys.c.ownership_no == ownership_no) & day_keys.c.day.between(first, last)
    query = select(day_keys.c.day, day_keys.c.public_key, day_keys.c.fetch_hash).where(mine)
    return {row.day: DayKey(row.day, row.public_key, row.fetch_hash) for row in tx.execute(query)}


def put(tx: Connection, ownership_no: int, new: Sequence[DayKey]) -> bool:
    """Write days, over those of the same days; False if an identifier stands already as something else (and the
    transaction must not go on: a part may be written).

    A day of an earlier stretch of the same account and tag is taken along, with what was reported under it: whoever
    goes back to *private* has the same keys as before.
    """
    days = {each.eid: each for each in sorted(new, key=lambda each: each.eid)}
    same_eid = day_keys.c.eid.in_(list(days))
    same_day = (day_keys.c.ownership_no == ownership_no) & day_keys.c.day.in_([each.day for each in new])
    _hold(tx, same_eid | same_day)
    tx.execute(delete(day_keys).where(same_day, ~same_eid))
    known = tx.execute(select(day_keys).where(same_eid)).all()
    for row in known:
        same = days.pop(row.eid) == DayKey(row.day, row.public_key, row.fetch_hash)
        if not same or not _same_owner(tx, row.ownership_no, ownership_no):
            return False
    if known:
        mine = day_keys.c.eid.in_([row.eid for row in known])
        tx.execute(update(day_keys).where(mine).values(ownership_no=ownership_no))
    rows = [
        {
            "eid": eid,
            "ownership_no": ownership_no,
            "day": each.day,
            "public_key": each.public_key,
            "fetch_hash": each.fetch_hash,
        }
        for eid, each in days.items()
    ]
    if not rows:
        return True
    written = tx.execute(upsert(day_keys).values(rows).on_conflict_do_nothing().returning(day_keys.c.day)).all()
    return len(written) == len(rows)


def end(tx: Connection, ownership_no: int, today: int) -> None:
    """A stretch is over: from today on gateways find no key of it, and nobody fetches."""
    coming = (day_keys.c.ownership_no == ownership_no) & (day_keys.c.day >= today)
    _hold(tx, coming)
    tx.execute(delete(day_keys).where(coming))


def last_days(tx: Connection, ownership_nos: Collection[int]) -> Mapping[int, int]:
    """The last day of each of these stretches that has any."""
    query = (
        select(day_keys.c.ownership_no, func.max(day_keys.c.day).label("last"))
        .where(among(day_keys.c.ownership_no, ownership_nos))
        .group_by(day_keys.c.ownership_no)
    )
    return {row.ownership_no: row.last for row in tx.execute(query)}


def serials_of(tx: Connection, eids: Collection[bytes]) -> Mapping[bytes, int]:
    """Whose tag each of these identifiers is, as far as it is known."""
    query = (
        select(day_keys.c.eid, ownership.c.serial)
        .join(ownership, ownership.c.no == day_keys.c.ownership_no)
        .where(day_keys.c.eid.in_(list(eids)))
    )
    return {row.eid: row.serial for row in tx.execute(query)}


def _hold(tx: Connection, which: ColumnElement[bool]) -> None:
    """Locks days in the order of their EIDs, as `day_keys.held_for_reports` does: a DELETE or UPDATE takes its rows as
    it finds them, and one who writes days and one who brings reports would wait for each other.
    """
    tx.execute(select(day_keys.c.eid).where(which).order_by(day_keys.c.eid).with_for_update())


def _same_owner(tx: Connection, one: int, other: int) -> bool:
    """Whether two stretches are of the same tag and the same account."""
    query = select(ownership.c.serial, ownership.c.account_no).where(ownership.c.no.in_((one, other))).distinct()
    return len(tx.execute(query).all()) == 1
