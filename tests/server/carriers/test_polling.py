"""Asking EasyPost over real HTTP: what is due, what is learnt, and a vendor that is slow, broken or endless."""

from __future__ import annotations

from datetime import timedelta
from typing import Any

import pytest
from sqlalchemy import text

from server.carriers.easypost import EasyPost
from server.carriers.polling import HELD_FOR, PAUSE_FIRST, PAUSE_MAX, TRIES_MAX, Poller, pause
from tests.server.carriers.test_webhook import NUMBER, history, labelled, physical, scans
from tests.server.carriers.vendor import KEY, Vendor, detail, event, tracker
from tests.server.web.town import Town, order, said


@pytest.fixture
def poller(town: Town) -> Poller:
    return Poller(town.engine, town.house.parcel_carriers["easypost"], town.house.clock)


def row(town: Town, number: str = NUMBER) -> Any:
    with town.engine.begin() as tx:
        return tx.execute(text("select * from trackers where number = :n"), {"n": number}).one()


def test_a_label_is_followed_without_any_webhook(town: Town, vendor: Vendor, poller: Poller) -> None:
    labelled(town)
    vendor.holds(tracker(NUMBER, *history(town)[:2]))
    assert poller.poll_due() == 1
    assert vendor.asked == ["POST /v2/trackers"]
    assert len(physical(town)) == 1
    assert poller.poll_due() == 0, "not again at once"
    vendor.holds(tracker(NUMBER, *history(town)))
    town.wait(hours=2, minutes=1)
    assert poller.poll_due() == 1
    assert vendor.asked[1].startswith("GET /v2/trackers/trk_"), "by its own id from now on"
    assert len(physical(town)) == 3
    assert {r.via for r in scans(town)} == {"poll"}


def test_asked_and_told_is_one_event(town: Town, vendor: Vendor, poller: Poller, url: str) -> None:
    labelled(town)
    about = tracker(NUMBER, *history(town))
    vendor.holds(about)
    poller.poll_due()
    before = scans(town)
    vendor.deliver(url, event("evt_1", about))
    assert scans(town) == before


@pytest.mark.parametrize("mode", ["500", "slow", "429"])
def test_a_vendor_that_is_away_is_left_alone_longer_and_longer(
    town: Town, vendor: Vendor, poller: Poller, mode: str
) -> None:
    labelled(town)
    labelled(town, "T-2", NUMBER[:-1] + "3")
    vendor.holds(tracker(NUMBER, *history(town)))
    vendor.holds(tracker(NUMBER[:-1] + "3"))
    vendor.mode = mode
    assert poller.poll_due() == 0
    assert not vendor.heard_out, "a dripping answer holds nobody up"
    assert len(vendor.asked) == 1, "the second number is not asked: the vendor is away, not the number"
    assert poller.poll_due() == 0
    assert len(vendor.asked) == 1
    town.wait(seconds=PAUSE_FIRST.total_seconds() + 1)
    poller.poll_due()
    assert len(vendor.asked) == 2
    vendor.mode = "ok"
    town.wait(seconds=2 * PAUSE_FIRST.total_seconds() + 1)
    poller.poll_due()
    assert len(physical(town)) == 3, "and nothing is lost"
    assert row(town).error is None


def test_retry_after_is_heeded_and_bounded(town: Town, vendor: Vendor, poller: Poller) -> None:
    labelled(town)
    vendor.mode, vendor.retry_after = "429", "7200"
    poller.poll_due()
    town.wait(minutes=119)
    poller.poll_due()
    assert len(vendor.asked) == 1
    vendor.retry_after = "99999999"
    town.wait(minutes=2)
    poller.poll_due()
    assert row(town).next_poll_at <= town.now + PAUSE_MAX


@pytest.mark.parametrize("mode", ["404", "nonsense", "huge"])
def test_an_answer_that_leads_nowhere_holds_up_no_other_number(
    town: Town, vendor: Vendor, poller: Poller, mode: str
) -> None:
    labelled(town)
    labelled(town, "T-2", NUMBER[:-1] + "3")
    for number in (NUMBER, NUMBER[:-1] + "3"):
        vendor.holds(tracker(number))
    vendor.mode = mode
    poller.poll_due()
    assert len(vendor.asked) == 2
    assert row(town).tries == 1
    assert scans(town) == []


def test_a_number_that_never_has_an_answer_is_given_up(town: Town, poller: Poller) -> None:
    labelled(town)
    with town.engine.begin() as tx:
        tx.execute(text("update trackers set tries = :n"), {"n": TRIES_MAX - 1})
    poller.poll_due()
    assert row(town).ended_at == town.now


