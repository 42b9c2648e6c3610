"""The server's secrets: its own signing key, the factory's key, keys of lots; and their move to a new master key."""

from __future__ import annotations

from dataclasses import dataclass, field
from datetime import datetime
from typing import Any, Final

from cryptography.hazmat.primitives.asymmetric.ec import SECP256R1, EllipticCurvePrivateKey
from cryptography.hazmat.primitives.asymmetric.ec import derive_private_key as p256_key
from cryptography.hazmat.primitives.asymmetric.ec import generate_private_key as new_p256_key
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey, Ed25519PublicKey
from sqlalchemy import Column, Connection, select, update
from sqlalchemy.dialects.postgresql import insert

from server.store.crypto import Vault
from server.store.tables import (
    accounts,
    channels,
    contact_words,
    factory_keys,
    lots,
    mail_in,
    secrets,
    slots,
    webhook_inbox,
)
from wire.signing import public_key

SERVER_KEY: Final = "server_key"
K_FACTORY: Final = "k_factory"
PUSH_KEY: Final = "push_key"


@dataclass(frozen=True, slots=True)
class LiveLot:
    """A production lot whose tags may be heard: `k_lot` (16 bytes) opens their frames."""

    no: int
    lot: str
    imported_at: datetime
    k_lot: bytes = field(repr=False)


@dataclass(frozen=True, slots=True)
class Sealed:
    """An encrypted column. `name` is the column whose value stands behind the slash of what the vault is told."""

    column: Column[Any]
    name: Column[Any] | None = None

    def what(self, row_name: object = None) -> str:
        """What a vault is told about a value of this column."""
        return f"{self.column.table}.{self.column.name}" + (f"/{row_name}" if self.name is not None else "")


SECRET: Final = Sealed(secrets.c.value, secrets.c.name)
LOT_KEY: Final = Sealed(lots.c.k_lot, lots.c.lot)
CUSTODIAL_KEY: Final = Sealed(accounts.c.custodial_key)
CHANNEL_ADDRESS: Final = Sealed(channels.c.address)
CHANNEL_SECRET: Final = Sealed(channels.c.secret)
PERSONALISATION: Final = Sealed(slots.c.personalisation)
WEBHOOK_BODY: Final = Sealed(webhook_inbox.c.body)
CONTACT_WORDS: Final = Sealed(contact_words.c.words)
MAIL_IN_LETTER: Final = Sealed(mail_in.c.letter)
# Every encrypted column; a test looks for others.
ALL_SEALED: Final = (
    SECRET,
    LOT_KEY,
    CUSTODIAL_KEY,
    CHANNEL_ADDRESS,
    CHANNEL_SECRET,
    PERSONALISATION,
    WEBHOOK_BODY,
    CONTACT_WORDS,
    MAIL_IN_LETTER,
)


# --- named secrets


def secret(tx: Connection, vault: Vault, name: str) -> bytes | None:
    """A named secret; none if it was never kept. Raises Refusal `master_key_wrong`."""
    sealed = tx.execute(select(secrets.c.value).where(secrets.c.name == name)).scalar_one_or_none()
    return None if sealed is None else vault.open(SECRET.what(name), sealed)


def keep_secret(tx: Connection, vault: Vault, name: str, value: bytes, now: datetime) -> bool:
    """Keeps a named secret unless there is one already; says whether it was kept."""
    row = {"name": name, "value": vault.seal(SECRET.what(name), value), "made_at": now}
    kept = tx.execute(insert(secrets).values(row).on_conflict_do_nothing().returning(secrets.c.name))
    return kept.scalar_one_or_none() is not None


def any_secret(tx: Connection) -> bool:
    """Whether the database holds secrets, which belong to a master key that must then exist somewhere."""
    return tx.execute(select(secrets.c.name).limit(1)).first() is not None


def server_key(tx: Connection, vault: Vault, now: datetime) -> Ed25519PrivateKey:
    """The key that signs receipts and commands and that gateways pin; made at the first call."""
    seed = secret(tx, vault, SERVER_KEY)
    if seed is None:
        keep_secret(tx, vault, SERVER_KEY, Ed25519PrivateKey.generate().private_bytes_raw(), now)
        seed = secret(tx, vault, SERVER_KEY)  # another process may have been the first
        assert seed is not None
    return Ed25519PrivateKey.from_private_bytes(seed)


