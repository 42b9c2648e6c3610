"""A set in one transaction on a real database: stored once, answered always, settled without holes."""

from __future__ import annotations

import threading
from collections.abc import Sequence
from datetime import UTC, date, datetime, timedelta

import pytest
from sqlalchemy import Engine, select, text

from server.ingest.columns import Refusal
from server.ingest.prepare import Prepared, prepare, refused_alone
from server.ingest.receipts import receipts
from server.ingest.resolve import Resolver, Verdict
from server.ingest.storing import HookError, Stored, store, store_set
from server.ingest.verify import Entry, check
from server.store import ledger, partitions, tables
from server.store.ledger import OutboxKey
from server.store.partitions import Covered
from tests.server.ingest.parties import HERE, K_FACTORY, LOTS, NOW, NOW_MS, RETENTION, Gateway, Tag, enrol, sighting
from wire.batch import MAX_SEQUENCE, MAX_UNIX_MS, Clock, Place, PlaceSource
from wire.receipt import OutcomeKind, decode_receipt
from wire.signing import Domain, verify

STORED, DUPLICATE = OutcomeKind.STORED, OutcomeKind.DUPLICATE
REFUSED, CONFLICT = OutcomeKind.REFUSED, OutcomeKind.SEQUENCE_CONFLICT


def entry_of(gateway: Gateway, payload: bytes) -> Entry:
    checked = check(gateway.topic, payload, {gateway.name: gateway.known})
    assert isinstance(checked, Entry), checked
    return checked


def ready(gateway: Gateway, payloads: Sequence[bytes]) -> Prepared:
    return prepare(
        [entry_of(gateway, payload) for payload in payloads], Resolver(K_FACTORY, LOTS, 0xF0), NOW, RETENTION
    )


def put(engine: Engine, gateway: Gateway, *payloads: bytes, on_stored=()) -> Stored:
    prepared = ready(gateway, payloads)
    with engine.begin() as tx:
        partitions.cover(tx, prepared.days(), NOW)
    with engine.begin() as tx:
        return store(tx, prepared, on_stored)


def kinds(stored: Stored) -> list[tuple[int, OutcomeKind, str]]:
    return [(outcome.sequence, outcome.kind, outcome.reason) for _, outcome in stored.outcomes]


def count(engine: Engine, table: str) -> int:
    with engine.connect() as tx:
        return int(tx.execute(text(f"select count(*) from {table}")).scalar_one())


def mark(stored: Stored, gateway: Gateway) -> int:
    return stored.marks[OutboxKey(gateway.no, gateway.outbox_id)]


def test_a_frame_stands_in_the_table_as_it_was_heard(engine: Engine, gateway: Gateway) -> None:
    tag = Tag(2**40 - 1, boot=65_535)
    seen = sighting(
        tag.frame(2**32 - 2), tag.frame(2**32 - 1, status=0xF8), at_ms=NOW_MS - 1, rssi_dbm=-41, adverts=2**32 - 1
    )
    assert kinds(put(engine, gateway, gateway.batch(seen))) == [(0, STORED, "")]
    with engine.connect() as tx:
        first, last = tx.execute(select(tables.sightings).order_by(tables.sightings.c.heard_at)).mappings()
        batch = tx.execute(select(tables.batches)).mappings().one()
    assert last == {
        "serial": 2**40 - 1,
        "heard_at": datetime.fromtimestamp((NOW_MS - 1) / 1000, UTC),
        "window_ms": 1000,
        "batch_no": batch["no"],
        "uptime_s": 2**32 - 1,
        "boot": 65_535,
        "adverts": 2**15 - 1,  # what the column can hold
        "status": 0xF8,
        "rssi_max_dbm": -41,
        "rssi_mean_dbm": -44,
    }
    assert (first["uptime_s"], first["heard_at"]) == (2**32 - 2, last["heard_at"] - timedelta(seconds=1))
    assert first["window_ms"] == 0
    assert (batch["rows"], batch["unresolved"], batch["clock"], batch["gateway_class"]) == (2, 0, 2, 0)
    assert batch["received_at"] == NOW
    place = Place(batch["lat_e7"], batch["lon_e7"], batch["accuracy_m"], PlaceSource(batch["place_source"]))
    assert place == HERE


