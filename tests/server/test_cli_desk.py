"""Support's lists and letters at the command line, on a real database."""

from __future__ import annotations

import json
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest
from sqlalchemy import Engine

from server.service import people
from tests.server.service.test_messages import letters, weighed
from tests.server.test_cli import On, Run, on
from tests.server.web.town import Town, order

__all__ = ["on"]


@pytest.fixture
def town(engine: Engine) -> Town:
    return Town(engine, datetime.now(UTC))


@pytest.fixture
def run(on: On, database_url: str, tmp_path: Path) -> Run:
    return on(database_url, tmp_path / "data")


def test_what_is_open_and_a_letter(run: Run, town: Town) -> None:
    who = town.staff()
    who.post("/orders", order("T-1", placed_at=(town.now - timedelta(days=10)).isoformat()))
    weighed(town)
    found = json.loads(run("findings", "--json").stdout)
    assert ("T-1", "R-02") in {(row["order"], row["rule"]) for row in found}
    assert json.loads(run("findings", "--severity", "critical", "--rule", "R-02", "--json").stdout) == []
    wrong = run("say", "T-1", "It was dispatched weeks ago.", "--as", who.email, code=1).stdout
    assert "Stops it (against_evidence R-35): No serial is bound to it" in wrong
    due = (town.now + timedelta(hours=2)).isoformat()
    said = ("say", "T-1", "{status} You hear from us by {promise_due}.", "--as", who.email)
    promised = (*said, "--promise", "reply", "--due", due)
    assert "Nothing speaks against it." in run(*promised).stdout
    assert letters(town) == [], "only looked at"
    assert "(key_missing)" in run(*promised, "--send", code=2).stderr
    for _ in range(2):
        assert run(*promised, "--send", "--key", "m-1").stdout == "Sent.\n"
    assert len(letters(town)) == 1
    every = [row for when in ("today", "later") for row in json.loads(run("promises", "--when", when, "--json").stdout)]
    assert [(row["order"], row["what"], row["by"]) for row in every] == [("T-1", "reply", who.email)]
    assert "(due_invalid)" in run(*said, "--promise", "reply", "--due", "tomorrow", code=2).stderr
    assert "(promise_without_due)" in run(*said, "--promise", "reply", "--send", "--key", "m-2", code=2).stderr
    with town.house.work() as (tx, now):
        people.disable(tx, who.email, now, actor="test")
    assert "(account_unknown)" in run(*said, code=1).stderr


@pytest.mark.parametrize("zone", ["Europe/Foo", "Europe", ""])
def test_a_day_ends_in_a_zone_that_exists(run: Run, zone: str) -> None:
    assert "(zone_unknown)" in run("promises", "--when", "later", "--zone", zone, code=2).stderr
