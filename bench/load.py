"""Load for the benches of ingest: signed batches whose frames are all valid.

Frames are made with the same arithmetic as `wire.frames.encode_p`, over arrays; every one is checked by the ingest.
"""

from __future__ import annotations

import hashlib
import hmac
import random
from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import Final

import numpy as np
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
from cryptography.hazmat.primitives.ciphers import Cipher, algorithms, modes
from numpy.typing import NDArray

from wire import topics
from wire.batch import FRAME, SIGHTING, Batch, Clock, Place, PlaceSource, encode_batch
from wire.frames import FRAME_LEN, MAGIC
from wire.keys import tag_key
from wire.signing import Domain, sign

NETWORK_ID: Final = 0xF0
# Frames to take from. A multiple of any number of tags that a bench uses, so that each tag is heard as often.
POOL: Final = 100_000


@dataclass(slots=True)
class Sender:
    """One gateway of the load."""

    name: str
    key: Ed25519PrivateKey
    outbox_id: bytes
    place: Place
    sequence: int = 0


@dataclass(slots=True)
class Load:
    """Makes batch after batch; frames are taken from a pool of valid ones, moments and numbers never repeat."""

    dice: random.Random
    lots: int
    senders: int
    tags: int = 5_000
    k_factory: bytes = field(init=False)
    lot_keys: list[bytes] = field(init=False)
    gateways: list[Sender] = field(init=False)
    pool: NDArray[np.uint8] = field(init=False)
    serials: NDArray[np.int64] = field(init=False)
    moment_ms: int = field(init=False, default=0)

    def __post_init__(self) -> None:
        self.k_factory = self.dice.randbytes(16)
        self.lot_keys = [self.dice.randbytes(16) for _ in range(self.lots)]
        self.gateways = [self._sender(number) for number in range(self.senders)]
        self.serials, self.pool = self._frames(POOL)

    def _sender(self, number: int) -> Sender:
        place = Place(525_000_000 + number * 1_000, 134_000_000, 10, PlaceSource.FIXED)
        key = Ed25519PrivateKey.from_private_bytes(self.dice.randbytes(32))
        return Sender(f"bench-{number}", key, self.dice.randbytes(16), place)

    def _frames(self, count: int) -> tuple[NDArray[np.int64], NDArray[np.uint8]]:
        """`count` distinct P frames of all tags in any order, spread evenly over the lots."""
        rng = np.random.default_rng(self.dice.randrange(2**32))
        serials = rng.permutation(np.arange(count, dtype=np.int64) % self.tags)
        plain = np.zeros((count, 16), np.uint8)
        plain[:, 1:5] = serials.astype(">u4").view(np.uint8).reshape(-1, 4)
        plain[:, 5:9] = np.arange(count, dtype=">u4").view(np.uint8).reshape(-1, 4)
        plain[:, 10] = 1
        plain[:, 11:13] = rng.integers(0, 256, (count, 2), dtype=np.uint8)
        plain[:, 13:] = np.frombuffer(MAGIC, np.uint8)
        frames = np.zeros((count, FRAME_LEN), np.uint8)
        frames[:, 0], frames[:, 2] = NETWORK_ID, 0x11
        for lot, key in enumerate(self.lot_keys):
            its = np.flatnonzero(serials % self.lots == lot)
            cipher = Cipher(algorithms.AES(key), modes.ECB()).encryptor()  # noqa: S305 - one block each
            frames[its, 4:20] = np.frombuffer(cipher.update(plain[its].tobytes()), np.uint8).reshape(-1, 16)
        tags = [tag_key(self.k_factory, serial) for serial in range(self.tags)]
        macs = [
            hmac.digest(tags[serial], b"P" + frame[2:20].tobytes(), hashlib.sha256)[:4]
            for serial, frame in zip(serials.tolist(), frames, strict=True)
        ]
        frames[:, 20:] = np.frombuffer(b"".join(macs), np.uint8).reshape(-1, 4)
        return serials, frames

    def batches(self, count: int, sightings: int, now_ms: int) -> Iterator[tuple[str, bytes]]:
        """`count` signed batches of so many sightings (one frame each), from the senders in turn: topic, payload."""
        self.moment_ms = max(self.moment_ms, now_ms - 3_600_000)
        for number in range(count):
            sender = self.gateways[number % self.senders]
            yield topics.batch(sender.name), self._batch(sender, sightings)

    def _batch(self, sender: Sender, sightings: int) -> bytes:
        start = self.dice.randrange(len(self.pool) - sightings)
        heard = np.arange(self.moment_ms + 1, self.moment_ms + 1 + sightings, dtype=">u8")
        self.moment_ms += 1  # batches overlap in time, as those of several gateways do
        head = np.zeros((sightings, SIGHTING.size), np.uint8)
        head[:, 0:8] = head[:, 8:16] = heard.view(np.uint8).reshape(-1, 8)
        head[:, 19], head[:, 20], head[:, 21], head[:, 22] = 3, 196, 193, 1  # adverts, rssi max and mean, frames
        frames = np.zeros((sightings, FRAME.size), np.uint8)
        frames[:, 0:8] = head[:, 0:8]
        frames[:, 8:] = self.pool[start : start + sightings]
        body = encode_batch(
            Batch(
                sender.name, sender.outbox_id, sender.sequence, self.moment_ms, Clock.GOOD, sender.place,
                head.tobytes(), frames.tobytes(),
            )
        )  # fmt: skip
        sender.sequence += 1
        return sign(sender.key, Domain.BATCH, body)
