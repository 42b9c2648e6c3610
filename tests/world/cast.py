"""Who and what there is in every world: places, gateways, tags and their keys. The seed decides what they do.

The cast never changes, so the database is furnished with it once and only emptied between two seeds.
"""

from __future__ import annotations

import hashlib
from dataclasses import dataclass
from typing import Final

from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey

from firmware_sim.tag import Unit
from wire.batch import GatewayClass, Place, PlaceSource
from wire.keys import tag_key

MASTER_KEY: Final = b"m" * 32
K_FACTORY: Final = bytes(range(16))
SITE: Final = "wh"
ZONE: Final = "Europe/Berlin"
PICKUP_HOUR: Final = 17
PICKUP_GRACE_MS: Final = 2 * 3_600_000


@dataclass(frozen=True, slots=True)
class Spot:
    """A place where tags can be, and the gateways that always stand there."""

    name: str
    place: Place
    gateways: tuple[str, ...]


def _spot(name: str, lat: float, lon: float, *gateways: str) -> Spot:
    return Spot(name, Place(round(lat * 1e7), round(lon * 1e7), 15, PlaceSource.FIXED), gateways)


WAREHOUSE: Final = _spot("warehouse", 53.5500, 9.9930, "wh-1", "wh-2")
ROAD: Final = _spot("road", 53.4700, 9.8800)  # 12 km away; only the van hears here
DEPOT: Final = _spot("depot", 53.2400, 9.8200, "depot-1")
STREET: Final = _spot("street", 52.4000, 9.7500, "street-1")  # 4 km from the home
HOME: Final = _spot("home", 52.3700, 9.7300, "home-1", "home-2")
SPOTS: Final = (WAREHOUSE, ROAD, DEPOT, STREET, HOME)


@dataclass(frozen=True, slots=True)
class CastGateway:
    """One receiver. `spot` None: the van, which is wherever a parcel travels."""

    name: str
    gateway_class: GatewayClass
    owner: str
    spot: Spot | None

    @property
    def key(self) -> Ed25519PrivateKey:
        return Ed25519PrivateKey.from_private_bytes(hashlib.sha256(b"key of " + self.name.encode()).digest())


VAN: Final = "van-1"
GATEWAYS: Final = (
    CastGateway("wh-1", GatewayClass.OWN_SITE, "us", WAREHOUSE),
    CastGateway("wh-2", GatewayClass.OWN_SITE, "us", WAREHOUSE),
    CastGateway(VAN, GatewayClass.VEHICLE, "carrier", None),
    CastGateway("depot-1", GatewayClass.PARTNER, "carrier", DEPOT),
    CastGateway("street-1", GatewayClass.CROWD, "cem", STREET),
    CastGateway("home-1", GatewayClass.CROWD, "ann", HOME),
    CastGateway("home-2", GatewayClass.CROWD, "bob", HOME),
)

LOTS: Final = {"lot-a": b"a" * 16, "lot-b": b"b" * 16}
# Its tags are in the air before anybody has given the server its key.
LATE_LOT: Final = "lot-late"
LATE_LOT_KEY: Final = b"l" * 16
# The database refuses rows of this tag: it stands for whatever nobody thought of.
POISON_SERIAL: Final = 13
_LOT_OF: Final = {1: "lot-a", 2: "lot-a", 3: "lot-b", 4: "lot-b", 5: "lot-b", 6: "lot-a", 7: LATE_LOT, 13: "lot-a"}
SERIALS: Final = tuple(_LOT_OF)
ORDERED: Final = (1, 2, 3, 4)
"""Serials that a story may bind to an order; the others only lie about."""


def lot_key(lot: str) -> bytes:
    return LATE_LOT_KEY if lot == LATE_LOT else LOTS[lot]


def lot_of(serial: int) -> str:
    return _LOT_OF[serial]


def unit(serial: int, drift_ppm: float) -> Unit:
    """What the factory burnt into a tag."""
    private = Ed25519PrivateKey.from_private_bytes(hashlib.sha256(b"tag %d" % serial).digest())
    key = lot_key(lot_of(serial))
    return Unit(serial, key, tag_key(K_FACTORY, serial), b"claim of a tag..", private, drift_ppm=drift_ppm)
