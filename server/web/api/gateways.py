"""Gateways and sites: how each one is, making and revoking them, and the door by which a new one enrols."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime
from typing import Annotated, Any

from fastapi import APIRouter, Path, Request, Response
from fastapi.concurrency import run_in_threadpool
from pydantic import Field
from sqlalchemy import Connection

from server.rules.facts import GatewayClass, Site
from server.service import gateway_health, gateways
from server.service.gateway_health import GatewayHealth
from server.service.gateways import NewGateway, Registry
from server.service.house import House
from server.service.ingest_health import IngestHealth, ingest_health
from server.store import coverage, keys
from server.store.gateways import NewSite
from server.web.api.models import Body, Done, Line, Zone, example, refusals
from server.web.auth import Anybody, Operator, Staff
from server.web.deps import Address, Rates, TheHouse, body_within
from wire.batch import GatewayClass as WireClass
from wire.batch import Place, PlaceSource
from wire.enrolment import MAX_BYTES

router = APIRouter(tags=["gateways"])
Name = Annotated[str, Path(pattern=r"^[a-z0-9](?:[a-z0-9-]{0,30}[a-z0-9])?$", examples=["dock-1"])]
_OPERATOR = ("sign_in_needed", "not_yours")
_OCTETS = "application/octet-stream"


class Stands(Body):
    """Where a fixed gateway stands, in degrees and metres."""

    lat: Annotated[float, Field(ge=-90, le=90)]
    lon: Annotated[float, Field(ge=-180, le=180)]
    accuracy_m: Annotated[int, Field(ge=0, le=65_535)] = 10


class GatewayIn(Body):
    """A gateway to be enrolled. `owner`: who runs it, needed unless it is our own."""

    model_config = example(
        gateway="dock-1", gateway_class="own_site", site="main", place={"lat": 39.95, "lon": -75.16, "accuracy_m": 20}
    )

    gateway: Annotated[str, Field(max_length=32)]
    gateway_class: GatewayClass
    owner: Line = ""
    site: Annotated[str | None, Field(max_length=32)] = None
    place: Stands | None = None


class SiteIn(Body):
    """One of our own sites. Calendar: pickups [{weekday, at}], pickup_grace_s, workdays, holidays, cutoff, services."""

    model_config = example(
        site="main", name="Main warehouse", zone="America/New_York", lat=39.95, lon=-75.16,
        calendar={"cutoff": "14:00:00", "pickups": [{"weekday": 0, "at": "17:00:00"}], "holidays": ["2026-12-25"]},
    )  # fmt: skip

    site: Annotated[str, Field(max_length=32)]
    name: Line
    zone: Zone
    lat: Annotated[float, Field(ge=-90, le=90)]
    lon: Annotated[float, Field(ge=-180, le=180)]
    calendar: Annotated[dict[str, Any], Field(max_length=8, default_factory=dict)]


@dataclass(frozen=True, slots=True)
class EnrolmentToken:
    """What is handed to the gateway: `python -m gateway enrol TOKEN`. It works once, for a day."""

    gateway: str
    token: str


@router.get("/gateways", responses=refusals(*_OPERATOR))
def every_gateway(house: TheHouse, _: Staff) -> tuple[GatewayHealth, ...]:
    """How every gateway is: connected, scanning, hearing, and what waits or was dropped."""
    with house.work() as (tx, now):
        return gateway_health.every_gateway(tx, now)


@router.get("/ingest", responses=refusals(*_OPERATOR))
def ingest(house: TheHouse, _: Staff) -> IngestHealth:
    """How late sightings arrive, and how each worker is that brings them."""
    with house.work() as (tx, _now):
        return ingest_health(tx)


@router.get("/gateways/{gateway}", responses=refusals(*_OPERATOR, "gateway_unknown"))
def one(gateway: Name, house: TheHouse, _: Staff) -> GatewayHealth:
    """How one gateway is."""
    with house.work() as (tx, now):
        return gateway_health.gateway(tx, gateway, now)


@router.post(
    "/gateways",
    status_code=201,
    responses=refusals(*_OPERATOR, "gateway_name", "gateway_exists", "owner_needed", "site_needed", "site_unknown"),
)
def create(body: GatewayIn, house: TheHouse, who: Operator) -> EnrolmentToken:
    """Make a gateway and its one-time token."""
    stands = body.place
    place = (
        Place(round(stands.lat * 1e7), round(stands.lon * 1e7), stands.accuracy_m, PlaceSource.MANUAL)
        if stands
        else None
    )
    new = NewGateway(body.gateway, WireClass[body.gateway_class.name], body.owner, body.site, place)
    with house.work() as (tx, now):
        _, token = gateways.create(tx, _registry(house, tx, now), new, now, actor=who.email)
    return EnrolmentToken(body.gateway, token)


@router.post("/gateways/{gateway}/token", status_code=201, responses=refusals(*_OPERATOR, "gateway_unknown"))
def new_token(gateway: Name, house: TheHouse, who: Operator) -> EnrolmentToken:
    """A new token for a gateway that enrols again, also for a revoked one."""
    with house.work() as (tx, now):
        return EnrolmentToken(gateway, gateways.reenrol(tx, _registry(house, tx, now), gateway, now, actor=who.email))


@router.post("/gateways/{gateway}/revoke", responses=refusals(*_OPERATOR, "gateway_unknown", "broker_list_failed"))
def revoke(gateway: Name, house: TheHouse, who: Operator) -> GatewayHealth:
    """It can neither connect nor report any more; what it reported stays."""
    with house.work() as (tx, now):
        gateways.revoke(tx, _registry(house, tx, now), gateway, now, actor=who.email)
        return gateway_health.gateway(tx, gateway, now)


@router.post(
    "/gateways/enrol",
    responses=refusals("enrolment_refused", "too_large", "too_many"),
    openapi_extra={"requestBody": {"required": True, "content": {_OCTETS: {"schema": {"format": "binary"}}}}},
    response_class=Response,
)
async def enrol(request: Request, house: TheHouse, rates: Rates, address: Address, _: Anybody) -> Response:
    """A gateway's signed request in, the server's signed reply out (docs/wire-format.md)."""
    rates.take("enrol", address)
    payload = await body_within(request, MAX_BYTES)

    def work() -> bytes:
        with house.work() as (tx, now):
            return gateways.enrol(tx, _registry(house, tx, now), payload, now)

    return Response(await run_in_threadpool(work), media_type=_OCTETS)


@router.get("/sites", responses=refusals(*_OPERATOR))
def sites(house: TheHouse, _: Staff) -> tuple[Site, ...]:
    """Our own sites with their calendars."""
    with house.work() as (tx, _now):
        return coverage.all_sites(tx)


@router.post("/sites", status_code=201, responses=refusals(*_OPERATOR, "site_invalid", "site_exists", "zone_unknown"))
def create_site(body: SiteIn, house: TheHouse, who: Operator) -> Done:
    """Make a site of ours; the same one again changes nothing."""
    site = NewSite(
        body.site, body.name, body.zone, round(body.lat * 1e7), round(body.lon * 1e7), body.calendar
    )  # fmt: skip
    with house.work() as (tx, now):
        gateways.create_site(tx, site, now, actor=who.email)
    return Done()


def _registry(house: House, tx: Connection, now: datetime) -> Registry:
    return Registry(house.settings, house.dice, keys.server_key(tx, house.vault, now))
