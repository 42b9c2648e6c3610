"""The outbox: every batch on disk before it is sent, until the server's signed receipt says what became of it.

A body is encoded and signed once; what is published a second time are the very same bytes, by which the server knows a
repetition. `settle` takes a receipt as it came from the broker: nothing but the server's signature removes a row.

    add ──▶ batches(sequence, payload) ──settle(receipt)──▶ gone
                │  no room: the oldest are given up          │ sequence_conflict: numbered anew
                ▼                                            ▼
            tombstone, signed, with counts               another sequence, same sightings

`owed` holds counts that no batch has told yet; they leave with the next batch, in the same transaction.
"""

from __future__ import annotations

import sqlite3
from collections import Counter
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import NamedTuple

import msgspec
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey, Ed25519PublicKey

from gateway.collector import Window
from gateway.outbox_file import NO_SPACE, ROW_COST, Depth, OutboxFile
from wire.batch import (
    MAX_SEQUENCE,
    MAX_SIGHTINGS,
    SIGHTING,
    Batch,
    Clock,
    Place,
    Sighting,
    decode_batch,
    encode_batch,
    pack_sightings,
)
from wire.errors import WireError
from wire.receipt import OutcomeKind, Receipt, decode_receipt
from wire.signing import SIGNATURE_LEN, Domain, sign, verify


class OutboxFullError(Exception):
    """Not even giving up older batches made room. The window is lost, its counts are owed."""


@dataclass(frozen=True, slots=True)
class Owner:
    """Whose outbox it is and whose receipts it believes. `fresh_id` makes 16 random bytes."""

    gateway: str
    key: Ed25519PrivateKey
    server_key: Ed25519PublicKey
    fresh_id: Callable[[], bytes]

    def seal(self, batch: Batch) -> bytes:
        return sign(self.key, Domain.BATCH, encode_batch(batch))


class Settled(NamedTuple):
    """What one receipt did here: sequences that are gone, those numbered anew, and what the server refused and why."""

    gone: tuple[int, ...]
    renumbered: tuple[int, ...]
    refused: Mapping[str, int]


