"""Sealed reports on their way up: who may bring them, which are kept, how many, and what is known afterwards."""

from __future__ import annotations

import threading
from dataclasses import replace
from datetime import UTC, datetime
from typing import Any

import pytest
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
from sqlalchemy import select, text
from structlog.testing import capture_logs

from server.service import gateways
from server.service.report_quotas import HourlyMost, ReportQuotas
from server.store import day_keys, interest, keys, live, ownership
from server.store import gateways as store_gateways
from server.store.tables import notices, sealed_reports
from tests.fixtures.ears import Ear
from tests.server.web.finding import Courier, PrivateTag, courier, key_row, private_tag, stored, today
from tests.server.web.town import Somebody, Town
from wire.batch import GatewayClass
from wire.report_upload import encode_upload
from wire.sealed import REPORT_LEN
from wire.signing import Domain, sign


@pytest.fixture
def dock(town: Town) -> Courier:
    return courier(town, "dock-7f3a")


@pytest.fixture
def bag(town: Town, ann: Somebody) -> PrivateTag:
    return private_tag(town, ann)


def allow(town: Town, **settings: Any) -> None:
    town.house.settings = replace(town.house.settings, **settings)


# --- what is kept


def test_two_reports_of_one_second_are_both_kept(town: Town, dock: Courier, bag: PrivateTag) -> None:
    day = today(town)
    two = [bag.report(day), bag.report(day)]  # the same place, second and tail; sealed twice
    assert dock.brought(two) == {"stored": 2, "known": 0, "refused": {}}
    assert stored(town) == set(two)


def test_an_upload_sent_again_changes_nothing(town: Town, dock: Courier, bag: PrivateTag) -> None:
    day = today(town)
    reports = [bag.report(day) for _ in range(3)]
    assert dock.brought(reports)["stored"] == 3
    before = key_row(town, bag.eid(day))
    town.wait(minutes=10)
    assert dock.brought(reports) == {"stored": 0, "known": 3, "refused": {}}
    assert dock.brought([*reports, reports[0], bag.report(day)]) == {"stored": 1, "known": 4, "refused": {}}
    after = key_row(town, bag.eid(day))
    assert (before.reports, after.reports) == (3, 4)
    assert after.first_report_at == before.first_report_at
    assert len(stored(town)) == 4


def test_of_when_it_came_the_key_keeps_the_minute_and_the_report_the_hour(
    town: Town, dock: Courier, bag: PrivateTag
) -> None:
    town.now = datetime(2026, 11, 22, 12, 34, 56, 789, tzinfo=UTC)
    dock.brought([bag.report(today(town))])
    town.now = datetime(2026, 11, 22, 13, 1, 59, tzinfo=UTC)
    dock.brought([bag.report(today(town))])
    row = key_row(town, bag.eid(today(town)))
    assert row.first_report_at == datetime(2026, 11, 22, 12, 34, tzinfo=UTC)
    assert row.last_report_at == datetime(2026, 11, 22, 13, 1, tzinfo=UTC)
    with town.house.work() as (tx, _):
        hours = set(tx.execute(text("select received_at from sealed_reports")).scalars())
    assert hours == {datetime(2026, 11, 22, 12, tzinfo=UTC), datetime(2026, 11, 22, 13, tzinfo=UTC)}


def test_nothing_on_disk_or_in_the_log_says_who_brought_a_report(town: Town, dock: Courier, bag: PrivateTag) -> None:
    with capture_logs() as log:
        dock.brought([bag.report(today(town)) for _ in range(5)])
    eid = bag.eid(today(town))
    assert set(sealed_reports.c.keys()) == {"eid", "sealed", "received_at"}
    with town.house.work() as (tx, _):
        tables = set(tx.execute(text("select tablename from pg_tables where schemaname = 'public'")).scalars())
        rows = [
            line for table in tables for line in tx.execute(text(f"select cast(t as text) from {table} t")).scalars()
        ]
        order = tx.execute(text("select sealed from sealed_reports order by ctid")).scalars().all()
    assert order == sorted(order), "not in the order in which they were brought"
    mine = [line for line in rows if eid.hex() in line]
    assert len(mine) == 6, "five reports, and the day's key"
    assert not [line for line in mine if dock.name in line]
    assert log == [
        {"event": "private_reports_taken", "log_level": "info", "stored": 5, "known": 0, "refused": 0}
    ], "no identifier and no gateway"  # fmt: skip


