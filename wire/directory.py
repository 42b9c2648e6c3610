"""The directory of one UTC day: to which identifiers gateways seal, and with which key. Public; it proves itself.

A small *index*, signed by the server, names its *shards* by their SHA-256; a shard is a sorted run of `EID 16 ‖ P 32`.
An EID is the hash of its key, so that a shard cannot hold another's key for somebody's identifier, whoever made it.

    shard n of 2^k  =  the EIDs whose first k bits are n, ascending
"""

from __future__ import annotations

import hashlib
import struct
from collections.abc import Iterable
from typing import Annotated, Final

import msgspec
from msgspec import Meta

from wire.batch import MAX_UNIX_MS
from wire.errors import WireError
from wire.keys import eid as eid_of
from wire.packing import pack, unpack

VERSION: Final = 1
HASH_LEN: Final = 32
EID_LEN: Final = 16
KEY_LEN: Final = 32
ENTRY_LEN: Final = EID_LEN + KEY_LEN
# An index of the largest directory is 35 KiB; more shards would make every gateway's poll dear, fewer every change.
MAX_SHARDS: Final = 1_024
# On average: 192 KiB, what a gateway fetches again when one tag of the shard is new.
SHARD_ENTRIES: Final = 4_096
# Where a shard really ends: beyond four million tags the shards of the largest directory grow, to 16 million.
MAX_SHARD_ENTRIES: Final = 4 * SHARD_ENTRIES
MAX_SHARD_BYTES: Final = MAX_SHARD_ENTRIES * ENTRY_LEN
MAX_INDEX_BYTES: Final = 40 * 1024
_ENTRY: Final = struct.Struct(f">{EID_LEN}s{KEY_LEN}s")
Hash = Annotated[bytes, Meta(min_length=HASH_LEN, max_length=HASH_LEN)]


class Index(msgspec.Struct, frozen=True, array_like=True, forbid_unknown_fields=True):
    """Body signed by the server under Domain.DIRECTORY: the shards of UTC day `day` (days since 1970-01-01), in
    order, each by SHA-256 of its bytes. Of two indexes of a day the one with the later `made_ms` holds.
    """

    day: Annotated[int, Meta(ge=0, lt=2**32)]
    made_ms: Annotated[int, Meta(ge=0, le=MAX_UNIX_MS)]
    shards: Annotated[tuple[Hash, ...], Meta(min_length=1, max_length=MAX_SHARDS)]
    version: Annotated[int, Meta(ge=VERSION, le=VERSION)] = VERSION


_DECODER: Final = msgspec.msgpack.Decoder(Index)


def shards_for(entries: int) -> int:
    """How many shards a directory of so many EIDs has: a power of two, at most MAX_SHARDS."""
    count = 1
    while count < MAX_SHARDS and entries > count * SHARD_ENTRIES:
        count *= 2
    return count


def shard_of(eid: bytes, of: int) -> int:
    """The number of the shard, of `of` (a power of two), that holds this EID."""
    return int.from_bytes(eid[:2], "big") * of >> 16


def encode_index(index: Index) -> bytes:
    """The body, to be signed under Domain.DIRECTORY. Raises WireError `out_of_range`."""
    if not _power_of_two(len(index.shards)):
        raise WireError("out_of_range", f"a directory has 1, 2, 4, … {MAX_SHARDS} shards")
    return pack(index)


def decode_index(body: bytes) -> Index:
    """Raises WireError `oversized`, `malformed`."""
    index = unpack(body, _DECODER, "directory's index", MAX_INDEX_BYTES)
    if not _power_of_two(len(index.shards)):
        raise WireError("malformed", "the number of a directory's shards is not a power of two")
    return index


def _power_of_two(count: int) -> bool:
    return 1 <= count <= MAX_SHARDS and count & (count - 1) == 0


def shard_hash(shard: bytes) -> bytes:
    """The name of a shard: SHA-256 of its bytes."""
    return hashlib.sha256(shard).digest()


def encode_shard(entries: Iterable[tuple[bytes, bytes]], number: int = 0, of: int = 1) -> bytes:
    """The bytes of shard `number` of `of` from (EID, P) in any order. Raises WireError `directory_key`, `oversized`."""
    shard = b"".join(_ENTRY.pack(eid, key) for eid, key in sorted(entries))
    decode_shard(shard, number, of)  # a server that made it wrong would be refused by every gateway
    return shard


def decode_shard(shard: bytes, number: int = 0, of: int = 1) -> dict[bytes, bytes]:
    """P by EID, each believed for its hash. The defaults are those of a directory that is one shard.

    Raises WireError `oversized`, `directory_key`: a torn entry, or an EID that is not the hash of its key, stands
    twice, in the wrong place or in the wrong shard. Then nothing of the shard is believed.
    """
    if len(shard) > MAX_SHARD_BYTES:
        raise WireError("oversized", f"a shard of a directory has at most {MAX_SHARD_BYTES} bytes")
    if not _power_of_two(of) or not 0 <= number < of or len(shard) % ENTRY_LEN:
        raise _wrong("a shard has whole entries, and a number in a directory of 1, 2, 4, … shards")
    entries: dict[bytes, bytes] = {}
    before = b""
    for eid, key in _ENTRY.iter_unpack(shard):
        if eid <= before or shard_of(eid, of) != number:
            raise _wrong("an identifier stands in the wrong place or shard")
        if eid_of(key) != eid:
            raise _wrong("a key does not belong to its identifier")
        entries[eid] = key
        before = eid
    return entries


def find_key(shard: bytes, eid: bytes) -> bytes | None:
    """P of an EID in a shard that `decode_shard` took, without making a value of each entry; None if it is not there.

    Believed for its hash once more: bytes that spoiled on a disk meanwhile give None.
    """
    low, high = 0, len(shard) // ENTRY_LEN
    while low < high:
        middle = (low + high) // 2
        start = middle * ENTRY_LEN
        found = shard[start : start + EID_LEN]
        if found == eid:
            key = shard[start + EID_LEN : start + ENTRY_LEN]
            return key if eid_of(key) == eid else None
        low, high = (middle + 1, high) if found < eid else (low, middle)
    return None


def _wrong(message: str) -> WireError:
    return WireError("directory_key", message)
