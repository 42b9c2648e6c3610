"""What the factory hands over: a lot's keys, and the signed manifest that names every unit with its public key.

A manifest is read row by row: a good row is kept, a wrong one is named with its line and kept out. A key once known
for a serial is never changed by a manifest, or whoever signs manifests could take over a customer's tag.
"""

from __future__ import annotations

import hashlib
import hmac
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, replace
from datetime import datetime
from enum import StrEnum
from typing import Annotated, Final

import msgspec
from msgspec import Meta
from sqlalchemy import Connection

from server.service.refusals import refuse
from server.store import audit, keys, units
from server.store.audit import Entry
from server.store.crypto import Vault
from server.store.units import Unit
from wire import manifest as wire_manifest
from wire.errors import WireError
from wire.manifest import Header, decode_unit, open_manifest

Dice = Callable[[int], bytes]
Progress = Callable[[int], None]
Key16 = Annotated[str, Meta(pattern=r"^[0-9a-f]{32}\Z")]
Key32 = Annotated[str, Meta(pattern=r"^[0-9a-f]{64}\Z")]

# Without I, L, O and U: read over the telephone, nothing sounds or looks like something else.
_LETTERS: Final = "0123456789ABCDEFGHJKMNPQRSTVWXYZ"
# 50 random bits: at the rate that the found page allows nobody finds a tag by trying.
_FOUND_CODE_LEN: Final = 10
_ROWS_AT_ONCE: Final = 1_000
# 5,000 rows of the longest kind, a header and a signature.
MAX_MANIFEST_BYTES: Final = (wire_manifest.MAX_UNITS + 2) * (wire_manifest.MAX_LINE + 1)


class LotFile(msgspec.Struct, frozen=True):
    """`lot.json` of the factory: secret, handed over by a way that nobody else can read."""

    lot: Annotated[str, Meta(min_length=1, max_length=64)]
    k_lot: Key16
    k_factory: Key16
    factory_public_key: Key32 | None = None


class Outcome(StrEnum):
    """What became of a row."""

    ADDED = "added"
    KNOWN = "known"
    REFUSED = "refused"


@dataclass(frozen=True, slots=True)
class RowResult:
    """One row of a manifest. `line` counts from 1, the header's; `code` and `message` say why it was refused."""

    line: int
    serial: int | None
    outcome: Outcome
    code: str = ""
    message: str = ""


@dataclass(frozen=True, slots=True)
class Imported:
    """What an import did, or would do in a dry run."""

    manifest: str
    lot: str
    rows: tuple[RowResult, ...]

    def count(self, outcome: Outcome) -> int:
        return sum(row.outcome is outcome for row in self.rows)

    @property
    def refused(self) -> tuple[RowResult, ...]:
        return tuple(row for row in self.rows if row.outcome is Outcome.REFUSED)


# --- lots


def read_lot_file(content: bytes) -> LotFile:
    """Refusals: lot_file_invalid."""
    try:
        return msgspec.json.decode(content, type=LotFile)
    except msgspec.DecodeError:
        raise refuse("lot_file_invalid") from None


def import_lot(tx: Connection, vault: Vault, lot: LotFile, now: datetime, *, actor: str) -> bool:
    """Keeps a lot's keys; False if they are known. The first lot brings the factory's key for manifests with it.

    Refusals: lot_conflict, k_factory_conflict, factory_key_new.
    """
    k_factory = bytes.fromhex(lot.k_factory)
    keys.keep_secret(tx, vault, keys.K_FACTORY, k_factory, now)
    if not hmac.compare_digest(keys.k_factory(tx, vault) or b"", k_factory):
        raise refuse("k_factory_conflict", reference=lot.lot)
    if lot.factory_public_key:
        known = [key.public_bytes_raw() for key in keys.factory_public_keys(tx)]
        if not known:
            trust_factory_key(tx, lot.factory_public_key, f"with lot {lot.lot}", now, actor=actor)
        elif bytes.fromhex(lot.factory_public_key) not in known:
            raise refuse("factory_key_new", reference=lot.lot, key=lot.factory_public_key)
    if keys.add_lot(tx, vault, lot.lot, bytes.fromhex(lot.k_lot), now):
        audit.add(tx, Entry(now, actor, "lot_imported", f"lot:{lot.lot}"))
        return True
    if not hmac.compare_digest(keys.lot_key(tx, vault, lot.lot) or b"", bytes.fromhex(lot.k_lot)):
        raise refuse("lot_conflict", reference=lot.lot, lot=lot.lot)
    return False


def retire_lot(tx: Connection, lot: str, now: datetime, *, actor: str) -> None:
    """Its tags are resolved no more, which makes every batch cheaper. Refusals: lot_unknown."""
    if not keys.retire_lot(tx, lot, now):
        raise refuse("lot_unknown", reference=lot, lot=lot)
    audit.add(tx, Entry(now, actor, "lot_retired", f"lot:{lot}"))


def trust_factory_key(tx: Connection, public_key_hex: str, name: str, now: datetime, *, actor: str) -> bool:
    """Lets a key sign manifests; False if it may already. Refusals: factory_key_invalid."""
    try:
        new = keys.add_factory_key(tx, bytes.fromhex(public_key_hex), name, now)
    except (ValueError, WireError):
        raise refuse("factory_key_invalid") from None
    if new:
        audit.add(tx, Entry(now, actor, "factory_key_trusted", f"factory_key:{public_key_hex[:16]}", {"name": name}))
    return new