def test_a_report_moved_to_another_identifier_is_stored_and_counts_there(
    town: Town, dock: Courier, bag: PrivateTag, ann: Somebody
) -> None:
    """Nothing can be seen from outside; its reader finds that it does not open."""
    other = private_tag(town, ann)
    allow(town, private_reports_per_eid=2)
    day = today(town)
    moved = [report[:1] + other.eid(day) + report[17:] for report in (bag.report(day) for _ in range(3))]
    assert dock.brought(moved) == {"stored": 2, "known": 0, "refused": {"quota_eid": 1}}
    assert key_row(town, other.eid(day)).reports == 2
    assert key_row(town, bag.eid(day)).reports == 0
    assert dock.brought([bag.report(day)])["stored"] == 1, "the tag it was taken from has all its room"


# --- what is not


def test_identifiers_of_strangers_are_refused(town: Town, dock: Courier, bag: PrivateTag) -> None:
    stranger = PrivateTag(1, 1)
    day = today(town)
    mixed = [stranger.report(day), bag.report(day), stranger.report(day)]
    assert dock.brought(mixed) == {"stored": 1, "known": 0, "refused": {"eid_unknown": 2}}
    assert stored(town) == {mixed[1]}


@pytest.mark.parametrize(("offset", "taken"), [(-2, False), (-1, True), (0, True), (1, True), (2, False)])
def test_an_identifier_is_open_on_its_day_and_the_days_beside_it(
    town: Town, dock: Courier, bag: PrivateTag, offset: int, taken: bool
) -> None:
    told = dock.brought([bag.report(today(town) + offset)])
    assert told == (
        {"stored": 1, "known": 0, "refused": {}} if taken else {"stored": 0, "known": 0, "refused": {"eid_day": 1}}
    )


def test_an_identifier_closes_36_hours_after_its_first_report(town: Town, dock: Courier, bag: PrivateTag) -> None:
    town.now = datetime(2026, 11, 22, 1, 0, tzinfo=UTC)
    day = today(town)
    first = bag.report(day)
    dock.brought([first])
    town.wait(hours=35, minutes=59)
    assert dock.brought([bag.report(day)])["stored"] == 1, "a later one does not put it off, either"
    town.wait(minutes=1)
    assert dock.brought([bag.report(day), first]) == {"stored": 0, "known": 1, "refused": {"eid_closed": 1}}


def test_a_report_made_up_before_the_day_closes_nothing_in_it(town: Town, dock: Courier, bag: PrivateTag) -> None:
    """The directory tells everybody tomorrow's identifiers: one false report must not end the tag's day at noon."""
    town.now = datetime(2026, 11, 21, 0, 0, tzinfo=UTC)
    day = today(town) + 1
    dock.brought([bag.report(day)])
    town.now = datetime(2026, 11, 22, 23, 59, tzinfo=UTC)
    assert dock.brought([bag.report(day)])["stored"] == 1
    town.now = datetime(2026, 11, 23, 11, 59, tzinfo=UTC)
    assert dock.brought([bag.report(day)])["stored"] == 1, "a gateway that was cut off"
    town.wait(minutes=1)
    assert dock.brought([bag.report(day)])["refused"] == {"eid_closed": 1}


def test_nothing_more_is_taken_for_a_tag_that_was_given_up(
    town: Town, dock: Courier, bag: PrivateTag, ann: Somebody
) -> None:
    with town.house.work() as (tx, now):
        ownership.end(tx, bag.ownership_no, now)
    assert dock.brought([bag.report(today(town))])["refused"] == {"eid_unknown": 1}


# --- how many


def test_a_flood_of_reports_ends_at_the_quota_of_its_identifier(town: Town, bag: PrivateTag) -> None:
    allow(town, private_reports_per_eid=50, private_reports_per_gateway_eid_hour=30)
    day = today(town)
    flood = [courier(town, f"gw-{n}") for n in range(3)]
    told = [each.brought([bag.report(day) for _ in range(40)]) for each in flood]
    assert [each["stored"] for each in told] == [30, 20, 0]
    assert told[0]["refused"] == {"quota_gateway": 10}
    assert told[1]["refused"] == {"quota_eid": 20}
    assert told[2]["refused"] == {"quota_eid": 40}
    assert len(stored(town)) == key_row(town, bag.eid(day)).reports == 50


