"""What enrolment left on this gateway's disk: gateway.toml (who we are, whom we believe) and the identity key.

gateway.toml   0600  readable by people; holds the broker's password
identity.key   0600  the gateway's own Ed25519 key: made here, it never leaves
identity.new   0600  the key of an enrolment that is under way; asked again, the same token goes with the same key
"""

from __future__ import annotations

import json
import os
from dataclasses import dataclass, field
from pathlib import Path
from typing import Annotated, Final, Literal

import msgspec
from cryptography.exceptions import UnsupportedAlgorithm
from cryptography.hazmat.primitives import serialization
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
from msgspec import Meta

from gateway.errors import Refusal
from wire.batch import GatewayClass, Place, PlaceSource
from wire.topics import GatewayId

GATEWAY_FILE: Final = "gateway.toml"
IDENTITY_FILE: Final = "identity.key"
PENDING_FILE: Final = "identity.new"
_HINT: Final = "Ask the operator for a token and run: python -m gateway enrol TOKEN"


@dataclass(frozen=True, slots=True)
class Enrolment:
    """One gateway's place in the system. The password and the keys never reach a log."""

    gateway: str
    gateway_class: GatewayClass
    network_id: int
    public_key: bytes
    server_url: str
    server_public_key: bytes
    mqtt_url: str
    mqtt_username: str
    mqtt_password: str = field(repr=False)
    ca_pem: str = ""
    place: Place | None = None


class _Server(msgspec.Struct, forbid_unknown_fields=True):
    url: str
    public_key: Annotated[str, Meta(pattern="^[0-9a-f]{64}$")]


class _Mqtt(msgspec.Struct, forbid_unknown_fields=True):
    url: str
    username: str
    password: str
    ca_pem: str = ""


class PlaceTable(msgspec.Struct, forbid_unknown_fields=True):
    """A place as people write it: degrees, not units of 1e-7."""

    lat: Annotated[float, Meta(ge=-90, le=90)]
    lon: Annotated[float, Meta(ge=-180, le=180)]
    accuracy_m: Annotated[int, Meta(ge=0, le=65_535)]
    source: Literal["fixed", "gnss", "manual"] = "fixed"

    def to_place(self) -> Place:
        return Place(round(self.lat * 1e7), round(self.lon * 1e7), self.accuracy_m, PlaceSource[self.source.upper()])


class _File(msgspec.Struct, forbid_unknown_fields=True):
    gateway: GatewayId
    gateway_class: Literal["own_site", "vehicle", "partner", "crowd"]
    network_id: Annotated[int, Meta(ge=1, le=254)]
    public_key: Annotated[str, Meta(pattern="^[0-9a-f]{64}$")]
    server: _Server
    mqtt: _Mqtt
    place: PlaceTable | None = None


def place_lines(place: Place) -> str:
    """A `[place]` table that PlaceTable reads back to the same place."""
    return (
        f"[place]\nlat = {place.lat_e7 / 1e7:.7f}\nlon = {place.lon_e7 / 1e7:.7f}\n"
        f'accuracy_m = {place.accuracy_m}\nsource = "{place.source.name.lower()}"\n'
    )


def save_enrolment(folder: Path, enrolment: Enrolment) -> None:
    """Write gateway.toml whole or not at all. A JSON string is a TOML string, so quoting is json's."""
    quoted = json.dumps
    text = (
        "# Written by `python -m gateway enrol`; it holds the broker's password: keep it to yourself.\n"
        f"gateway = {quoted(enrolment.gateway)}\n"
        f"gateway_class = {quoted(enrolment.gateway_class.name.lower())}\n"
        f"network_id = {enrolment.network_id}\n"
        f"public_key = {quoted(enrolment.public_key.hex())}\n\n"
        "[server]\n"
        f"url = {quoted(enrolment.server_url)}\n"
        f"public_key = {quoted(enrolment.server_public_key.hex())}\n\n"
        "[mqtt]\n"
        f"url = {quoted(enrolment.mqtt_url)}\n"
        f"username = {quoted(enrolment.mqtt_username)}\n"
        f"password = {quoted(enrolment.mqtt_password)}\n"
        f"ca_pem = {quoted(enrolment.ca_pem)}\n"
    )
    if enrolment.place is not None:
        text += "\n" + place_lines(enrolment.place)
    write_private(folder / GATEWAY_FILE, text.encode())


def load_enrolment(folder: Path) -> tuple[Enrolment, Ed25519PrivateKey]:
    """Who we are. Raises Refusal `not_enrolled`, `enrolment_broken`, `identity_missing`."""
    path = folder / GATEWAY_FILE
    try:
        held = msgspec.toml.decode(path.read_bytes(), type=_File)
    except FileNotFoundError:
        raise Refusal("not_enrolled", f"this gateway is not enrolled: there is no {path}", _HINT) from None
    except (msgspec.DecodeError, ValueError) as error:
        raise Refusal("enrolment_broken", f"{path} cannot be read: {error}", _HINT) from None
    enrolment = Enrolment(
        gateway=held.gateway,
        gateway_class=GatewayClass[held.gateway_class.upper()],
        network_id=held.network_id,
        public_key=bytes.fromhex(held.public_key),
        server_url=held.server.url,
        server_public_key=bytes.fromhex(held.server.public_key),
        mqtt_url=held.mqtt.url,
        mqtt_username=held.mqtt.username,
        mqtt_password=held.mqtt.password,
        ca_pem=held.mqtt.ca_pem,
        place=held.place.to_place() if held.place else None,
    )
    return enrolment, _identity(folder, enrolment.public_key)


def _identity(folder: Path, public_key: bytes) -> Ed25519PrivateKey:
    """The key that belongs to gateway.toml; finishes an enrolment that was cut off between its two files."""
    for name in (IDENTITY_FILE, PENDING_FILE):
        path = folder / name
        if not path.exists():
            continue
        key = load_key(path)
        if key.public_key().public_bytes_raw() == public_key:
            path.replace(folder / IDENTITY_FILE)
            return key
    raise Refusal("identity_missing", f"the key in {folder / IDENTITY_FILE} is not the one that was enrolled", _HINT)


def load_key(path: Path) -> Ed25519PrivateKey:
    """An Ed25519 key from its PEM file. Raises Refusal `key_broken`."""
    try:
        key = serialization.load_pem_private_key(path.read_bytes(), password=None)
    except (ValueError, UnsupportedAlgorithm):
        key = None
    if not isinstance(key, Ed25519PrivateKey):
        raise Refusal("key_broken", f"{path} holds no Ed25519 key", "Move the file away and try again.")
    return key


def load_or_make_key(path: Path) -> Ed25519PrivateKey:
    """The key in this file, or a new one put there, readable by its user only."""
    if path.exists():
        return load_key(path)
    key = Ed25519PrivateKey.generate()
    pem = key.private_bytes(serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption())
    write_private(path, pem)
    return key


def write_private(path: Path, content: bytes) -> None:
    """Replace a file whole or not at all; nobody but its user may read it, not even for a moment."""
    path.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
    temporary = path.with_name(path.name + ".tmp")
    temporary.unlink(missing_ok=True)
    with os.fdopen(os.open(temporary, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600), "wb") as file:
        file.write(content)
        file.flush()
        os.fsync(file.fileno())
    temporary.replace(path)
    folder = os.open(path.parent, os.O_RDONLY)
    try:
        os.fsync(folder)
    finally:
        os.close(folder)
