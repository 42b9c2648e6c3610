"""The outbox: every batch on disk before it is sent, until the server's signed receipt says what became of it.

A body is encoded and signed once; what is published a second time are the very same bytes, by which the server knows a
repetition. `settle` takes a receipt as it came from the broker: a batch leaves by an outcome that names it, signed by
the server, and by nothing else.

    add ──▶ waiting(number, payload) ──settle(receipt)──▶ gone
                │  no room: the oldest are given up          │ sequence_conflict: another name
                ▼                                            ▼
            tombstone, signed, with counts               same number here, same sightings

Numbers count through the whole file. The server knows a batch by (outbox_id, sequence), and every opening of the file
begins a new outbox_id: a file that was restored from an old copy never says an old name of something new, so that no
receipt for what it forgot can be taken for one of what it holds.

`owed` holds counts that no batch has told yet; they leave with the next batch, in the same transaction.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Mapping
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Final, NamedTuple, TypeVar

import msgspec
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey, Ed25519PublicKey

from gateway.batches import as_own_outbox, batches, tombstone
from gateway.collector import Window
from gateway.outbox_file import ROW_COST, Depth, NoSpaceError, OutboxFile
from wire.batch import Batch, Clock, Place, decode_batch, encode_batch
from wire.errors import WireError
from wire.receipt import OutcomeKind, Receipt, decode_receipt
from wire.signing import SIGNATURE_LEN, Domain, sign, verify

T = TypeVar("T")

# On a full disk so much is given up at once: with less, no page of the file might become free by it; with more, one
# small window would cost more than it needs.
GIVE_UP_BYTES: Final = 16_384


class OutboxFullError(Exception):
    """There is no room, not even after giving up older batches; nothing was changed."""


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
    """What one receipt did here: numbers that are gone, those that got another name, and what was refused and why."""

    gone: tuple[int, ...]
    renamed: tuple[int, ...]
    refused: Mapping[str, int]


class Outbox:
    """One file, one user, one thread at a time."""

    def __init__(self, path: Path, owner: Owner, *, limit_bytes: int) -> None:
        self._owner = owner
        self._limit_bytes = limit_bytes
        self._unwritten: Counter[str] = Counter()  # owed, but the disk would not even take that
        self._file = OutboxFile(path)
        self._new_name()
        self._write(self._adopt)
        self._file.reserve()

    def close(self) -> None:
        self._file.db.close()

    def depth(self) -> Depth:
        return self._file.depth

    # ------------------------------------------------------------------------------------ a run's begin and end
    def begin(self) -> bool:
        """A run begins. True if the last one did not end in order: then what its last window held is lost, which is
        owed as `unclean_stop`. A full disk does not keep it from beginning.
        """
        lost = {"unclean_stop": 1} if self._file.number("running") == 1 else {}
        try:
            self._write(lambda: self._begin(lost))
        except OutboxFullError:
            self._unwritten.update(lost)
        return bool(lost)

    def _begin(self, lost: Mapping[str, int]) -> None:
        self._file.owe(lost)
        self._file.set("running", 1)

    def end(self) -> None:
        """The run ended in order: its last window is in here."""
        with suppress(OutboxFullError):
            self.remember("running", 0)

    def recall(self, name: str) -> int:
        """A number kept with the outbox; 0 until it was remembered."""
        return self._file.number(name)

    def remember(self, name: str, value: int) -> None:
        """Raises OutboxFullError."""
        self._write(lambda: self._file.set(name, value))

    def _write(self, work: Callable[[], T], give_up: Callable[[], bool] = lambda: False) -> T:
        """One transaction, as the file's `write`. Raises OutboxFullError."""
        try:
            return self._file.write(work, give_up)
        except NoSpaceError as error:
            raise OutboxFullError("there is no room on the disk") from error

    def _new_name(self) -> None:
        """From here on batches belong to a new outbox, whose sequence begins at 0."""
        self.outbox_id = self._owner.fresh_id()
        self._first = self._file.number("next_number")

    def _adopt(self) -> None:
        """Make what waits here ours. A new key signs it anew; for a new name or another server it is made anew, too."""
        if self._file.was_broken:
            self._file.owe({"outbox_broken": 1})
        key = self._owner.key.public_key().public_bytes_raw()
        whose = self._owner.gateway.encode() + b"@" + self._owner.server_key.public_bytes_raw()
        moved = self._file.blob("whose") != whose
        if not moved and self._file.blob("signed_by") == key:
            return
        self._file.set("whose", whose)
        self._file.set("signed_by", key)
        for number in self._file.numbers_after(-1):
            batch = self._held(number)
            if moved:
                self._file.remove(number)
                self._append(msgspec.structs.replace(batch, gateway=self._owner.gateway))
            else:
                self._replace(number, batch)

    # ------------------------------------------------------------------------------------ in
    def add(self, window: Window, *, now_ms: int, clock: Clock, place: Place | None) -> list[int]:
        """Take a window and whatever is owed; returns the numbers it got. Raises OutboxFullError: then the window's
        adverts are owed as `outbox_full`.
        """
        try:
            numbers = self._write(lambda: self._add(window, max(now_ms, 0), clock, place), self._give_up_oldest)
        except OutboxFullError:
            self._unwritten.update(window.dropped)
            self._unwritten["outbox_full"] += sum(sighting.adverts for sighting in window.sightings)
            raise
        self._unwritten.clear()
        self._file.reserve()
        return numbers

    def _add(self, window: Window, now_ms: int, clock: Clock, place: Place | None) -> list[int]:
        dropped = self._file.owed() + self._unwritten
        dropped.update(window.dropped)
        made = batches(window, dropped, gateway=self._owner.gateway, now_ms=now_ms, clock=clock, place=place)
        numbers = [self._append(batch) for batch in made]
        self._file.pay()
        self._file.set("made_ms", now_ms)
        return numbers

    def _append(self, batch: Batch) -> int:
        """Gives the batch the next name of this outbox and puts it at the end; returns its number."""
        number = self._file.number("next_number")
        self._file.set("next_number", number + 1)
        batch = msgspec.structs.replace(batch, outbox_id=self.outbox_id, sequence=number - self._first)
        payload = self._owner.seal(batch)
        while self._file.depth.size_bytes + len(payload) + ROW_COST > self._limit_bytes:
            oldest = self._file.oldest()
            if oldest is None:
                raise OutboxFullError("the outbox has reached its limit")
            self._bury(oldest)
        self._file.put(number, (batch.outbox_id, batch.sequence), payload, given_up=batch.given_up)
        return number

    def owe(self, counts: Mapping[str, int]) -> None:
        """Counts that the next batch will tell."""
        try:
            self._write(lambda: self._file.owe(counts))
        except OutboxFullError:
            self._unwritten.update(counts)

    def owes(self) -> bool:
        """Whether there are counts that no batch has told yet."""
        return bool(self._unwritten or self._file.owed())

    # ------------------------------------------------------------------------------------ out
    def numbers_after(self, number: int, limit: int) -> list[int]:
        """The next numbers that wait, in order."""
        return self._file.numbers_after(number, limit)

    def payload(self, number: int) -> bytes | None:
        """The signed bytes to publish; None if they have been settled meanwhile."""
        return self._file.payload(number)

    def settle(self, payload: bytes) -> Settled:
        """Act on a receipt: the only way by which a batch leaves. A receipt that the pinned key did not sign, or that
        is about another gateway or about no outbox of which anything waits, does nothing.

        Raises WireError `signature`, `truncated`, `malformed`, `oversized`, `receipt_gateway`, `receipt_outbox`, and
        OutboxFullError: then it has to come again.
        """
        receipt = decode_receipt(verify(self._owner.server_key, Domain.RECEIPT, payload))
        if receipt.gateway != self._owner.gateway:
            raise WireError("receipt_gateway", "the receipt is for another gateway")
        if receipt.outbox_id != self.outbox_id and not self._file.knows(receipt.outbox_id):
            raise WireError("receipt_outbox", "the receipt is for an outbox that is no longer")
        return self._write(lambda: self._settle(receipt))

    def _settle(self, receipt: Receipt) -> Settled:
        """Outcomes alone decide; `settled_up_to` may count what a double of ours sent."""
        gone: list[int] = []
        renamed: list[int] = []
        refused: Counter[str] = Counter()
        for outcome in receipt.outcomes:
            number = self._file.find(receipt.outbox_id, outcome.sequence)
            if number is None:
                continue
            if outcome.kind is OutcomeKind.SEQUENCE_CONFLICT and self._rename(number):
                renamed.append(number)
                continue
            self._file.remove(number)
            gone.append(number)
            if outcome.kind is OutcomeKind.REFUSED:
                refused[outcome.reason] += 1
        following = self._file.number("next_number") - self._first
        if receipt.outbox_id == self.outbox_id and (renamed or receipt.settled_up_to >= following):
            # Somebody else speaks under our present name: a machine was copied, or woken from a snapshot, as it ran.
            self._new_name()
        return Settled(tuple(sorted(gone)), tuple(renamed), refused)

    def _rename(self, number: int) -> bool:
        """The server has another body under this name. A tombstone just goes then: the server has the original."""
        held = self._held(number)
        if not held.given_up:
            self._replace(number, as_own_outbox(held))
        return not held.given_up

    # ------------------------------------------------------------------------------------ room
    def _give_up_oldest(self) -> bool:
        """Replace the oldest batches by their tombstones; False if none is left, or no room even for that. All of
        them go before the first tombstone comes, so that whole pages of the file become free: a small batch alone
        leaves but a gap between two others, where a new one has no place.
        """
        given_up: dict[int, Batch] = {}
        size = 0
        try:
            with self._file.transaction():
                while size < GIVE_UP_BYTES and (number := self._file.oldest()) is not None:
                    given_up[number] = tombstone(self._held(number))
                    size += self._file.remove(number)
                for number, batch in given_up.items():
                    self._put(number, batch)
        except NoSpaceError:
            return False
        return bool(given_up)

    def _bury(self, number: int) -> None:
        self._replace(number, tombstone(self._held(number)))

    def _replace(self, number: int, batch: Batch) -> None:
        self._file.remove(number)
        self._put(number, batch)

    def _put(self, number: int, batch: Batch) -> None:
        name = (batch.outbox_id, batch.sequence)
        self._file.put(number, name, self._owner.seal(batch), given_up=batch.given_up)

    def _held(self, number: int) -> Batch:
        payload = self._file.payload(number)
        assert payload is not None
        return decode_batch(payload[SIGNATURE_LEN:])
