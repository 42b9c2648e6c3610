"""The keys that ingest works with, as the database has them now: gateways, lots, the factory's, and our own.

A snapshot that is looked at again every few moments; a revoked gateway is therefore deaf to us within
`REFRESH_S` even if the broker still lets it in, and a new one need not wait longer than that.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, field, replace
from datetime import datetime, timedelta
from typing import Final

from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
from sqlalchemy import Connection

from server.ingest.reresolve import Late, reresolve
from server.ingest.resolve import LotKey, Resolver
from server.ingest.signature import BatchSigner
from server.ingest.verify import KnownGateway
from server.store import gateways, keys, trusted
from server.store.crypto import Vault

# A lot imported while no worker ran, or noticed by one that was then killed, has frames waiting that nobody looked at
# again. Shorter: an ingest that was down for longer leaves them. Longer: each start looks through them once more.
YOUNG: Final = timedelta(days=7)
# One small query each time; longer, and an operator who revokes a gateway would wonder.
REFRESH_S: Final = 2.0


@dataclass(frozen=True, slots=True)
class Keyring:
    """One state of the keys. `resolver` is made anew with each, and knows no tag before K_factory was imported.

    `young` are the lots of which frames may wait that came before their keys, whoever has noticed these lots before.
    """

    revision: int
    gateways: Mapping[str, KnownGateway]
    lots: Mapping[int, LotKey] = field(repr=False)
    young: frozenset[int]
    resolver: Resolver = field(repr=False)
    server_key: Ed25519PrivateKey = field(repr=False)


@dataclass(frozen=True, slots=True)
class Keys:
    """Where keyrings come from. `network_id` is the byte by which our frames are known."""

    vault: Vault = field(repr=False)
    network_id: int
    clock: Callable[[], datetime]

    def load(self, tx: Connection) -> Keyring:
        """The keys as they are now. Raises Refusal `master_key_wrong`."""
        revision = trusted.revision(tx)
        k_factory = keys.k_factory(tx, self.vault)
        # Without K_factory no frame can be told from a forged one: the lots wait for it.
        lots = keys.live_lots(tx, self.vault) if k_factory else ()
        live = [LotKey(lot.no, lot.k_lot) for lot in lots]
        now = self.clock()
        return Keyring(
            revision=revision,
            gateways={
                known.gateway: KnownGateway(known.no, known.gateway_class, BatchSigner(known.public_key))
                for known in gateways.may_report(tx)
                if known.public_key is not None
            },
            lots={lot.no: lot for lot in live},
            young=frozenset(lot.no for lot in lots if lot.imported_at > now - YOUNG),
            resolver=Resolver(k_factory or b"", live, self.network_id),
            server_key=keys.server_key(tx, self.vault, now),
        )

    def renew(self, tx: Connection, before: Keyring) -> Keyring:
        """The same keyring if nothing changed, else a new one; with the same lots its resolver keeps what it learnt."""
        if trusted.revision(tx) == before.revision:
            return before
        new = self.load(tx)
        return replace(new, resolver=before.resolver) if new.lots == before.lots else new

    def reresolve(self, tx: Connection, lots: Iterable[LotKey]) -> Late:
        """Makes sightings of frames of these lots that came before their keys."""
        k_factory = keys.k_factory(tx, self.vault)
        return reresolve(tx, k_factory or b"", lots if k_factory else [], self.network_id, self.clock())
