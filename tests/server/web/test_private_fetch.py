"""Sealed reports on their way out: whoever has a day's token reads that day, by pages, and learns nothing of others."""

from __future__ import annotations

import hashlib
import hmac
import secrets
from typing import Any

import pytest
from sqlalchemy import event, insert

from server.service import private_reports
from server.store.tables import sealed_reports
from tests.server.web.finding import Courier, PrivateTag, courier, fetched, private_tag, today
from tests.server.web.town import Somebody, Town
from wire.keys import day_private_key
from wire.sealed import open_report


@pytest.fixture
def bag(town: Town, ann: Somebody) -> PrivateTag:
    return private_tag(town, ann)


@pytest.fixture
def dock(town: Town) -> Courier:
    return courier(town, "dock")


def day_of(tag: PrivateTag, day: int, after: bytes | None = None, f: bytes | None = None) -> dict[str, Any]:
    asked: dict[str, Any] = {"eid": tag.eid(day).hex(), "f": (f or tag.f(day)).hex()}
    return asked | ({"after": after.hex()} if after else {})


def fill(town: Town, tag: PrivateTag, day: int, count: int) -> list[bytes]:
    """Stored reports that only look like some: nobody opens them here."""
    made = sorted(b"\x01" + tag.eid(day) + secrets.token_bytes(72) for _ in range(count))
    with town.house.work() as (tx, now):
        rows = [{"eid": tag.eid(day), "sealed": each, "received_at": now} for each in made]
        tx.execute(insert(sealed_reports), rows)
    return made


def test_whoever_has_the_token_reads_the_day(town: Town, dock: Courier, bag: PrivateTag) -> None:
    day = today(town)
    brought = sorted(bag.report(day) for _ in range(3))
    dock.brought(brought)
    answer = town.nobody().post("/reports/fetch", {"days": [day_of(bag, day), day_of(bag, day - 1)]})
    assert [each["eid"] for each in answer["days"]] == [bag.eid(day).hex(), bag.eid(day - 1).hex()]
    assert fetched(answer["days"][0]) == brought
    assert answer["days"][1] == {"eid": bag.eid(day - 1).hex(), "reports": "", "more": False}
    assert open_report(brought[0], day_private_key(bag.s_o, day)).lat_e7 == 481_234_567


def test_pages_hold_everything_once(
    town: Town, bag: PrivateTag, monkeypatch: pytest.MonkeyPatch
) -> None:  # fmt: skip
    monkeypatch.setattr(private_reports, "PAGE", 4)
    day = today(town)
    made, full = fill(town, bag, day, 10), fill(town, bag, day - 1, 4)
    seen, after, pages = [], None, 0
    while True:
        answer = town.nobody().post("/reports/fetch", {"days": [day_of(bag, day, after)]})["days"][0]
        page = fetched(answer)
        seen += page
        pages += 1
        if not answer["more"]:
            break
        assert len(page) == 4
        after = page[-1]
    assert (seen, pages) == (made, 3)
    assert town.nobody().post("/reports/fetch", {"days": [day_of(bag, day - 1)]})["days"][0]["more"] is False
    assert len(full) == 4
    # Reports that came meanwhile, before or behind the page, harm nobody: the order is that of their bytes.
    more = fill(town, bag, day, 2)
    behind = town.nobody().post("/reports/fetch", {"days": [day_of(bag, day, made[5])]})["days"][0]
    assert fetched(behind) == [each for each in sorted(made + more) if each > made[5]][:4]


def wrong_tokens(town: Town, bag: PrivateTag, ann: Somebody) -> list[dict[str, Any]]:
    """A day that nobody has, then one of ours with tokens that are not its own."""
    day, other = today(town), private_tag(town, ann)
    half = hashlib.sha256(bag.f(day)).digest()[:16]  # of what the server holds
    tokens = [bytes(16), bag.f(day - 1), other.f(day), half]
    return [day_of(PrivateTag(1, 1), day), *(day_of(bag, day, f=token) for token in tokens)]


