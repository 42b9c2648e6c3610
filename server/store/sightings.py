"""Sightings read back: thinned for the rules, newest for "where is my tag", minute by minute for its owner.

Every read comes down to the index (serial, heard_at) of the partitions that its time allows; there is no mutable row
per tag. Stale frames are among the rows: freshness is judged by `server.rules.freshness`, not here. What was heard
while a tag was private is in no answer of this page, to whomever: here, so that nobody else can forget it.
"""

from __future__ import annotations

from collections.abc import Collection
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import Any, Final

from sqlalchemy import Connection, Row, bindparam, text
from sqlalchemy.dialects.postgresql import ARRAY
from sqlalchemy.types import BigInteger, DateTime, Interval

from server.rules import facts
from server.store.private_stretches import HEARD_IN_PRIVATE
from wire.batch import Clock, PlaceSource
from wire.batch import GatewayClass as WireClass

# The tolerance of freshness (`server.rules.freshness`) is 30 s, so rows of one bucket cannot be told apart by it.
LAG_BUCKET_S: Final = 30
# What was heard before an order or an ownership still matters: a frame that was recorded then and is played back now is
# known by its lag beside live ones. Shorter: whoever keeps a recording for longer is believed while the tag is silent.
# Longer: one more partition a month for every order.
LOOK_BACK: Final = timedelta(days=90)
# A page shows minutes; whoever wants more asks for a shorter time.
MAX_HISTORY: Final = 10_000

_CLASS: Final = {
    WireClass.OWN_SITE: facts.GatewayClass.OWN_SITE,
    WireClass.VEHICLE: facts.GatewayClass.VEHICLE,
    WireClass.PARTNER: facts.GatewayClass.PARTNER,
    WireClass.CROWD: facts.GatewayClass.CROWD,
}


@dataclass(frozen=True, slots=True)
class Hearing:
    """One frame of a tag, heard by one gateway, with both clocks: the gateway's (`heard_at`) and ours (`reached_at`).

    `first_heard_at` is when its address was first heard in that window, `adverts` counts the whole window.
    `receivers` names every gateway that heard the tag in the same minute, the strongest (this one) among them.
    """

    serial: int
    heard_at: datetime
    first_heard_at: datetime
    reached_at: datetime
    uptime_s: int
    boot: int
    status: int
    adverts: int
    rssi_max_dbm: int
    rssi_mean_dbm: int
    gateway: str
    gateway_class: facts.GatewayClass
    gateway_owner: str
    site: str | None
    place: facts.Place | None
    place_source: PlaceSource | None
    clock: Clock
    receivers: tuple[str, ...]


def heard(
    tx: Connection,
    serials: Collection[int],
    since: datetime | None = None,
    cuts: Collection[datetime] = (),
    anchor_age_s: int | None = None,
) -> list[facts.Heard]:
    """What the radio heard of these tags, thinned to the two ends of every (serial, boot, gateway, class, place, clock,
    lag bucket of 30 s, UTC day), in order of time. `since` bounds the moment heard.

    Nothing is thinned across a moment in `cuts`: whoever asks "was it heard between these two" cuts at both. Nor across
    the moment at which a boot has been known for `anchor_age_s`: frames before it prove nothing, and as the end of a
    row one of them would hide those that do.
    """
    if not serials:
        return []
    age = None if anchor_age_s is None else timedelta(seconds=anchor_age_s)
    asked = {"serials": sorted(set(serials)), "since": since, "cuts": sorted(set(cuts)), "anchor_age": age}
    return [_heard(row) for row in tx.execute(_HEARD, asked)]


def last_heard(tx: Connection, serials: Collection[int]) -> dict[int, Hearing]:
    """The newest hearing of each tag by the gateways' clocks; a tag that was never heard is not in the answer."""
    if not serials:
        return {}
    rows = tx.execute(_LAST, {"serials": sorted(set(serials))})
    return {row.serial: _hearing(row, (row.gateway,)) for row in rows}


def history(tx: Connection, serial: int, from_at: datetime, to_at: datetime, limit: int = MAX_HISTORY) -> list[Hearing]:
    """The strongest hearing of every minute in [from_at, to_at), newest first.

    Frames of another boot or another lag bucket in the same minute (a replay) stand as hearings of their own.
    """
    asked = {"serial": serial, "from_at": from_at, "to_at": to_at, "limit": min(limit, MAX_HISTORY)}
    rows = tx.execute(_HISTORY, asked)
    return [_hearing(row, tuple(sorted(set(row.receivers)))) for row in rows]


def _heard(row: Row[Any]) -> facts.Heard:
    gateway_class = _CLASS[WireClass(row.gateway_class)]
    return facts.Heard(
        serial=row.serial,
        boot=row.boot,
        gateway=row.gateway,
        gateway_class=gateway_class,
        gateway_owner=row.owner,
        site=row.site if gateway_class is facts.GatewayClass.OWN_SITE else None,
        place=_place(row),
        clock_good=row.clock == Clock.GOOD,
        first_at=_utc(row.first_at),
        last_at=_utc(row.last_at),
        first_uptime_s=row.first_uptime_s,
        last_uptime_s=row.last_uptime_s,
        count=row.frames,
        first_reached_at=_utc(row.first_reached_at),
        reached_us_at=_utc(row.reached_us_at),
        status=row.status,
    )


