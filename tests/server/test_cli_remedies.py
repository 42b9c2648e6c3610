"""Remedies at the command line, on a real database: what is printed, what is refused, a run and its end."""

from __future__ import annotations

import json
from datetime import timedelta
from pathlib import Path

import pytest
from sqlalchemy import Engine
from typer.testing import CliRunner, Result

from server import wiring
from server.cli.app import app
from server.refusal import Refusal
from server.rules.authority import Role
from server.rules.policy import SOLO
from server.rules.remedies import TITLES
from server.rules.remedy_runs import FOR_MANY
from server.service import people
from server.store.db import url_of
from tests.server.service.remedy_town import letters, place, refunded
from tests.server.web.town import Town


@pytest.fixture
def town(engine: Engine, monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Town:
    """The town, at whose machine somebody sits; its clock is the commands' clock."""
    made = Town(engine)
    monkeypatch.setenv("HEARSIGHT_DATABASE_URL", url_of(engine))
    monkeypatch.setenv("HEARSIGHT_DATA", str(tmp_path))
    monkeypatch.setenv("HEARSIGHT_HOUSE_PAYMENTS", "at_once")
    monkeypatch.setattr(wiring, "clock", lambda: made.now)
    return made


def run(*argv: str, code: int = 0) -> Result:
    """A command; a refusal is raised as it stands."""
    result = CliRunner().invoke(app, ["remedy", *argv])
    if isinstance(result.exception, Refusal):
        raise result.exception
    assert result.exit_code == code, (result.output, result.exception)
    return result


def test_one_order_from_the_offer_to_the_grant(town: Town) -> None:
    place(town, "T-1", paid=100_01)
    agent, lead = town.staff().email, town.staff(Role.LEAD).email
    offered = run("offer", "T-1", "--as", agent).stdout
    assert "full_refund\t\t100.01 USD\tyes\tagent up to 100.00" in offered.replace("–", "")
    assert "is proposed" in run("ask", "T-1", "full_refund", "--as", agent, "--reason", "asked twice").stderr
    [row] = json.loads(run("list", "--json").stdout)
    assert (row["no"], row["state"]) == (1, "proposed")
    with pytest.raises(Refusal, check=lambda r: r.code == "remedy_not_yours"):
        run("grant", "1", "--as", agent)
    with pytest.raises(Refusal, check=lambda r: r.code == "account_unknown"):
        run("grant", "1", "--as", "nobody@shop.example")
    gone = town.staff(Role.SUPERVISOR).email
    with town.house.work() as (tx, now):
        people.disable(tx, gone, now, actor="test")
    with pytest.raises(Refusal, check=lambda r: r.code == "account_unknown"):
        run("grant", "1", "--as", gone)
    assert f"granted by {lead}" in run("grant", "1", "--as", lead).stderr
    assert "is withdrawn" in run("withdraw", "1", "--as", agent).stderr


def test_a_run_from_preview_to_end(town: Town, tmp_path: Path) -> None:
    for number in ("T-1", "T-2", "T-3"):
        place(town, number, paid=10_00)
    boss = town.staff(Role.SUPERVISOR).email
    listed = tmp_path / "orders.txt"
    listed.write_text("T-1\nT-2\nT-3\n")
    why = ("--key", "wrong day", "--cause", "the wrong day", "--text", "We were wrong.", "--as", boss)
    made = run("preview", "full_refund", "--orders", str(listed), *why)
    assert "Run 1 is previewed: 30.00 USD" in made.stderr
    assert made.stdout.count("waiting") == 3
    assert refunded(town) == {}
    waits = "Run 1 is previewed: 30.00 USD. It waits for approval: supervisor up to 2000.00, finance may.\n"
    assert run("progress", "1").stderr == waits
    with pytest.raises(Refusal, check=lambda r: r.code == "orders_missing"):
        run("preview", "full_refund", *why)
    starts = f"{town.now + timedelta(seconds=SOLO.undo_s):%Y-%m-%d %H:%M:%SZ}"
    assert run("approve", "1", "--as", boss).stderr == f"Run 1 is approved; it starts {starts}.\n"
    with pytest.raises(Refusal, check=lambda r: r.code == "run_not_yet"):
        run("run", "1")
    town.now += timedelta(hours=1)
    done = run("run", "1").stdout
    assert "done\t3" in done
    assert run("run", "1").stdout == done, "run again, nothing more is done"
    assert refunded(town) == {number: [10_00] for number in ("T-1", "T-2", "T-3")}
    assert letters(town) == dict.fromkeys(("T-1", "T-2", "T-3"), 1)
    assert run("progress", "1").stderr == "Run 1 is done: 30.00 USD.\n"
    assert run("approve", "1", "--as", boss).stderr == "Run 1 is done.\n"
    assert json.loads(run("progress", "1", "--json").stdout)["run"]["state"] == "done"
    looks = town.staff(Role.LEAD).get("/audit?subject=run:1")
    assert [each["actor"] for each in looks if each["action"] == "viewed"] == ["cli", "cli", "cli"]
    with pytest.raises(Refusal, check=lambda r: r.code == "run_settled"):
        run("withdraw-run", "1", "--as", boss)


def test_remedies_are_offered_and_nothing_else_that_may_be_allowed(town: Town) -> None:
    place(town, "T-1", paid=10_00)
    agent = town.staff().email
    for argv, offered in (("ask", TITLES), ("preview", FOR_MANY)):
        told = "".join(run(argv, "--help").stdout.split())
        assert f"<{'|'.join(offered)}>" in told, argv
    wrong = run("ask", "T-1", "manage_people", "--as", agent, code=2).stderr
    assert "manage_people" in wrong


def test_the_ledger_is_paid_by_hand(town: Town, monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setenv("HEARSIGHT_HOUSE_PAYMENTS", "by_hand")
    place(town, "T-1", paid=10_00)
    boss = town.staff(Role.SUPERVISOR).email
    listed = tmp_path / "orders.txt"
    listed.write_text("T-1")
    run("preview", "full_refund", "--orders", str(listed), "--key", "k", "--cause", "c", "--text", "t", "--as", boss)
    run("approve", "1", "--as", boss)
    town.now += timedelta(hours=1)
    assert "booked\t1" in run("run", "1").stdout
    assert "To be paid by hand: 10.00 USD for run:1:T-1" in run("list").stderr
    with pytest.raises(Refusal, check=lambda r: r.code == "payment_unknown"):
        run("paid", "no such entry", "--as", boss)
    assert "Paid: 10.00 USD, order T-1" in run("paid", "run:1:T-1", "--as", boss).stderr
    assert refunded(town) == {}
    assert "done\t1" in run("run", "1").stdout
    assert refunded(town) == {"T-1": [10_00]}
