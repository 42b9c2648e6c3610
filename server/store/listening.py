"""How well places are listened to: for each coarse cell and UTC day, which tags that nobody owned were heard there.

Measured once a day from that day's partition, kept as one row a cell, read by the orders that go there. A cell is 0.1°
of latitude and longitude, some ten kilometres: a town, no street.
"""

from __future__ import annotations

import math
from collections.abc import Collection
from datetime import UTC, date, datetime, time, timedelta
from typing import Final

from sqlalchemy import Connection, bindparam, delete, select, text
from sqlalchemy.types import DateTime

from server.rules.facts import Place
from server.rules.listening import ListenedDay
from server.store.tables import listened_days
from wire.batch import Clock
from wire.batch import GatewayClass as WireClass

# Smaller: too few tags to count. Larger: the receivers of a town speak for its villages.
CELL_E7: Final = 1_000_000
# An address that is known no better than this lies in no cell; as good as a cell is wide.
PLACE_MAX_M: Final = 10_000
# A cell's tags on one day, taken by their serials: enough to measure by. More only makes the row wider.
SERIALS_MAX: Final = 500
# An order reads at most these days: a month before its delivery and some months after it.
DAYS_MAX: Final = 180


def cell_of(place: Place) -> str | None:
    """The cell of a place; None if the place is not known well enough."""
    if place.accuracy_m > PLACE_MAX_M:
        return None
    return "/".join(str(math.floor(round(degrees * 1e7) / CELL_E7)) for degrees in (place.lat, place.lon))


def unmeasured(tx: Connection, days: Collection[date]) -> tuple[date, ...]:
    """Those of the days of which no cell has a row yet, the oldest first."""
    known = set(tx.execute(select(listened_days.c.day).where(listened_days.c.day.in_(days)).distinct()).scalars())
    return tuple(sorted(set(days) - known))


def measure(tx: Connection, day: date) -> int:
    """Write down the cells of a UTC day; returns how many. What is there already stays."""
    start = datetime.combine(day, time(), UTC)
    return tx.execute(_MEASURE, {"day": day, "start": start, "end": start + timedelta(days=1)}).rowcount


def prune(tx: Connection, before: date) -> int:
    """Remove the days before one; returns how many rows."""
    return tx.execute(delete(listened_days).where(listened_days.c.day < before)).rowcount


def days_of(tx: Connection, place: Place, from_day: date) -> tuple[ListenedDay, ...]:
    """The cell of a place from a day on, at most `DAYS_MAX` days; nothing for a place that is not known well enough."""
    cell = cell_of(place)
    if cell is None:
        return ()
    mine = (listened_days.c.cell == cell) & (listened_days.c.day >= from_day)
    query = select(listened_days.c.day, listened_days.c.serials).where(mine).order_by(listened_days.c.day)
    return tuple(ListenedDay(row.day, frozenset(row.serials)) for row in tx.execute(query.limit(DAYS_MAX)))


_MEASURE: Final = text(f"""
    insert into listened_days (cell, day, serials)
    select cell, :day, (array_agg(serial order by serial))[1:{SERIALS_MAX}]
    from (
        select distinct s.serial,
            floor(b.lat_e7 / {CELL_E7}.0)::int || '/' || floor(b.lon_e7 / {CELL_E7}.0)::int as cell
        from sightings s join batches b on b.no = s.batch_no
        where s.heard_at >= :start and s.heard_at < :end
            and b.gateway_class in ({int(WireClass.PARTNER)}, {int(WireClass.CROWD)}) and b.clock = {int(Clock.GOOD)}
            and b.lat_e7 is not null and b.accuracy_m <= {PLACE_MAX_M}
            and not exists (
                select from ownership o
                where o.serial = s.serial and o.since < :end and (o.until is null or o.until >= :start)
            )
    ) as heard
    group by cell
    on conflict do nothing
""").bindparams(  # noqa: S608 - numbers of our own making
    bindparam("start", type_=DateTime(timezone=True)), bindparam("end", type_=DateTime(timezone=True))
)
