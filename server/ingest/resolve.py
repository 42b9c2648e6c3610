"""The batch resolver: which tags made these frames? NumPy and AES over whole arrays, one cipher call per lot and set.

The arithmetic is that of `wire.frames.decode_p`, and a test holds one against the other. A lot that does not know
a frame costs about 3 ns for it; calling a cipher for one frame would cost a thousand times that. What cannot be
done over arrays is the MAC: two SHA-256 for each frame that opened, the larger part of the time at few lots.
"""

from __future__ import annotations

import hashlib
from collections.abc import Iterable
from dataclasses import dataclass
from enum import IntEnum
from typing import Any, Final, NamedTuple

import numpy as np
from cryptography.hazmat.primitives.ciphers import Cipher, algorithms, modes
from numpy.typing import NDArray

from wire.frames import FRAME_LEN, MAGIC, P_MAC_LEN, FrameType
from wire.keys import tag_key

Frames = NDArray[np.uint8]
"""Frames as an array of shape (n, 24)."""

BLOCK_LEN: Final = 16
# Pads of one tag's MAC take about 350 bytes; 100,000 of them are the tags that one site hears in a day, and 35 MB.
MAX_TAGS_CACHED: Final = 100_000
# Lots tried in one go: small sets share NumPy's fixed cost per call, large ones stay inside the second-level cache.
_BLOCKS_AT_ONCE: Final = 8_192
# Solved frames leave the search as soon as they are an eighth of it: copying the rest costs less than opening them.
_SHRINK_AT: Final = 8
# Half of what a lot scored is forgotten after some forty sets: what ships this week is tried before last year's.
_FADING: Final = 0.983

# The last four bytes of a block as one little-endian word: a random byte, then the magic ones.
_MAGIC_WORD: Final = np.uint32(int.from_bytes(b"\0" + MAGIC, "little"))
_MAGIC_MASK: Final = np.uint32(0xFFFFFF00)
_HMAC_BLOCK: Final = 64
_INNER: Final = bytes(byte ^ 0x36 for byte in range(256))
_OUTER: Final = bytes(byte ^ 0x5C for byte in range(256))


class Verdict(IntEnum):
    """What became of one frame."""

    NO_LOT = 0  # no live lot opens it
    FRAME_MAC = 1  # a lot opens it, but the tag did not make it
    RESOLVED = 2
    OWNED = 3  # an O frame: not stored in this version, only counted
    NEAR_OWNER = 4  # gateways should have dropped it
    FOREIGN = 5  # another network's
    UNKNOWN_TYPE = 6
    EXPIRED = 7  # heard before the horizon of retention; nobody looked what it is


class LotKey(NamedTuple):
    """A live lot: its number in the table and K_lot (16 bytes)."""

    no: int
    key: bytes


@dataclass(frozen=True, slots=True)
class Resolved:
    """Arrays beside the frames that were asked about; all but `verdict` and `status` are 0 where not RESOLVED."""

    verdict: NDArray[np.uint8]
    serial: NDArray[np.int64]
    uptime_s: NDArray[np.int64]
    boot: NDArray[np.int32]
    status: NDArray[np.uint8]


class _Hits(NamedTuple):
    """Frames that opened with magic: which frame (its place in the search), under which lot, and its 16 bytes."""

    frame: NDArray[np.intp]
    lot: NDArray[np.intp]
    plain: NDArray[np.uint8]