def _hearing(row: Row[Any], receivers: tuple[str, ...]) -> Hearing:
    gateway_class = _CLASS[WireClass(row.gateway_class)]
    return Hearing(
        serial=row.serial,
        heard_at=_utc(row.heard_at),
        first_heard_at=_utc(row.heard_at) - timedelta(milliseconds=row.window_ms),
        reached_at=_utc(row.received_at),
        uptime_s=row.uptime_s,
        boot=row.boot,
        status=row.status,
        adverts=row.adverts,
        rssi_max_dbm=row.rssi_max_dbm,
        rssi_mean_dbm=row.rssi_mean_dbm,
        gateway=row.gateway,
        gateway_class=gateway_class,
        gateway_owner=row.owner,
        site=row.site if gateway_class is facts.GatewayClass.OWN_SITE else None,
        place=_place(row),
        place_source=None if row.place_source is None else PlaceSource(row.place_source),
        clock=Clock(row.clock),
        receivers=receivers,
    )


def _place(row: Row[Any]) -> facts.Place | None:
    if row.lat_e7 is None:
        return None
    return facts.Place(lat=row.lat_e7 / 1e7, lon=row.lon_e7 / 1e7, accuracy_m=float(row.accuracy_m))


def _utc(moment: datetime) -> datetime:
    return moment.astimezone(UTC)


_WHERE_IT_STOOD: Final = """
    g.gateway, g.owner, g.site, b.gateway_class, b.clock, b.received_at,
    b.lat_e7, b.lon_e7, b.accuracy_m, b.place_source
"""
_JOINS: Final = """
    join batches b on b.no = s.batch_no
    join gateways g on g.no = b.gateway_no
"""
_PLACE: Final = "b.lat_e7, b.lon_e7, b.accuracy_m, b.place_source"
# None of them is stored (`private_stretches.py`). Asked once more where they are read, because a place that was shown
# cannot be taken back: a worker of an older version that still ran, or a copy of a table put back, must not matter.
_NOT_PRIVATE: Final = f"not {HEARD_IN_PRIVATE}"
_LAG_BUCKET: Final = f"floor((extract(epoch from s.heard_at) - s.uptime_s) / {LAG_BUCKET_S})"

# First and last of a bucket are whole frames: moment and uptime of each end come from one row, ties broken by uptime.
_HEARD_SQL: Final = f"""
    select t.*, g.gateway, g.owner, g.site
    from (
        select serial, boot, gateway_no, gateway_class, lat_e7, lon_e7, accuracy_m, place_source, clock,
            min(heard_at) as first_at, max(heard_at) as last_at,
            (array_agg(uptime_s order by heard_at, uptime_s))[1] as first_uptime_s,
            (array_agg(uptime_s order by heard_at desc, uptime_s desc))[1] as last_uptime_s,
            (array_agg(status order by heard_at desc, uptime_s desc, status))[1] as status,
            count(*) as frames, min(received_at) as first_reached_at, max(received_at) as reached_us_at
        from (
            select s.serial, s.boot, s.heard_at, s.uptime_s, s.status, {_LAG_BUCKET} as lag_bucket,
                b.gateway_no, b.gateway_class, {_PLACE}, b.clock, b.received_at,
                min(s.heard_at) filter (where b.clock = {Clock.GOOD:d}) over (partition by s.serial, s.boot) as known_at
            from sightings s join batches b on b.no = s.batch_no
            where s.serial = any(:serials) and (cast(:since as timestamptz) is null or s.heard_at >= :since)
                and {_NOT_PRIVATE.format("s")}
        ) frames
        group by serial, boot, gateway_no, gateway_class, lat_e7, lon_e7, accuracy_m, place_source, clock, lag_bucket,
            (heard_at at time zone 'UTC')::date, width_bucket(heard_at, :cuts), heard_at >= known_at + :anchor_age
    ) t
    join gateways g on g.no = t.gateway_no
    order by t.serial, t.first_at, t.last_at, g.gateway, t.boot, t.first_uptime_s
"""  # noqa: S608 - put together from constants of this page only
_HEARD: Final = text(_HEARD_SQL).bindparams(
    bindparam("serials", type_=ARRAY(BigInteger)),
    bindparam("since", type_=DateTime(timezone=True)),
    bindparam("cuts", type_=ARRAY(DateTime(timezone=True))),
    bindparam("anchor_age", type_=Interval()),
)

# Newest partition first, older ones only while nothing was found. The array stands in a query of its own, because the
# planner would look how long it is and plan anew for each: five times the work of the answer itself.
_LAST_SQL: Final = f"""
    select s.*, {_WHERE_IT_STOOD}
    from unnest((select cast(:serials as bigint[]))) as wanted(serial)
    cross join lateral (
        select * from sightings h where h.serial = wanted.serial and {_NOT_PRIVATE.format("h")}
        order by h.heard_at desc, h.batch_no desc limit 1
    ) s {_JOINS}
"""  # noqa: S608 - put together from constants of this page only
_LAST: Final = text(_LAST_SQL).bindparams(bindparam("serials", type_=ARRAY(BigInteger)))

_HISTORY_SQL: Final = f"""
    select * from (
        select s.*, {_WHERE_IT_STOOD},
            row_number() over (same order by s.rssi_max_dbm desc, s.heard_at desc, s.batch_no) as place_in_minute,
            array_agg(g.gateway) over same as receivers
        from sightings s {_JOINS}
        where s.serial = :serial and s.heard_at >= :from_at and s.heard_at < :to_at and {_NOT_PRIVATE.format("s")}
        window same as (partition by date_trunc('minute', s.heard_at), s.boot, {_LAG_BUCKET})
    ) minutes
    where place_in_minute = 1
    order by heard_at desc, rssi_max_dbm desc, batch_no
    limit :limit
"""  # noqa: S608 - put together from constants of this page only
_HISTORY: Final = text(_HISTORY_SQL).bindparams(
    bindparam("from_at", type_=DateTime(timezone=True)), bindparam("to_at", type_=DateTime(timezone=True))
)
