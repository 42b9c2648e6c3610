"""Gateways join, change and leave: one-time tokens, signed enrolment, revocation; each change reaches the broker."""

from __future__ import annotations

import base64
import hashlib
import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from datetime import date, datetime, time, timedelta
from typing import Any, Final

from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
from sqlalchemy import Connection

from server.service.broker_list import BrokerList
from server.service.refusals import refuse
from server.service.zones import check_zone
from server.settings import Settings
from server.store import audit, gateways
from server.store.audit import Entry
from server.store.gateways import Gateway, NewSite
from wire.batch import GatewayClass, Place, PlaceSource
from wire.enrolment import EnrolReply, EnrolRequest, EnrolToken, decode_request, encode_enrol_reply, encode_token
from wire.errors import WireError
from wire.signing import SIGNATURE_LEN, Domain, public_key, sign, verify
from wire.topics import GATEWAY_ID_PATTERN

TOKEN_LIFETIME: Final = timedelta(hours=24)
# Who runs our own gateways: one owner, so that two of them never count as two independent witnesses.
OURSELVES: Final = "us"
_OWN_CLASSES: Final = frozenset({GatewayClass.OWN_SITE, GatewayClass.VEHICLE})
# A building, if nobody says better.
_SITE_ACCURACY_M: Final = 50
# A week late is not picked up; and a century would break the arithmetic of every order of the site.
_GRACE_MAX_S: Final = 7 * 24 * 3600
_SITE_NAME: Final = re.compile(r"[a-z0-9][a-z0-9-]{0,31}\Z")


@dataclass(frozen=True, slots=True)
class NewGateway:
    """What an operator says of a gateway. `owner`: who runs it; needed unless it is our own."""

    gateway: str
    gateway_class: GatewayClass
    owner: str = ""
    site: str | None = None
    place: Place | None = None


@dataclass(frozen=True, slots=True)
class Registry:
    """What enrolment needs beside the database."""

    settings: Settings
    dice: Callable[[int], bytes]
    server_key: Ed25519PrivateKey

    @property
    def broker(self) -> BrokerList:
        return BrokerList.of(self.settings, self.dice)


# --- joining


def create(tx: Connection, registry: Registry, new: NewGateway, now: datetime, *, actor: str) -> tuple[Gateway, str]:
    """A gateway and the one-time token by which it enrols.

    Refusals: gateway_name, gateway_exists, owner_needed, site_needed, site_unknown.
    """
    if not re.match(GATEWAY_ID_PATTERN, new.gateway):
        raise refuse("gateway_name", reference=new.gateway[:64])
    new = _completed(tx, new)
    made = gateways.add(tx, new.gateway, new.gateway_class, new.owner, new.site, new.place, now)
    if made is None:
        raise refuse("gateway_exists", reference=new.gateway, gateway=new.gateway)
    _note(tx, now, actor, "gateway_made", new.gateway, {"class": new.gateway_class.name.lower(), "site": new.site})
    return made, _token(tx, registry, made, now)


def _completed(tx: Connection, new: NewGateway) -> NewGateway:
    """With owner and place where they follow from the rest."""
    own = new.gateway_class in _OWN_CLASSES
    if not own and not new.owner:
        raise refuse("owner_needed")
    if new.gateway_class is GatewayClass.OWN_SITE and new.site is None:
        raise refuse("site_needed")
    new = replace(new, owner=new.owner or OURSELVES)
    if new.site is None:
        return new
    site = gateways.site(tx, new.site)
    if site is None:
        raise refuse("site_unknown", reference=new.site, site=new.site)
    if new.gateway_class is GatewayClass.OWN_SITE and new.place is None:
        return replace(new, place=Place(site.lat_e7, site.lon_e7, _SITE_ACCURACY_M, PlaceSource.FIXED))
    return new


