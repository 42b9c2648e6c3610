"""Outboxes restored from old copies, against a small server that keeps a ledger: nothing is lost, nothing stored twice.

Whatever the order in which batches and receipts come, come again or stay away, and however often the file is put back
to what it was once. What nobody can bring back is what was only in the file that a restore replaced.
"""

from __future__ import annotations

import hashlib
import itertools
import sqlite3
from collections import Counter
from pathlib import Path

import hypothesis.strategies as st
import pytest
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
from hypothesis import example, given, settings

from gateway.collector import Window
from gateway.outbox import Outbox, Owner
from tests.gateway.air import frame
from wire.batch import Batch, Clock, HeardFrame, Sighting, decode_batch, unpack_sightings
from wire.errors import WireError
from wire.receipt import Outcome, OutcomeKind, Receipt, encode_receipt
from wire.signing import SIGNATURE_LEN, Domain, sign

KEY, SERVER = (Ed25519PrivateKey.from_private_bytes(bytes([n]) * 32) for n in (1, 2))
ROOMY, TIGHT = 10_000_000, 3_000


def frames_of(payload: bytes) -> list[bytes]:
    return [h.frame for seen in unpack_sightings(decode_batch(payload[SIGNATURE_LEN:])) for h in seen.frames]


class Ledger:
    """What the server does with a batch, in a dozen lines."""

    def __init__(self) -> None:
        self.bodies: dict[tuple[bytes, int], bytes] = {}
        self.stored: Counter[bytes] = Counter()

    def take(self, payload: bytes) -> bytes:
        """The receipt for it."""
        batch, digest = decode_batch(payload[SIGNATURE_LEN:]), hashlib.sha256(payload[SIGNATURE_LEN:]).digest()
        kind = self._kind(batch, digest)
        if kind is OutcomeKind.STORED:
            self.bodies[batch.outbox_id, batch.sequence] = digest
            self.stored.update(frames_of(payload))
        settled = next(n for n in itertools.count() if (batch.outbox_id, n) not in self.bodies) - 1
        receipt = Receipt("dock-1", batch.outbox_id, settled, (Outcome(batch.sequence, kind),))
        return sign(SERVER, Domain.RECEIPT, encode_receipt(receipt))

    def _kind(self, batch: Batch, digest: bytes) -> OutcomeKind:
        known = self.bodies.get((batch.outbox_id, batch.sequence))
        if known is None:
            return OutcomeKind.STORED
        return OutcomeKind.DUPLICATE if known == digest else OutcomeKind.SEQUENCE_CONFLICT


