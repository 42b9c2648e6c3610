"""The outbox: only the server's receipt deletes, bytes never change, and what has no room leaves a tombstone."""

from __future__ import annotations

import itertools
import sqlite3
from pathlib import Path

import pytest
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey

from gateway import outbox_file
from gateway.collector import Window
from gateway.outbox import Outbox, OutboxFullError, Owner
from tests.gateway.air import frame
from wire.batch import Batch, Clock, HeardFrame, Place, PlaceSource, Sighting, decode_batch, unpack_sightings
from wire.errors import WireError
from wire.receipt import Outcome, OutcomeKind, Receipt, encode_receipt
from wire.signing import SIGNATURE_LEN, Domain, sign, verify

KEY, SERVER, STRANGER = (Ed25519PrivateKey.from_private_bytes(bytes([n]) * 32) for n in (1, 2, 3))
PLACE = Place(525_200_000, 134_000_000, 10, PlaceSource.FIXED)
IDS = itertools.count(1)


def owner(gateway: str = "dock-1", key: Ed25519PrivateKey = KEY, server: Ed25519PrivateKey = SERVER) -> Owner:
    return Owner(gateway, key, server.public_key(), lambda: next(IDS).to_bytes(16, "big"))


def outbox(folder: Path, limit_bytes: int = 10_000_000, whose: Owner | None = None) -> Outbox:
    return Outbox(folder / "outbox.sqlite", whose or owner(), limit_bytes=limit_bytes)


def window(*numbers: int, **dropped: int) -> Window:
    seen = [Sighting(1, 2, 3, -50, -60, (HeardFrame(2, frame(number)),)) for number in numbers]
    return Window(tuple(seen), dropped)


def add(box: Outbox, *numbers: int, **dropped: int) -> list[int]:
    return box.add(window(*numbers, **dropped), now_ms=1_700_000_000_000, clock=Clock.GOOD, place=PLACE)


def held(box: Outbox, sequence: int) -> Batch:
    payload = box.payload(sequence)
    assert payload is not None
    return decode_batch(payload[SIGNATURE_LEN:])


def frames(batch: Batch) -> list[bytes]:
    return [h.frame for seen in unpack_sightings(batch) for h in seen.frames]


def receipt(
    box: Outbox,
    settled: int,
    *outcomes: Outcome,
    key: Ed25519PrivateKey = SERVER,
    gateway: str = "dock-1",
    outbox_id: bytes = b"",
) -> bytes:
    return sign(key, Domain.RECEIPT, encode_receipt(Receipt(gateway, outbox_id or box.outbox_id, settled, outcomes)))


def stored(sequence: int) -> Outcome:
    return Outcome(sequence, OutcomeKind.STORED)


def conflict(sequence: int) -> Outcome:
    return Outcome(sequence, OutcomeKind.SEQUENCE_CONFLICT)


def test_a_window_becomes_a_signed_batch_with_everything(tmp_path: Path) -> None:
    box = outbox(tmp_path)
    assert add(box, 7, 8, foreign=5) == [0]
    payload = box.payload(0)
    assert payload is not None
    batch = decode_batch(verify(KEY.public_key(), Domain.BATCH, payload))
    assert (batch.gateway, batch.outbox_id, batch.sequence) == ("dock-1", box.outbox_id, 0)
    assert (batch.clock, batch.place, batch.dropped) == (Clock.GOOD, PLACE, {"foreign": 5})
    assert frames(batch) == [frame(7), frame(8)]


def test_bytes_are_the_same_over_a_restart(tmp_path: Path) -> None:
    box = outbox(tmp_path)
    add(box, 1)
    before = box.payload(0)
    box.close()
    again = outbox(tmp_path)
    assert again.payload(0) == before
    assert add(again, 2) == [1]


