"""The directory on this gateway's disk: for which identifiers of which days there is a key to seal to.

    directory/20758/index     the signed index as it came
    directory/20758/4-1       shard 1 of 4

Nothing here has to be believed for lying here: the index is verified when it is read, a shard that is not the one the
index names is fetched again, and a key is the hash's. So a power cut in the middle of a write costs a fetch. Used by
one thread at a time.
"""

from __future__ import annotations

import shutil
from dataclasses import dataclass, field
from pathlib import Path
from typing import Final, NamedTuple

from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PublicKey

from wire.directory import ENTRY_LEN, Index, decode_index, decode_shard, find_key, shard_hash, shard_of
from wire.errors import WireError
from wire.signing import Domain, verify

INDEX_FILE: Final = "index"
# What a shard without entries is called: nothing to fetch.
_EMPTY: Final = shard_hash(b"")


class Shard(NamedTuple):
    """One shard of a missing list: its number, and the name under which the server has it."""

    number: int
    sha256: bytes


class Size(NamedTuple):
    """What is held, of all days together."""

    days: int
    entries: int
    bytes: int


@dataclass(slots=True)
class _Day:
    """One day's index, and what is on disk of its shards: hash and bytes by number."""

    index: Index
    held: dict[int, tuple[bytes, int]] = field(default_factory=dict)


class Directory:
    """All days. `limit_bytes` bounds the shards of all of them together."""

    def __init__(self, folder: Path, server_key: Ed25519PublicKey, *, limit_bytes: int) -> None:
        self._folder, self._server_key, self._limit_bytes = folder, server_key, limit_bytes
        self._days: dict[int, _Day] = {}
        self._bytes = 0
        folder.mkdir(mode=0o700, parents=True, exist_ok=True)
        for path in folder.iterdir():
            try:
                self._read_day(path)
            except (WireError, OSError, ValueError):
                shutil.rmtree(path, ignore_errors=True)  # it is fetched again

    def _read_day(self, folder: Path) -> None:
        day = int(folder.name)
        index = self._opened(day, (folder / INDEX_FILE).read_bytes())
        held = self._days[day] = _Day(index)
        of = len(index.shards)
        for path in folder.iterdir():
            count, _, number = path.name.partition("-")
            if count == str(of) and number.isdigit() and int(number) < of:
                shard = path.read_bytes()
                held.held[int(number)] = (shard_hash(shard), len(shard))
                self._bytes += len(shard)
            elif path.name != INDEX_FILE:
                path.unlink()

    def _opened(self, day: int, payload: bytes) -> Index:
        index = decode_index(verify(self._server_key, Domain.DIRECTORY, payload))
        if index.day != day:
            raise WireError("directory_day", "the index is of another day")
        return index

    # ------------------------------------------------------------------------------------ in
    def take_index(self, day: int, payload: bytes) -> None:
        """A signed index as it came; then `missing` tells what to fetch. Raises WireError `signature`, `truncated`,
        `malformed`, `oversized`, `directory_day`, and `directory_old` for one made before the one that is held.
        """
        index = self._opened(day, payload)
        before = self._days.get(day)
        if before is not None and index.made_ms < before.index.made_ms:
            raise WireError("directory_old", "a later index of this day is known")
        (self._folder / str(day)).mkdir(mode=0o700, exist_ok=True)
        self._write(self._folder / str(day) / INDEX_FILE, payload)
        held = {} if before is None else before.held
        self._days[day] = _Day(index, held)
        of = len(index.shards) if before is None else len(before.index.shards)
        for number in list(held):
            if of != len(index.shards) or index.shards[number] == _EMPTY:
                self._path(day, number, of).unlink(missing_ok=True)
                self._bytes -= held.pop(number)[1]

    def missing(self, day: int) -> list[Shard]:
        """The shards of this day that are not on disk as the index names them."""
        held = self._days.get(day)
        if held is None:
            return []
        return [
            Shard(number, sha256)
            for number, sha256 in enumerate(held.index.shards)
            if sha256 != _EMPTY and held.held.get(number, (b"", 0))[0] != sha256
        ]

    def take_shard(self, day: int, number: int, shard: bytes) -> None:
        """A shard as it came; until then the one that was there before serves. Raises WireError `directory_hash` (not
        what the index names), `directory_key`, `oversized`, and `directory_full` beyond the limit.
        """
        held = self._days[day]
        of = len(held.index.shards)
        sha256 = shard_hash(shard)
        if sha256 != held.index.shards[number]:
            raise WireError("directory_hash", "the shard is not the one that the index names")
        decode_shard(shard, number, of)
        bytes_after = self._bytes + len(shard) - held.held.get(number, (b"", 0))[1]
        if bytes_after > self._limit_bytes:
            raise WireError("directory_full", "the directory has reached its limit")
        self._write(self._path(day, number, of), shard)
        held.held[number] = (sha256, len(shard))
        self._bytes = bytes_after

    def keep(self, first_day: int, last_day: int) -> None:
        """Forgets every day outside."""
        for day in [day for day in self._days if not first_day <= day <= last_day]:
            self._bytes -= sum(size for _, size in self._days.pop(day).held.values())
            shutil.rmtree(self._folder / str(day), ignore_errors=True)

    # ------------------------------------------------------------------------------------ out
    def key(self, day: int, eid: bytes) -> bytes | None:
        """P of an EID that a tag may show on this day; None if it stands in no directory that we have."""
        held = self._days.get(day)
        if held is None:
            return None
        of = len(held.index.shards)
        number = shard_of(eid, of)
        if number not in held.held:
            return None
        try:
            return find_key(self._path(day, number, of).read_bytes(), eid)
        except OSError:  # somebody removed it: the next poll fetches it
            self._bytes -= held.held.pop(number)[1]
            return None

    def size(self) -> Size:
        return Size(len(self._days), self._bytes // ENTRY_LEN, self._bytes)

    # ------------------------------------------------------------------------------------ files
    def _path(self, day: int, number: int, of: int) -> Path:
        return self._folder / str(day) / f"{of}-{number}"

    def _write(self, path: Path, content: bytes) -> None:
        """Whole or not at all; not synced to disk, for it can be fetched again."""
        temporary = path.with_name(path.name + ".tmp")
        temporary.write_bytes(content)
        temporary.replace(path)