def reenrol(tx: Connection, registry: Registry, name: str, now: datetime, *, actor: str) -> str:
    """A new token for a gateway, also for a revoked one. Its present key works until the token is used.

    Refusals: gateway_unknown.
    """
    gateway = _existing(tx, name)
    _note(tx, now, actor, "token_made", name)
    return _token(tx, registry, gateway, now)


def _token(tx: Connection, registry: Registry, gateway: Gateway, now: datetime) -> str:
    secret = registry.dice(16)
    gateways.add_token(tx, _secret_hash(secret), gateway.no, now, now + TOKEN_LIFETIME)
    pinned = registry.server_key.public_key().public_bytes_raw()
    return encode_token(EnrolToken(registry.settings.base_url, gateway.gateway, secret, pinned))


def _secret_hash(secret: bytes) -> bytes:
    return hashlib.sha256(b"hearsight enrolment v1" + secret).digest()


def enrol(tx: Connection, registry: Registry, payload: bytes, now: datetime) -> bytes:
    """A gateway's signed request in, the server's signed reply out.

    A reply may be lost on the way, so the same token works again with the same key until it ends. Every mistake gets
    the same answer: whoever guesses learns nothing. Refusals: enrolment_refused, broker_list_failed, not_ready.
    """
    request = _signed_request(payload)
    gateway = gateways.by_name(tx, request.gateway, lock=True)
    if gateway is None:
        raise refuse("enrolment_refused")
    hashed = _secret_hash(request.secret)
    used = gateways.token_used(tx, hashed, gateway.no, now)
    if used is None or (used and gateway.public_key != request.public_key):
        raise refuse("enrolment_refused")
    # URL-safe letters: it travels inside URLs and configuration files.
    password = base64.urlsafe_b64encode(registry.dice(24)).decode()
    reply = _reply(registry, gateway, request, password)
    gateways.use_token(tx, hashed, now)
    gateways.change(
        tx, gateway.no, public_key=request.public_key, mqtt_password_hash=registry.broker.new_hash(password),
        enrolled_at=now, revoked_at=None,
    )  # fmt: skip
    registry.broker.write(tx)
    key = hashlib.sha256(request.public_key).hexdigest()[:16]
    _note(tx, now, f"gateway:{gateway.gateway}", "gateway_enrolled", gateway.gateway, {"key": key})
    return sign(registry.server_key, Domain.ENROL_REPLY, encode_enrol_reply(reply))


def _signed_request(payload: bytes) -> EnrolRequest:
    try:
        request = decode_request(payload[SIGNATURE_LEN:])
        verify(public_key(request.public_key), Domain.ENROL_REQUEST, payload)
    except WireError:
        raise refuse("enrolment_refused") from None
    return request


def _reply(registry: Registry, gateway: Gateway, request: EnrolRequest, password: str) -> EnrolReply:
    settings = registry.settings
    if settings.public_mqtt_url is None:
        raise refuse("not_ready", detail="the server does not know its broker (HEARSIGHT_MQTT_URL)")
    return EnrolReply(
        gateway=gateway.gateway,
        public_key=request.public_key,
        mqtt_url=settings.public_mqtt_url,
        mqtt_username=gateway.gateway,
        mqtt_password=password,
        gateway_class=gateway.gateway_class,
        network_id=settings.network_id,
        place=gateway.place,
        ca_pem=settings.mqtt_ca_file.read_text() if settings.mqtt_ca_file else "",
    )


# --- changing and leaving


def revoke(tx: Connection, registry: Registry, name: str, now: datetime, *, actor: str) -> Gateway:
    """It can neither connect nor report any more; what it reported stays. Refusals: gateway_unknown."""
    gateway = _existing(tx, name)
    gateways.drop_tokens(tx, gateway.no)
    gateways.change(tx, gateway.no, mqtt_password_hash=None, revoked_at=gateway.revoked_at or now)
    registry.broker.write(tx)
    _note(tx, now, actor, "gateway_revoked", name)
    return replace(gateway, revoked_at=gateway.revoked_at or now)