def test_delivered_twice_is_stored_once_and_answered_twice(engine: Engine, gateway: Gateway) -> None:
    payload = gateway.batch(sighting(Tag(7).frame()))
    assert kinds(put(engine, gateway, payload)) == [(0, STORED, "")]
    assert kinds(put(engine, gateway, payload)) == [(0, DUPLICATE, "")]
    second = gateway.batch(sighting(Tag(7).frame()))
    assert kinds(put(engine, gateway, second, payload, second)) == [
        (1, STORED, ""), (0, DUPLICATE, ""), (1, DUPLICATE, ""),
    ]  # fmt: skip
    assert count(engine, "sightings") == 2


def test_same_sequence_with_another_body_is_a_conflict_and_changes_nothing(engine: Engine, gateway: Gateway) -> None:
    put(engine, gateway, *[gateway.batch(sighting(Tag(7).frame())) for _ in range(4)])
    other = gateway.batch(sighting(Tag(8).frame()), sequence=2)
    stored = put(engine, gateway, other)
    assert kinds(stored) == [(2, CONFLICT, "")]
    assert count(engine, "sightings") == 4
    assert mark(stored, gateway) == 3


def test_two_bodies_under_one_new_sequence_in_one_set(engine: Engine, gateway: Gateway) -> None:
    first, second = (gateway.batch(sighting(Tag(serial).frame()), sequence=0) for serial in (7, 8))
    assert kinds(put(engine, gateway, first, second, first)) == [
        (0, STORED, ""), (0, CONFLICT, ""), (0, DUPLICATE, ""),
    ]  # fmt: skip
    assert count(engine, "sightings") == 1


def test_the_mark_moves_over_an_unbroken_run_only(engine: Engine, gateway: Gateway) -> None:
    zero, one, two, three, four = (gateway.batch(sighting(Tag(7).frame())) for _ in range(5))
    assert mark(put(engine, gateway, one, four), gateway) == -1
    assert mark(put(engine, gateway, zero), gateway) == 1
    assert mark(put(engine, gateway, three), gateway) == 1
    assert mark(put(engine, gateway, two), gateway) == 4
    assert mark(put(engine, gateway, two), gateway) == 4


@pytest.mark.parametrize("run_max", [1, 3, 1000])
def test_a_run_longer_than_one_look_is_settled_whole(
    engine: Engine, gateway: Gateway, monkeypatch: pytest.MonkeyPatch, run_max: int
) -> None:
    monkeypatch.setattr(ledger, "RUN_MAX", run_max)
    payloads = [gateway.batch(sighting(Tag(7).frame())) for _ in range(10)]
    assert mark(put(engine, gateway, *payloads[1:6], *payloads[7:]), gateway) == -1
    assert mark(put(engine, gateway, payloads[0]), gateway) == 5
    assert mark(put(engine, gateway, payloads[6]), gateway) == 9


def test_outboxes_of_one_gateway_are_settled_apart(engine: Engine, gateway: Gateway) -> None:
    put(engine, gateway, gateway.batch(sighting(Tag(7).frame())))
    gateway.outbox_id, gateway.next_sequence = bytes(16), 0
    stored = put(engine, gateway, gateway.batch(sighting(Tag(7).frame())))
    assert kinds(stored) == [(0, STORED, "")]
    assert mark(stored, gateway) == 0


def test_a_tombstone_settles_its_sequence_and_keeps_the_counts(engine: Engine, gateway: Gateway) -> None:
    stored = put(engine, gateway, gateway.tombstone(disk_full=70), gateway.batch(sighting(Tag(7).frame())))
    assert kinds(stored) == [(0, STORED, "given_up"), (1, STORED, "")]
    assert mark(stored, gateway) == 1
    with engine.connect() as tx:
        row = tx.execute(select(tables.batches).where(tables.batches.c.sequence == 0)).mappings().one()
    assert (row["reason"], row["dropped"], row["rows"]) == ("given_up", {"disk_full": 70}, 0)


