"""What was heard of a tag while it was private becomes no row, however late it comes and whoever commits first."""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterator
from datetime import datetime, timedelta
from functools import partial

import numpy as np
import pytest
from sqlalchemy import Connection, Engine, insert, select, text

from server.ingest import reresolve as late_resolving
from server.ingest.prepare import prepare
from server.ingest.resolve import Resolver
from server.ingest.storing import store
from server.store import partitions, private_stretches
from server.store.tables import batches, ownership, sightings, unresolved_frames
from tests.server.ingest.parties import K_FACTORY, LOTS, NOW, NOW_MS, RETENTION, Gateway, Tag, enrol, sighting
from tests.server.ingest.test_storing import entry_of, kinds, put, ready
from wire.receipt import OutcomeKind

PRIVATE, MANAGED, NOBODYS = 7, 8, 9
MINUTE = timedelta(minutes=1)
SINCE = NOW - 10 * MINUTE


@pytest.fixture(autouse=True)
def day(engine: Engine) -> None:
    """The partition of the day on which everything here was heard; and owners need not be people."""
    with engine.begin() as tx:
        partitions.cover(tx, {NOW.date(), SINCE.date()}, NOW)
        for what in ("account_no", "by_act"):
            tx.execute(text(f"alter table ownership drop constraint fk_ownership_{what}"))


def stretch(
    tx: Connection, serial: int = PRIVATE, since: datetime = SINCE, until: datetime | None = None, private: bool = True
) -> None:
    row = {
        "serial": serial, "account_no": 1, "name": "", "owner_hash": bytes(16), "since": since, "until": until,
        "by_act": 1, "private": private,
    }  # fmt: skip
    tx.execute(insert(ownership).values(row))


def claim(tx: Connection, serial: int = PRIVATE, since: datetime = SINCE) -> None:
    """What a private claim does to sightings."""
    private_stretches.begin_alone(tx)
    stretch(tx, serial, since)
    private_stretches.erase(tx, serial, since)


def heard(gateway: Gateway, *told: tuple[int, datetime]) -> bytes:
    """A batch of one frame of each of these tags at each of these moments."""
    return gateway.batch(*[sighting(Tag(n).frame(), at_ms=int(at.timestamp() * 1000)) for n, at in told])


def rows(engine: Engine) -> list[tuple[int, datetime]]:
    with engine.connect() as tx:
        query = select(sightings.c.serial, sightings.c.heard_at).order_by(sightings.c.heard_at, sightings.c.serial)
        return [(row.serial, row.heard_at) for row in tx.execute(query)]


def test_only_what_was_heard_in_the_private_stretch_is_left_out(engine: Engine, gateway: Gateway) -> None:
    with engine.begin() as tx:
        stretch(tx, MANAGED, since=SINCE - 60 * MINUTE, private=False)
        stretch(tx)
    just_before = SINCE - timedelta(milliseconds=1)
    told: list[np.ndarray] = []
    batch = heard(gateway, (PRIVATE, just_before), (PRIVATE, SINCE), (PRIVATE, NOW), (MANAGED, NOW), (NOBODYS, NOW))
    stored = put(engine, gateway, batch, on_stored=(lambda tx, serials, newest_ms, now: told.append(newest_ms),))
    assert rows(engine) == [(PRIVATE, just_before), (MANAGED, NOW), (NOBODYS, NOW)]
    assert kinds(stored) == [(0, OutcomeKind.STORED, "")]
    assert (stored.sightings, stored.private) == (3, 2)
    before_ms = int(just_before.timestamp() * 1000)
    assert [each.tolist() for each in told] == [[before_ms, NOW_MS, NOW_MS]], "nothing follows from what is not stored"
    with engine.connect() as tx:
        assert tx.execute(select(batches.c.rows)).scalars().all() == [3]


def test_a_batch_of_nothing_else_is_stored_and_empty(engine: Engine, gateway: Gateway) -> None:
    with engine.begin() as tx:
        stretch(tx)
    hooks: list[int] = []
    stored = put(engine, gateway, heard(gateway, (PRIVATE, NOW)), on_stored=(lambda *_: hooks.append(1),))
    assert kinds(stored) == [(0, OutcomeKind.STORED, "")]
    assert (stored.sightings, stored.private, rows(engine), hooks) == (0, 1, [], [])


