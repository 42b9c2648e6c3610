"""The directory of a day over HTTP: whole, signed, fresh within a minute, and free of cost while nothing changes."""

from __future__ import annotations

import hashlib
import threading
from datetime import timedelta
from typing import Any

import pytest
from httpx import Response
from sqlalchemy import delete, event

from server.service import directory
from server.store import keys, ownership
from server.store.day_keys import DayState
from server.store.tables import day_keys
from tests.server.web.finding import PrivateTag, private_tag, today, upload
from tests.server.web.town import Somebody, Town
from wire.directory import Index, decode_index, decode_shard
from wire.keys import eid
from wire.signing import Domain, verify


@pytest.fixture
def bag(town: Town, ann: Somebody) -> PrivateTag:
    return private_tag(town, ann)


def get(town: Town, path: str, **headers: str) -> Response:
    return town.client.get(f"/api/v1/directory/{path}", headers=headers)


def index(town: Town, day: int) -> Index:
    answer = get(town, str(day))
    assert answer.status_code == 200, answer.text
    with town.house.work() as (tx, now):
        server_key = keys.server_key(tx, town.house.vault, now).public_key()
    return decode_index(verify(server_key, Domain.DIRECTORY, answer.content))


def everything(town: Town, day: int) -> dict[bytes, bytes]:
    """The day's keys, taken as a gateway takes them."""
    told = index(town, day)
    assert told.day == day
    found: dict[bytes, bytes] = {}
    for number, name in enumerate(told.shards):
        answer = get(town, f"{day}/{name.hex()}")
        assert answer.status_code == 200, answer.text
        assert hashlib.sha256(answer.content).digest() == name
        found |= decode_shard(answer.content, number, len(told.shards))
    return found


def statements(town: Town, work: Any) -> int:
    """How many statements the database got meanwhile."""
    seen = []

    def note(*_: Any) -> None:
        seen.append(1)

    event.listen(town.engine, "before_cursor_execute", note)
    try:
        work()
    finally:
        event.remove(town.engine, "before_cursor_execute", note)
    return len(seen)


def test_from_yesterday_to_the_day_after_tomorrow_everybody_gets_all_keys(
    town: Town, bag: PrivateTag, ann: Somebody
) -> None:
    day = today(town)
    other = private_tag(town, ann, [day])
    for offset in (-1, 0, 1, 2):
        found = everything(town, day + offset)
        assert found[bag.eid(day + offset)] == bag.row(day + offset)["public_key"]
        assert (other.eid(day) in found) == (offset == 0)
    for path in (f"{day - 2}", f"{day + 3}", f"{day}/{'00' * 32}", f"{day - 2}/{'00' * 32}", "0"):
        answer = get(town, path)
        assert (answer.status_code, answer.json()["error"]["code"]) == (404, "directory_unknown")


def test_a_day_without_keys_is_a_directory_all_the_same(town: Town) -> None:
    assert everything(town, today(town)) == {}


def test_a_known_tag_is_answered_shortly_and_shards_are_for_good(town: Town, bag: PrivateTag) -> None:
    day = today(town)
    first = get(town, str(day))
    assert first.headers["cache-control"] == "public, max-age=60"
    assert first.headers["content-type"] == "application/octet-stream"
    again = get(town, str(day), **{"if-none-match": f'"x", W/{first.headers["etag"]}'})
    assert (again.status_code, again.content, again.headers["etag"]) == (304, b"", first.headers["etag"])
    assert get(town, str(day), **{"if-none-match": '"other"'}).status_code == 200
    shard = get(town, f"{day}/{index(town, day).shards[0].hex()}")
    assert "immutable" in shard.headers["cache-control"]