def change(tx: Connection, changed: NewGateway, now: datetime, *, actor: str) -> Gateway:
    """Another class, owner, site or place, from now on: batches keep the class they came with. A gateway learns its
    new place when it enrols again.

    Refusals: gateway_unknown, owner_needed, site_needed, site_unknown.
    """
    gateway = _existing(tx, changed.gateway)
    new = _completed(tx, changed)
    columns = gateways.place_columns(new.place)
    gateways.change(
        tx, gateway.no, gateway_class=int(new.gateway_class), owner=new.owner, site=new.site, **columns
    )  # fmt: skip
    detail = {"class": new.gateway_class.name.lower(), "owner": new.owner, "site": new.site} | columns
    _note(tx, now, actor, "gateway_changed", new.gateway, detail)
    return _existing(tx, new.gateway)


def write_broker_list(tx: Connection, registry: Registry) -> None:
    """Brings the broker's list up to date, as at every start of the server. Refusals: broker_list_failed."""
    registry.broker.write(tx)


def existing(tx: Connection, name: str) -> Gateway:
    """Refusals: gateway_unknown."""
    return _existing(tx, name, lock=False)


def everything(tx: Connection) -> tuple[Gateway, ...]:
    """Every gateway, also revoked ones and those never enrolled, by name."""
    return gateways.everything(tx)


def _existing(tx: Connection, name: str, *, lock: bool = True) -> Gateway:
    gateway = gateways.by_name(tx, name, lock=lock)
    if gateway is None:
        raise refuse("gateway_unknown", reference=name[:64], gateway=name[:64])
    return gateway


def _note(
    tx: Connection, now: datetime, actor: str, action: str, name: str, detail: dict[str, Any] | None = None
) -> None:
    audit.add(tx, Entry(now, actor, action, f"gateway:{name}", detail))


# --- sites


def create_site(tx: Connection, site: NewSite, now: datetime, *, actor: str) -> bool:
    """A site of ours; False if the same one is known. Refusals: site_invalid, zone_unknown, site_exists."""
    if not _SITE_NAME.match(site.site):
        raise refuse("site_invalid", detail="its name has 1 to 32 small letters, digits and hyphens")
    check_zone(site.zone)
    _check_calendar(site)
    if gateways.add_site(tx, site):
        audit.add(tx, Entry(now, actor, "site_made", f"site:{site.site}", {"name": site.name}))
        return True
    if gateways.site(tx, site.site) != site:
        raise refuse("site_exists", reference=site.site, site=site.site)
    return False


def _check_calendar(site: NewSite) -> None:
    """The calendar is data that rules read later, so it is refused here or nowhere."""
    try:
        pickups = [(int(each["weekday"]), time.fromisoformat(each["at"])) for each in site.calendar.get("pickups", ())]
        days = [weekday for weekday, _ in pickups] + list(site.calendar.get("workdays", ()))
        [date.fromisoformat(day) for day in site.calendar.get("holidays", ())]
        time.fromisoformat(site.calendar.get("cutoff", "17:00"))
        grace_s = int(site.calendar.get("pickup_grace_s", 0))
        good = all(0 <= day <= 6 for day in days) and 0 <= grace_s <= _GRACE_MAX_S
        good = good and all(_service_is_good(each) for each in site.calendar.get("services", ()))
    except (TypeError, ValueError, OverflowError, KeyError, AttributeError):
        good = False
    known = {"pickups", "workdays", "holidays", "cutoff", "pickup_grace_s", "services"}
    if not good or not known.issuperset(site.calendar):
        raise refuse("site_invalid", detail="its calendar cannot be read")


def _service_is_good(service: Mapping[str, Any]) -> bool:
    time.fromisoformat(service["cutoff"])
    named = isinstance(service["name"], str) and 0 < len(service["name"]) <= 60
    return named and 0 <= int(service["transit_bd"]) <= 60 and isinstance(service.get("saturday", False), bool)
