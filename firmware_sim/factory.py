"""The factory: makes the keys of a lot and of every tag in it, and the papers that go with them.

Files of a lot's folder (all 0600 but the manifest, which holds no secret):
  secrets.json    K_factory and the factory's signing key; stays at the factory
  lot.json        the lot's name and K_lot, and K_factory, for the server's import
  manifest.jsonl  serials, public keys, hashes of the claim codes; signed (wire.manifest)
  tags.jsonl      what is burnt into each tag
  codes.csv       what is printed into each box: serial, claim code, URL
"""

from __future__ import annotations

import csv
import io
import os
import shutil
from collections.abc import Iterator
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path
from typing import Annotated, Final, Literal, TypeVar

import msgspec
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey, Ed25519PublicKey
from msgspec import Meta

from firmware_sim.tag import Dice, Unit
from wire.claim_code import encode_claim_code
from wire.keys import claim_hash, tag_key
from wire.manifest import MAX_SERIAL, MAX_UNITS, Header, encode_manifest
from wire.manifest import Unit as ManifestRow

SECRETS, LOT, MANIFEST, TAGS, CODES = "secrets.json", "lot.json", "manifest.jsonl", "tags.jsonl", "codes.csv"
MODEL: Final = "hearsight-sim-1"
Key16 = Annotated[str, Meta(pattern=r"^[0-9a-f]{32}\Z")]
Key32 = Annotated[str, Meta(pattern=r"^[0-9a-f]{64}\Z")]
Paper = TypeVar("Paper")
BeaconMode = Literal["transit_beacon", "silent"]


class FactoryError(Exception):
    """Something that the person at the command line has to decide; the message says what."""