def test_a_refused_batch_is_kept_settled_and_answered_the_same_again(engine: Engine, gateway: Gateway) -> None:
    future = gateway.batch(sighting(Tag(7).frame(), at_ms=NOW_MS + 5 * 60_000 + 1))
    good = gateway.batch(sighting(Tag(7).frame(), at_ms=NOW_MS + 5 * 60_000))
    stored = put(engine, gateway, future, good)
    assert kinds(stored) == [(0, REFUSED, "future"), (1, STORED, "")]
    assert mark(stored, gateway) == 1
    assert kinds(put(engine, gateway, future)) == [(0, REFUSED, "future")]
    with engine.connect() as tx:
        letter = tx.execute(select(tables.dead_letters)).mappings().one()
    assert letter["payload"] == future
    assert letter["reason"] == "future"
    assert "future" in letter["detail"]
    assert count(engine, "sightings") == 1


def test_records_that_do_not_belong_together_are_refused(engine: Engine, gateway: Gateway) -> None:
    one = sighting(Tag(7).frame())
    bodies = [
        gateway.batch(one, frames=b""),
        gateway.batch(one, frames=bytes(64)),
        gateway.batch(one, sightings=b""),
        gateway.batch(one, sightings=bytes(25)),
        gateway.batch(one, sightings=bytes(22) + b"\x05" + bytes(2), frames=bytes(5 * 32)),
        gateway.batch(one),
    ]
    assert [kind for _, kind, _ in kinds(put(engine, gateway, *bodies))] == [REFUSED] * 5 + [STORED]
    assert count(engine, "sightings") == 1
    assert count(engine, "dead_letters") == 5


def test_what_does_not_resolve_is_kept_with_its_reason(engine: Engine, gateway: Gateway) -> None:
    strange, forged = Tag(7, lot=LOTS[0]._replace(key=b"?" * 16)).frame(), Tag(7).frame(k_factory=bytes(16))
    stored = put(engine, gateway, gateway.batch(sighting(strange, Tag(7).frame(), forged, rssi_dbm=-70)))
    assert (stored.sightings, stored.unresolved) == (1, 2)
    with engine.connect() as tx:
        rows = tx.execute(select(tables.unresolved_frames)).mappings().all()
        batch = tx.execute(select(tables.batches)).mappings().one()
    assert {(row["reason"], row["frame"]) for row in rows} == {("no_lot", strange), ("frame_mac", forged)}
    assert {(row["rssi_max_dbm"], row["rssi_mean_dbm"], row["adverts"]) for row in rows} == {(-70, -73, 3)}
    assert {row["batch_no"] for row in rows} == {batch["no"]}
    assert (batch["rows"], batch["unresolved"]) == (1, 2)


def test_a_frame_played_back_later_is_stored_as_it_was_heard(engine: Engine, gateway: Gateway) -> None:
    """Whether a frame is fresh is for the rules to say, from the lag that stands in the row: it is not dropped."""
    frame = Tag(7).frame(uptime_s=100)
    put(engine, gateway, gateway.batch(sighting(frame, at_ms=NOW_MS - 86_400_000)), gateway.batch(sighting(frame)))
    with engine.connect() as tx:
        lags = tx.execute(text("select extract(epoch from max(heard_at) - min(heard_at)) from sightings")).scalar_one()
    assert (count(engine, "sightings"), lags) == (2, 86_340)


def test_what_was_heard_before_the_horizon_is_answered_and_not_stored(engine: Engine, gateway: Gateway) -> None:
    """Retention would remove it at once; its batch is settled all the same, and the next frame of it is stored."""
    horizon_ms = int(datetime(2025, 10, 18, tzinfo=UTC).timestamp() * 1000)
    old = [gateway.batch(sighting(Tag(7).frame(), at_ms=at)) for at in (0, horizon_ms - 1)]
    mixed = gateway.batch(sighting(Tag(7).frame(), Tag(7).frame(), at_ms=horizon_ms))
    prepared = ready(gateway, [*old, mixed])
    assert prepared.not_kept == {Verdict.EXPIRED: 3}
    assert prepared.days() == {date(2025, 10, 18)}
    with engine.begin() as tx:
        partitions.cover(tx, prepared.days(), NOW)
        stored = store(tx, prepared, ())
    assert [kind for _, kind, _ in kinds(stored)] == [STORED] * 3
    assert (stored.sightings, mark(stored, gateway), count(engine, "sightings_2025_10")) == (1, 2, 1)


