"""The directory on a gateway's disk: believed for its proofs, bounded, and still there after a restart."""

from __future__ import annotations

from pathlib import Path

import pytest
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey

from gateway.directory import Directory, Size
from tests.gateway.finding import House, a_key
from wire.directory import ENTRY_LEN
from wire.errors import WireError
from wire.keys import eid

SERVER, OTHER = (Ed25519PrivateKey.from_private_bytes(bytes([n]) * 32) for n in (1, 2))
DAY = 20_758
KEYS = [a_key(n) for n in range(60)]


def directory(folder: Path, limit_bytes: int = 1_000_000) -> Directory:
    return Directory(folder, SERVER.public_key(), limit_bytes=limit_bytes)


def fetched(held: Directory, house: House, day: int = DAY) -> int:
    """Everything that is missing of a day, from an honest house; how many shards that were."""
    held.take_index(day, house.indexes[day])
    missing = held.missing(day)
    for shard in missing:
        held.take_shard(day, shard.number, house.bytes_of[shard.sha256])
    return len(missing)


@pytest.fixture
def house() -> House:
    house = House(SERVER, shards=4)
    house.publish(DAY, KEYS)
    return house


def test_every_key_is_found_on_its_day_and_after_a_restart(tmp_path: Path, house: House) -> None:
    held = directory(tmp_path)
    assert fetched(held, house) == 4
    for again in (held, directory(tmp_path)):
        assert [again.key(DAY, eid(key)) for key in KEYS] == KEYS
        assert again.key(DAY + 1, eid(KEYS[0])) is None
        assert again.key(DAY, bytes(16)) is None
        assert again.missing(DAY) == []
        assert again.size() == Size(1, len(KEYS), len(KEYS) * ENTRY_LEN)


def test_only_shards_that_changed_are_fetched_and_the_old_one_serves_until_then(tmp_path: Path, house: House) -> None:
    held = directory(tmp_path)
    fetched(held, house)
    house.publish(DAY, [*KEYS, a_key(1_000)])
    held.take_index(DAY, house.indexes[DAY])
    (shard,) = held.missing(DAY)
    assert [held.key(DAY, eid(key)) for key in KEYS] == KEYS
    held.take_shard(DAY, shard.number, house.bytes_of[shard.sha256])
    assert held.key(DAY, eid(a_key(1_000))) == a_key(1_000)
    assert held.size().entries == len(KEYS) + 1


@pytest.mark.parametrize("shards", [1, 8])
def test_another_number_of_shards_leaves_nothing_of_the_old_ones(tmp_path: Path, house: House, shards: int) -> None:
    held = directory(tmp_path)
    fetched(held, house)
    house.shards = shards
    house.publish(DAY, KEYS)
    assert fetched(held, house) == shards
    for again in (held, directory(tmp_path)):
        assert [again.key(DAY, eid(key)) for key in KEYS] == KEYS
        assert again.size().bytes == len(KEYS) * ENTRY_LEN
    assert len(list((tmp_path / str(DAY)).iterdir())) == 1 + shards


def test_a_shard_that_became_empty_is_neither_fetched_nor_kept(tmp_path: Path, house: House) -> None:
    held = directory(tmp_path)
    fetched(held, house)
    house.publish(DAY, [])
    assert fetched(held, house) == 0
    assert held.size() == Size(1, 0, 0)
    assert held.key(DAY, eid(KEYS[0])) is None


def refused(held: Directory, payload: bytes, day: int = DAY) -> str:
    with pytest.raises(WireError) as refusal:
        held.take_index(day, payload)
    return refusal.value.code


def test_an_index_is_believed_for_its_signature_day_and_age(tmp_path: Path, house: House) -> None:
    held = directory(tmp_path)
    old = house.indexes[DAY]
    assert refused(held, old, DAY + 1) == "directory_day"
    forger = House(OTHER)
    forger.publish(DAY, KEYS)
    assert refused(held, forger.indexes[DAY]) == "signature"
    assert refused(held, b"") == "truncated"
    house.publish(DAY, KEYS[1:])
    fetched(held, house)
    assert refused(held, old) == "directory_old", "an old index would bring back who has left"
    assert held.key(DAY, eid(KEYS[0])) is None


