"""The directory of a day: whose identifiers gateways may seal to, made from the day's keys and kept ready as bytes.

Everybody may have it; the server's signature is on the index, and each entry proves itself by its hash. Whoever asks
is answered from memory. Whether anything changed is looked up at most every `LOOK_EVERY`, and only a change is built.
"""

from __future__ import annotations

import hashlib
import threading
from collections.abc import Iterable
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from typing import Final

from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
from prometheus_client import Counter
from sqlalchemy import Connection

from server.rules.private_reports import day_of
from server.service.refusals import refuse
from server.store import day_keys, keys
from server.store.crypto import Vault
from server.store.day_keys import DayState
from wire.directory import Index, encode_index, encode_shard, shard_hash, shard_of, shards_for
from wire.signing import Domain, sign

# A tag that was just claimed is in it within this and the time that a gateway takes to ask. Shorter, and every page of
# a large directory is counted several times a minute for nothing.
LOOK_EVERY: Final = timedelta(seconds=15)
# Yesterday's, because gateways catch up; the day after tomorrow's, for gateways that will be cut off.
DAYS_BACK: Final = 1
DAYS_AHEAD: Final = 2
# A gateway that has read an index fetches its shards after it; they stay as long as this beyond the next index.
SHARDS_KEPT: Final = timedelta(minutes=10)
BUILT: Final = Counter("hearsight_directory_built_total", "Directories of a day made anew, because a key came or went")


@dataclass(frozen=True, slots=True)
class Directory:
    """One day as it is served: the signed index, what its ETag says, and the shards by their SHA-256."""

    day: int
    state: DayState
    index: bytes
    tag: str
    shards: dict[bytes, bytes] = field(repr=False)


@dataclass(slots=True)
class _Day:
    """A day in memory; `earlier` holds shards of former indexes with the moment from which nobody needs them."""

    directory: Directory | None = None
    looked_at: datetime | None = None
    earlier: dict[bytes, tuple[bytes, datetime]] = field(default_factory=dict)
    lock: threading.Lock = field(default_factory=threading.Lock)


class Directories:
    """The days of one process. Threads may share it; a day is built by one of them, once."""

    def __init__(self) -> None:
        self._days: dict[int, _Day] = {}
        self._lock = threading.Lock()

    def fresh(self, day: int, now: datetime) -> Directory | None:
        """The directory of a day if nobody needs to look whether it has changed. Refusals: directory_unknown."""
        held = self._held(day, now)
        looked, directory = held.looked_at, held.directory
        # A clock that was set back counts as long ago.
        return directory if looked is not None and timedelta() <= now - looked < LOOK_EVERY else None

    def looked(self, tx: Connection, vault: Vault, day: int, now: datetime) -> Directory:
        """The directory of a day as it is now. Refusals: directory_unknown."""
        held = self._held(day, now)
        if not held.lock.acquire(blocking=held.directory is None):
            assert held.directory is not None, "else it would have waited"
            return held.directory  # somebody is looking: what there is will do, and no connection stands in line
        try:
            known = self.fresh(day, now)
            if known is not None:
                return known
            state = day_keys.state_of_day(tx, day)
            if held.directory is None or held.directory.state != state:
                made = build(day, day_keys.keys_of_day(tx, day), state, keys.server_key(tx, vault, now), now)
                _keep_earlier(held, made, now)
                held.directory = made
                BUILT.inc()
            held.looked_at = now
            return held.directory
        finally:
            held.lock.release()

    def shard(self, day: int, name: bytes, now: datetime) -> bytes | None:
        """A shard that is held, of the newest index or one shortly before. Refusals: directory_unknown."""
        held = self._held(day, now)
        directory = held.directory
        if directory is not None and name in directory.shards:
            return directory.shards[name]
        shard, until = held.earlier.get(name, (b"", now))
        return shard if now < until else None

    def _held(self, day: int, now: datetime) -> _Day:
        today = day_of(now)
        if not today - DAYS_BACK <= day <= today + DAYS_AHEAD:
            raise refuse("directory_unknown")
        with self._lock:
            for over in [each for each in self._days if not today - DAYS_BACK <= each <= today + DAYS_AHEAD]:
                del self._days[over]
            return self._days.setdefault(day, _Day())


def build(
    day: int, entries: Iterable[tuple[bytes, bytes]], state: DayState, server_key: Ed25519PrivateKey, now: datetime
) -> Directory:  # fmt: skip
    """The directory of a day from its (EID, P); equal keys make equal shards and an equal tag, whoever builds it."""
    every = list(entries)
    count = shards_for(len(every))
    parts: list[list[tuple[bytes, bytes]]] = [[] for _ in range(count)]
    for entry in every:
        parts[shard_of(entry[0], count)].append(entry)
    shards = [encode_shard(part, number, count) for number, part in enumerate(parts)]
    names = tuple(shard_hash(shard) for shard in shards)
    index = Index(day, int(now.timestamp() * 1000), names)
    signed = sign(server_key, Domain.DIRECTORY, encode_index(index))
    tag = hashlib.sha256(b"".join(names)).hexdigest()[:32]
    return Directory(day, state, signed, tag, dict(zip(names, shards, strict=True)))


def _keep_earlier(held: _Day, made: Directory, now: datetime) -> None:
    """What the last index named and the new one does not; and nothing that nobody needs any more."""
    still = {name: (shard, until) for name, (shard, until) in held.earlier.items() if now < until}
    if held.directory is not None:
        until = now + SHARDS_KEPT
        gone = held.directory.shards.keys() - made.shards.keys()
        still |= {name: (held.directory.shards[name], until) for name in gone}
    held.earlier = still
