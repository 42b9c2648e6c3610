"""The directory of a day: what it holds, and what a gateway refuses of it, whoever signed the index."""

from __future__ import annotations

import hashlib

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from wire import keys
from wire.directory import (
    ENTRY_LEN,
    MAX_INDEX_BYTES,
    MAX_SHARD_BYTES,
    MAX_SHARDS,
    SHARD_ENTRIES,
    Index,
    decode_index,
    decode_shard,
    encode_index,
    encode_shard,
    find_key,
    shard_hash,
    shard_of,
    shards_for,
)
from wire.errors import WireError
from wire.packing import pack

DAY = 20_758


def entry(n: int) -> tuple[bytes, bytes]:
    """Some day key: 32 bytes are a key of X25519 whatever they are."""
    key = hashlib.sha256(b"key %d" % n).digest()
    return keys.eid(key), key


ENTRIES = dict(entry(n) for n in range(200))
WHOLE = encode_shard(ENTRIES.items())


def refused(shard: bytes, number: int = 0, of: int = 1) -> str:
    with pytest.raises(WireError) as refusal:
        decode_shard(shard, number, of)
    return refusal.value.code


def test_a_shard_is_sorted_whatever_the_order_it_was_made_in() -> None:
    backwards = dict(reversed(ENTRIES.items()))
    assert encode_shard(backwards.items()) == WHOLE
    assert decode_shard(WHOLE) == ENTRIES
    assert list(decode_shard(WHOLE)) == sorted(ENTRIES)


def test_every_key_is_found_and_nothing_else() -> None:
    for eid, key in ENTRIES.items():
        assert find_key(WHOLE, eid) == key
    for other in (bytes(16), b"\xff" * 16, entry(200)[0], b"", b"\x80"):
        assert find_key(WHOLE, other) is None
    assert find_key(b"", entry(0)[0]) is None


def test_a_key_that_spoiled_on_the_disk_is_not_found() -> None:
    spoiled = bytearray(WHOLE)
    spoiled[ENTRY_LEN - 1] ^= 1
    assert find_key(bytes(spoiled), WHOLE[:16]) is None


def test_another_key_under_an_identifier_is_refused() -> None:
    """What a server, or whoever stands in between, would do to read a tag's places."""
    (eid, _), (_, key) = entry(0), entry(1)
    assert refused(eid + key) == "directory_key"
    with pytest.raises(WireError, match="does not belong"):
        encode_shard([(eid, key)])


@pytest.mark.parametrize("of", [1, 2, 4, 256, MAX_SHARDS])
def test_each_identifier_has_one_shard_by_its_first_bits(of: int) -> None:
    shards: dict[int, dict[bytes, bytes]] = {}
    for eid, key in ENTRIES.items():
        number = shard_of(eid, of)
        first_bits = bin(int.from_bytes(eid, "big") | 1 << 128)[3 : 3 + of.bit_length() - 1]
        assert number == int(first_bits or "0", 2)
        shards.setdefault(number, {})[eid] = key
    for number, held in shards.items():
        shard = encode_shard(held.items(), number, of)
        assert decode_shard(shard, number, of) == held
        if of > 1:
            assert refused(shard, (number + 1) % of, of) == "directory_key"


@pytest.mark.parametrize(("number", "of"), [(1, 1), (-1, 2), (0, 0), (0, 3), (0, 2 * MAX_SHARDS), (2, 2)])
def test_a_shard_of_an_impossible_directory_is_refused(number: int, of: int) -> None:
    assert refused(b"", number, of) == "directory_key"


def test_order_repetition_and_torn_entries_are_refused() -> None:
    first, second = WHOLE[:ENTRY_LEN], WHOLE[ENTRY_LEN : 2 * ENTRY_LEN]
    assert decode_shard(first + second)
    assert refused(second + first) == "directory_key"
    assert refused(first + first) == "directory_key"
    assert refused(WHOLE[:-1]) == "directory_key"
    assert refused(WHOLE[1:]) == "directory_key"
    assert refused(bytes(MAX_SHARD_BYTES + ENTRY_LEN)) == "oversized"
    assert decode_shard(b"") == {}


@given(st.sets(st.integers(0, 10_000), max_size=40), st.data())
def test_one_changed_bit_anywhere_is_refused(numbers: set[int], data: st.DataObject) -> None:
    entries = dict(entry(n) for n in numbers)
    shard = encode_shard(entries.items())
    assert decode_shard(shard) == entries
    if shard:
        spoiled = bytearray(shard)
        spoiled[data.draw(st.integers(0, len(shard) - 1))] ^= 1 << data.draw(st.integers(0, 7))
        assert refused(bytes(spoiled)) == "directory_key"


@given(st.binary(max_size=4 * ENTRY_LEN), st.integers(0, 8), st.integers(0, 8))
def test_whatever_is_believed_is_made_again_to_the_byte(shard: bytes, number: int, of: int) -> None:
    try:
        entries = decode_shard(shard, number, of)
    except WireError:
        return
    assert encode_shard(entries.items(), number, of) == shard


@given(st.binary(max_size=6 * ENTRY_LEN), st.binary(max_size=20))
def test_nothing_is_found_that_is_not_proved(shard: bytes, eid: bytes) -> None:
    """Also in bytes that nobody checked: the search ends, and a key found is the one of its identifier."""
    key = find_key(shard, eid)
    assert key is None or keys.eid(key) == eid


@given(st.integers(0, 20_000_000))
@example(0)
@example(SHARD_ENTRIES)
@example(SHARD_ENTRIES + 1)
@example(MAX_SHARDS * SHARD_ENTRIES + 1)
def test_shards_are_as_few_as_their_average_allows(entries: int) -> None:
    count = shards_for(entries)
    assert count in {1 << bit for bit in range(11)}
    assert entries <= count * SHARD_ENTRIES or count == MAX_SHARDS
    assert count == 1 or entries > count // 2 * SHARD_ENTRIES


@pytest.mark.parametrize("count", [1, 2, 4, MAX_SHARDS])
def test_an_index_travels(count: int) -> None:
    index = Index(DAY, 1_790_000_000_000, tuple(shard_hash(bytes([n % 256])) for n in range(count)))
    body = encode_index(index)
    assert len(body) <= MAX_INDEX_BYTES
    assert decode_index(body) == index


@pytest.mark.parametrize("count", [0, 3, 6, 2 * MAX_SHARDS])
def test_another_number_of_shards_is_refused(count: int) -> None:
    index = Index(DAY, 0, (bytes(32),) * count)
    with pytest.raises(WireError) as refusal:
        encode_index(index)
    assert refusal.value.code == "out_of_range"
    with pytest.raises(WireError) as refusal:
        decode_index(pack(index))
    assert refusal.value.code in {"malformed", "oversized"}


@pytest.mark.parametrize(
    "fields",
    [
        [DAY, 0, [bytes(31)]],
        [DAY, 0, [bytes(32)], 2],
        [-1, 0, [bytes(32)]],
        [2**32, 0, [bytes(32)]],
        [DAY, -1, [bytes(32)]],
        [DAY, 0, [bytes(32)], 1, 0],
        [DAY, 0, "no list"],
        [DAY, 0],
    ],
)
def test_what_is_no_index_is_refused(fields: list[object]) -> None:
    with pytest.raises(WireError) as refusal:
        decode_index(pack(fields))
    assert refusal.value.code == "malformed"
