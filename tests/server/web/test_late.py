"""While the ingest is behind, nobody reads "not heard" without reading that we are late; else nobody is told."""

from __future__ import annotations

from datetime import timedelta
from pathlib import Path

import pytest
from sqlalchemy import text

from server.rules.authority import Role
from server.store import workers
from tests.server.web.test_tags import owned
from tests.server.web.town import Town, order

SENTENCE = "Sightings are arriving 4 min late."
TOLD = "Reports reach us 4 min late just now."


def told(town: Town, lag_s: float, *, worker: str = "ingest", connected: bool = True, unseen_s: int = 0) -> None:
    with town.house.work() as (tx, _):
        workers.put(tx, worker, up_s=900, lag_s=lag_s, waiting=300, connected=connected, stored=10)
        back = "update ingest_workers set seen_at = now() - make_interval(secs => :s) where worker = :worker"
        tx.execute(text(back), {"s": unseen_s, "worker": worker})


@pytest.mark.parametrize("lag_s", [0.0, 59.0])
def test_nobody_is_told_while_sightings_arrive(town: Town, lag_s: float) -> None:
    told(town, lag_s)
    ann, tag = owned(town)
    assert ann.get(f"/tags/{tag.serial}")["late"] is None
    for path in ("/", f"/t/{tag.serial}"):
        assert "late just now" not in town.client.get(path, headers=ann.headers()).text
    page = town.client.get("/s/gateways", headers=town.staff().headers()).text
    assert "Sightings arrive as they come." in page


def test_an_owner_reads_it_beside_the_place_and_in_json(town: Town) -> None:
    told(town, 250)
    ann, tag = owned(town)
    for answer in (ann.get(f"/tags/{tag.serial}"), ann.get("/tags")[0]):
        assert answer["late"]["behind_s"] == 250
        assert answer["late"]["text"].startswith(TOLD)
    for path in ("/", f"/t/{tag.serial}"):
        assert TOLD in town.client.get(path, headers=ann.headers()).text


def test_a_day_that_has_arrived_as_a_whole_is_not_in_doubt(town: Town) -> None:
    told(town, 250)
    ann, tag = owned(town)
    for ago, late in ((timedelta(0), True), (timedelta(seconds=249), True), (timedelta(seconds=251), False)):
        period = {"from": (town.now - timedelta(days=1)).isoformat(), "to": (town.now - ago).isoformat()}
        answer = ann.get(f"/tags/{tag.serial}/history", params=period)
        assert (answer["late"] is not None) is late, ago


def test_a_customer_reads_it_on_the_order(town: Town) -> None:
    told(town, 250)
    town.staff().post("/orders", order("T-1"))
    ann = town.owner()
    assert ann.get("/orders/T-1/customer")["late"]["text"].startswith(TOLD)
    assert TOLD in town.client.get("/o/T-1", headers=ann.headers()).text


def test_support_reads_it_on_every_page_with_what_to_do(town: Town) -> None:
    told(town, 250)
    who = town.staff()
    who.post("/orders", order("T-1"))
    serial = town.tag().serial
    for path in ("/s", "/s?q=T-1", "/s/order/T-1", "/s/order/T-1/why", f"/s/tag/{serial}", "/s/gateways"):
        page = town.client.get(path, headers=who.headers()).text
        assert page.count(SENTENCE) == 1, path
        assert "Nothing is lost" in page
    assert who.get("/orders/T-1")["late"]["behind_s"] == 250
    assert who.get(f"/support/tags/{serial}")["late"]["behind_s"] == 250
    said = who.get("/ingest")
    assert (said["word"], said["behind_s"], said["sentence"]) == ("late", 250, SENTENCE)
    (worker,) = said["workers"]
    assert (worker["worker"], worker["waiting"], worker["connected"]) == ("ingest", 300, True)


def test_readiness_stays_and_says_it_and_the_ingests_own_turns_red(town: Town) -> None:
    nobody = town.nobody()
    assert nobody.get("/ready") == {"status": "ready", "ingest": "never", "ingest_behind_s": None}
    assert nobody.refused("GET", "/ready/ingest", 503, "ingest_behind")["message"].startswith("No ingest has told")
    told(town, 0.2)
    assert nobody.get("/ready/ingest") == {"status": "ready", "ingest": "well", "ingest_behind_s": 0}
    told(town, 250)
    assert nobody.get("/ready") == {"status": "ready", "ingest": "late", "ingest_behind_s": 250}
    assert nobody.refused("GET", "/ready/ingest", 503, "ingest_behind")["message"] == SENTENCE
    told(town, 0.2)
    told(town, 0.2, worker="ingest-2", unseen_s=31)
    assert "1 of 2 ingest workers are gone" in nobody.refused("GET", "/ready/ingest", 503, "ingest_behind")["message"]


def test_the_sentence_names_a_page_and_a_heading_that_exist(town: Town, root: Path) -> None:
    told(town, 250)
    assert "When sightings are late" in town.staff(Role.OPERATOR).get("/ingest")["do"]
    assert "\n## When sightings are late\n" in (root / "docs" / "operations.md").read_text()