class Play:
    """One gateway's file and its old copies, the broker between, the server, and what must be in it at the end."""

    def __init__(self, folder: Path, limit_bytes: int) -> None:
        self._path, self._limit_bytes = folder / "outbox.sqlite", limit_bytes
        self._ids, self._numbers = itertools.count(1), itertools.count(1)
        self._copies: list[Path] = []
        self.ledger = Ledger()
        self.on_the_way: list[bytes] = []
        self.receipts: list[bytes] = []
        self.committed: set[bytes] = set()
        self.excused: set[bytes] = set()  # given up for want of room, or gone with a replaced file
        self.box = self._open()

    def _open(self) -> Outbox:
        owner = Owner("dock-1", KEY, SERVER.public_key(), lambda: next(self._ids).to_bytes(16, "big"))
        box = Outbox(self._path, owner, limit_bytes=self._limit_bytes)
        box._file.db.execute("PRAGMA synchronous = OFF")  # nobody pulls the plug here
        return box

    def waiting(self) -> list[bytes]:
        return [self.box.payload(n) or b"" for n in self.box.numbers_after(-1, 10_000)]

    def held(self) -> set[bytes]:
        return {each for payload in self.waiting() for each in frames_of(payload)}

    # ------------------------------------------------------------------------------------ steps
    def add(self, count: int) -> None:
        before = self.held()
        heard = [frame(next(self._numbers)) for _ in range(count)]
        seen = tuple(Sighting(1, 2, 3, -50, -60, (HeardFrame(2, each),)) for each in heard)
        self.box.add(Window(seen, {}), now_ms=1_700_000_000_000, clock=Clock.GOOD, place=None)
        self.committed.update(heard)
        self.excused |= before - self.held()

    def publish(self, which: int) -> None:
        waiting = self.waiting()
        if waiting:
            self.on_the_way.append(waiting[which % len(waiting)])

    def deliver(self, which: int) -> None:
        """May come again later: it stays on the way."""
        if self.on_the_way:
            self.receipts.append(self.ledger.take(self.on_the_way[which % len(self.on_the_way)]))

    def lose(self, which: int) -> None:
        if self.on_the_way:
            self.on_the_way.pop(which % len(self.on_the_way))

    def settle(self, which: int) -> None:
        """However late, and however often."""
        if self.receipts:
            self._settle(self.receipts[which % len(self.receipts)])

    def _settle(self, receipt: bytes) -> None:
        try:
            self.box.settle(receipt)
        except WireError as error:
            if error.code != "receipt_outbox":
                raise

    def reopen(self, _: int) -> None:
        self.box.close()
        self.box = self._open()

    def copy(self, _: int) -> None:
        self._copies.append(self._path.with_name(f"copy-{len(self._copies)}"))
        with sqlite3.connect(self._copies[-1]) as target:
            self.box._file.db.backup(target)
        target.close()

    def restore(self, which: int) -> None:
        if self._copies:
            before = self.held()
            self.box.close()
            for suffix in ("", "-wal", "-shm"):
                self._path.with_name(self._path.name + suffix).unlink(missing_ok=True)
            self._path.write_bytes(self._copies[which % len(self._copies)].read_bytes())
            self.box = self._open()
            self.excused |= before - self.held()

    # ------------------------------------------------------------------------------------ the end
    def heal(self) -> None:
        """Everything arrives, and everything is answered; a batch in conflict needs a second turn."""
        for payload in self.on_the_way:
            self.receipts.append(self.ledger.take(payload))
        for receipt in self.receipts:
            self._settle(receipt)
        for _ in range(5):
            for payload in self.waiting():
                self._settle(self.ledger.take(payload))
        assert self.waiting() == [], "the outbox empties"
        assert self.box.depth() == (0, 0)

    def compare(self) -> None:
        stored = self.ledger.stored
        assert set(stored) <= self.committed
        assert [each for each, count in stored.items() if count > 1] == [], "stored twice"
        assert self.committed - set(stored) - self.excused == set(), "lost"


STEPS = st.lists(
    st.one_of(
        st.tuples(st.just("add"), st.integers(0, 12)),
        st.tuples(st.sampled_from(["publish", "deliver", "settle", "lose", "restore"]), st.integers(0, 5)),
        st.tuples(st.sampled_from(["reopen", "copy"]), st.just(0)),
    ),
    max_size=40,
)
# A copy, a batch after it that is stored, the copy back with another batch: the first one's receipt comes late.
LATE = [("add", 1), ("copy", 0), ("add", 1), ("publish", 1), ("restore", 0), ("add", 1), ("deliver", 0), ("settle", 0)]
# What the copy still holds was stored in the meantime: its receipt, `duplicate`, counts further than the copy knows.
DUPLICATE = [
    ("add", 1), ("copy", 0), ("publish", 0), ("add", 1), ("publish", 1), ("deliver", 0), ("deliver", 1),
    ("restore", 0), ("add", 1), ("publish", 0), ("deliver", 2), ("settle", 2),
]  # fmt: skip
# A batch meets the tombstone that stands for it, gets another name and is stored; then the copy is put back once more.
MEETS = [("restore", 0), ("publish", 0)]
TWICE = [
    ("add", 12), ("copy", 0), *[("add", 12)] * 3, ("publish", 0), ("deliver", 0),
    *MEETS, ("deliver", 1), ("settle", 1), ("publish", 0), ("deliver", 2),
    *MEETS, ("deliver", 3), ("settle", 3), ("publish", 0), ("deliver", 4),
]  # fmt: skip


@settings(max_examples=60)
@given(STEPS, st.sampled_from([ROOMY, TIGHT]))
@example(LATE, ROOMY)
@example(DUPLICATE, ROOMY)
@example(TWICE, TIGHT)
def test_restored_outboxes_lose_nothing_and_nothing_is_stored_twice(
    tmp_path_factory: pytest.TempPathFactory, steps: list[tuple[str, int]], limit_bytes: int
) -> None:
    play = Play(tmp_path_factory.mktemp("outbox"), limit_bytes)
    try:
        for what, number in steps:
            getattr(play, what)(number)
            assert play.box.depth().batches == len(play.waiting())
        play.heal()
        play.compare()
    finally:
        play.box.close()
