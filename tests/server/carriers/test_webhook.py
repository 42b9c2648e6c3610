"""EasyPost's webhook over real HTTP: who signed it, replays, disorder, recycled numbers, numbers that nobody knows."""

from __future__ import annotations

import json
import random
from datetime import datetime, timedelta
from typing import Any

import pytest
from sqlalchemy import text

from server.store import keys
from tests.server.carriers.vendor import Vendor, detail, event, signed, tracker
from tests.server.web.town import Somebody, Town, order, said

NUMBER = "9400110200881234567896"


def labelled(
    town: Town, number: str = "T-1", tracking: str = NUMBER, carrier: str = "USPS", ago_h: float = 48
) -> Somebody:
    """An order whose label was printed two days ago."""
    who = town.staff()
    who.post("/orders", order(number))
    at = town.now - timedelta(hours=48)
    label = said("label", "label_printed", at, slot=1, payload={"carrier": carrier, "number": tracking})
    who.post(f"/orders/{number}/statements", {"statements": [label]})
    return who


def history(town: Town) -> list[dict[str, Any]]:
    hour = timedelta(hours=1)
    return [
        detail(town.now - 47 * hour, "pre_transit", "label_created", "origin"),
        detail(town.now - 40 * hour, "in_transit", "received_at_origin_facility", "origin"),
        detail(town.now - 20 * hour, "in_transit", "departed_facility", "hub"),
        detail(town.now - 2 * hour, "out_for_delivery", "out_for_delivery", "door"),
    ]


def scans(town: Town, number: str = "T-1") -> list[Any]:
    with town.engine.begin() as tx:
        rows = tx.execute(
            text(
                "select earliest, latest, payload, source, via, by from statements "
                "where order_number = :n and kind = 'carrier_scan' order by latest, no"
            ),
            {"n": number},
        )
        return list(rows)


def physical(town: Town, number: str = "T-1") -> list[datetime]:
    return [row.latest for row in scans(town, number) if row.payload["physical"]]


def test_a_parcels_way_becomes_evidence(town: Town, vendor: Vendor, url: str) -> None:
    who = labelled(town)
    answer = vendor.deliver(url, event("evt_1", tracker(NUMBER, *history(town))))
    assert answer.status_code == 200, answer.text
    assert answer.json() == {"new": True, "orders": ["T-1"], "events": 4}
    told = scans(town)
    assert [row.payload["status"] for row in told] == ["pre_transit", "in_transit", "in_transit", "out_for_delivery"]
    assert [row.payload["physical"] for row in told] == [False, True, True, True]
    assert {(row.source, row.via, row.by) for row in told} == {("carrier", "webhook", "easypost")}
    assert all(row.earliest == row.latest for row in told)
    shown = who.get("/orders/T-1")["shown"]["slots"][0]
    assert shown["evidenced"] == "on_the_way"
    # Who signed at the door is a customer's neighbour, and no rule asks for the name.
    assert "RUTH" not in str(told)


def test_a_label_is_no_parcel_in_hand(town: Town, vendor: Vendor, url: str) -> None:
    who = labelled(town)
    vendor.deliver(url, event("evt_1", tracker(NUMBER, *history(town)[:1])))
    assert physical(town) == []
    assert who.get("/orders/T-1")["shown"]["slots"][0]["evidenced"] is None


@pytest.mark.parametrize("secret", ["another secret", "field-secret-of-the-webhook"])
def test_a_wrong_signature_changes_nothing(town: Town, vendor: Vendor, url: str, secret: str) -> None:
    labelled(town)
    raw = event("evt_1", tracker(NUMBER, *history(town)))
    for signature in (signed(raw, secret), signed(raw + b" "), "hmac-sha256-hex=", signed(raw)[16:], "é"):
        answer = vendor.deliver(url, raw, signature.encode())  # type: ignore[arg-type]  # bytes pass any letter
        assert (answer.status_code, answer.json()["error"]["code"]) == (401, "signature_invalid")
    assert scans(town) == []
    with town.engine.begin() as tx:
        assert tx.execute(text("select count(*) from webhook_inbox")).scalar_one() == 0


def test_without_a_secret_nobody_is_believed(town: Town, vendor: Vendor, url: str) -> None:
    from server.carriers.easypost import EasyPost

    town.house.parcel_carriers["easypost"] = EasyPost(vendor.url, "key", None)
    raw = event("evt_1", tracker(NUMBER))
    assert vendor.deliver(url, raw, signed(raw, "")).status_code == 401