def test_a_flood_of_identifiers_ends_at_the_gateways_own_hour(town: Town, ann: Somebody, dock: Courier) -> None:
    allow(town, private_reports_per_gateway_hour=10)
    day = today(town)
    tags = [private_tag(town, ann, [day]) for _ in range(4)]
    told = dock.brought([tag.report(day) for tag in tags for _ in range(3)])
    assert told == {"stored": 10, "known": 0, "refused": {"quota_gateway": 2}}
    assert courier(town, "other").brought([tags[0].report(day)])["stored"] == 1
    town.wait(hours=1)
    assert dock.brought([tags[0].report(day)])["stored"] == 1, "a new hour"


def test_what_was_not_stored_does_not_count(town: Town, dock: Courier, bag: PrivateTag) -> None:
    """Neither known reports, nor those of a transaction that broke: a gateway tries again until it gets through."""
    allow(town, private_reports_per_gateway_eid_hour=3)
    reports = [bag.report(today(town)) for _ in range(3)]
    with town.house.work() as (tx, _):
        tx.execute(text("alter table sealed_reports add constraint full_disk check (received_at is null)"))
    with capture_logs():  # to print what broke, with all its frames, would take a minute
        for _ in range(5):
            assert dock.bring(reports).status_code == 500
    with town.house.work() as (tx, _):
        tx.execute(text("alter table sealed_reports drop constraint full_disk"))
    assert dock.brought(reports)["stored"] == 3
    for _ in range(5):
        assert dock.brought(reports)["known"] == 3
    assert dock.brought([bag.report(today(town))])["refused"] == {"quota_gateway": 1}


def test_the_table_of_counts_is_bounded_and_forgets_the_oldest(town: Town) -> None:
    quotas, most = ReportQuotas(bytes(32), pairs_max=3), HourlyMost(2, 100)
    with quotas.counting() as counting:
        given = [counting.take("gw", bytes([n]) * 16, 5, most, town.now) for n in (1, 2, 3, 1, 4, 1, 2)]
    # The fourth finds its room used up; 4 takes the place of 1, which is forgotten.
    assert given == [2, 2, 2, 0, 2, 2, 2]
    names = repr(vars(quotas))
    assert "gw" not in names
    assert repr(bytes([4]) * 16) not in names
    other = ReportQuotas(bytes([1]) * 32)
    other.take("gw", bytes([4]) * 16, 1, most, town.now)
    assert not set(other._pairs) & set(quotas._pairs), "another process counts under other names"


# --- who


def test_one_answer_for_everything_that_no_gateway_of_ours_signed(
    town: Town, dock: Courier, bag: PrivateTag
) -> None:  # fmt: skip
    reports = [bag.report(today(town))]
    unknown = Courier(town, "nobody", Ed25519PrivateKey.generate())
    never = Courier(town, "never-enrolled", Ed25519PrivateKey.generate())
    with town.house.work() as (tx, now):
        store_gateways.add(tx, never.name, GatewayClass.CROWD, "x", None, None, now)
    good = dock.bring(reports)
    revoked = courier(town, "revoked")
    with town.house.work() as (tx, now):
        registry = gateways.Registry(town.house.settings, town.house.dice, keys.server_key(tx, town.house.vault, now))
        gateways.revoke(tx, registry, revoked.name, now, actor="test")
    answers = [
        dock.bring(reports, key=Ed25519PrivateKey.generate()),
        unknown.bring(reports),
        never.bring(reports),
        revoked.bring(reports),
        dock.send(b""),
        dock.send(bytes(200)),
        dock.raw(bytes(REPORT_LEN)),  # no report of version 1
        dock.raw(reports[0][:-1]),
        dock.raw(reports[0] * 1001),
    ]
    assert {answer.status_code for answer in answers} == {401}
    assert len({answer.text for answer in answers}) == 1
    assert answers[0].json()["error"]["code"] == "gateway_refused"
    assert good.status_code == 200
    assert stored(town) == set(reports)


def test_a_signature_under_another_domain_is_none(town: Town, dock: Courier, bag: PrivateTag) -> None:
    body = encode_upload(dock.name, [bag.report(today(town))])
    assert dock.send(sign(dock.key, Domain.BATCH, body)).status_code == 401


def test_too_much_at_once_is_not_read_to_its_end(town: Town, dock: Courier) -> None:
    answer = dock.send(bytes(128 * 1024 + 1))
    assert (answer.status_code, answer.json()["error"]["code"]) == (413, "too_large")


def test_bad_signatures_are_refused_more_shortly_after_a_while_and_good_ones_never(
    town: Town, dock: Courier, bag: PrivateTag
) -> None:
    forged = Ed25519PrivateKey.generate()
    codes = [dock.bring([bag.report(today(town))], key=forged).status_code for _ in range(61)]
    assert codes == [401] * 60 + [429]
    assert dock.bring([bag.report(today(town))]).status_code == 200