def test_a_tag_that_was_just_claimed_is_in_it_within_a_minute(town: Town, bag: PrivateTag, ann: Somebody) -> None:
    day = today(town)
    before = index(town, day)
    made = get(town, str(day)).headers["etag"]
    new = private_tag(town, ann)
    town.wait(seconds=45)
    assert set(everything(town, day)) == {bag.eid(day), new.eid(day)}
    after = index(town, day)
    assert after.made_ms > before.made_ms
    assert get(town, str(day), **{"if-none-match": made}).status_code == 200
    # A gateway that read the index before still gets what that named; for a while.
    assert get(town, f"{day}/{before.shards[0].hex()}").status_code == 200
    town.wait(minutes=11)
    assert get(town, f"{day}/{before.shards[0].hex()}").status_code == 404


def test_a_key_that_went_and_one_that_was_exchanged_are_seen(town: Town, bag: PrivateTag, ann: Somebody) -> None:
    day = today(town) + 1
    other = private_tag(town, ann)
    assert set(everything(town, day)) == {bag.eid(day), other.eid(day)}
    with town.house.work() as (tx, now):
        ownership.end(tx, other.ownership_no, now)
    town.wait(minutes=1)
    assert set(everything(town, day)) == {bag.eid(day)}
    again = PrivateTag(bag.serial, bag.ownership_no)
    with town.house.work() as (tx, _):
        tx.execute(delete(day_keys).where(day_keys.c.eid == bag.eid(day)))
    upload(town, again, [day])
    town.wait(minutes=1)
    assert set(everything(town, day)) == {again.eid(day)}, "as many keys as before, and another one"


def test_while_nothing_changes_a_request_costs_nothing(town: Town, bag: PrivateTag) -> None:
    day = today(town)
    shard = index(town, day).shards[0].hex()
    built = directory.BUILT._value.get()

    def ask() -> None:
        for _ in range(20):
            assert get(town, str(day)).status_code == 200
            assert get(town, f"{day}/{shard}").status_code == 200

    assert statements(town, ask) == 0
    body = get(town, str(day)).content
    town.wait(minutes=1)
    assert 0 < statements(town, ask) <= 2, "one look, whoever asks"
    assert get(town, str(day)).content == body, "not signed anew"
    assert directory.BUILT._value.get() == built


def test_a_shard_that_another_process_told_of_is_found(town: Town, bag: PrivateTag) -> None:
    day = today(town)
    name = index(town, day).shards[0].hex()
    town.house.directories = directory.Directories()
    assert get(town, f"{day}/{name}").status_code == 200


def test_days_that_are_over_are_forgotten(town: Town, bag: PrivateTag) -> None:
    everything(town, today(town) - 1)
    town.wait(days=1)
    everything(town, today(town))
    assert set(town.house.directories._days) == {today(town)}


def test_many_who_ask_at_once_make_it_once(town: Town, bag: PrivateTag) -> None:
    built, bodies = directory.BUILT._value.get(), []
    threads = [threading.Thread(target=lambda: bodies.append(get(town, str(today(town))).content)) for _ in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(30)
    assert len(bodies) == 8
    assert len(set(bodies)) == 1
    assert directory.BUILT._value.get() == built + 1


def test_more_keys_than_a_shard_holds_make_more_shards(town: Town) -> None:
    """Nine thousand keys, four shards; one more key changes one of them."""
    day = today(town)
    state = DayState(0, 0)
    entries = [(eid(key), key) for key in (hashlib.sha256(str(n).encode()).digest() for n in range(9_000))]
    with town.house.work() as (tx, now):
        server_key = keys.server_key(tx, town.house.vault, now)
    one = directory.build(day, entries, state, server_key, now)
    assert len(one.shards) == 4
    found: dict[bytes, bytes] = {}
    body = decode_index(verify(server_key.public_key(), Domain.DIRECTORY, one.index))
    for number, name in enumerate(body.shards):
        found |= decode_shard(one.shards[name], number, 4)
    assert found == dict(entries)
    more = hashlib.sha256(b"more").digest()
    two = directory.build(day, [*reversed(entries), (eid(more), more)], state, server_key, now + timedelta(minutes=1))
    assert len(one.shards.keys() - two.shards.keys()) == 1
    again = directory.build(day, reversed(entries), state, server_key, now + timedelta(minutes=1))
    assert again.tag == one.tag
    assert again.shards == one.shards