# --- manifests


def import_manifest(
    tx: Connection, dice: Dice, file: bytes, now: datetime, *, actor: str, dry_run: bool = False,
    progress: Progress = lambda rows: None,
) -> Imported:  # fmt: skip
    """Keeps the units of a manifest. The same file again adds nothing; a dry run says what would be done.

    `progress` is told how many rows have been seen. Refusals: manifest_shape, manifest_signature, manifest_count,
    manifest_conflict (this manifest is known with other contents), lot_unknown.
    """
    try:
        if len(file) > MAX_MANIFEST_BYTES:
            raise WireError("manifest_shape", f"a manifest has at most {MAX_MANIFEST_BYTES} bytes")
        header, lines = open_manifest(file, keys.factory_public_keys(tx))
    except WireError as error:
        raise refuse(error.code, detail=str(error)) from None
    if header.lot not in {lot.lot for lot in units.all_lots(tx)}:
        raise refuse("lot_unknown", reference=header.manifest, lot=header.lot)
    sha256 = hashlib.sha256(file).digest()
    before = units.manifest_sha256(tx, header.manifest)
    if before is not None and before != sha256:
        raise refuse("manifest_conflict", reference=header.manifest, manifest=header.manifest)
    if before is None and not dry_run:
        units.add_manifest(tx, header.manifest, sha256, header.lot, header.made_at, now)
    imported = Imported(header.manifest, header.lot, tuple(_rows(tx, dice, header, lines, progress, dry_run=dry_run)))
    if before is None and not dry_run:
        counts = {str(outcome): imported.count(outcome) for outcome in Outcome}
        audit.add(tx, Entry(now, actor, "manifest_imported", f"manifest:{header.manifest}", counts))
    return imported


def _rows(
    tx: Connection, dice: Dice, header: Header, lines: Iterator[bytes], progress: Progress, *, dry_run: bool
) -> Iterator[RowResult]:
    seen: dict[int, Unit] = {}
    for numbered in _in_parts(enumerate(lines, start=2)):
        read = [(line, _read(text, header)) for line, text in numbered]
        candidates = [unit for _, unit in read if isinstance(unit, Unit)]
        known = dict(units.by_serials(tx, [unit.serial for unit in candidates])) | seen
        taken = dict(units.claim_hashes_taken(tx, [unit.claim_hash for unit in candidates]))
        taken |= {unit.claim_hash: unit.serial for unit in seen.values()}
        fresh: list[Unit] = []
        for line, unit in read:
            result = _judge(line, unit, known, taken)
            if result.outcome is Outcome.ADDED and isinstance(unit, Unit):
                fresh.append(unit)
                known[unit.serial] = seen[unit.serial] = unit
                taken[unit.claim_hash] = unit.serial
            yield result
        if not dry_run:
            units.add(tx, _with_found_codes(tx, dice, fresh))
        progress(numbered[-1][0] - 1)


def _in_parts(lines: Iterator[tuple[int, bytes]]) -> Iterator[Sequence[tuple[int, bytes]]]:
    part: list[tuple[int, bytes]] = []
    for each in lines:
        part.append(each)
        if len(part) == _ROWS_AT_ONCE:
            yield part
            part = []
    if part:
        yield part


def _read(line: bytes, header: Header) -> Unit | WireError:
    try:
        row = decode_unit(line)
    except WireError as error:
        return error
    return Unit(
        row.serial, header.lot, row.model, row.beacon_mode, bytes.fromhex(row.public_key),
        bytes.fromhex(row.claim_hash), "", header.manifest, header.made_at,
    )  # fmt: skip


def _judge(line: int, unit: Unit | WireError, known: dict[int, Unit], taken: dict[bytes, int]) -> RowResult:
    if isinstance(unit, WireError):
        return RowResult(line, None, Outcome.REFUSED, unit.code, str(unit))
    before = known.get(unit.serial)
    if before is not None:
        if (before.public_key, before.claim_hash, before.lot) == (unit.public_key, unit.claim_hash, unit.lot):
            return RowResult(line, unit.serial, Outcome.KNOWN)
        message = f"serial {unit.serial} is known with another key, claim code or lot (manifest {before.manifest})"
        return RowResult(line, unit.serial, Outcome.REFUSED, "manifest_conflict", message)
    if unit.claim_hash in taken:
        message = f"serial {unit.serial} has the claim code of serial {taken[unit.claim_hash]}"
        return RowResult(line, unit.serial, Outcome.REFUSED, "claim_code_twice", message)
    return RowResult(line, unit.serial, Outcome.ADDED)


def _with_found_codes(tx: Connection, dice: Dice, fresh: Sequence[Unit]) -> list[Unit]:
    """Each with a code of its own; one of 2^50 that is taken already is made anew."""
    codes: dict[str, None] = {}  # in the order of the dice: sorted codes would tell the order of serials
    while len(codes) < len(fresh):
        more = [_found_code(dice) for _ in range(len(fresh) - len(codes))]
        taken = units.found_codes_taken(tx, more)
        codes |= dict.fromkeys(code for code in more if code not in taken)
    return [replace(unit, found_code=code) for unit, code in zip(fresh, codes, strict=True)]


def _found_code(dice: Dice) -> str:
    return "".join(_LETTERS[byte & 31] for byte in dice(_FOUND_CODE_LEN))
