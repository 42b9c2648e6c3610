"""The days of a private tag's keys and the household that shares it: what is taken, what is refused, who sees what."""

from __future__ import annotations

import base64
import secrets

import pytest
from cryptography.hazmat.primitives.asymmetric.x25519 import X25519PrivateKey
from sqlalchemy import select

from server.service import households
from server.store import live
from server.store.tables import acts, day_keys, handovers
from tests.server.web.private_owner import PrivateOwner
from tests.server.web.streams import Web
from tests.server.web.town import Somebody, Town
from wire import keys
from wire.household import HANDOVER_LEN, Handover, open_handover, seal_handover


@pytest.fixture
def ann(town: Town) -> PrivateOwner:
    """With a private tag that has no keys yet."""
    owner = PrivateOwner(town, town.owner(), town.tag())
    owner.claim()
    return owner


def body(ann: PrivateOwner, first: int, count: int, s_o: bytes | None = None) -> dict[str, object]:
    return {"first_day": first, "days": ann.days(first, count, s_o)}


def path(ann: PrivateOwner, more: str = "/keys") -> str:
    return f"/tags/{ann.tag.serial}{more}"


def stored(town: Town) -> dict[int, bytes]:
    with town.house.work() as (tx, _):
        return {row.day: row.public_key for row in tx.execute(select(day_keys))}


# --- Days --------------------------------------------------------------------------------------------------


def test_a_year_of_days_is_taken_once(town: Town, ann: PrivateOwner) -> None:
    year = body(ann, ann.today, 366)
    for _ in range(2):
        assert ann.who.put(path(ann), year) == {"first_day": ann.today, "days": 366}
    with town.house.work() as (tx, _):
        rows = {row.day: row for row in tx.execute(select(day_keys))}
    assert sorted(rows) == list(range(ann.today, ann.today + 366))
    assert all(row.eid == keys.eid(keys.day_public_key(ann.s_o, day)) for day, row in rows.items())


def test_the_next_year_begins_where_this_one_ends(town: Town, ann: PrivateOwner) -> None:
    ann.who.put(path(ann), body(ann, ann.today, 366))
    town.wait(days=366 - 30)
    answer = ann.who.get(path(ann, ""))
    assert answer["renew_from"] == town.now.date().isoformat()
    ann.who.put(path(ann), body(ann, ann.today + 30, 366))
    assert len(stored(town)) == 732


@pytest.mark.parametrize(("first", "taken"), [(-2, False), (-1, True), (31 + 366, True), (31 + 366 + 1, False)])
def test_from_when_days_are_taken(ann: PrivateOwner, first: int, taken: bool) -> None:
    if taken:
        ann.who.put(path(ann), body(ann, ann.today + first, 1))
    else:
        ann.who.refused("PUT", path(ann), 422, "day_key_range", json=body(ann, ann.today + first, 1))


def test_lists_that_are_no_lists(ann: PrivateOwner) -> None:
    packed = base64.b64decode(ann.days(ann.today, 367))
    for wrong in (packed, packed[:65], packed[:63]):
        days = base64.b64encode(wrong).decode()
        answer = ann.who.call("PUT", path(ann), json={"first_day": ann.today, "days": days})
        assert answer.status_code == 422, answer.text
    ann.who.refused("PUT", path(ann), 422, "bad_request", json={"first_day": ann.today, "days": "AAAAA"})
    zero = base64.b64encode(bytes(64)).decode()
    ann.who.refused("PUT", path(ann), 422, "day_key_invalid", json={"first_day": ann.today, "days": zero})


def test_a_begun_day_keeps_its_key_and_a_coming_one_may_be_replaced(town: Town, ann: PrivateOwner) -> None:
    """A second upload of other keys for today would make what is sealed already unreadable, or readable to another."""
    ann.who.put(path(ann), body(ann, ann.today, 3))
    before, other = stored(town), secrets.token_bytes(32)
    for first in (ann.today, ann.today - 1):
        ann.who.refused("PUT", path(ann), 409, "day_key_conflict", json=body(ann, first, 3, other))
    assert stored(town) == before, "nothing of a refused list is taken"
    ann.who.put(path(ann), body(ann, ann.today + 1, 2, other))
    after = stored(town)
    assert after[ann.today] == before[ann.today]
    assert after[ann.today + 1] == keys.day_public_key(other, ann.today + 1)
    town.wait(days=1)
    ann.who.refused("PUT", path(ann), 409, "day_key_conflict", json=body(ann, ann.today, 1))