def test_delivered_is_asked_no_more_and_what_comes_later_is_taken(
    town: Town, vendor: Vendor, poller: Poller, url: str
) -> None:
    labelled(town)
    door = detail(town.now - timedelta(hours=1), "delivered", "arrived_at_destination", "door")
    vendor.holds(tracker(NUMBER, *history(town), door))
    poller.poll_due()
    assert row(town).ended_at == town.now
    back = detail(town.now - timedelta(minutes=1), "return_to_sender", "departed_facility", "hub")
    assert vendor.deliver(url, event("evt_9", tracker(NUMBER, *history(town), door, back))).json()["events"] == 1


def test_a_carrier_that_shows_nothing_says_so_once_a_day(town: Town, vendor: Vendor, poller: Poller) -> None:
    """Said to be dispatched, and the carrier, asked after its pickup, has no record: that is another source."""
    labelled(town)
    vendor.holds(tracker(NUMBER))
    for _ in range(4):
        poller.poll_due()
        town.wait(hours=6)
    told = scans(town)
    assert 1 <= len(told) <= 2
    assert {(r.payload["found"], r.payload["physical"]) for r in told} == {(False, False)}


def test_old_labels_are_asked_less_and_then_no_more(town: Town, vendor: Vendor, poller: Poller) -> None:
    assert [pause(timedelta(days=d)).total_seconds() / 3600 for d in (0, 2, 4, 20)] == [2, 2, 6, 24]
    labelled(town)
    town.wait(days=61)
    assert poller.poll_due() == 0
    assert vendor.asked == []
    assert row(town).ended_at == town.now


def test_a_process_that_died_while_asking_asks_again_later(town: Town, vendor: Vendor, poller: Poller) -> None:
    from server.store import trackers

    labelled(town)
    with town.engine.begin() as tx:
        assert trackers.take_due(tx, town.now, town.now + HELD_FOR) is not None
    assert poller.poll_due() == 0, "somebody has it in hand"
    town.wait(seconds=HELD_FOR.total_seconds() + 1)
    vendor.holds(tracker(NUMBER, *history(town)))
    assert poller.poll_due() == 1


def test_a_round_is_bounded_and_without_a_key_nobody_is_asked(town: Town, vendor: Vendor, poller: Poller) -> None:
    for count in range(3):
        labelled(town, f"T-{count}", NUMBER[:-1] + str(count))
        vendor.holds(tracker(NUMBER[:-1] + str(count)))
    assert poller.poll_due(limit=2) == 2
    silent = Poller(town.engine, EasyPost(vendor.url, None, "x"), town.house.clock)
    assert silent.poll_due() == 0
    assert len(vendor.asked) == 2
    wrong = Poller(town.engine, EasyPost(vendor.url, KEY + "x", "x"), town.house.clock)
    assert wrong.poll_due() == 0
    assert row(town, NUMBER[:-1] + "2").error == "answered 401"


def test_an_old_parcel_that_was_delivered_under_our_number_ends_nothing(
    town: Town, vendor: Vendor, poller: Poller
) -> None:
    labelled(town)
    spring = town.now - timedelta(days=200)
    vendor.holds(tracker(NUMBER, detail(spring, "delivered", "arrived_at_destination", "west")))
    poller.poll_due()
    assert (row(town).ended_at, row(town).vendor_id) == (None, None)
    town.wait(hours=3)
    vendor.holds(tracker(NUMBER, *history(town)))
    poller.poll_due()
    assert vendor.asked == ["POST /v2/trackers"] * 2, "an old parcel's tracker is never told of the new one"
    assert len(physical(town)) == 4


def test_a_number_that_was_only_told_proves_nothing(town: Town, vendor: Vendor, poller: Poller, url: str) -> None:
    """An agent gives the customer a number of somebody else's parcel, which is moving."""
    who = town.staff()
    who.post("/orders", order("T-1"))
    given = said("told", "number_given", town.now - timedelta(hours=48), "staff", payload={"number": NUMBER})
    useless = said("useless", "number_given", town.now, "staff", payload={"number": "T-1"})
    who.post("/orders/T-1/statements", {"statements": [given, useless]})
    vendor.holds(tracker(NUMBER, *history(town)))
    assert poller.poll_due() == 1
    assert len(vendor.asked) == 1, "no carrier writes T-1"
    assert len(scans(town)) == 4
    assert physical(town) == []
    assert who.get("/orders/T-1")["shown"]["slots"][0]["evidenced"] is None
    label = said("label", "label_printed", town.now, payload={"carrier": "USPS", "number": NUMBER})
    who.post("/orders/T-1/statements", {"statements": [label]})
    poller.poll_due()
    assert len(physical(town)) == 3, "labelled, they are facts about our number, for the rules to date"