def test_late_sightings_land_in_the_partition_of_their_day(engine: Engine, gateway: Gateway) -> None:
    months_old = datetime(2026, 3, 31, 23, 59, 59, 999_000, tzinfo=UTC)
    yesterday = NOW - timedelta(days=1)
    seen = [sighting(Tag(7).frame(), at_ms=int(at.timestamp() * 1000)) for at in (NOW, yesterday, months_old)]
    prepared = ready(gateway, [gateway.batch(*seen)])
    assert prepared.days() == {NOW.date(), yesterday.date(), date(2026, 3, 31)}
    assert store_set(engine, Covered(engine), prepared, ()).sightings == 3
    for name in ("sightings_2026_11_22", "sightings_2026_11_21", "sightings_2026_03"):
        assert count(engine, name) == 1


def test_a_partition_that_retention_dropped_meanwhile_is_made_again(engine: Engine, gateway: Gateway) -> None:
    covered = Covered(engine)
    assert store_set(engine, covered, ready(gateway, [gateway.batch(sighting(Tag(7).frame()))]), ()).sightings == 1
    with engine.begin() as tx:
        tx.execute(text("drop table sightings_2026_11_22"))
    assert store_set(engine, covered, ready(gateway, [gateway.batch(sighting(Tag(7).frame()))]), ()).sightings == 1
    assert (count(engine, "sightings"), count(engine, "batches")) == (1, 2)


def test_a_batch_may_be_empty_and_without_a_place(engine: Engine, gateway: Gateway) -> None:
    assert kinds(put(engine, gateway, gateway.batch(place=None, dropped={"foreign": 3}))) == [(0, STORED, "")]


def test_the_widest_values_that_wire_lets_through_can_be_stored(engine: Engine, gateway: Gateway) -> None:
    widest = gateway.batch(
        sighting(Tag(0).frame(0), at_ms=NOW_MS, rssi_dbm=-125),
        sequence=MAX_SEQUENCE,
        sent_at_ms=MAX_UNIX_MS,
        clock=Clock.BAD,
        place=Place(900_000_000, -1_800_000_000, 65_535, PlaceSource.MANUAL),
        dropped={"a" * 32: MAX_SEQUENCE},
    )
    assert kinds(put(engine, gateway, widest)) == [(MAX_SEQUENCE, STORED, "")]
    assert kinds(put(engine, gateway, widest)) == [(MAX_SEQUENCE, DUPLICATE, "")]


def test_several_gateways_in_one_set_get_one_receipt_each(engine: Engine, gateway: Gateway) -> None:
    with engine.begin() as tx:
        other = enrol(tx, Gateway("gw-2"))
    known = {each.name: each.known for each in (gateway, other)}
    entries = [
        check(each.topic, each.batch(sighting(Tag(7).frame())), known) for each in (gateway, other, gateway, other)
    ]
    with engine.begin() as tx:
        partitions.cover(tx, {NOW.date()}, NOW)
        stored = store(tx, prepare(entries, Resolver(K_FACTORY, LOTS, 0xF0), NOW, RETENTION), ())  # type: ignore[arg-type]
    told = {
        message.topic: decode_receipt(verify(gateway.key.public_key(), Domain.RECEIPT, message.payload))
        for message in receipts(stored, gateway.key)
    }
    assert set(told) == {"hearsight/1/gw/gw-1/receipt", "hearsight/1/gw/gw-2/receipt"}
    for receipt in told.values():
        assert receipt.settled_up_to == 1
        assert [(outcome.sequence, outcome.kind) for outcome in receipt.outcomes] == [(0, STORED), (1, STORED)]