# --- what follows


def test_news_of_a_lost_tag_keep_no_finer_moment_than_its_key(
    town: Town, dock: Courier, bag: PrivateTag, ann: Somebody
) -> None:
    """A proxy's log has addresses and moments: a second in a notice would lead from the tag to its gateway's line."""
    town.now = datetime(2026, 11, 22, 12, 34, 50, tzinfo=UTC)
    ann.post(f"/tags/{bag.serial}/lost", {})
    town.now = datetime(2026, 11, 22, 12, 34, 56, 789, tzinfo=UTC)
    dock.brought([bag.report(today(town))])
    with town.house.work() as (tx, _):
        tables = tx.execute(text("select tablename from pg_tables where schemaname = 'public'")).scalars().all()
        rows = [
            line for table in tables for line in tx.execute(text(f"select cast(t as text) from {table} t")).scalars()
        ]
    assert [line for line in rows if "lost_heard" in line], "told, although it was reported lost in the same minute"
    assert not [line for line in rows if "12:34:56" in line]


def test_the_owner_of_a_lost_tag_is_told_once(town: Town, dock: Courier, bag: PrivateTag, ann: Somebody) -> None:
    dock.brought([bag.report(today(town))])
    ann.post(f"/tags/{bag.serial}/lost", {"message": "mine"})
    town.wait(seconds=20)
    for _ in range(3):
        dock.brought([bag.report(today(town))])
    with town.house.work() as (tx, _):
        told = tx.execute(select(notices).where(notices.c.kind == "lost_heard")).all()
    assert len(told) == 1
    assert told[0].payload["serial"] == bag.serial
    assert told[0].payload["heard_at"] == town.now.replace(second=0).isoformat()


def test_whoever_watches_the_tag_is_told(town: Town, dock: Courier, bag: PrivateTag, ann: Somebody, ear: Ear) -> None:
    other = private_tag(town, ann)
    with town.house.work() as (tx, _):
        live.lease(tx, "web-1", [bag.serial])
        assert interest.among(tx, [bag.serial]).watched
    dock.brought([other.report(today(town)), bag.report(today(town))])
    assert ear.said(1) == [str(bag.serial)]


def test_heard_is_the_newest_report_of_any_day(town: Town, dock: Courier, bag: PrivateTag, ann: Somebody) -> None:
    silent = private_tag(town, ann)
    day = today(town)
    dock.brought([bag.report(day)])
    town.wait(minutes=5)
    dock.brought([bag.report(day - 1)])  # yesterday's, from a gateway that was cut off
    with town.house.work() as (tx, _):
        newest = {bag.ownership_no: town.now.replace(second=0, microsecond=0)}
        assert day_keys.last_report_at(tx, [bag.ownership_no, silent.ownership_no]) == newest
        assert day_keys.last_report_at(tx, []) == {}


# --- two at once


def test_two_gateways_that_heard_the_same_tags_wait_for_one_another_in_turn(town: Town, ann: Somebody) -> None:
    allow(town, private_reports_per_gateway_eid_hour=10_000)
    day = today(town)
    tags = [private_tag(town, ann, [day]) for _ in range(12)]
    two = [courier(town, "north"), courier(town, "south")]
    start, told = threading.Barrier(2), []

    def bring(each: Courier, order: int) -> None:
        for _ in range(12):
            reports = [tag.report(day) for tag in tags[::order]]
            start.wait(10)
            told.append(each.bring(reports).status_code)

    threads = [threading.Thread(target=bring, args=(each, order)) for each, order in zip(two, (1, -1), strict=True)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(60)
    assert told == [200] * 24
    assert {key_row(town, tag.eid(day)).reports for tag in tags} == {24}
    assert len(stored(town)) == 24 * 12


def test_the_quota_of_an_identifier_holds_with_many_at_once(town: Town, bag: PrivateTag) -> None:
    allow(town, private_reports_per_eid=100, private_reports_per_gateway_eid_hour=1000)
    day = today(town)
    couriers = [courier(town, f"gw-{n}") for n in range(4)]
    loads = [[bag.report(day) for _ in range(40)] for _ in couriers]
    threads = [threading.Thread(target=each.bring, args=(load,)) for each, load in zip(couriers, loads, strict=True)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(60)
    assert len(stored(town)) == key_row(town, bag.eid(day)).reports == 100