class Resolver:
    """Opens frames with the keys it was made with. Belongs to one thread: it learns which lots are about."""

    def __init__(self, k_factory: bytes, lots: Iterable[LotKey], network_id: int) -> None:
        self._k_factory = k_factory
        # ECB keeps nothing from block to block, so one context per lot serves for ever.
        self._ciphers = [Cipher(algorithms.AES(lot.key), modes.ECB()).decryptor() for lot in lots]  # noqa: S305
        self._scores = np.zeros(len(self._ciphers))
        self._network_id = network_id
        self._pads: dict[int, tuple[bytes, bytes]] = {}

    def resolve(self, frames: Frames) -> Resolved:
        """What every frame is. Any 24 bytes are an answer, never an error."""
        n = len(frames)
        verdict = _kinds(frames, self._network_id)
        found = Resolved(
            verdict=verdict,
            serial=np.zeros(n, np.int64),
            uptime_s=np.zeros(n, np.int64),
            boot=np.zeros(n, np.int32),
            status=frames[:, 3].copy(),
        )
        at = np.flatnonzero(verdict == Verdict.NO_LOT)
        if len(at):
            self._search(np.ascontiguousarray(frames[at]), at, found)
        return found

    def _search(self, frames: Frames, at: NDArray[np.intp], found: Resolved) -> None:
        """Tries the likeliest lots first, each on the frames not yet solved; `at` is where those stand in `found`."""
        order = np.argsort(-self._scores, kind="stable")
        self._scores *= _FADING
        blocks = np.ascontiguousarray(frames[:, 4:20])
        waiting: list[_Hits] = []
        tried = 0
        while tried < len(order) and len(at):
            group = order[tried : tried + max(1, _BLOCKS_AT_ONCE // len(at))]
            tried += len(group)
            waiting.append(_magic_hits(self._open(blocks, group), group, len(at)))
            if sum(len(hits.frame) for hits in waiting) * _SHRINK_AT >= len(at) or tried == len(order):
                unsolved = self._check(frames, waiting, at, found)
                frames, blocks, at = frames[unsolved], blocks[unsolved], at[unsolved]
                waiting.clear()

    def _open(self, blocks: Frames, group: NDArray[np.intp]) -> Frames:
        """All blocks under each lot's key, one lot after the other. One cipher call per lot."""
        size = blocks.size
        # `update_into` wants a block's length less one beyond what it writes.
        plain = np.empty(len(group) * size + BLOCK_LEN, np.uint8)
        for number, lot in enumerate(group):
            room = plain[number * size : (number + 1) * size + BLOCK_LEN - 1]
            self._ciphers[lot].update_into(blocks.data, room.data)
        return plain[: len(group) * size].reshape(-1, BLOCK_LEN)

    def _check(self, frames: Frames, waiting: list[_Hits], at: NDArray[np.intp], found: Resolved) -> NDArray[np.bool_]:
        """Checks the MACs of everything that opened with magic; True for each frame that still has to be searched.

        24 bits of magic let in strangers by chance, so one frame may stand here under several lots.
        """
        frame, lot, plain = (np.concatenate(parts) for parts in zip(*waiting, strict=True))
        serials = _big_endian(plain[:, 0:5])
        true = self._macs(serials, frames[frame]) == frames[frame, 20:].view(np.uint32).ravel()
        where = at[frame[true]]
        found.verdict[at[frame[~true]]] = Verdict.FRAME_MAC
        found.verdict[where] = Verdict.RESOLVED
        found.serial[where] = serials[true]
        found.uptime_s[where] = _big_endian(plain[true, 5:9])
        found.boot[where] = _big_endian(plain[true, 9:11])
        self._scores += np.bincount(lot[true], minlength=len(self._scores))
        unsolved = np.ones(len(at), np.bool_)
        unsolved[frame[true]] = False
        return unsolved

    def _macs(self, serials: NDArray[np.int64], frames: Frames) -> NDArray[np.uint32]:
        """The four MAC bytes that each frame should carry, as words in the frame's own byte order.

        HMAC written out (RFC 2104): both pads of a tag are kept, which saves half of its time.
        """
        wanted = serials.tolist()
        self._prepare_pads(wanted)
        pads = self._pads
        sha256 = hashlib.sha256
        messages = np.ascontiguousarray(frames[:, 2:20]).view("V18").ravel().tolist()
        digests = b"".join(
            [
                sha256(outer + sha256(inner + message).digest()).digest()
                for (inner, outer), message in zip([pads[serial] for serial in wanted], messages, strict=True)
            ]
        )
        return np.frombuffer(digests, np.uint8).reshape(-1, 32)[:, :P_MAC_LEN].copy().view(np.uint32).ravel()

    def _prepare_pads(self, serials: list[int]) -> None:
        if len(self._pads) > MAX_TAGS_CACHED:
            self._pads.clear()
        for serial in set(serials) - self._pads.keys():
            key = tag_key(self._k_factory, serial).ljust(_HMAC_BLOCK, b"\0")
            self._pads[serial] = key.translate(_INNER) + b"P", key.translate(_OUTER)


def _kinds(frames: Frames, network_id: int) -> NDArray[np.uint8]:
    """Verdicts by network and type alone; a P frame stands as NO_LOT until a lot opens it."""
    table = np.full(256, Verdict.UNKNOWN_TYPE, np.uint8)
    table[FrameType.PROVENANCE] = Verdict.NO_LOT
    table[FrameType.OWNED] = Verdict.OWNED
    table[FrameType.NEAR_OWNER] = Verdict.NEAR_OWNER
    kinds = table[frames[:, 2]]
    kinds[frames[:, 0] != network_id] = Verdict.FOREIGN
    return kinds


def _magic_hits(plain: Frames, group: NDArray[np.intp], frames: int) -> _Hits:
    """Where the magic shows, in blocks that were opened for all frames under one lot after the other."""
    last_words = plain.view(np.uint32)[:, 3]
    places = np.flatnonzero((last_words & _MAGIC_MASK) == _MAGIC_WORD)
    return _Hits(places % frames, group[places // frames], plain[places])


def _big_endian(columns: NDArray[np.uint8]) -> NDArray[np.int64]:
    """Unsigned big-endian integers of any width up to seven bytes, from an array of shape (n, width)."""
    value: NDArray[Any] = np.zeros(len(columns), np.int64)
    for column in columns.T:
        value = value << 8 | column
    return value


assert BLOCK_LEN + 8 == FRAME_LEN, "a P frame is one cipher block and eight bytes around it"
