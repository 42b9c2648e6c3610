"""Who takes part in ingest tests: tags that make frames, gateways that sign batches, and a database that knows them."""

from __future__ import annotations

import secrets
from collections.abc import Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from typing import Any

from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
from sqlalchemy import Connection, insert

from server.ingest.limits import Rate
from server.ingest.resolve import LotKey
from server.ingest.signature import BatchSigner
from server.ingest.verify import KnownGateway
from server.store import keys
from server.store.crypto import Vault
from server.store.tables import gateways
from wire import topics
from wire.batch import (
    Batch,
    Clock,
    GatewayClass,
    HeardFrame,
    Place,
    PlaceSource,
    Sighting,
    encode_batch,
    pack_sightings,
)
from wire.frames import encode_p
from wire.keys import tag_key
from wire.signing import Domain, sign

NOW = datetime(2026, 11, 22, 12, 0, tzinfo=UTC)
NOW_MS = int(NOW.timestamp() * 1000)
RETENTION = timedelta(days=400)
RATE = Rate(batches_per_s=200, bytes_per_s=4 * 1024 * 1024)  # of one gateway: out of the way of most tests
K_FACTORY = bytes(range(16))
LOTS = [LotKey(no, bytes([no]) * 16) for no in range(1, 6)]
HERE = Place(525_200_000, 134_050_000, 8, PlaceSource.FIXED)


@dataclass
class Tag:
    """A tag of one lot; every frame it makes is another."""

    serial: int
    lot: LotKey = LOTS[0]
    boot: int = 1

    def frame(self, uptime_s: int = 100, status: int = 0, k_factory: bytes = K_FACTORY) -> bytes:
        return encode_p(
            self.lot.key,
            tag_key(k_factory, self.serial),
            serial=self.serial,
            uptime_s=uptime_s,
            boot=self.boot,
            random2=secrets.token_bytes(2),
            status=status,
        )


def sighting(*frames: bytes, at_ms: int = NOW_MS - 60_000, rssi_dbm: int = -60, adverts: int = 3) -> Sighting:
    """One window of one address: the frames one second apart, the last one at `at_ms`."""
    heard = tuple(HeardFrame(at_ms - 1000 * (len(frames) - 1 - n), frame) for n, frame in enumerate(frames))
    return Sighting(heard[0].heard_ms, at_ms, adverts, rssi_dbm, rssi_dbm - 3, heard)


@dataclass
class Gateway:
    """A gateway with its key and one outbox; `batch` numbers and signs like the real one."""

    name: str
    no: int = 0
    gateway_class: GatewayClass = GatewayClass.OWN_SITE
    key: Ed25519PrivateKey = field(default_factory=Ed25519PrivateKey.generate)
    outbox_id: bytes = field(default_factory=lambda: secrets.token_bytes(16))
    next_sequence: int = 0

    @property
    def topic(self) -> str:
        return topics.batch(self.name)

    @property
    def known(self) -> KnownGateway:
        return KnownGateway(self.no, self.gateway_class, BatchSigner(self.key.public_key().public_bytes_raw()))

    def body(self, *sightings: Sighting, sequence: int | None = None, **more) -> bytes:
        if sequence is None:
            sequence = self.next_sequence
            self.next_sequence += 1
        packed, frames = pack_sightings(sightings)
        values: dict[str, Any] = {
            "sent_at_ms": NOW_MS,
            "clock": Clock.GOOD,
            "place": HERE,
            "sightings": packed,
            "frames": frames,
        }
        return encode_batch(Batch(self.name, self.outbox_id, sequence, **(values | more)))

    def sign(self, body: bytes) -> bytes:
        return sign(self.key, Domain.BATCH, body)

    def batch(self, *sightings: Sighting, **more) -> bytes:
        return self.sign(self.body(*sightings, **more))

    def tombstone(self, sequence: int | None = None, **dropped: int) -> bytes:
        return self.batch(sequence=sequence, given_up=True, dropped=dropped)


def enrol(tx: Connection, gateway: Gateway) -> Gateway:
    """Makes the database know a gateway."""
    row = {
        "gateway": gateway.name,
        "gateway_class": int(gateway.gateway_class),
        "owner": "us",
        "public_key": gateway.key.public_key().public_bytes_raw(),
        "created_at": NOW,
        "enrolled_at": NOW,
    }
    gateway.no = int(tx.execute(insert(gateways).values(row).returning(gateways.c.no)).scalar_one())
    return gateway


def furnish(tx: Connection, vault: Vault, lots: Sequence[LotKey] = LOTS) -> list[LotKey]:
    """Gives the database K_factory and these lots; returns the lots with the numbers they got."""
    keys.keep_secret(tx, vault, keys.K_FACTORY, K_FACTORY, NOW)
    for lot in lots:
        keys.add_lot(tx, vault, f"lot-{lot.no}", lot.key, NOW)
    return [LotKey(lot.no, lot.k_lot) for lot in keys.live_lots(tx, vault)]
