"""What people read on pages: a way back, an address that leads nowhere, one word for one thing, due times."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta

import pytest

from server.web.pages import words
from tests.server.web.test_tags import owned
from tests.server.web.town import Town, order

NOW = datetime(2026, 11, 22, 4, 0, tzinfo=UTC)  # 23:00 on the 21st in New York
ZONE = "America/New_York"


@pytest.mark.parametrize("path", ["/f/abc", "/t/seven", "/transfers/none", "/c/none"])
def test_a_wrong_address_is_told_in_words_of_people(town: Town, path: str) -> None:
    answer = town.client.get(path, headers=town.owner().headers())
    assert answer.status_code == 404
    assert "There is nothing at this address" in answer.text
    assert "pattern" not in answer.text


def test_a_finder_may_mistype_the_code(town: Town) -> None:
    _, tag = owned(town)
    code = tag.found_code
    spaced = f" {code[:4].lower()} {code[4:]}-"
    found = town.client.get("/f/", params={"code": spaced}, follow_redirects=False)
    assert found.headers["location"] == f"/f/{code}"
    wrong = town.client.get("/f/", params={"code": "no!"})
    assert wrong.status_code == 404
    assert "There is no tag with this code." in wrong.text


@pytest.mark.parametrize(
    ("path", "fields", "back"),
    [
        ("/o", {"number": "T-0", "email": "ann@example.com"}, "/o"),
        ("/sign-in", {"email": "ann@example.com", "password": "wrong"}, "/sign-in"),
        ("/c/", {"code": "AAAA"}, "/c/"),
        ("/t/{serial}/transfer", {"to_email": "nobody@example.com"}, "/t/{serial}"),
    ],
)
def test_a_refused_form_leads_back_to_it(town: Town, path: str, fields: dict[str, str], back: str) -> None:
    ann, tag = owned(town)
    answer = town.client.post(path.format(serial=tag.serial), data=fields, headers=ann.headers())
    assert answer.status_code >= 400
    assert f'href="{back.format(serial=tag.serial)}">Try again' in answer.text


def test_support_reads_once_how_it_was_read(town: Town) -> None:
    who = town.staff()
    who.post("/orders", order("T-1"))
    page = town.client.get("/s", params={"q": "T-1"}, headers=who.headers()).text
    assert "<h2>Read as an order number</h2>" in page
    nothing = town.client.get("/s", params={"q": "no such thing"}, headers=who.headers()).text
    assert nothing.count("Nothing found") == 1


@pytest.mark.parametrize(
    ("moment", "said"),
    [
        (datetime(2026, 11, 22, 5, 0, tzinfo=UTC), "the end of today"),
        (datetime(2026, 11, 23, 5, 0, tzinfo=UTC), "the end of tomorrow"),
        (datetime(2027, 1, 2, 5, 0, tzinfo=UTC), "the end of Fri 1 Jan 2027"),
        (datetime(2026, 11, 22, 4, 30, tzinfo=UTC), "today 23:30"),
    ],
)
def test_midnight_is_the_end_of_a_day(moment: datetime, said: str) -> None:
    assert words.due(moment, NOW, ZONE) == said


@pytest.mark.parametrize(
    ("minutes_later", "said"),
    [
        (46, "today between 10:00 and now"),
        (60, "today between 10:00 and 11:00"),
        (24 * 60, "yesterday between 10:00 and 11:00"),
    ],
)
def test_what_is_told_to_the_hour_is_no_number_of_minutes_ago(minutes_later: int, said: str) -> None:
    start = datetime(2026, 11, 22, 15, 0, tzinfo=UTC)
    assert words.hour(start, start + timedelta(minutes=minutes_later), ZONE) == said