def test_each_serial_is_told_once_with_its_newest_moment_and_only_if_new(engine: Engine, gateway: Gateway) -> None:
    told = []

    def on_stored(tx, serials, newest_ms, now) -> None:
        told.append((serials.tolist(), newest_ms.tolist(), now))

    seven, eight = Tag(7), Tag(8)
    payload = gateway.batch(
        sighting(seven.frame(), at_ms=NOW_MS - 5), sighting(eight.frame(), seven.frame(), at_ms=NOW_MS - 50)
    )
    put(engine, gateway, payload, on_stored=[on_stored])
    put(engine, gateway, payload, on_stored=[on_stored])
    assert told == [([7, 8], [NOW_MS - 5, NOW_MS - 1050], NOW)]


def test_what_follows_from_a_sighting_fails_with_it(engine: Engine, gateway: Gateway) -> None:
    def on_stored(*_) -> None:
        raise ZeroDivisionError

    with pytest.raises(HookError):
        put(engine, gateway, gateway.batch(sighting(Tag(7).frame())), on_stored=[on_stored])
    assert count(engine, "batches") == 0


def test_a_set_can_be_taken_apart(engine: Engine, gateway: Gateway) -> None:
    """Its rows stand in the order of their serials, which is not that of their batches."""
    strange = Tag(9, lot=LOTS[0]._replace(key=b"?" * 16))
    payloads = [gateway.batch(sighting(Tag(100 - n).frame()), sighting(strange.frame())) for n in range(5)]
    whole = ready(gateway, payloads)
    assert whole.sightings.rows["serial"].tolist() == [96, 97, 98, 99, 100]
    with engine.begin() as tx:
        partitions.cover(tx, whole.days(), NOW)
    for low, high in ((0, 2), (2, 3), (3, 5)):
        with engine.begin() as tx:
            stored = store(tx, whole.between(low, high), ())
        assert [sequence for sequence, _, _ in kinds(stored)] == list(range(low, high))
        assert (stored.sightings, stored.unresolved) == (high - low, high - low)
    with engine.begin() as tx:
        kept = tx.execute(
            text("select b.sequence, s.serial from sightings s join batches b on b.no = s.batch_no order by b.sequence")
        )
        assert [tuple(row) for row in kept] == [(n, 100 - n) for n in range(5)]


def test_a_batch_can_be_refused_alone(engine: Engine, gateway: Gateway) -> None:
    entry = entry_of(gateway, gateway.batch(sighting(Tag(7).frame())))
    with engine.begin() as tx:
        stored = store(tx, refused_alone(entry, Refusal("poison", "it cannot be stored"), NOW), ())
    assert kinds(stored) == [(0, REFUSED, "poison")]
    assert count(engine, "dead_letters") == 1


@pytest.mark.parametrize("rounds", [12])
def test_workers_that_store_the_same_batches_at_the_same_time(engine: Engine, gateway: Gateway, rounds: int) -> None:
    """Overlapping sets in opposite orders: no deadlock, each batch once, and the last receipt settles all."""
    payloads = [gateway.batch(sighting(Tag(n).frame())) for n in range(40)]
    answers: list[Stored] = []
    errors: list[Exception] = []

    def work(mine: list[bytes]) -> None:
        try:
            answers.append(put(engine, gateway, *mine))
        except Exception as error:
            errors.append(error)

    for _ in range(rounds):
        threads = [
            threading.Thread(target=work, args=(part,))
            for part in (payloads, payloads[::-1], payloads[10:30][::-1], payloads[::2])
        ]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
    assert not errors
    assert count(engine, "sightings") == 40
    stored = [sequence for answer in answers for sequence, kind, _ in kinds(answer) if kind is STORED]
    assert sorted(stored) == list(range(40))
    with engine.begin() as tx:
        assert ledger.settle(tx, [OutboxKey(gateway.no, gateway.outbox_id)]) == {
            OutboxKey(gateway.no, gateway.outbox_id): 39
        }
    assert max(mark(answer, gateway) for answer in answers) == 39