def test_what_comes_late_of_an_ended_stretch_is_left_out_too(engine: Engine, gateway: Gateway) -> None:
    """Several stretches, one beside the other, with a managed one between."""
    moments = [SINCE + n * MINUTE for n in range(8)]
    with engine.begin() as tx:
        stretch(tx, since=moments[1], until=moments[2])
        stretch(tx, since=moments[2], until=moments[3])
        stretch(tx, since=moments[3], until=moments[5], private=False)
        stretch(tx, since=moments[5], until=moments[6])
    stored = put(engine, gateway, heard(gateway, *[(PRIVATE, at) for at in moments]))
    assert [at for _, at in rows(engine)] == [moments[n] for n in (0, 3, 4, 6, 7)]
    assert stored.private == 3


def test_what_is_left_out_is_counted_once(engine: Engine, gateway: Gateway) -> None:
    with engine.begin() as tx:
        stretch(tx)
    batch = heard(gateway, (PRIVATE, NOW), (NOBODYS, NOW))
    assert put(engine, gateway, batch, batch).private == 1
    assert put(engine, gateway, batch).private == 0
    assert len(rows(engine)) == 1


@pytest.mark.parametrize("share", [0.0, 0.3, 1.0])
def test_many_tags_in_one_set_are_told_apart(engine: Engine, gateway: Gateway, share: float) -> None:
    dice = np.random.default_rng(5)
    private = {n for n in range(60) if dice.random() < share}
    told = [(n, SINCE + int(dice.integers(-5, 5)) * MINUTE) for n in dice.integers(0, 60, 400).tolist()]
    with engine.begin() as tx:
        for serial in private:
            stretch(tx, serial)
    stored = put(engine, gateway, *[heard(gateway, *told[n : n + 50]) for n in range(0, 400, 50)])
    wanted = sorted((at, n) for n, at in told if n not in private or at < SINCE)
    assert [(at, n) for n, at in rows(engine)] == wanted
    assert stored.sightings + stored.private == 400


# --- beside a claim


@pytest.fixture
def beside() -> Iterator[Callable[[Callable[[], object]], threading.Thread]]:
    """Runs something in a thread."""
    started: list[threading.Thread] = []

    def run(work: Callable[[], object]) -> threading.Thread:
        started.append(threading.Thread(target=work))
        started[-1].start()
        return started[-1]

    yield run
    for each in started:
        each.join(30)
        assert not each.is_alive()


def in_one(engine: Engine, work: Callable[[Connection], object]) -> None:
    with engine.begin() as tx:
        work(tx)


@pytest.mark.parametrize("commits", [True, False])
def test_a_claim_waits_for_who_stores_and_removes_what_they_stored(
    engine: Engine, gateway: Gateway, beside, commits: bool
) -> None:
    """The set was asked about before the tag became private."""
    with engine.connect() as ingest:
        store(ingest, ready(gateway, [heard(gateway, (PRIVATE, SINCE - MINUTE), (PRIVATE, NOW), (NOBODYS, NOW))]), ())
        claiming = beside(partial(in_one, engine, claim))
        claiming.join(0.5)
        assert claiming.is_alive()
        ingest.commit() if commits else ingest.rollback()
    claiming.join(30)
    assert rows(engine) == ([(PRIVATE, SINCE - MINUTE), (NOBODYS, NOW)] if commits else [])


@pytest.mark.parametrize("commits", [True, False])
def test_who_stores_waits_for_a_claim_and_sees_it(engine: Engine, gateway: Gateway, beside, commits: bool) -> None:
    prepared = ready(gateway, [heard(gateway, (PRIVATE, NOW), (NOBODYS, NOW))])
    with engine.connect() as claiming:
        claim(claiming)
        ingest = beside(partial(in_one, engine, lambda tx: store(tx, prepared, ())))
        ingest.join(0.5)
        assert ingest.is_alive()
        claiming.commit() if commits else claiming.rollback()
    ingest.join(30)
    assert rows(engine) == ([(NOBODYS, NOW)] if commits else [(PRIVATE, NOW), (NOBODYS, NOW)])


def test_two_who_store_do_not_wait_for_each_other(engine: Engine, gateway: Gateway) -> None:
    with engine.begin() as tx:
        other = enrol(tx, Gateway("gw-2"))
        stretch(tx)
    with engine.connect() as first:
        store(first, ready(gateway, [heard(gateway, (PRIVATE, NOW), (NOBODYS, NOW))]), ())
        put(engine, other, heard(other, (PRIVATE, NOW), (NOBODYS, NOW)))
        first.commit()
    assert rows(engine) == [(NOBODYS, NOW)] * 2