def test_every_opening_is_another_outbox_for_what_comes_then(tmp_path: Path) -> None:
    box = outbox(tmp_path)
    add(box, 1)
    add(box, 2)
    first = box.outbox_id
    box.close()
    box = outbox(tmp_path)
    add(box, 3)
    names = [(held(box, n).outbox_id, held(box, n).sequence) for n in box.numbers_after(-1, 9)]
    assert names == [(first, 0), (first, 1), (box.outbox_id, 0)]
    assert box.outbox_id != first
    assert box.settle(receipt(box, -1, stored(0))).gone == (2,)
    assert box.settle(receipt(box, -1, stored(1), outbox_id=first)).gone == (1,)


def test_more_than_a_thousand_sightings_are_several_batches(tmp_path: Path) -> None:
    box = outbox(tmp_path)
    assert add(box, *range(2_500), foreign=9) == [0, 1, 2]
    assert [len(frames(held(box, n))) for n in range(3)] == [1000, 1000, 500]
    assert [held(box, n).dropped for n in range(3)] == [{"foreign": 9}, {}, {}]


def test_a_new_file_has_a_new_identity(tmp_path: Path) -> None:
    first, second = outbox(tmp_path / "a"), outbox(tmp_path / "b")
    assert first.outbox_id != second.outbox_id


@pytest.mark.parametrize("kind", [OutcomeKind.STORED, OutcomeKind.DUPLICATE, OutcomeKind.REFUSED])
def test_an_outcome_deletes_its_batch_and_no_other(tmp_path: Path, kind: OutcomeKind) -> None:
    box = outbox(tmp_path)
    for number in range(3):
        add(box, number)
    done = box.settle(receipt(box, -1, Outcome(1, kind, "why")))
    assert done.gone == (1,)
    assert done.refused == ({"why": 1} if kind is OutcomeKind.REFUSED else {})
    assert box.numbers_after(-1, 9) == [0, 2]
    assert box.depth().batches == 2


def test_settled_up_to_alone_deletes_nothing(tmp_path: Path) -> None:
    """Under our name it may count what somebody else sent, and ours was never named."""
    box = outbox(tmp_path)
    for number in range(4):
        add(box, number)
    assert box.settle(receipt(box, 3)).gone == ()
    assert box.settle(receipt(box, 3, stored(1))).gone == (1,)
    assert box.numbers_after(-1, 9) == [0, 2, 3]


def test_a_receipt_that_is_not_the_servers_deletes_nothing(tmp_path: Path) -> None:
    box, other = outbox(tmp_path), outbox(tmp_path / "other")
    add(box, 1)
    forged = {
        "signature": receipt(box, 0, stored(0), key=STRANGER),
        "receipt_gateway": receipt(box, 0, stored(0), gateway="dock-2"),
        "receipt_outbox": receipt(other, 0, stored(0)),
        "truncated": b"short",
        "malformed": sign(SERVER, Domain.RECEIPT, b"\x93nonsense"),
    }
    forged["other_domain"] = sign(SERVER, Domain.COMMAND, receipt(box, 0, stored(0))[SIGNATURE_LEN:])
    for code, payload in forged.items():
        with pytest.raises(WireError) as caught:
            box.settle(payload)
        assert caught.value.code == code.replace("other_domain", "signature")
        assert box.numbers_after(-1, 9) == [0]


def test_a_batch_in_conflict_gets_a_name_of_its_own(tmp_path: Path) -> None:
    box = outbox(tmp_path)
    add(box, 7)
    add(box, 8)
    done = box.settle(receipt(box, 0, conflict(0)))
    assert (done.gone, done.renamed) == ((), (0,))
    assert box.numbers_after(-1, 9) == [0, 1]
    assert frames(held(box, 0)) == [frame(7)]
    assert held(box, 0).outbox_id not in (held(box, 1).outbox_id, box.outbox_id)
    verify(KEY.public_key(), Domain.BATCH, box.payload(0) or b"")
    assert box.settle(receipt(box, 0, stored(0), outbox_id=held(box, 0).outbox_id)).gone == (0,)


