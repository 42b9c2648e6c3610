"""Live answers when things go wrong: nothing is missed, nothing is queued, nothing is told as live that is not."""

from __future__ import annotations

import asyncio
import socket
from datetime import UTC, datetime
from typing import Any

import numpy as np
import pytest
from fastapi.sse import KEEPALIVE_COMMENT
from sqlalchemy import Connection, text

from server.ingest.telling import told
from server.rules.policy import SOLO
from server.service import accounts, whereabouts
from server.store import accounts as store
from server.web.live import LOOKS_AT_ONCE, Live
from server.web.stream import Reading, Stream
from tests.server.web.streams import Web, heard, leases, until
from tests.server.web.town import Somebody, Tag, Town


def another_frame(tx: Connection, serial: int, later_s: int) -> None:
    """Stores one more frame of a tag in an open transaction, as ingest does: first the row, then the telling."""
    columns = "batch_no, window_ms, boot, adverts, status, rssi_max_dbm, rssi_mean_dbm"
    tx.execute(
        text(
            f"insert into sightings (serial, heard_at, uptime_s, {columns}) "
            f"select serial, heard_at + make_interval(secs => :s), uptime_s + :s, {columns} "
            "from sightings where serial = :serial order by heard_at desc limit 1"
        ),
        {"s": later_s, "serial": serial},
    )
    told("")(tx, np.array([serial]), np.array([0]), datetime.now(UTC))


def opening(who: Somebody, tag: Tag) -> bytes:
    """A request for a stream, for whoever hangs up in the middle of the answer."""
    return (
        f"GET /api/v1/tags/{tag.serial}/live HTTP/1.1\r\nhost: x\r\nauthorization: Bearer {who.token}\r\n\r\n".encode()
    )


def test_a_set_that_asked_before_the_lease_and_commits_after_the_first_look_is_not_missed(
    town: Town, web: Web, ann: Somebody, tag: Tag
) -> None:
    heard(town, tag.serial)
    with town.engine.connect() as slow:
        another_frame(slow, tag.serial, 1)  # nobody watches: nothing will be said at the commit
        with web.watch(ann, tag.serial) as reader:
            before = reader.next()
            reader.nothing(1)
            slow.commit()
            event = reader.next()
            assert event.kind == "sighting"
            assert event.data["last"]["heard_at"] > before.data["last"]["heard_at"]
            reader.nothing()


def test_nothing_is_told_as_live_before_the_lease_stands(town: Town, web: Web, ann: Somebody, tag: Tag) -> None:
    with town.engine.connect() as held:
        held.execute(text("lock table live_watches in share row exclusive mode"))
        with web.watch(ann, tag.serial) as reader:
            assert reader.next().kind == "paused"
            held.rollback()
            assert reader.next().kind == "state"


def test_what_is_heard_in_one_moment_is_told_together(
    town: Town, web: Web, ann: Somebody, tag: Tag, monkeypatch: pytest.MonkeyPatch
) -> None:
    """After each event the stream rests; `a_reader_who_does_not_read` shows that the newest comes afterwards."""
    monkeypatch.setattr("server.web.stream.FOLD_S", 60.0)
    with web.watch(ann, tag.serial) as reader:
        reader.next()
        for _ in range(5):
            heard(town, tag.serial)
        reader.nothing(2)


def test_a_tag_whose_looks_take_long_is_looked_at_less_often(
    town: Town, web: Web, ann: Somebody, tag: Tag, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("server.web.stream.RESTS_A_LOOK", 1e6)  # as if each had taken very long
    with web.watch(ann, tag.serial) as reader:
        reader.next()
        heard(town, tag.serial)
        reader.nothing(2)


def test_the_database_cuts_us_off_and_what_is_heard_meanwhile_comes_afterwards(
    town: Town, ann: Somebody, tag: Tag, free_port: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    """As after a crash: the ear is gone, the table of leases empty, and a sighting stored without a word."""
    monkeypatch.setattr("server.web.live._AGAIN_FIRST_S", 3.0)
    town.gateway("gw")
    with Web(town.house, free_port) as web, web.watch(ann, tag.serial) as reader:
        reader.next()
        with town.engine.begin() as tx:
            tx.execute(text("truncate live_watches"))
            tx.execute(text("select pg_terminate_backend(pid) from pg_stat_activity where query like 'listen %'"))
        assert reader.next().kind == "paused"
        at = heard(town, tag.serial)
        event = reader.next()
        assert (event.kind, event.data["last"]["heard_at"]) == ("sighting", at)
        assert leases(town) == {tag.serial}
        at = heard(town, tag.serial)
        assert reader.next().data["last"]["heard_at"] == at
        reader.nothing()


def test_leases_are_renewed_while_somebody_watches(town: Town, ann: Somebody, tag: Tag, free_port: int) -> None:
    def ends() -> Any:
        with town.engine.begin() as tx:
            return tx.execute(text("select until from live_watches")).scalar_one()

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr("server.web.live.RENEW_EVERY_S", 0.1)
        with Web(town.house, free_port) as web, web.watch(ann, tag.serial) as reader:
            reader.next()
            first = ends()
            until(lambda: ends() > first)


def test_a_reader_who_does_not_read_costs_nothing_but_a_flag(
    town: Town, ann: Somebody, tag: Tag, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Fifty sightings while nobody takes the next event: then it is the newest, and there is no other."""
    monkeypatch.setattr("server.web.stream.BEAT_S", 1.0)
    town.gateway("gw")
    with town.house.work() as (tx, _):
        account = store.by_email(tx, ann.email)
    assert account is not None
    who = accounts.caller(account)
    reading = Reading(lambda *_: None, lambda tx, now: whereabouts.tag(tx, who, tag.serial, SOLO, now))

    async def lazily() -> tuple[str, list[bytes]]:
        hub, newest = Live(town.engine, "test"), ""
        async with hub.running():
            stream = Stream(town.house, hub, tag.serial, who.account_no, reading)
            with hub.joined(stream):
                events = stream.events()
                while b"event: state" not in await anext(events):
                    pass
                for _ in range(50):
                    newest = await asyncio.to_thread(heard, town, tag.serial)
                return newest, [await anext(events) for _ in range(3)]

    newest, said = asyncio.run(lazily())
    told = [event for event in said if event != KEEPALIVE_COMMENT]
    assert len(told) == 1
    assert newest.encode() in told[0]


def test_whoever_hangs_up_is_noticed_without_waiting_for_a_beat(town: Town, web: Web, ann: Somebody, tag: Tag) -> None:
    with socket.create_connection(("127.0.0.1", web.port)) as line:
        line.sendall(opening(ann, tag))
        until(lambda: leases(town) == {tag.serial})
    until(lambda: leases(town) == set(), patience_s=10)


def test_whoever_hangs_up_again_and_again_does_not_have_the_database_to_themselves(
    town: Town, web: Web, ann: Somebody, tag: Tag
) -> None:
    def looking() -> int:
        with town.engine.begin() as tx:
            return int(tx.execute(text("select count(*) from pg_locks where not granted")).scalar_one())

    with town.engine.connect() as held:
        held.execute(text("lock table ingest_workers in access exclusive mode"))  # every answer says how late it is
        for count in (1, 2):
            with socket.create_connection(("127.0.0.1", web.port)) as line:
                line.sendall(opening(ann, tag))
                until(lambda count=count: looking() == count)
            until(lambda: web.live._by_account.total() == 0)
        with web.watch(ann, tag.serial) as reader:
            reader.nothing(1)
            assert looking() == LOOKS_AT_ONCE
            held.rollback()
            assert reader.next().kind == "state"
