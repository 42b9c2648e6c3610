"""The factory's folder: whole or not at all, never overwritten, and everything in it fits together."""

from __future__ import annotations

import csv
import stat
from dataclasses import replace
from datetime import UTC, datetime
from pathlib import Path
from random import Random

import msgspec
import pytest
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PublicKey

from firmware_sim import factory
from firmware_sim.factory import FactoryError, Lot, Order, Secrets
from firmware_sim.tag import PowerOn, TagState, Tick, step
from wire.claim_code import decode_claim_code
from wire.frames import decode_p
from wire.keys import claim_hash
from wire.manifest import decode_unit, open_manifest

MADE_AT = datetime(2026, 11, 2, 8, tzinfo=UTC)
ORDER = Order("lot-a", 5, 8_000_000_000, "https://tags.example/")


def make(folder: Path, order: Order = ORDER, seed: int = 1, secrets_file: Path | None = None) -> bool:
    return factory.make_lot(folder, order, Random(seed).randbytes, MADE_AT, secrets_file)


def test_the_papers_of_a_lot_fit_together(tmp_path: Path) -> None:
    folder = tmp_path / "lot"
    assert make(folder)
    secrets = msgspec.json.decode((folder / "secrets.json").read_bytes(), type=Secrets)
    lot = msgspec.json.decode((folder / "lot.json").read_bytes(), type=Lot)
    assert lot.k_factory == secrets.k_factory
    assert (lot.tags, lot.first_serial) == (5, 8_000_000_000)
    signer = Ed25519PublicKey.from_public_bytes(bytes.fromhex(secrets.public_key))
    header, lines = open_manifest((folder / "manifest.jsonl").read_bytes(), [signer])
    assert (header.lot, header.units, header.made_at) == ("lot-a", 5, MADE_AT)
    rows = [decode_unit(line) for line in lines]
    tags = list(factory.read_tags(folder))
    with (folder / "codes.csv").open() as file:
        codes = list(csv.DictReader(file))
    for row, tag, code in zip(rows, tags, codes, strict=True):
        assert row.serial == tag.serial == int(code["serial"])
        k_claim = decode_claim_code(code["code"])
        assert k_claim.hex() == tag.k_claim
        assert claim_hash(k_claim).hex() == row.claim_hash
        assert code["url"] == f"https://tags.example/c/#{code['code']}"
        unit = factory.unit_of(tag)
        assert unit.private_key.public_key().public_bytes_raw().hex() == row.public_key
        state, _ = step(TagState(unit), PowerOn(0.0), Random(2).randbytes)
        _, outputs = step(state, Tick(60.0), Random(2).randbytes)
        opened = decode_p(outputs[0].frame, bytes.fromhex(lot.k_lot), bytes.fromhex(lot.k_factory))
        assert opened.serial == tag.serial
    assert len({tag.k_claim for tag in tags}) == len({tag.private_key for tag in tags}) == 5


@pytest.mark.parametrize("fleet", [False, True])
def test_what_is_ordered_for_a_fleet_is_burnt_into_its_tags(tmp_path: Path, fleet: bool) -> None:
    make(tmp_path / "lot", replace(ORDER, fleet=fleet))
    assert {factory.unit_of(tag).fleet for tag in factory.read_tags(tmp_path / "lot")} == {fleet}


def test_only_the_manifest_may_be_read_by_others(tmp_path: Path) -> None:
    make(tmp_path / "lot")
    modes = {path.name: stat.S_IMODE(path.stat().st_mode) for path in (tmp_path / "lot").iterdir()}
    assert modes.pop("manifest.jsonl") == 0o644
    assert modes == dict.fromkeys(["secrets.json", "lot.json", "tags.jsonl", "codes.csv"], 0o600)
    manifest = (tmp_path / "lot" / "manifest.jsonl").read_text()
    for tag in factory.read_tags(tmp_path / "lot"):
        for secret in (tag.k_claim, tag.k_lot, tag.k_tag, tag.private_key):
            assert secret not in manifest


def test_made_twice_is_made_once(tmp_path: Path) -> None:
    folder = tmp_path / "lot"
    assert make(folder)
    before = {path.name: path.read_bytes() for path in folder.iterdir()}
    assert not make(folder, seed=2)
    for other in (replace(ORDER, lot="lot-b"), replace(ORDER, tags=6), replace(ORDER, first_serial=1)):
        with pytest.raises(FactoryError, match="never overwritten"):
            make(folder, other)
    assert {path.name: path.read_bytes() for path in folder.iterdir()} == before


def test_a_folder_left_half_made_is_made_anew_and_a_foreign_one_is_left_alone(tmp_path: Path) -> None:
    half = tmp_path / "lot.unfinished"
    half.mkdir()
    (half / "secrets.json").write_text("{}")
    (tmp_path / "lot").mkdir()
    assert make(tmp_path / "lot")
    assert not half.exists()
    foreign = tmp_path / "photos"
    foreign.mkdir()
    (foreign / "cat.jpg").write_text("meow")
    with pytest.raises(FactoryError, match="no folder of a lot"):
        make(foreign)
    assert [path.name for path in foreign.iterdir()] == ["cat.jpg"]


def test_lots_of_one_factory_share_its_secrets(tmp_path: Path) -> None:
    make(tmp_path / "a")
    make(tmp_path / "b", replace(ORDER, lot="lot-b", first_serial=1), 2, tmp_path / "a" / "secrets.json")
    a, b = (msgspec.json.decode((tmp_path / name / "lot.json").read_bytes(), type=Lot) for name in "ab")
    assert a.k_factory == b.k_factory
    assert a.factory_public_key == b.factory_public_key
    assert a.k_lot != b.k_lot


@pytest.mark.parametrize(
    "order",
    [
        replace(ORDER, tags=0),
        replace(ORDER, tags=5_001),
        replace(ORDER, first_serial=2**40 - 2),
        replace(ORDER, first_serial=-1),
        replace(ORDER, lot=""),
    ],
)
def test_what_no_factory_makes(order: Order, tmp_path: Path) -> None:
    with pytest.raises(FactoryError):
        make(tmp_path / "lot", order)
    assert list(tmp_path.iterdir()) == []


def test_a_spoiled_list_of_tags_is_named(tmp_path: Path) -> None:
    (tmp_path / "tags.jsonl").write_text("{}\n")
    with pytest.raises(FactoryError, match="not a list of tags"):
        list(factory.read_tags(tmp_path))
    with pytest.raises(FactoryError, match="firmware_sim factory"):
        list(factory.read_tags(tmp_path / "absent"))