def watched(town: Town, days: list[dict[str, Any]]) -> tuple[Any, list[tuple[str, int]]]:
    """The answer, and each statement to the database with the rows that it gave."""
    work = []

    def note(_: Any, cursor: Any, statement: str, *__: Any) -> None:
        work.append((statement, cursor.rowcount))

    event.listen(town.engine, "after_cursor_execute", note)
    try:
        return town.nobody().post("/reports/fetch", {"days": days}), work
    finally:
        event.remove(town.engine, "after_cursor_execute", note)


def test_an_unknown_day_and_a_wrong_token_are_one_word_and_the_others_are_given(
    town: Town, dock: Courier, bag: PrivateTag, ann: Somebody
) -> None:
    day = today(town)
    brought = bag.report(day)
    dock.brought([brought])
    nobody = town.nobody()
    for wrong in wrong_tokens(town, bag, ann):
        alone = nobody.post("/reports/fetch", {"days": [wrong]})
        assert alone == {"days": [], "refused": [wrong["eid"]]}
    stranger = PrivateTag(1, 1)
    right, gone, mine = day_of(bag, day), day_of(stranger, day), day_of(bag, day - 1, f=bag.f(day))
    for days in ([right, gone, mine], [gone, mine, right], [mine, right, gone]):
        answer = nobody.post("/reports/fetch", {"days": days})
        assert [fetched(each) for each in answer["days"]] == [[brought]]
        assert answer["refused"] == [each["eid"] for each in days if each is not right]


def test_a_refused_day_is_the_same_work_whyever_it_is_refused(town: Town, bag: PrivateTag, ann: Somebody) -> None:
    day = today(town)
    fill(town, bag, day, 3)
    unknown, *wrong = (watched(town, [each])[1] for each in wrong_tokens(town, bag, ann))
    assert wrong == [unknown] * 4


def test_every_token_is_compared_in_constant_time_whatever_the_first_ones_say(
    town: Town, bag: PrivateTag, ann: Somebody, monkeypatch: pytest.MonkeyPatch
) -> None:
    compared = []

    def noted(one: bytes, other: bytes) -> bool:
        compared.append((len(one), len(other)))
        return compare_digest(one, other)

    day, compare_digest = today(town), hmac.compare_digest
    monkeypatch.setattr(hmac, "compare_digest", noted)
    days = [day_of(PrivateTag(1, 1), day), day_of(bag, day, f=bytes(16)), day_of(bag, day - 1)]
    town.nobody().post("/reports/fetch", {"days": days})
    assert compared == [(32, 32)] * 3


def test_the_answer_and_the_work_do_not_depend_on_other_tags(town: Town, bag: PrivateTag, ann: Somebody) -> None:
    day = today(town)
    made = fill(town, bag, day, 3)
    before = watched(town, [day_of(bag, day)])
    for _ in range(3):
        fill(town, private_tag(town, ann), day, 200)
    assert watched(town, [day_of(bag, day)]) == before
    assert fetched(before[0]["days"][0]) == made


def test_too_many_days_and_a_day_twice_are_refused(town: Town, bag: PrivateTag) -> None:
    day = today(town)
    nobody = town.nobody()
    for days in ([], [day_of(bag, day)] * 2, [day_of(PrivateTag(n, 1), day) for n in range(32)]):
        nobody.refused("POST", "/reports/fetch", 422, "bad_request", json={"days": days})


def test_a_token_never_stands_in_an_error(town: Town, bag: PrivateTag) -> None:
    asked = day_of(bag, today(town)) | {"after": "zz", "f": "SECRET" * 5}
    answer = town.nobody().call("POST", "/reports/fetch", json={"days": [asked]})
    assert answer.status_code == 422
    assert "SECRET" not in answer.text


def test_asking_is_limited_by_address_and_counts_days(town: Town, bag: PrivateTag) -> None:
    """Guesses are many in a request, and cost what they would cost one by one."""
    guesses = {"days": [day_of(PrivateTag(n, 1), today(town)) for n in range(30)]}
    codes = [town.nobody().call("POST", "/reports/fetch", json=guesses).status_code for _ in range(21)]
    assert codes == [200] * 20 + [429]
    mine = {"days": [day_of(bag, today(town))]}
    town.nobody().refused("POST", "/reports/fetch", 429, "too_many", json=mine)