def test_the_same_batch_in_conflict_gets_the_same_name_in_every_copy(tmp_path: Path) -> None:
    """Else a second old copy would store once more what the first one had renamed."""
    box = outbox(tmp_path)
    add(box, 7)
    (tmp_path / "copy").mkdir()
    with sqlite3.connect(tmp_path / "copy" / "outbox.sqlite") as target:
        box._file.db.backup(target)
    copy = outbox(tmp_path / "copy")
    for each in (box, copy):
        each.settle(receipt(each, 0, conflict(0), outbox_id=held(each, 0).outbox_id))
    assert copy.payload(0) == box.payload(0)


def test_somebody_else_under_our_name_makes_us_take_another(tmp_path: Path) -> None:
    """A machine woken from an old snapshot: the server knows twenty batches under a name of which we said two."""
    box = outbox(tmp_path)
    add(box, 7)
    add(box, 8)
    old = box.outbox_id
    assert box.settle(receipt(box, 19)).gone == ()
    assert box.outbox_id != old
    assert add(box, 9) == [2]
    assert (held(box, 2).outbox_id, held(box, 2).sequence) == (box.outbox_id, 0)
    assert box.settle(receipt(box, 19, conflict(0), conflict(1), outbox_id=old)).renamed == (0, 1)
    assert [frames(held(box, n)) for n in box.numbers_after(-1, 9)] == [[frame(7)], [frame(8)], [frame(9)]]


def test_a_file_of_the_first_form_is_taken_over(tmp_path: Path) -> None:
    box = outbox(tmp_path)
    add(box, 7)
    old, payload = box.outbox_id, box.payload(0)
    for statement in (
        "CREATE TABLE batches (sequence INTEGER PRIMARY KEY, payload BLOB NOT NULL, given_up INTEGER NOT NULL)",
        "INSERT INTO batches SELECT sequence + 5, payload, given_up FROM waiting",
        "INSERT INTO meta SELECT 'outbox_id', outbox_id FROM waiting",
        "UPDATE meta SET name = 'next_sequence', value = 6 WHERE name = 'next_number'",
        "DROP TABLE waiting",
    ):
        box._file.db.execute(statement)
    box.close()
    box = outbox(tmp_path)
    assert box.payload(5) == payload
    assert add(box, 8) == [6]
    assert box.settle(receipt(box, 5, stored(5), outbox_id=old)).gone == (5,)


def test_what_is_owed_goes_with_the_next_batch_and_only_once(tmp_path: Path) -> None:
    box = outbox(tmp_path)
    box.owe({"unclean_stop": 1})
    box.owe({"unclean_stop": 1, "other": 2})
    assert box.owes()
    add(box, 1, foreign=1)
    add(box, 2)
    assert held(box, 0).dropped == {"unclean_stop": 2, "other": 2, "foreign": 1}
    assert held(box, 1).dropped == {}
    assert not box.owes()


def test_an_unclean_stop_is_noticed_and_a_clean_one_is_not(tmp_path: Path) -> None:
    box = outbox(tmp_path)
    assert not box.begin()
    box.close()
    box = outbox(tmp_path)
    assert box.begin()
    box.end()
    box.close()
    box = outbox(tmp_path)
    assert not box.begin()
    add(box, 1)
    assert held(box, 0).dropped == {"unclean_stop": 1}


def test_beyond_its_limit_the_oldest_become_signed_tombstones_with_counts(tmp_path: Path) -> None:
    box = outbox(tmp_path, limit_bytes=12_000)
    for turn in range(6):
        add(box, *range(turn * 100, turn * 100 + 60), foreign=turn)
    given_up = [held(box, n).given_up for n in range(6)]
    assert given_up == sorted(given_up, reverse=True), "the oldest go first"
    assert given_up[0]
    assert not given_up[5]
    assert box.numbers_after(-1, 9) == list(range(6)), "no hole"
    grave = decode_batch(verify(KEY.public_key(), Domain.BATCH, box.payload(1) or b""))
    assert grave.dropped == {"foreign": 1, "given_up_sightings": 60, "given_up_adverts": 180}
    assert (grave.sightings, grave.frames, grave.sequence) == (b"", b"", 1)
    assert box.depth().size_bytes <= 12_000