def test_nobody_files_keys_for_a_tag_or_an_identifier_that_is_not_theirs(town: Town, ann: PrivateOwner) -> None:
    ann.who.put(path(ann), body(ann, ann.today, 3))
    eve = PrivateOwner(town, town.owner("eve@example.com"), town.tag())
    eve.claim()
    eve.who.refused("PUT", path(ann), 404, "tag_unknown", json=body(eve, eve.today, 3))
    # The public keys stand in the directory: with a fetch hash of her own she would read what is sealed to Ann.
    hers = bytearray(base64.b64decode(ann.days(ann.today + 1, 1)))
    hers[32:] = bytes(32)
    stolen = {"first_day": ann.today + 1, "days": base64.b64encode(bytes(hers)).decode()}
    eve.who.refused("PUT", path(eve), 409, "day_key_conflict", json=stolen)
    # Nor under another day of one's own.
    shifted = {"first_day": ann.today + 9, "days": ann.days(ann.today, 1)}
    ann.who.refused("PUT", path(ann), 409, "day_key_conflict", json=shifted)
    with town.house.work() as (tx, _):
        assert {row.fetch_hash for row in tx.execute(select(day_keys))} & {bytes(32)} == set()


def test_a_managed_tag_has_no_days(town: Town) -> None:
    managed = PrivateOwner(town, town.owner(), town.tag())
    town.claim(managed.who, managed.tag)
    managed.who.refused("PUT", path(managed), 409, "not_private", json=body(managed, managed.today, 1))


def test_the_open_page_is_told_that_it_was_heard_and_not_where(town: Town, web: Web, ann: PrivateOwner) -> None:
    ann.upload()
    with web.watch(ann.who, ann.tag.serial) as reader:
        assert (reader.next().kind, reader.response.status_code) == ("state", 200)
        town.wait(minutes=1)
        with town.house.work() as (tx, now):
            tx.execute(day_keys.update().where(day_keys.c.day == ann.today).values(last_report_at=now, reports=1))
            live.tell(tx, [ann.tag.serial])
        event = reader.next()
    assert (event.kind, event.data["last"], event.data["private"]) == ("sighting", None, True)
    assert event.data["heard_at"] == town.now.isoformat().replace("+00:00", "Z")


# --- Households --------------------------------------------------------------------------------------------


def member(town: Town, email: str = "ben@example.com") -> tuple[Somebody, X25519PrivateKey]:
    who, key = town.owner(email), X25519PrivateKey.generate()
    public = key.public_key().public_bytes_raw().hex()
    assert who.put("/household/key", {"public_key": public}) == {"email": email, "public_key": public}
    return who, key


def share(ann: PrivateOwner, email: str = "ben@example.com") -> None:
    public = bytes.fromhex(ann.who.get(f"/household/key?email={email}")["public_key"])
    sealed = seal_handover(Handover(ann.tag.serial, 0, ann.s_o), public)
    ann.who.post(path(ann, "/household"), {"email": email, "sealed": sealed.hex()})


def test_a_member_reads_like_the_owner_and_may_nothing_else(town: Town, ann: PrivateOwner) -> None:
    ben, key = member(town)
    ann.upload()
    share(ann)
    [mine] = ben.get("/household")
    assert (mine["serial"], mine["from_email"], mine["heard_at"]) == (ann.tag.serial, "ann@example.com", None)
    opened = open_handover(bytes.fromhex(mine["sealed"]), key.private_bytes_raw())
    assert (opened.serial, opened.s_o) == (ann.tag.serial, ann.s_o)
    with town.house.work() as (tx, now):
        tx.execute(day_keys.update().where(day_keys.c.day == ann.today).values(last_report_at=now))
        assert [row.payload for row in tx.execute(select(acts)) if row.kind == "shared"] == [{}]
    assert ben.get("/household")[0]["heard_at"] is not None
    assert ben.get("/tags") == []
    for method, more, what in (
        ("GET", "", None), ("POST", "/release", {}), ("POST", "/lost", {}), ("GET", "/household", None),
        ("PUT", "/keys", body(ann, ann.today + 5, 1)), ("DELETE", "/household/ben@example.com", None),
        ("POST", "/household", {"email": "ben@example.com", "sealed": mine["sealed"]}),
    ):  # fmt: skip
        ben.refused(method, path(ann, more), 404, "tag_unknown", json=what)
    assert [each["email"] for each in ann.who.get(path(ann, "/household"))] == ["ben@example.com"]


