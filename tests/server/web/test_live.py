"""Live answers over a real socket: what comes, once, to whom, and how a stream ends."""

from __future__ import annotations

from typing import Any

import pytest

from server.rules.authority import Role
from server.service import people
from server.web.auth import COOKIE
from tests.server.web.streams import Web, heard, leases, until
from tests.server.web.town import PASSWORD, Somebody, Tag, Town


def test_what_is_heard_comes_as_the_ordinary_answer(town: Town, web: Web, ann: Somebody, tag: Tag) -> None:
    with web.watch(ann, tag.serial) as reader:
        first = reader.next()
        assert (first.kind, first.data["last"]) == ("state", None)
        assert leases(town) == {tag.serial}
        for _ in range(2):
            at = heard(town, tag.serial)
            event = reader.next()
            assert (event.kind, event.data["last"]["heard_at"]) == ("sighting", at)
            asked = ann.get(f"/tags/{tag.serial}")
            assert asked | {"as_of": ""} == event.data | {"as_of": ""}
        reader.nothing()
    until(lambda: leases(town) == set())
    assert reader.response.headers["cache-control"] == "no-store"
    assert reader.response.headers["x-accel-buffering"] == "no"
    assert "default-src 'none'" in reader.response.headers["content-security-policy"]


def test_whoever_comes_back_is_told_the_newest_at_once_and_nothing_twice(
    town: Town, web: Web, ann: Somebody, tag: Tag
) -> None:
    with web.watch(ann, tag.serial) as reader:
        before = reader.next().id
        heard(town, tag.serial)
        newest = reader.next().id
    assert before != newest
    with web.watch(ann, tag.serial, before) as reader:
        event = reader.next()
        assert (event.kind, event.id) == ("sighting", newest)
    with web.watch(ann, tag.serial, newest) as reader:
        reader.nothing()
        heard(town, tag.serial)
        assert reader.next().kind == "sighting"


def test_a_name_and_the_time_are_no_sighting(town: Town, web: Web, ann: Somebody, tag: Tag) -> None:
    heard(town, tag.serial)
    with web.watch(ann, tag.serial) as reader:
        known = reader.next().id
    ann.put(f"/tags/{tag.serial}/name", {"name": "Bicycle"})
    town.wait(hours=30)
    with web.watch(ann, tag.serial, known) as reader:
        reader.nothing()


def test_only_the_tags_own_streams_are_woken(town: Town, web: Web, ann: Somebody, tag: Tag) -> None:
    other = town.tag()
    town.claim(ann, other)
    with web.watch(ann, tag.serial) as mine, web.watch(ann, other.serial) as others:
        mine.next(), others.next()
        at = heard(town, other.serial)
        assert others.next().data["last"]["heard_at"] == at
        mine.nothing()


def test_anothers_tag_is_no_tag_and_nobody_watches_it(town: Town, web: Web, ann: Somebody, tag: Tag) -> None:
    ben = town.owner("ben@example.com")
    ben.refused("GET", f"/tags/{tag.serial}", 404, "tag_unknown")
    assert web.refused(ben, tag.serial) == (404, "tag_unknown")
    assert web.refused(ann, 999_999) == (404, "tag_unknown")
    assert web.refused(town.nobody(), tag.serial) == (401, "sign_in_needed")
    assert web.refused(town.staff(), tag.serial) == (403, "not_yours")
    assert leases(town) == set()


def test_five_of_one_account_and_so_many_of_all(
    town: Town, web: Web, ann: Somebody, tag: Tag, monkeypatch: pytest.MonkeyPatch
) -> None:
    ben = town.owner("ben@example.com")
    theirs = town.tag()
    town.claim(ben, theirs)
    streams = [web.watch(ann, tag.serial) for _ in range(5)]
    for stream in streams:
        assert stream.__enter__().next().kind == "state"
    assert web.refused(ann, tag.serial) == (429, "live_limit")
    monkeypatch.setattr("server.web.live.STREAMS_MAX", 6)
    with web.watch(ben, theirs.serial) as reader:
        reader.next()
        assert web.refused(ben, theirs.serial) == (503, "live_full")
        streams.pop().__exit__(None, None, None)
        until(lambda: web.live._by_account.total() == 5)
        with web.watch(ann, tag.serial) as again:
            again.next()
    for stream in streams:
        stream.__exit__(None, None, None)
    until(lambda: web.live._by_account.total() == 0)
    assert web.live._streams == {}