def test_a_tombstone_in_conflict_just_goes(tmp_path: Path) -> None:
    """The server got the original after all: its receipt was lost, and then we gave the batch up."""
    box = outbox(tmp_path, limit_bytes=6_000)
    for turn in range(3):
        add(box, *range(turn * 100, turn * 100 + 50))
    assert held(box, 0).given_up
    assert box.settle(receipt(box, 0, conflict(0))).renamed == ()
    assert 0 not in box.numbers_after(-1, 9)


def test_one_window_larger_than_the_limit_is_told_as_lost(tmp_path: Path) -> None:
    box = outbox(tmp_path, limit_bytes=2_000)
    with pytest.raises(OutboxFullError):
        add(box, *range(200), foreign=4)
    assert box.owes()
    assert add(box, 1) == [0], "no number was wasted"
    assert held(box, 0).dropped == {"outbox_full": 600, "foreign": 4}


def test_a_full_disk_gives_up_old_batches_for_new_ones(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """SQLITE_FULL for real: the file may not grow any more."""
    monkeypatch.setattr(outbox_file, "_PAGES_MAX", 20)
    box = outbox(tmp_path)
    for turn in range(12):
        add(box, *range(turn * 200, turn * 200 + 120))
    kept = [held(box, n) for n in box.numbers_after(-1, 99)]
    assert [batch.sequence for batch in kept] == list(range(12))
    assert kept[0].given_up
    assert frames(kept[-1]) == [frame(number) for number in range(2_200, 2_320)]


def test_a_broken_file_is_put_aside_and_told(tmp_path: Path) -> None:
    path = tmp_path / "outbox.sqlite"
    path.write_bytes(b"this is not a database at all" * 100)
    box = outbox(tmp_path)
    add(box, 1)
    assert held(box, 0).dropped == {"outbox_broken": 1}
    assert path.with_name("outbox.sqlite.broken").exists()


def test_a_locked_file_is_not_called_broken(tmp_path: Path) -> None:
    outbox(tmp_path).close()
    with sqlite3.connect(tmp_path / "outbox.sqlite", isolation_level=None) as other:
        other.execute("BEGIN EXCLUSIVE")
        with pytest.raises(sqlite3.OperationalError):
            Outbox(tmp_path / "outbox.sqlite", owner(), limit_bytes=1)
        other.execute("ROLLBACK")
    assert not (tmp_path / "outbox.sqlite.broken").exists()


def test_a_new_key_signs_what_waits_and_leaves_the_bodies(tmp_path: Path) -> None:
    box = outbox(tmp_path)
    add(box, 1)
    before = box.payload(0) or b""
    box.close()
    box = outbox(tmp_path, whose=owner(key=STRANGER))
    after = box.payload(0) or b""
    assert after[SIGNATURE_LEN:] == before[SIGNATURE_LEN:]
    verify(STRANGER.public_key(), Domain.BATCH, after)


@pytest.mark.parametrize("moved", [owner("dock-2"), owner(server=STRANGER)], ids=["another name", "another server"])
def test_as_another_gateway_what_waits_begins_a_new_outbox(tmp_path: Path, moved: Owner) -> None:
    box = outbox(tmp_path)
    for number in range(3):
        add(box, number)
    box.settle(receipt(box, -1, stored(0)))
    outbox_id = box.outbox_id
    box.close()
    box = outbox(tmp_path, whose=moved)
    assert box.outbox_id != outbox_id
    assert box.numbers_after(-1, 9) == [3, 4]
    assert [frames(held(box, n)) for n in (3, 4)] == [[frame(1)], [frame(2)]]
    assert [(held(box, n).outbox_id, held(box, n).sequence) for n in (3, 4)] == [(box.outbox_id, 0), (box.outbox_id, 1)]
    assert held(box, 3).gateway == moved.gateway
    assert add(box, 9) == [5]
