"""The units that the factory made, as its signed manifests tell: which key answers for which serial."""

from __future__ import annotations

from collections.abc import Collection, Iterable, Mapping
from dataclasses import dataclass
from datetime import datetime

from sqlalchemy import Connection, func, insert, select

from server.store.tables import lots, manifests, units


@dataclass(frozen=True, slots=True)
class Unit:
    """One tag. `claim_hash` is what is kept of the code in its box, `found_code` what stands on its outside."""

    serial: int
    lot: str
    model: str
    beacon_mode: str
    public_key: bytes
    claim_hash: bytes
    found_code: str
    manifest: str
    made_at: datetime


@dataclass(frozen=True, slots=True)
class Lot:
    """A lot without its key; `units` counts what manifests name."""

    lot: str
    imported_at: datetime
    retired_at: datetime | None
    units: int


def by_serials(tx: Connection, serials: Collection[int]) -> Mapping[int, Unit]:
    """The units of these serials that we know."""
    found = tx.execute(select(units).where(units.c.serial.in_(serials)))
    return {row.serial: Unit(*row) for row in found}


def by_serial(tx: Connection, serial: int) -> Unit | None:
    """The unit with this serial."""
    return by_serials(tx, [serial]).get(serial)


def by_claim_hash(tx: Connection, claim_hash: bytes) -> Unit | None:
    """The unit in whose box the code with this hash lies."""
    row = tx.execute(select(units).where(units.c.claim_hash == claim_hash)).first()
    return Unit(*row) if row else None


def by_found_code(tx: Connection, code: str) -> Unit | None:
    """The unit that has this code printed on its outside."""
    row = tx.execute(select(units).where(units.c.found_code == code)).first()
    return Unit(*row) if row else None


def claim_hashes_taken(tx: Connection, hashes: Collection[bytes]) -> Mapping[bytes, int]:
    """Which of these claim hashes belong to units already, and to which serial."""
    found = tx.execute(select(units.c.claim_hash, units.c.serial).where(units.c.claim_hash.in_(hashes)))
    return {row.claim_hash: row.serial for row in found}


def found_codes_taken(tx: Connection, codes: Collection[str]) -> frozenset[str]:
    """Which of these codes stand on units already."""
    return frozenset(tx.execute(select(units.c.found_code).where(units.c.found_code.in_(codes))).scalars())


def add(tx: Connection, new: Iterable[Unit]) -> None:
    """Writes units down that are not yet known."""
    rows = [
        {
            "serial": unit.serial,
            "lot": unit.lot,
            "model": unit.model,
            "beacon_mode": unit.beacon_mode,
            "public_key": unit.public_key,
            "claim_hash": unit.claim_hash,
            "found_code": unit.found_code,
            "manifest": unit.manifest,
            "made_at": unit.made_at,
        }
        for unit in new
    ]
    if rows:
        tx.execute(insert(units), rows)


def manifest_sha256(tx: Connection, manifest: str) -> bytes | None:
    """The hash of a manifest that was imported; None if it was not."""
    found: bytes | None = tx.execute(
        select(manifests.c.sha256).where(manifests.c.manifest == manifest)
    ).scalar_one_or_none()
    return found


def add_manifest(tx: Connection, manifest: str, sha256: bytes, lot: str, made_at: datetime, now: datetime) -> None:
    row = {"manifest": manifest, "sha256": sha256, "lot": lot, "made_at": made_at, "imported_at": now}
    tx.execute(insert(manifests).values(row))


def of_lot(tx: Connection, lot: str) -> tuple[Unit, ...]:
    """Every unit of a lot, by serial."""
    return tuple(Unit(*row) for row in tx.execute(select(units).where(units.c.lot == lot).order_by(units.c.serial)))


def all_lots(tx: Connection) -> tuple[Lot, ...]:
    """Every lot, newest first."""
    query = (
        select(lots.c.lot, lots.c.imported_at, lots.c.retired_at, func.count(units.c.serial))
        .join_from(lots, units, lots.c.lot == units.c.lot, isouter=True)
        .group_by(lots.c.no)
        .order_by(lots.c.no.desc())
    )
    return tuple(Lot(*row) for row in tx.execute(query))