def test_a_replay_is_one_event(town: Town, vendor: Vendor, url: str) -> None:
    labelled(town)
    raw = event("evt_1", tracker(NUMBER, *history(town)))
    vendor.deliver(url, raw)
    before = scans(town)
    town.wait(hours=30)
    assert vendor.deliver(url, raw).json() == {"new": False, "orders": [], "events": 0}
    # The same history under another event's id, too: what counts are the carrier's events.
    assert vendor.deliver(url, event("evt_2", tracker(NUMBER, *_again(before)))).json()["new"]
    assert scans(town) == before


def _again(rows: list[Any]) -> list[dict[str, Any]]:
    places = {"WORCESTER": "origin", "MEMPHIS": "hub", "GAINESVILLE": "door"}
    told = [(row.latest, row.payload["code"].partition("/"), row.payload["place"].split()[0]) for row in rows]
    return [detail(at, status, more, places[city]) for at, (status, _, more), city in told]


def test_in_any_order_it_comes_to_the_same(town: Town, vendor: Vendor, url: str) -> None:
    steps = history(town)
    for number, seed in (("T-1", 0), ("T-2", 7), ("T-3", 11)):
        tracking = NUMBER[:-1] + str(seed % 10)
        labelled(town, number, tracking)
        parts = [event(f"evt_{number}_{i}", tracker(tracking, *steps[: i + 1])) for i in range(len(steps))]
        if seed:
            random.Random(seed).shuffle(parts)
        for raw in parts:
            assert vendor.deliver(url, raw).status_code == 200
    bare = [[(r.latest, r.payload["code"], r.payload["place"]) for r in scans(town, n)] for n in ("T-1", "T-2", "T-3")]
    assert bare[0] == bare[1] == bare[2]
    assert len(bare[0]) == 4


def test_a_number_that_nobody_knows_waits_for_its_label(town: Town, vendor: Vendor, url: str) -> None:
    raw = event("evt_1", tracker(NUMBER, *history(town)))
    assert vendor.deliver(url, raw).json() == {"new": True, "orders": [], "events": 0}
    # Typed with spaces, as it stands on the label.
    labelled(town, tracking="9400 1102 0088 1234 5678 96")
    assert len(physical(town)) == 3
    with town.engine.begin() as tx:
        assert tx.execute(text("select count(*) from webhook_inbox where waiting is not null")).scalar_one() == 0


def test_another_carriers_parcel_of_the_same_number_is_not_ours(town: Town, vendor: Vendor, url: str) -> None:
    labelled(town, carrier="UPS")
    vendor.deliver(url, event("evt_1", tracker(NUMBER, *history(town))))
    assert scans(town) == []


def test_a_recycled_number_shows_its_old_parcel_and_proves_nothing(town: Town, vendor: Vendor, url: str) -> None:
    """The parcel before ours went to Washington State in spring; our label is two days old."""
    who = labelled(town)
    spring = town.now - timedelta(days=200)
    old = [
        detail(spring, "in_transit", "received_at_origin_facility", "origin"),
        detail(spring + timedelta(days=4), "delivered", "arrived_at_destination", "west"),
    ]
    vendor.deliver(url, event("evt_1", tracker(NUMBER, *old)))
    assert len(physical(town)) == 2, "never dropped"
    answer = who.get("/orders/T-1")
    assert answer["shown"]["slots"][0]["evidenced"] is None
    assert "R-06" in [f["rule"]["id"] for f in answer["findings"]]


def test_an_old_order_gets_nothing_of_the_new_parcel(town: Town, vendor: Vendor, url: str) -> None:
    who = labelled(town, "T-OLD")
    town.wait(days=300)
    who.post("/orders", order("T-NEW", placed_at=(town.now - timedelta(days=3)).isoformat()))
    label = said("label", "label_printed", town.now - timedelta(days=2), payload={"carrier": "USPS", "number": NUMBER})
    who.post("/orders/T-NEW/statements", {"statements": [label]})
    vendor.deliver(url, event("evt_1", tracker(NUMBER, *history(town))))
    assert scans(town, "T-OLD") == []
    assert len(physical(town, "T-NEW")) == 3


def test_a_code_that_no_table_knows_is_unknown_and_found(town: Town, vendor: Vendor, url: str) -> None:
    who = labelled(town)
    odd = detail(town.now - timedelta(hours=3), "in_transit", "beamed_up", "hub")
    vendor.deliver(url, event("evt_1", tracker(NUMBER, odd)))
    [row] = [row for row in scans(town) if row.payload["place"]]
    assert (row.payload["status"], row.payload["physical"], row.payload["mapped"]) == ("unknown", False, False)
    [found] = [f for f in who.get("/orders/T-1")["findings"] if f["rule"]["id"] == "R-36"]
    assert "in_transit/beamed_up" in found["why"]


