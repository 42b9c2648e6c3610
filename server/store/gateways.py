"""Gateways and sites: who may report, as what, from where; and the one-time tokens by which they enrol."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime
from typing import Any, Final

from sqlalchemy import Connection, delete, select, text, update
from sqlalchemy.dialects.postgresql import insert

from server.store.tables import enrolment_tokens, gateways, sites
from wire.batch import GatewayClass, Place, PlaceSource


@dataclass(frozen=True, slots=True)
class Gateway:
    """One gateway. Without `public_key` it was never enrolled; with `revoked_at` it may report no more."""

    no: int
    gateway: str
    gateway_class: GatewayClass
    owner: str
    site: str | None
    place: Place | None
    public_key: bytes | None
    created_at: datetime
    enrolled_at: datetime | None
    revoked_at: datetime | None


@dataclass(frozen=True, slots=True)
class NewSite:
    """A site of ours. `calendar`: pickups [{weekday, at}], pickup_grace_s, workdays, holidays, cutoff, services."""

    site: str
    name: str
    zone: str
    lat_e7: int
    lon_e7: int
    calendar: Mapping[str, Any]


_COLUMNS: Final = tuple(column for column in gateways.c if column is not gateways.c.mqtt_password_hash)


def _gateway(row: Any) -> Gateway:
    place = None
    if row.lat_e7 is not None:
        place = Place(row.lat_e7, row.lon_e7, row.accuracy_m, PlaceSource.FIXED)
    return Gateway(
        row.no, row.gateway, GatewayClass(row.gateway_class), row.owner, row.site, place, row.public_key,
        row.created_at, row.enrolled_at, row.revoked_at,
    )  # fmt: skip


def place_columns(place: Place | None) -> dict[str, int | None]:
    """A place as its three columns."""
    if place is None:
        return {"lat_e7": None, "lon_e7": None, "accuracy_m": None}
    return {"lat_e7": place.lat_e7, "lon_e7": place.lon_e7, "accuracy_m": place.accuracy_m}


# --- gateways


def add(
    tx: Connection,
    gateway: str,
    gateway_class: GatewayClass,
    owner: str,
    site: str | None,
    place: Place | None,
    now: datetime,
) -> Gateway | None:
    """A gateway that may enrol; None if there is one of this name."""
    row = {"gateway": gateway, "gateway_class": int(gateway_class), "owner": owner, "site": site, "created_at": now}
    made = insert(gateways).values(row | place_columns(place)).on_conflict_do_nothing(index_elements=["gateway"])
    found = tx.execute(made.returning(*_COLUMNS)).one_or_none()
    return _gateway(found) if found else None


def by_name(tx: Connection, gateway: str, *, lock: bool = False) -> Gateway | None:
    """`lock`: nobody else changes it until the end of the transaction."""
    query = select(*_COLUMNS).where(gateways.c.gateway == gateway)
    row = tx.execute(query.with_for_update() if lock else query).one_or_none()
    return _gateway(row) if row else None


def everything(tx: Connection) -> tuple[Gateway, ...]:
    """Every gateway, also revoked ones and those never enrolled, by name."""
    return tuple(_gateway(row) for row in tx.execute(select(*_COLUMNS).order_by(gateways.c.gateway)))


def may_report(tx: Connection) -> tuple[Gateway, ...]:
    """Every gateway that is enrolled and not revoked."""
    living = select(*_COLUMNS).where(gateways.c.public_key.is_not(None), gateways.c.revoked_at.is_(None))
    return tuple(_gateway(row) for row in tx.execute(living))


def change(tx: Connection, no: int, **values: Any) -> None:
    """Sets columns of one gateway."""
    tx.execute(update(gateways).where(gateways.c.no == no).values(values))


def lock_broker_list(tx: Connection) -> None:
    """One at a time changes the broker's list: else the later writer could leave out what the earlier one added."""
    tx.execute(text("select pg_advisory_xact_lock(0x4D515454)"))


def broker_credentials(tx: Connection) -> tuple[tuple[str, str], ...]:
    """(user, password hash) of every gateway that may connect to the broker, by name."""
    living = select(gateways.c.gateway, gateways.c.mqtt_password_hash).where(gateways.c.revoked_at.is_(None))
    living = living.where(gateways.c.mqtt_password_hash.is_not(None)).order_by(gateways.c.gateway)
    return tuple((row.gateway, row.mqtt_password_hash) for row in tx.execute(living))


# --- enrolment tokens


def add_token(tx: Connection, secret_hash: bytes, gateway_no: int, now: datetime, expires_at: datetime) -> None:
    """A new token; the gateway's earlier ones work no more."""
    tx.execute(delete(enrolment_tokens).where(enrolment_tokens.c.gateway_no == gateway_no))
    row = {"secret_hash": secret_hash, "gateway_no": gateway_no, "created_at": now, "expires_at": expires_at}
    tx.execute(insert(enrolment_tokens).values(row))


def drop_tokens(tx: Connection, gateway_no: int) -> None:
    tx.execute(delete(enrolment_tokens).where(enrolment_tokens.c.gateway_no == gateway_no))


def token_used(tx: Connection, secret_hash: bytes, gateway_no: int, now: datetime) -> bool | None:
    """Whether this token of this gateway was used; None if there is no such token, or it has ended."""
    query = select(enrolment_tokens.c.used_at).where(enrolment_tokens.c.secret_hash == secret_hash)
    query = query.where(enrolment_tokens.c.gateway_no == gateway_no, enrolment_tokens.c.expires_at > now)
    row = tx.execute(query).one_or_none()
    return None if row is None else row.used_at is not None


def use_token(tx: Connection, secret_hash: bytes, now: datetime) -> None:
    tx.execute(update(enrolment_tokens).where(enrolment_tokens.c.secret_hash == secret_hash).values(used_at=now))


# --- sites


def add_site(tx: Connection, site: NewSite) -> bool:
    """False if there is a site of this name, whatever its data."""
    row = {
        "site": site.site,
        "name": site.name,
        "zone": site.zone,
        "lat_e7": site.lat_e7,
        "lon_e7": site.lon_e7,
        "calendar": dict(site.calendar),
    }
    made = insert(sites).values(row).on_conflict_do_nothing(index_elements=["site"]).returning(sites.c.site)
    return tx.execute(made).one_or_none() is not None


def site(tx: Connection, name: str) -> NewSite | None:
    """A site as it was written down."""
    row = tx.execute(select(sites).where(sites.c.site == name)).one_or_none()
    return NewSite(row.site, row.name, row.zone, row.lat_e7, row.lon_e7, row.calendar) if row else None