class Secrets(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """What makes a factory; hex."""

    k_factory: Key16
    private_key: Key32
    public_key: Key32


class Lot(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """What the server needs to resolve frames of this lot; hex. Secret."""

    lot: str
    k_lot: Key16
    k_factory: Key16
    factory_public_key: Key32
    tags: int
    first_serial: int


class BurntTag(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """One line of tags.jsonl; keys in hex. `server_key` verifies releases, None if the server was not known yet."""

    serial: int
    k_lot: Key16
    k_tag: Key16
    k_claim: Key16
    private_key: Key32
    server_key: Key32 | None = None
    beacon_mode: BeaconMode = "transit_beacon"
    fleet: bool = False


@dataclass(frozen=True, slots=True)
class Order:
    """What the factory is asked to make."""

    lot: str
    tags: int
    first_serial: int
    base_url: str
    server_key: bytes | None = None
    beacon_mode: BeaconMode = "transit_beacon"
    fleet: bool = False


def make_lot(folder: Path, order: Order, dice: Dice, made_at: datetime, secrets_file: Path | None = None) -> bool:
    """Makes a lot's folder, whole or not at all. False if it was there already, made to the same order.

    `secrets_file`: an existing factory's, so that several lots share one K_factory. Raises FactoryError.
    """
    _check(order)
    if folder.exists() and any(folder.iterdir()):
        _check_same(folder, order)
        return False
    secrets = _read(secrets_file, Secrets) if secrets_file else new_secrets(dice)
    lot = Lot(
        order.lot,
        dice(16).hex(),
        secrets.k_factory,
        secrets.public_key,
        tags=order.tags,
        first_serial=order.first_serial,
    )
    burnt = [_burn(serial, order, lot, dice) for serial in range(order.first_serial, order.first_serial + order.tags)]
    half = folder.with_name(folder.name + ".unfinished")
    shutil.rmtree(half, ignore_errors=True)
    half.mkdir(parents=True, mode=0o700)
    _write(half / SECRETS, _json(secrets))
    _write(half / LOT, _json(lot))
    _write(half / MANIFEST, _manifest(order, burnt, secrets, made_at), mode=0o644)
    _write(half / TAGS, b"".join(msgspec.json.encode(tag) + b"\n" for tag in burnt))
    _write(half / CODES, _codes(burnt, order.base_url))
    if folder.exists():
        folder.rmdir()
    half.rename(folder)
    return True


def new_secrets(dice: Dice) -> Secrets:
    """A new factory."""
    private = Ed25519PrivateKey.from_private_bytes(dice(32))
    return Secrets(dice(16).hex(), private.private_bytes_raw().hex(), private.public_key().public_bytes_raw().hex())


def read_tags(path: Path) -> Iterator[BurntTag]:
    """The tags of one lot's folder, or of one tags.jsonl. Raises FactoryError."""
    file = path / TAGS if path.is_dir() else path
    try:
        lines = file.read_bytes().splitlines()
        yield from (msgspec.json.decode(line, type=BurntTag) for line in lines if line.strip())
    except OSError as wrong:
        raise FactoryError(
            f"{file} cannot be read ({wrong.strerror}): make it with  python -m firmware_sim factory"
        ) from None
    except msgspec.DecodeError as wrong:
        raise FactoryError(f"{file} is not a list of tags: {wrong}") from None


def unit_of(tag: BurntTag) -> Unit:
    """The tag's firmware constants."""
    return Unit(
        serial=tag.serial,
        k_lot=bytes.fromhex(tag.k_lot),
        k_tag=bytes.fromhex(tag.k_tag),
        k_claim=bytes.fromhex(tag.k_claim),
        private_key=Ed25519PrivateKey.from_private_bytes(bytes.fromhex(tag.private_key)),
        server_key=Ed25519PublicKey.from_public_bytes(bytes.fromhex(tag.server_key)) if tag.server_key else None,
        beacon_mode=tag.beacon_mode,
        fleet=tag.fleet,
    )


# --- One file each ----------------------------------------------------------------------------------------


def _burn(serial: int, order: Order, lot: Lot, dice: Dice) -> BurntTag:
    return BurntTag(
        serial=serial,
        k_lot=lot.k_lot,
        k_tag=tag_key(bytes.fromhex(lot.k_factory), serial).hex(),
        k_claim=dice(16).hex(),
        private_key=dice(32).hex(),
        server_key=order.server_key.hex() if order.server_key else None,
        beacon_mode=order.beacon_mode,
        fleet=order.fleet,
    )


def _manifest(order: Order, burnt: list[BurntTag], secrets: Secrets, made_at: datetime) -> bytes:
    rows = [
        ManifestRow(
            serial=tag.serial,
            public_key=unit_of(tag).private_key.public_key().public_bytes_raw().hex(),
            claim_hash=claim_hash(bytes.fromhex(tag.k_claim)).hex(),
            beacon_mode=tag.beacon_mode,
            model=MODEL,
        )
        for tag in burnt
    ]
    key = Ed25519PrivateKey.from_private_bytes(bytes.fromhex(secrets.private_key))
    name = f"{order.lot}-{order.first_serial}"[:64]
    return encode_manifest(Header(name, order.lot, made_at, len(rows)), rows, key)


def _codes(burnt: list[BurntTag], base_url: str) -> bytes:
    text = io.StringIO()
    rows = csv.writer(text, lineterminator="\n")
    rows.writerow(["serial", "code", "url"])
    for tag in burnt:
        code = encode_claim_code(bytes.fromhex(tag.k_claim))
        rows.writerow([tag.serial, code, f"{base_url.rstrip('/')}/c/#{code}"])
    return text.getvalue().encode()


def _check(order: Order) -> None:
    if not 1 <= len(order.lot) <= 64:
        raise FactoryError("a lot's name has 1 to 64 characters")
    if not 1 <= order.tags <= MAX_UNITS:
        raise FactoryError(f"a lot has 1 to {MAX_UNITS} tags: one lost lot key must not expose more")
    if not 0 <= order.first_serial <= MAX_SERIAL - order.tags:
        raise FactoryError("the serials do not fit 40 bits")


def _check_same(folder: Path, order: Order) -> None:
    there = _read(folder / LOT, Lot)
    if (there.lot, there.tags, there.first_serial) != (order.lot, order.tags, order.first_serial):
        raise FactoryError(
            f"{folder} holds lot {there.lot} ({there.tags} tags from {there.first_serial}) already: keys are never "
            "overwritten. Choose another folder."
        )


def _read(file: Path, kind: type[Paper]) -> Paper:
    try:
        return msgspec.json.decode(file.read_bytes(), type=kind)
    except OSError as wrong:
        raise FactoryError(f"{file} cannot be read ({wrong.strerror}): this is no folder of a lot") from None
    except msgspec.DecodeError as wrong:
        raise FactoryError(f"{file} is spoiled: {wrong}") from None


def _json(value: object) -> bytes:
    return msgspec.json.format(msgspec.json.encode(value), indent=1) + b"\n"


def _write(path: Path, content: bytes, mode: int = 0o600) -> None:
    with os.fdopen(os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL, mode), "wb") as file:
        file.write(content)
        file.flush()
        os.fsync(file.fileno())
