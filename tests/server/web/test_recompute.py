"""History under another policy, at the command line and over HTTP: what would change, and nothing that does."""

from __future__ import annotations

import json
from datetime import timedelta
from typing import Any

import pytest
from sqlalchemy import text

from server import wiring
from server.cli.app import main
from server.service import recompute
from server.store.db import transaction, url_of
from tests.server.web.town import Town, order, said


@pytest.fixture
def shop(town: Town, monkeypatch: pytest.MonkeyPatch) -> Town:
    """Three orders of ten days ago, one of them said to be gone; the command line sees the same database."""
    who = town.staff()
    for number in ("A-1", "A-2", "A-3"):
        who.post("/orders", order(number, placed_at=(town.now - timedelta(days=10)).isoformat()))
    gone = said("gone", "dispatched", town.now - timedelta(days=3), "staff")
    who.post("/orders/A-2/statements", {"statements": [gone]})
    monkeypatch.setenv("HEARSIGHT_DATABASE_URL", url_of(town.engine))
    monkeypatch.setattr(wiring, "clock", lambda: town.now)
    return town


def told(capsys: pytest.CaptureFixture[str], *more: str, code: int = 0) -> dict[str, Any]:
    with pytest.raises(SystemExit) as ended:
        main(["recompute", "--json", *more])
    out = capsys.readouterr()
    assert ended.value.code == code, out.err
    answer: dict[str, Any] = json.loads(out.out)
    return answer


def kept(town: Town) -> list[Any]:
    with transaction(town.engine) as tx:
        return list(tx.execute(text("select order_number, as_of, policy, stale, xmin::text from weighings order by 1")))


def test_longer_handling_takes_findings_away_and_keeps_nothing(shop: Town, capsys: pytest.CaptureFixture[str]) -> None:
    before = kept(shop)
    answer = told(capsys, "--set", "handling_bd=30")
    assert answer["judged"] == 3
    assert answer["other"] == "2026.2+handling_bd=30/solo"
    assert {"what": "R-02", "change": "vanishes", "count": 3} in answer["counts"]
    one = next(
        c for each in answer["orders"] if each["number"] == "A-1" for c in each["changes"] if c["what"] == "R-02"
    )
    assert one["before"].startswith("high since ")
    assert one["after"] == ""
    assert kept(shop) == before


def test_a_day_more_shifts_it(shop: Town, capsys: pytest.CaptureFixture[str]) -> None:
    answer = told(capsys, "--set", "handling_bd=3", "--order", "A-1")
    assert answer["judged"] == 1
    [change] = [c for c in answer["orders"][0]["changes"] if c["what"] == "R-02"]
    assert (change["change"], change["before"] < change["after"]) == ("shifts", True)


def test_the_same_policy_changes_nothing(shop: Town, capsys: pytest.CaptureFixture[str]) -> None:
    answer = told(capsys, "--policy", "2026.1")
    assert (answer["judged"], answer["orders"], answer["counts"]) == (3, [], [])


def test_since_bounds_the_day_of_the_order(shop: Town, capsys: pytest.CaptureFixture[str]) -> None:
    day = (shop.now - timedelta(days=9)).date().isoformat()
    assert told(capsys, "--since", day)["judged"] == 0


def test_stopped_it_says_how_to_go_on_and_goes_on(
    shop: Town, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    whole = told(capsys, "--set", "handling_bd=30")
    real = recompute.order

    def interrupted(tx: Any, number: str, *more: Any) -> Any:
        if number == "A-2":
            raise KeyboardInterrupt
        return real(tx, number, *more)

    monkeypatch.setattr(recompute, "order", interrupted)
    with pytest.raises(SystemExit) as ended:
        main(["recompute", "--json", "--set", "handling_bd=30"])
    out = capsys.readouterr()
    assert ended.value.code == 130
    first = json.loads(out.out)
    assert (first["judged"], first["stopped"], first["after"]) == (1, True, "A-1")
    assert f"--at {shop.now:%Y-%m-%dT%H:%M:%S} --after A-1" in out.err
    monkeypatch.setattr(recompute, "order", real)
    shop.wait(days=1)
    at = first["as_of"].removesuffix("Z")
    rest = told(capsys, "--set", "handling_bd=30", "--at", at, "--after", first["after"])
    assert first["orders"] + rest["orders"] == whole["orders"]


@pytest.mark.parametrize(
    ("more", "code"),
    [
        (("--policy", "1999.1"), "policy_unknown"),
        (("--profile", "circus"), "policy_unknown"),
        (("--set", "version=3"), "threshold_unknown"),
        (("--set", "handling_bd=-1"), "threshold_unknown"),
        (("--set", "handling_bd"), "threshold_unknown"),
        (("--order", "NO-SUCH"), "order_unknown"),
    ],
)
def test_what_is_not_known_is_refused(
    shop: Town, capsys: pytest.CaptureFixture[str], more: tuple[str, ...], code: str
) -> None:
    with pytest.raises(SystemExit) as ended:
        main(["recompute", *more])
    assert ended.value.code in (1, 2)
    assert code in capsys.readouterr().err


def test_one_order_over_http(shop: Town) -> None:
    who = shop.staff()
    answer = who.get("/orders/A-1/recomputed?threshold=handling_bd=30")
    assert [c["change"] for c in answer["changes"] if c["what"] == "R-02"] == ["vanishes"]
    assert who.get("/orders/A-1/recomputed?policy=2026.1")["changes"] == []
    who.refused("GET", "/orders/A-1/recomputed?policy=1999.1", 404, "policy_unknown")
    who.refused("GET", "/orders/A-1/recomputed?threshold=x=1", 422, "threshold_unknown")
    who.refused("GET", "/orders/NO-SUCH/recomputed", 404, "order_unknown")


@pytest.mark.parametrize("threshold", ["handling_bd=1000", "listened_d=999999999"])
def test_days_without_end_are_not_counted(shop: Town, threshold: str) -> None:
    shop.staff().refused("GET", f"/orders/A-1/recomputed?threshold={threshold}", 422, "threshold_unknown")