def push_key(tx: Connection, vault: Vault, now: datetime) -> EllipticCurvePrivateKey:
    """The key on P-256 by which browsers' push services know this house (RFC 8292); made at the first call.

    Browsers subscribe to its public half: with another key every subscription would be worth nothing.
    """
    value = secret(tx, vault, PUSH_KEY)
    if value is None:
        made = new_p256_key(SECP256R1()).private_numbers().private_value.to_bytes(32, "big")
        keep_secret(tx, vault, PUSH_KEY, made, now)
        value = secret(tx, vault, PUSH_KEY)  # another process may have been the first
        assert value is not None
    return p256_key(int.from_bytes(value, "big"), SECP256R1())


def k_factory(tx: Connection, vault: Vault) -> bytes | None:
    """K_factory, from which every tag's frame key follows; none before it was imported."""
    return secret(tx, vault, K_FACTORY)


# --- lots


def live_lots(tx: Connection, vault: Vault) -> tuple[LiveLot, ...]:
    """Every lot that is not retired, newest first. Raises Refusal `master_key_wrong`."""
    wanted = select(lots.c.no, lots.c.lot, lots.c.imported_at, lots.c.k_lot).where(lots.c.retired_at.is_(None))
    return tuple(
        LiveLot(row.no, row.lot, row.imported_at, vault.open(LOT_KEY.what(row.lot), row.k_lot))
        for row in tx.execute(wanted.order_by(lots.c.no.desc()))
    )


def lot_key(tx: Connection, vault: Vault, lot: str) -> bytes | None:
    """K_lot of one lot, also of a retired one."""
    sealed = tx.execute(select(lots.c.k_lot).where(lots.c.lot == lot)).scalar_one_or_none()
    return None if sealed is None else vault.open(LOT_KEY.what(lot), sealed)


def add_lot(tx: Connection, vault: Vault, lot: str, k_lot: bytes, now: datetime) -> bool:
    """Writes a lot down; False if there is one of this name."""
    row = {"lot": lot, "k_lot": vault.seal(LOT_KEY.what(lot), k_lot), "imported_at": now}
    made = tx.execute(insert(lots).values(row).on_conflict_do_nothing(index_elements=["lot"]).returning(lots.c.no))
    return made.scalar_one_or_none() is not None


def retire_lot(tx: Connection, lot: str, now: datetime) -> bool:
    """Its tags are no longer resolved; False if there is no such living lot."""
    living = update(lots).where(lots.c.lot == lot, lots.c.retired_at.is_(None))
    return tx.execute(living.values(retired_at=now)).rowcount > 0


# --- keys that may sign manifests


def add_factory_key(tx: Connection, raw: bytes, name: str, now: datetime) -> bool:
    """Lets a key sign manifests; False if it may already. Raises WireError `public_key`."""
    public_key(raw)
    row = {"public_key": raw, "name": name, "added_at": now}
    made = tx.execute(insert(factory_keys).values(row).on_conflict_do_nothing().returning(factory_keys.c.name))
    return made.scalar_one_or_none() is not None


def factory_public_keys(tx: Connection) -> tuple[Ed25519PublicKey, ...]:
    """Every key that may sign manifests."""
    return tuple(public_key(raw) for raw in tx.execute(select(factory_keys.c.public_key)).scalars())


# --- a new master key


def rotate(tx: Connection, vault: Vault) -> dict[str, int]:
    """Brings every encrypted value under the vault's present key; how many of each column were renewed.

    Values are read and written in this transaction: either all are under the new key or none.
    """
    return {each.what(""): _rotate_column(tx, vault, each) for each in ALL_SEALED}


def _rotate_column(tx: Connection, vault: Vault, each: Sealed) -> int:
    table = each.column.table
    key = list(table.primary_key.columns)
    query = select(*key, each.column, *([each.name] if each.name is not None else [])).where(each.column.is_not(None))
    renewed = 0
    for row in tx.execute(query.with_for_update()).mappings():
        if not vault.is_current(row[each.column]):
            what = each.what(row[each.name] if each.name is not None else None)
            this = [column == row[column] for column in key]
            tx.execute(update(table).where(*this).values({each.column: vault.renew(what, row[each.column])}))
            renewed += 1
    return renewed
