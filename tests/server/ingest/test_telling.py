"""What follows from a sighting stands with it or not at all: messages about lost tags, and words to whoever watches."""

from __future__ import annotations

import threading
from datetime import datetime, timedelta

import pytest
from sqlalchemy import Connection, Engine, insert, text

from server.ingest.storing import HookError, OnStored, store
from server.ingest.telling import told
from server.notify.deliver import Doors, deliver_due
from server.service import lost
from server.store import db, live, ownership, partitions, tables
from tests.fixtures.ears import Ear
from tests.server.ingest.parties import NOW, Gateway, Tag, enrol, sighting
from tests.server.ingest.test_storing import ready

LOST, WATCHED, OTHER = 7, 8, 9


@pytest.fixture
def owner(engine: Engine) -> int:
    """Somebody who misses a tag since an hour ago."""
    since = NOW - timedelta(hours=1)
    with engine.begin() as tx:
        account = {"email": "ann@example.com", "name": "Ann", "role": "owner", "created_at": since}
        no = int(tx.execute(insert(tables.accounts).values(account).returning(tables.accounts.c.no)).scalar_one())
        mark = {"serial": LOST, "account_no": no, "message": "", "contact": "", "since": since}
        tx.execute(insert(tables.lost_marks).values(mark))
    return no


@pytest.fixture(autouse=True)
def day(engine: Engine) -> None:
    """The partition of the day on which everything here was heard."""
    with engine.begin() as tx:
        partitions.cover(tx, {NOW.date()}, NOW)


def store_one(tx: Connection, gateway: Gateway, *serials: int, hooks: tuple[OnStored, ...] = (told(""),)) -> None:
    batch = gateway.batch(*(sighting(Tag(serial).frame()) for serial in serials))
    store(tx, ready(gateway, [batch]), hooks)


def counts(engine: Engine) -> tuple[int, int]:
    """Sightings and notices, as everybody else sees them."""
    with engine.begin() as tx:
        query = "select (select count(*) from sightings), (select count(*) from notices)"
        sightings, notices = tx.execute(text(query)).one()
    return sightings, notices


def test_a_message_is_seen_with_its_sighting_and_never_without(engine: Engine, gateway: Gateway, owner: int) -> None:
    with engine.connect() as tx:
        store_one(tx, gateway, LOST)
        assert counts(engine) == (0, 0)
        tx.rollback()
    assert counts(engine) == (0, 0)
    with engine.connect() as tx:
        store_one(tx, gateway, LOST)
        tx.commit()
    assert counts(engine) == (1, 1)


def test_a_sighting_whose_message_cannot_be_written_waits(
    engine: Engine, gateway: Gateway, owner: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    def no_owner(*_: object) -> None:
        raise OSError("the disk is full")

    monkeypatch.setattr(ownership, "living", no_owner)
    with pytest.raises(HookError), engine.begin() as tx:
        store_one(tx, gateway, LOST)
    assert counts(engine) == (0, 0)


@pytest.mark.parametrize("first_commits", [True, False])
def test_two_workers_that_hear_a_lost_tag_in_the_same_moment_raise_one_message(
    engine: Engine, gateway: Gateway, owner: int, first_commits: bool
) -> None:
    """The second waits for the first to make up its mind; if that one fails, the message is the second's."""
    with engine.begin() as tx:
        other = enrol(tx, Gateway("gw-2"))
    raised: list[int] = []

    def second() -> None:
        with engine.begin() as tx:
            store_one(tx, other, LOST, hooks=(told(""), lambda tx, *_: raised.append(1)))

    with engine.connect() as first:
        store_one(first, gateway, LOST)
        thread = threading.Thread(target=second)
        thread.start()
        thread.join(1)
        assert thread.is_alive()
        assert raised == []
        if first_commits:
            first.commit()
        else:
            first.rollback()
        thread.join(30)
    assert raised == [1]
    assert counts(engine) == (2 if first_commits else 1, 1)


def test_eight_workers_at_once_raise_one_message_and_none_fails(engine: Engine, gateway: Gateway, owner: int) -> None:
    with engine.begin() as tx:
        senders = [enrol(tx, Gateway(f"gw-{n}")) for n in range(10, 18)]
    together, failed = threading.Barrier(len(senders)), list[Exception]()
    wide = db.engine(db.url_of(engine), pool_size=len(senders))

    def work(sender: Gateway) -> None:
        try:
            for _ in range(5):
                together.wait(30)
                with wide.begin() as tx:
                    store_one(tx, sender, LOST, OTHER)
        except Exception as error:
            failed.append(error)

    threads = [threading.Thread(target=work, args=(sender,)) for sender in senders]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(60)
    wide.dispose()
    assert failed == []
    assert counts(engine) == (len(senders) * 5 * 2, 1)


def test_two_senders_at_once_send_a_message_once(engine: Engine, gateway: Gateway, owner: int) -> None:
    with engine.begin() as tx:
        store_one(tx, gateway, LOST)
    sent: list[str] = []
    under_way, go_on = threading.Event(), threading.Event()

    class SlowMailer:
        def send(self, to: str, *_: object, message_id: str, at: datetime) -> None:
            sent.append(to)
            under_way.set()
            assert go_on.wait(30)

    doors = Doors(SlowMailer(), bytes.decode, bytes, bytes.decode)  # type: ignore[arg-type]
    first = threading.Thread(target=deliver_due, args=(engine, doors, lambda: NOW))
    first.start()
    assert under_way.wait(30)
    assert deliver_due(engine, doors, lambda: NOW).sent == 0
    go_on.set()
    first.join(30)
    assert sent == ["ann@example.com"]
    assert deliver_due(engine, doors, lambda: NOW + timedelta(days=1)).sent == 0


def test_only_who_is_watched_is_spoken_of(engine: Engine, gateway: Gateway, owner: int, ear: Ear) -> None:
    """A NOTIFY takes a lock of the whole database: a set that nobody waits for must not say one."""

    with engine.begin() as tx:
        store_one(tx, gateway, LOST, WATCHED, OTHER)
    assert ear.said() == []
    with engine.begin() as tx:
        live.lease(tx, "web", [WATCHED, 10])
    with engine.begin() as tx:
        store_one(tx, gateway, OTHER)
    assert ear.said() == []
    with engine.begin() as tx:
        store_one(tx, gateway, LOST, WATCHED, WATCHED, OTHER)
        assert ear.said() == []
    assert ear.said(1) == [str(WATCHED)]
    with engine.connect() as tx:
        store_one(tx, gateway, WATCHED)
        tx.rollback()
    assert ear.said() == []


def test_a_hearing_from_before_the_report_is_no_news(engine: Engine, gateway: Gateway, owner: int) -> None:
    with engine.begin() as tx:
        assert lost.raise_notices(tx, {LOST: NOW - timedelta(hours=2)}, NOW) == 0
        assert lost.raise_notices(tx, {LOST: NOW}, NOW) == 1
        assert lost.raise_notices(tx, {LOST: NOW}, NOW) == 0