def test_a_code_that_has_been_read_since_is_corrected_not_rewritten(
    town: Town, vendor: Vendor, url: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    from server.carriers import codes
    from server.rules.payloads import ShipmentStatus

    who = labelled(town)
    odd = detail(town.now - timedelta(hours=3), "in_transit", "beamed_up", "hub")
    vendor.deliver(url, event("evt_1", tracker(NUMBER, odd)))
    known = {**codes.CODES, ("in_transit", "beamed_up"): codes.Meaning(ShipmentStatus.IN_TRANSIT, physical=True)}
    monkeypatch.setattr(codes, "CODES", known)
    town.wait(hours=1)
    vendor.deliver(url, event("evt_2", tracker(NUMBER, odd)))
    assert "R-36" not in [f["rule"]["id"] for f in who.get("/orders/T-1")["findings"]]
    assert [row.payload["mapped"] for row in scans(town) if row.payload["place"]] == [False, True]


def test_a_time_without_a_place_is_a_clock_somewhere(town: Town, vendor: Vendor, url: str) -> None:
    labelled(town)
    vendor.deliver(
        url, event("evt_1", tracker(NUMBER, detail("2026-11-21T18:00:00Z", "in_transit", "departed_facility")))
    )
    [row] = scans(town)
    assert row.earliest == datetime.fromisoformat("2026-11-21T04:00:00Z")
    assert row.latest == datetime.fromisoformat("2026-11-22T06:00:00Z")


def test_the_body_is_kept_and_cannot_be_read_in_the_database(town: Town, vendor: Vendor, url: str) -> None:
    raw = event("evt_1", tracker(NUMBER, *history(town)))
    vendor.deliver(url, raw)
    with town.engine.begin() as tx:
        [body] = tx.execute(text("select body from webhook_inbox")).scalars()
    assert b"RUTH" not in body
    assert town.house.vault.open(keys.WEBHOOK_BODY.what(), body) == raw


def test_what_is_signed_and_no_event_is_refused_without_repeating_it(town: Town, vendor: Vendor, url: str) -> None:
    for raw in (b"", b"[]", b'{"id": 5}', event("", {}), event("evt", {"id": "trk", "tracking_code": "\x00Ruth"})):
        answer = vendor.deliver(url, raw)
        assert (answer.status_code, answer.json()["error"]["code"]) == (422, "webhook_unreadable"), raw
        assert "Ruth" not in answer.text


def test_events_about_other_things_are_kept_and_mean_nothing(town: Town, vendor: Vendor, url: str) -> None:
    raw = event("evt_1", {"id": "batch_1", "object": "Batch"}, "batch.updated")
    assert vendor.deliver(url, raw).json() == {"new": True, "orders": [], "events": 0}
    assert json.loads(raw)["description"] == "batch.updated"


def test_an_estimate_that_changes_is_news_although_nothing_was_scanned(town: Town, vendor: Vendor, url: str) -> None:
    labelled(town)
    steps = history(town)
    for count, day in enumerate(("2026-11-24", "2026-11-26")):
        about = tracker(NUMBER, *steps, est_delivery_date=f"{day}T00:00:00Z")
        about["updated_at"] = f"{town.now - timedelta(hours=2 - count):%Y-%m-%dT%H:%M:%SZ}"
        vendor.deliver(url, event(f"evt_{day}", about))
    etas = [row.payload["eta"] for row in scans(town) if row.payload["eta"]]
    assert [eta[:13] for eta in etas] == ["2026-11-24T10", "2026-11-26T10"], "the first midnight on earth after the day"


def test_a_label_stated_in_the_very_moment_of_its_webhook(town: Town, vendor: Vendor, url: str) -> None:
    """Neither transaction saw the other; the next round brings them together."""
    from server.service import tracking

    vendor.deliver(url, event("evt_1", tracker(NUMBER, *history(town))))
    with town.engine.begin() as tx:
        kept = tx.execute(text("select waiting from webhook_inbox")).scalar_one()
    labelled(town)
    with town.engine.begin() as tx:
        tx.execute(text("delete from statements where kind = 'carrier_scan'"))
        tx.execute(text("update webhook_inbox set waiting = cast(:w as jsonb)"), {"w": json.dumps(kept)})
    with town.house.work() as (tx, now):
        assert tracking.match_waiting(tx, now) == 1
        assert tracking.match_waiting(tx, now) == 0
    assert len(physical(town)) == 3