def test_what_was_shared_cannot_be_taken_back_and_the_answer_says_so(town: Town, ann: PrivateOwner) -> None:
    ben, _ = member(town)
    share(ann)
    gone = ann.who.delete(path(ann, "/household/Ben@example.com"))
    assert "cannot be taken back" in gone["note"]
    assert ben.get("/household") == []
    ann.who.refused("DELETE", path(ann, "/household/ben@example.com"), 404, "household_unknown")


def test_it_is_not_told_who_has_an_account(town: Town, ann: PrivateOwner) -> None:
    town.owner("keyless@example.com")
    answers = [
        ann.who.refused("GET", f"/household/key?email={email}", 404, "household_key_unknown")
        for email in ("keyless@example.com", "nobody@example.com")
    ]
    sealed = "01" + "00" * (HANDOVER_LEN - 1)
    answers += [
        ann.who.refused(
            "POST", path(ann, "/household"), 404, "household_key_unknown", json={"email": email, "sealed": sealed}
        )
        for email in ("keyless@example.com", "nobody@example.com")
    ]
    assert all(answer == answers[0] for answer in answers)
    asked = [ann.who.call("GET", "/household/key?email=nobody@example.com").status_code for _ in range(40)]
    assert asked[-1] == 429


def test_keys_to_which_anybody_could_read_are_refused(town: Town, ann: PrivateOwner) -> None:
    for wrong in (bytes(32), b"\x01" + bytes(31)):
        ann.who.refused("PUT", "/household/key", 422, "household_key_invalid", json={"public_key": wrong.hex()})


def test_a_household_ends_with_its_ownership(town: Town, ann: PrivateOwner) -> None:
    ben, _ = member(town)
    share(ann)
    ann.who.post(path(ann, "/release"))
    assert ben.get("/household") == []


def test_what_strangers_shared_and_ended_keeps_nobody_else_out(
    town: Town, ann: PrivateOwner, monkeypatch: pytest.MonkeyPatch
) -> None:
    """One tag, claimed and released again and again, must not fill a stranger's list for good."""
    monkeypatch.setattr(households, "SHARED_WITH_ONE_MAX", 1)
    ben, _ = member(town)
    share(ann)
    aunt = PrivateOwner(town, town.owner("aunt@example.com"), town.tag())
    aunt.claim()
    sealed = {"email": "ben@example.com", "sealed": "01" + "00" * 89}
    aunt.who.refused("POST", path(aunt, "/household"), 409, "household_limit", json=sealed)
    ann.who.post(path(ann, "/release"))
    aunt.who.post(path(aunt, "/household"), sealed)
    assert [each["serial"] for each in ben.get("/household")] == [aunt.tag.serial]


def test_sharing_again_replaces_and_has_limits(town: Town, ann: PrivateOwner) -> None:
    member(town)
    for _ in range(2):
        share(ann)
    with town.house.work() as (tx, _now):
        assert len(tx.execute(select(handovers)).all()) == 1
    own = {"email": "ann@example.com", "sealed": "01" + "00" * 89}
    ann.who.put("/household/key", {"public_key": X25519PrivateKey.generate().public_key().public_bytes_raw().hex()})
    ann.who.refused("POST", path(ann, "/household"), 422, "transfer_to_self", json=own)
    for number in range(19):
        member(town, f"aunt{number}@example.com")
        town.wait(minutes=5)
        share(ann, f"aunt{number}@example.com")
    member(town, "one-too-many@example.com")
    more = own | {"email": "one-too-many@example.com"}
    town.wait(minutes=5)
    ann.who.refused("POST", path(ann, "/household"), 409, "household_limit", json=more)


def test_a_managed_tag_is_shared_with_nobody(town: Town) -> None:
    managed = PrivateOwner(town, town.owner(), town.tag())
    town.claim(managed.who, managed.tag)
    member(town)
    sealed = {"email": "ben@example.com", "sealed": "01" + "00" * 89}
    managed.who.refused("POST", path(managed, "/household"), 409, "not_private", json=sealed)
