"""Support's lists and letters at the command line, on a real database."""

from __future__ import annotations

import base64
import json
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest
from sqlalchemy import Engine

from server.rules.authority import Role
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
    assert "(bad_request)" in run("findings", "--rule", "R-99", code=2).stderr
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


def test_every_look_is_written_down(run: Run, town: Town) -> None:
    key = base64.b64encode(bytes(32)).decode()  # the town's
    agent, reader = town.staff(), town.staff(Role.SUPERVISOR)
    tag = town.tag()
    looks = [
        (("order", "T-1"), "order:T-1", "cli"),
        (("order", "T-1", "--json"), "order:T-1", "cli"),
        (("why", "T-1"), "order:T-1", "cli"),
        (("thread", "T-1"), "order:T-1", "cli"),
        (("say", "T-1", "{status}", "--as", agent.email), "order:T-1", agent.email),
        (("remedy", "offer", "T-1", "--as", agent.email), "order:T-1", agent.email),
        (("tag", str(tag.serial)), f"tag:{tag.serial}", "cli"),
        (("find", "ann@example.com"), "find:ann@example.com", "cli"),
        (("findings",), "findings", "cli"),
        (("promises",), "promises", "cli"),
        (("waiting",), "waiting", "cli"),
        (("mail", "list"), "mail-in", "cli"),
        (("remedy", "list"), "remedies", "cli"),
    ]
    agent.post("/orders", order("T-1", placed_at=town.now.isoformat()))
    for argv, subject, actor in looks:
        before = len(reader.get("/audit", params={"subject": subject}))
        run(*argv, HEARSIGHT_MASTER_KEY=key)
        entries = reader.get("/audit", params={"subject": subject})
        assert len(entries) == before + 1, argv
        assert (entries[0]["actor"], entries[0]["action"]) == (actor, "viewed"), argv