def test_a_shard_is_believed_for_its_hash_and_each_key_for_its_own(tmp_path: Path, house: House) -> None:
    """Also from the server itself: it signs an index of a shard with another's key."""
    held = directory(tmp_path)
    held.take_index(DAY, house.indexes[DAY])
    shard = held.missing(DAY)[0]
    good = house.bytes_of[shard.sha256]
    with pytest.raises(WireError) as refusal:
        held.take_shard(DAY, shard.number, good[:-ENTRY_LEN])
    assert refusal.value.code == "directory_hash"
    held.take_shard(DAY, shard.number, good)
    assert held.size().entries == len(good) // ENTRY_LEN


def test_a_swapped_key_under_the_servers_own_signature_is_refused(tmp_path: Path) -> None:
    from wire.directory import Index, encode_index, shard_hash
    from wire.signing import Domain, sign

    swapped = eid(KEYS[0]) + KEYS[1]
    held = directory(tmp_path)
    held.take_index(DAY, sign(SERVER, Domain.DIRECTORY, encode_index(Index(DAY, 1, (shard_hash(swapped),)))))
    with pytest.raises(WireError) as refusal:
        held.take_shard(DAY, 0, swapped)
    assert refusal.value.code == "directory_key"
    assert held.key(DAY, eid(KEYS[0])) is None


def test_the_limit_holds_over_all_days_and_what_is_held_stays(tmp_path: Path, house: House) -> None:
    limit = len(KEYS) * ENTRY_LEN
    held = directory(tmp_path, limit)
    fetched(held, house)
    house.publish(DAY + 1, [a_key(2_000)])
    held.take_index(DAY + 1, house.indexes[DAY + 1])
    (shard,) = held.missing(DAY + 1)
    with pytest.raises(WireError) as refusal:
        held.take_shard(DAY + 1, shard.number, house.bytes_of[shard.sha256])
    assert refusal.value.code == "directory_full"
    assert held.size().bytes == limit
    held.keep(DAY + 1, DAY + 3)
    held.take_shard(DAY + 1, shard.number, house.bytes_of[shard.sha256])
    assert held.size() == Size(1, 1, ENTRY_LEN)
    assert [path.name for path in tmp_path.iterdir()] == [str(DAY + 1)]


def test_a_spoiled_disk_costs_a_fetch_and_nothing_else(tmp_path: Path, house: House) -> None:
    fetched(directory(tmp_path), house)
    house.publish(DAY + 1, KEYS)
    fetched(directory(tmp_path), house, DAY + 1)
    (tmp_path / str(DAY) / "index").write_bytes(b"spoiled")
    shard = next(path for path in (tmp_path / str(DAY + 1)).iterdir() if path.name != "index")
    shard.write_bytes(shard.read_bytes()[:-1] + b"\x00")
    (tmp_path / str(DAY + 1) / "4-2.tmp").write_bytes(b"half a write")
    (tmp_path / "no day").mkdir()
    held = directory(tmp_path)
    assert held.missing(DAY) == []
    assert held.key(DAY, eid(KEYS[0])) is None
    assert fetched(held, house, DAY) == 4
    assert fetched(held, house, DAY + 1) == 1
    assert [held.key(DAY + 1, eid(key)) for key in KEYS] == KEYS
    assert {path.name for path in tmp_path.iterdir()} == {str(DAY), str(DAY + 1)}


def test_a_file_that_somebody_removed_is_fetched_again(tmp_path: Path, house: House) -> None:
    held = directory(tmp_path)
    fetched(held, house)
    for path in (tmp_path / str(DAY)).glob("4-*"):
        path.unlink()
    assert [held.key(DAY, eid(key)) for key in KEYS] == [None] * len(KEYS)
    assert (held.size().bytes, len(held.missing(DAY))) == (0, 4)