# --- how it ends: nothing is sent to somebody who may read no more


def sign_in(town: Town, who: Somebody) -> dict[str, str]:
    who.post("/session", {"email": who.email, "password": PASSWORD}, headers={"authorization": ""})
    cookie = f"{COOKIE}={town.client.cookies[COOKIE]}"
    town.client.cookies.clear()
    return {"cookie": cookie}


def sign_out(town: Town, who: Somebody, tag: Tag, cookie: dict[str, str]) -> None:
    csrf = who.get("/me", headers={"authorization": "", **cookie})["csrf"]
    who.delete("/session", headers={"authorization": "", "x-csrf-token": csrf, **cookie})


def change_password(town: Town, who: Somebody, tag: Tag, cookie: dict[str, str]) -> None:
    who.post("/me/password", {"old": PASSWORD, "new": "a quite different one"})


def revoke(town: Town, who: Somebody, tag: Tag, _: Any) -> None:
    who.delete(f"/tokens/{who.get('/tokens')[0]['no']}")


def release(town: Town, who: Somebody, tag: Tag, _: Any) -> None:
    who.post(f"/tags/{tag.serial}/release")


def hand_over(town: Town, who: Somebody, tag: Tag, _: Any) -> None:
    ben = town.owner("ben@example.com")
    offer = who.post(f"/tags/{tag.serial}/transfer", {"to_email": ben.email})
    ben.post(f"/transfers/{offer['transfer_id']}/accept")


def disable(town: Town, who: Somebody, tag: Tag, _: Any) -> None:
    with town.house.work() as (tx, now):
        people.disable(tx, who.email, now, actor="test")


@pytest.mark.parametrize(
    ("woken", "by_cookie", "end", "code"),
    [
        (True, True, sign_out, "sign_in_needed"),
        (True, True, change_password, "sign_in_needed"),
        (True, True, disable, "sign_in_needed"),
        (True, False, disable, "token_invalid"),
        (True, False, revoke, "token_invalid"),
        (True, False, release, "tag_unknown"),
        (True, False, hand_over, "tag_unknown"),
        (False, True, change_password, "sign_in_needed"),
        (False, False, revoke, "token_invalid"),
        (False, False, release, "tag_unknown"),
    ],
)
def test_it_ends_with_the_right_to_read(
    town: Town, web: Web, monkeypatch: pytest.MonkeyPatch, woken: bool, by_cookie: bool, end: Any, code: str
) -> None:
    """At the next sighting, before anything of it is told, and without one at the next beat."""
    monkeypatch.setattr("server.web.stream.BEAT_S", 60.0 if woken else 0.2)
    ann = town.somebody("ann@example.com", Role.OWNER, PASSWORD)
    tag = town.tag()
    town.claim(ann, tag)
    cookie = sign_in(town, ann) if by_cookie else {}
    with web.watch(ann, tag.serial, **cookie) as reader:
        assert reader.next().kind == "state"
        if not woken:
            until(lambda: reader.beats > 5)  # nothing is looked at any more but whether it may go on
        end(town, ann, tag, cookie)
        if woken:
            heard(town, tag.serial)
        event = reader.next()
        assert (event.kind, event.data["error"]["code"]) == ("end", code)
        assert event.data["error"]["do"]
        reader.ended()
    until(lambda: leases(town) == set())


def test_a_restart_says_goodbye_and_ends_at_once(town: Town, ann: Somebody, tag: Tag, free_port: int) -> None:
    town.gateway("gw")
    with Web(town.house, free_port) as web, web.watch(ann, tag.serial) as reader:
        reader.next()
        web.server.should_exit = True
        event = reader.next()
        assert (event.kind, event.data["error"]["code"]) == ("end", "not_ready")
        reader.ended()
        web.thread.join(15)  # uvicorn alone would wait its twenty seconds for the open answer
        assert not web.thread.is_alive()
    assert leases(town) == set()