def test_claims_among_many_sets_leave_nothing_behind(engine: Engine, gateway: Gateway, beside) -> None:
    """Tags become private one after the other while two workers store what was heard of all of them."""
    tags, sets = 12, 25
    with engine.begin() as tx:
        senders = [gateway, enrol(tx, Gateway("gw-2"))]
    told = [(n, SINCE + offset) for n in range(tags) for offset in (-MINUTE, MINUTE)]
    prepared = {each.name: [ready(each, [heard(each, *told)]) for _ in range(sets)] for each in senders}

    def worker(name: str) -> None:
        for each in prepared[name]:
            with engine.begin() as tx:
                store(tx, each, ())

    threads = [beside(partial(worker, each.name)) for each in senders]
    for serial in range(tags):
        in_one(engine, partial(claim, serial=serial))
    for each in threads:
        each.join(60)
    assert {at for _, at in rows(engine)} == {SINCE - MINUTE}
    assert len(rows(engine)) == tags * sets * 2, "what was heard before stays"


# --- frames that came before their lot


def test_frames_that_came_before_their_lot_are_judged_when_it_comes(engine: Engine, gateway: Gateway) -> None:
    entry = entry_of(gateway, heard(gateway, (PRIVATE, SINCE - MINUTE), (PRIVATE, NOW), (MANAGED, NOW), (NOBODYS, NOW)))
    with engine.begin() as tx:
        store(tx, prepare([entry], Resolver(K_FACTORY, [], 0xF0), NOW, RETENTION), ())
        stretch(tx)
        stretch(tx, MANAGED, private=False)
    with engine.begin() as tx:
        late = late_resolving.reresolve(tx, K_FACTORY, [LOTS[0]], 0xF0, NOW)
    assert (late.rows, late.private) == (3, 1)
    assert late.serials.tolist() == [PRIVATE, MANAGED, NOBODYS]
    assert late.newest_ms.tolist() == [NOW_MS - 11 * 60_000, NOW_MS, NOW_MS]
    assert rows(engine) == [(PRIVATE, SINCE - MINUTE), (MANAGED, NOW), (NOBODYS, NOW)]
    with engine.connect() as tx:
        assert tx.execute(select(unresolved_frames)).all() == []


def test_a_tag_of_which_all_late_frames_are_private_is_no_news(engine: Engine, gateway: Gateway) -> None:
    entry = entry_of(gateway, heard(gateway, (PRIVATE, NOW), (PRIVATE, SINCE)))
    with engine.begin() as tx:
        store(tx, prepare([entry], Resolver(K_FACTORY, [], 0xF0), NOW, RETENTION), ())
        stretch(tx)
    with engine.begin() as tx:
        late = late_resolving.reresolve(tx, K_FACTORY, [LOTS[0]], 0xF0, NOW)
    assert (late.rows, late.private, late.serials.tolist(), rows(engine)) == (0, 2, [], [])


@pytest.mark.parametrize("claim_first", [True, False])
def test_late_frames_beside_a_claim(engine: Engine, gateway: Gateway, beside, claim_first: bool) -> None:
    entry = entry_of(gateway, heard(gateway, (PRIVATE, SINCE - MINUTE), (PRIVATE, NOW)))
    with engine.begin() as tx:
        store(tx, prepare([entry], Resolver(K_FACTORY, [], 0xF0), NOW, RETENTION), ())

    def resolve(tx: Connection) -> object:
        return late_resolving.reresolve(tx, K_FACTORY, [LOTS[0]], 0xF0, NOW)

    first, second = (claim, resolve) if claim_first else (resolve, claim)
    with engine.connect() as tx:
        first(tx)
        other = beside(partial(in_one, engine, second))
        other.join(0.5)
        assert other.is_alive()
        tx.commit()
    other.join(30)
    assert rows(engine) == [(PRIVATE, SINCE - MINUTE)]


def test_erase_takes_one_tag_from_one_moment_on(engine: Engine, gateway: Gateway) -> None:
    moments = [(n, at) for n in (PRIVATE, NOBODYS) for at in (SINCE - MINUTE, SINCE, NOW)]
    put(engine, gateway, heard(gateway, *moments))
    with engine.begin() as tx:
        assert private_stretches.erase(tx, PRIVATE, SINCE) == 2
        assert private_stretches.erase(tx, PRIVATE, SINCE) == 0
    assert len(rows(engine)) == 4
