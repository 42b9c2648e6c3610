"""Who could have heard: our sites with their calendars, the gateways, and the stretches in which ours were up."""

from __future__ import annotations

from collections.abc import Collection, Mapping
from datetime import UTC, date, datetime, time, timedelta
from typing import Any, Final

from sqlalchemy import Connection, Row, or_, select, text

from server.rules.facts import BeaconMode, Gateway, GatewayClass, Healthy, Place, Site, Unit
from server.rules.schedule import Pickup, Service
from server.store.tables import batches, gateways, manifests, sites, units
from wire.batch import GatewayClass as WireClass

# A gateway sends a batch a minute while it hears anything. Smaller: a slow link looks like an outage. Larger: an
# outage of that length counts as silence of the tags.
GAP_MAX: Final = timedelta(minutes=15)

CLASS_WORD: Final[Mapping[int, GatewayClass]] = {int(each): GatewayClass[each.name] for each in WireClass}


def all_sites(tx: Connection) -> tuple[Site, ...]:
    """Our own sites, by id."""
    return tuple(_site(row) for row in tx.execute(select(sites).order_by(sites.c.site)))


def units_of(tx: Connection, serials: Collection[int]) -> tuple[Unit, ...]:
    """What the signed manifests say of these tags."""
    query = select(units, manifests.c.imported_at).join(manifests).where(units.c.serial.in_(sorted(serials)))
    return tuple(
        Unit(
            serial=row.serial,
            lot=row.lot,
            beacon_mode=BeaconMode(row.beacon_mode),
            manufactured_at=row.made_at.astimezone(UTC),
            keyed_at=row.made_at.astimezone(UTC),
        )
        for row in tx.execute(query.order_by(units.c.serial))
    )


def gateways_of(tx: Connection, names: Collection[str]) -> tuple[Gateway, ...]:
    """These gateways, and every one that stands at a site of ours."""
    ours = gateways.c.gateway_class == int(WireClass.OWN_SITE)
    query = select(gateways).where(or_(gateways.c.gateway.in_(sorted(names)), ours)).order_by(gateways.c.gateway)
    return tuple(Gateway(row.gateway, CLASS_WORD[row.gateway_class], row.owner, row.site) for row in tx.execute(query))


def healthy(tx: Connection, from_at: datetime, to_at: datetime) -> tuple[Healthy, ...]:
    """The stretches in which our own sites' gateways reported what they heard, never more than `GAP_MAX` apart."""
    asked = {"own": int(WireClass.OWN_SITE), "from_at": from_at, "to_at": to_at, "gap": GAP_MAX}
    return tuple(
        Healthy(row.gateway, row.first_at.astimezone(UTC), row.last_at.astimezone(UTC) + GAP_MAX)
        for row in tx.execute(_STRETCHES, asked)
    )


def any_up(tx: Connection, from_at: datetime, to_at: datetime) -> bool:
    """True if anything that any gateway heard reached us in that time."""
    mine = (batches.c.gateway_no == gateways.c.no) & (batches.c.rows > 0)
    then = batches.c.received_at.between(from_at, to_at)
    told = select(batches.c.no).where(mine, then).exists()
    return tx.execute(select(gateways.c.no).where(told).limit(1)).first() is not None


_STRETCHES: Final = text("""
    select gateway, min(sent_at) as first_at, max(sent_at) as last_at
    from (
        select gateway, sent_at, count(*) filter (where new) over (partition by gateway order by sent_at) as stretch
        from (
            select g.gateway, b.sent_at,
                b.sent_at - lag(b.sent_at) over (partition by b.gateway_no order by b.sent_at) > :gap as new
            from batches b join gateways g on g.no = b.gateway_no
            where g.gateway_class = :own and b.rows > 0 and b.received_at >= :from_at
                and b.sent_at >= :from_at and b.sent_at < :to_at
        ) as told
    ) as stretches
    group by gateway, stretch
    order by gateway, first_at
""")


def _site(row: Row[Any]) -> Site:
    """A site from its row. The calendar's keys: pickups [{weekday, at}], pickup_grace_s, workdays, holidays, cutoff,
    services [{name, cutoff, transit_bd, saturday}].
    """
    calendar = row.calendar
    plain = Site(row.site, row.name, row.zone, Place(row.lat_e7 / 1e7, row.lon_e7 / 1e7, 0.0))
    return Site(
        id=plain.id,
        name=plain.name,
        zone=plain.zone,
        place=plain.place,
        pickups=tuple(Pickup(each["weekday"], time.fromisoformat(each["at"])) for each in calendar.get("pickups", ())),
        pickup_grace_s=calendar.get("pickup_grace_s", plain.pickup_grace_s),
        workdays=frozenset(calendar.get("workdays", plain.workdays)),
        holidays=frozenset(date.fromisoformat(day) for day in calendar.get("holidays", ())),
        cutoff=time.fromisoformat(calendar["cutoff"]) if "cutoff" in calendar else plain.cutoff,
        services=tuple(
            Service(each["name"], time.fromisoformat(each["cutoff"]), each["transit_bd"], each.get("saturday", False))
            for each in calendar.get("services", ())
        ),
    )