class Outbox:
    """One file, one user, one thread at a time."""

    def __init__(self, path: Path, owner: Owner, *, limit_bytes: int) -> None:
        self._owner = owner
        self._limit_bytes = limit_bytes
        self._unwritten: Counter[str] = Counter()  # owed, but the disk would not even take that
        self._file = OutboxFile(path)
        with self._file.transaction():
            self._adopt()
            if self._file.was_broken:
                self._file.owe({"outbox_broken": 1})
        self.outbox_id = self._file.blob("outbox_id")

    def close(self) -> None:
        self._file.db.close()

    def depth(self) -> Depth:
        return self._file.depth

    # ------------------------------------------------------------------------------------ a run's begin and end
    def begin(self) -> bool:
        """A run begins. True if the last one did not end in order: then what its last window held is lost, which is
        owed as `unclean_stop`.
        """
        with self._file.transaction():
            unclean = self._file.number("running") == 1
            if unclean:
                self._file.owe({"unclean_stop": 1})
            self._file.set("running", 1)
        return unclean

    def end(self) -> None:
        """The run ended in order: its last window is in here."""
        self.remember("running", 0)

    def recall(self, name: str) -> int:
        """A number kept with the outbox; 0 until it was remembered."""
        return self._file.number(name)

    def remember(self, name: str, value: int) -> None:
        with self._file.transaction():
            self._file.set(name, value)

    def _adopt(self) -> None:
        """Make what waits here ours. A new key signs it anew; a new name or another server gets it as a new outbox."""
        key = self._owner.key.public_key().public_bytes_raw()
        whose = self._owner.gateway.encode() + b"@" + self._owner.server_key.public_bytes_raw()
        moved = self._file.blob("whose") != whose
        if moved:
            self._file.set("outbox_id", self._owner.fresh_id())
            self._file.set("next_sequence", 0)
            self._file.set("doubt_below", 0)
            self._file.set("whose", whose)
        if moved or self._file.blob("signed_by") != key:
            self._file.set("signed_by", key)
            for sequence in self._file.sequences(0, MAX_SEQUENCE):
                # Numbers are given out from 0 in the order of the old ones, so a new one never meets an old one.
                self._sign_anew(sequence, self._next() if moved else sequence)

    def _sign_anew(self, sequence: int, number: int) -> None:
        held = self._held(sequence)
        assert held is not None
        self._file.remove(sequence)
        outbox_id = self._file.blob("outbox_id")
        held = msgspec.structs.replace(held, gateway=self._owner.gateway, outbox_id=outbox_id, sequence=number)
        self._file.put(number, self._owner.seal(held), given_up=held.given_up)

    # ------------------------------------------------------------------------------------ in
    def add(self, window: Window, *, now_ms: int, clock: Clock, place: Place | None) -> list[int]:
        """Take a window and whatever is owed; returns the sequences it got. Raises OutboxFullError: then the window's
        adverts are owed as `outbox_full`.
        """
        while True:
            try:
                with self._file.transaction():
                    sequences = self._add(window, max(now_ms, 0), clock, place)
            except sqlite3.OperationalError as error:
                if error.sqlite_errorcode not in NO_SPACE:
                    raise
                if not self._give_up_oldest():
                    raise self._lost(window) from error
            except OutboxFullError as error:
                raise self._lost(window) from error
            else:
                self._unwritten.clear()
                return sequences

    def _add(self, window: Window, now_ms: int, clock: Clock, place: Place | None) -> list[int]:
        dropped = self._file.owed() + self._unwritten
        dropped.update(window.dropped)
        sequences = []
        for part in _parts(window.sightings):
            sightings, frames = pack_sightings(part)
            number = self._next()
            batch = Batch(
                self._owner.gateway, self.outbox_id, number, now_ms, clock, place, sightings, frames, dict(dropped)
            )
            self._put(batch)
            sequences.append(number)
            dropped.clear()
        self._file.pay()
        self._file.set("made_ms", now_ms)
        return sequences

    def _lost(self, window: Window) -> OutboxFullError:
        self._unwritten.update(window.dropped)
        self._unwritten["outbox_full"] += sum(sighting.adverts for sighting in window.sightings)
        return OutboxFullError("there is no room for this window, neither by its limit nor by giving up older ones")

    def owe(self, counts: Mapping[str, int]) -> None:
        """Counts that the next batch will tell."""
        with self._file.transaction():
            self._file.owe(counts)

    def owes(self) -> bool:
        """Whether there are counts that no batch has told yet."""
        return bool(self._unwritten or self._file.owed())

    # ------------------------------------------------------------------------------------ out
    def sequences_after(self, sequence: int, limit: int) -> list[int]:
        """The next sequences that wait, in order."""
        return self._file.sequences(sequence + 1, MAX_SEQUENCE, limit)

    def payload(self, sequence: int) -> bytes | None:
        """The signed bytes to publish; None if they have been settled meanwhile."""
        return self._file.payload(sequence)

    def settle(self, payload: bytes) -> Settled:
        """Act on a receipt: the only way by which a batch leaves. A receipt that the pinned key did not sign, or that
        is about another gateway or outbox, does nothing.

        Raises WireError `signature`, `truncated`, `malformed`, `oversized`, `receipt_gateway`, `receipt_outbox`.
        """
        receipt = decode_receipt(verify(self._owner.server_key, Domain.RECEIPT, payload))
        if receipt.gateway != self._owner.gateway:
            raise WireError("receipt_gateway", "the receipt is for another gateway")
        if receipt.outbox_id != self.outbox_id:
            raise WireError("receipt_outbox", "the receipt is for an outbox that is no longer")
        with self._file.transaction():
            return self._settle(receipt)

    def _settle(self, receipt: Receipt) -> Settled:
        conflicts = [o.sequence for o in receipt.outcomes if o.kind is OutcomeKind.SEQUENCE_CONFLICT]
        following = self._file.number("next_sequence")
        if conflicts or receipt.settled_up_to >= following:
            # The server has other bodies under our numbers: this file is an old copy (a restored card or machine).
            # What is queued now leaves by its own outcome only, and new numbers begin beyond all that are known.
            following = max(following, receipt.settled_up_to + 1)
            self._file.set("doubt_below", following)
            self._file.set("next_sequence", following)
        renumbered = [sequence for sequence in conflicts if self._renumber(sequence)]
        gone = set(conflicts) - set(renumbered)
        refused: Counter[str] = Counter()
        for outcome in receipt.outcomes:
            if outcome.kind is not OutcomeKind.SEQUENCE_CONFLICT and self._file.remove(outcome.sequence):
                gone.add(outcome.sequence)
                if outcome.kind is OutcomeKind.REFUSED:
                    refused[outcome.reason] += 1
        for sequence in self._file.sequences(self._file.number("doubt_below"), receipt.settled_up_to):
            self._file.remove(sequence)
            gone.add(sequence)
        return Settled(tuple(sorted(gone)), tuple(renumbered), refused)

    def _renumber(self, sequence: int) -> bool:
        """The same sightings under a new number. A tombstone in conflict just goes: the server has the original."""
        held = self._held(sequence)
        if held is None:
            return False
        self._file.remove(sequence)
        if held.given_up:
            return False
        self._put(msgspec.structs.replace(held, sequence=self._next()))
        return True

    # ------------------------------------------------------------------------------------ room
    def _give_up_oldest(self) -> bool:
        """Replace the oldest batch by its tombstone; False if there is none left, or no room even for that."""
        sequence = self._file.oldest()
        if sequence is None:
            return False
        try:
            with self._file.transaction():
                self._bury(sequence)
        except sqlite3.OperationalError:
            return False
        return True

    def _bury(self, sequence: int) -> None:
        held = self._held(sequence)
        assert held is not None
        told = Counter(held.dropped)
        for record in SIGHTING.iter_unpack(held.sightings):
            told["given_up_sightings"] += 1
            told["given_up_adverts"] += record[2]
        self._file.remove(sequence)
        tombstone = msgspec.structs.replace(held, sightings=b"", frames=b"", dropped=dict(told), given_up=True)
        self._file.put(sequence, self._owner.seal(tombstone), given_up=True)

    def _put(self, batch: Batch) -> None:
        payload = self._owner.seal(batch)
        while self._file.depth.size_bytes + len(payload) + ROW_COST > self._limit_bytes:
            oldest = self._file.oldest()
            if oldest is None:
                raise OutboxFullError("the outbox has reached its limit")
            self._bury(oldest)
        self._file.put(batch.sequence, payload, given_up=batch.given_up)

    def _held(self, sequence: int) -> Batch | None:
        payload = self._file.payload(sequence)
        return None if payload is None else decode_batch(payload[SIGNATURE_LEN:])

    def _next(self) -> int:
        sequence = self._file.number("next_sequence")
        self._file.set("next_sequence", sequence + 1)
        return sequence


def _parts(sightings: Sequence[Sighting]) -> Iterator[Sequence[Sighting]]:
    """Runs that fit into one batch; one empty run for a window that only has counts."""
    for start in range(0, max(len(sightings), 1), MAX_SIGHTINGS):
        yield sightings[start : start + MAX_SIGHTINGS]
