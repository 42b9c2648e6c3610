"""Orders over HTTP: recorded once, judged from evidence, read alike by customer and support."""

from __future__ import annotations

from datetime import timedelta
from typing import Any

import pytest

from server.rules.authority import Role
from server.rules.tracking.decode import decode, words
from tests.server.web.town import HAMBURG, Somebody, Tag, Town, order, said
from wire.batch import GatewayClass, Place, PlaceSource


def state(who: Somebody, number: str, *statements: dict[str, Any]) -> list[dict[str, Any]]:
    recorded: list[dict[str, Any]] = who.post(f"/orders/{number}/statements", {"statements": list(statements)})
    return recorded


def hours(town: Town, *ago: float) -> list[Any]:
    return [town.now - timedelta(hours=each) for each in ago]


def test_recording_twice_is_once(town: Town) -> None:
    who = town.staff()
    assert who.post("/orders", order("T-1")) == {"number": "T-1", "new": True}
    town.wait(hours=1)
    assert who.post("/orders", order("T-1")) == {"number": "T-1", "new": False}
    error = who.refused("POST", "/orders", 409, "order_conflict", json=order("T-1", customer_name="Else"))
    assert error["reference"] == "T-1"


def test_a_statement_is_known_by_its_key(town: Town) -> None:
    who = town.staff()
    who.post("/orders", order("T-1"))
    packed = said("s-1", "packed", town.now)
    [first] = state(who, "T-1", packed)
    town.wait(minutes=1)
    [again] = state(who, "T-1", packed)
    assert (first["new"], again["new"], again["id"]) == (True, False, first["id"])
    other = {"statements": [said("s-1", "dispatched", town.now)]}
    who.refused("POST", "/orders/T-1/statements", 409, "statement_conflict", json=other)


def test_a_statement_about_an_unknown_order(town: Town) -> None:
    body = {"statements": [said("s-1", "packed", town.now)]}
    error = town.staff().refused("POST", "/orders/NO-SUCH/statements", 404, "order_unknown", json=body)
    assert error["reference"] == "NO-SUCH"
    assert "NO-SUCH" in error["message"]


def test_all_or_nothing(town: Town) -> None:
    who = town.staff()
    who.post("/orders", order("T-1"))
    good, bad = said("s-1", "packed", town.now), said("s-2", "label_printed", town.now, payload={"carrier": "DHL"})
    body = {"statements": [good, bad]}
    error = who.refused("POST", "/orders/T-1/statements", 422, "payload_missing_key", json=body)
    assert error["reference"] == "s-2"
    assert [row for row in who.get("/orders/T-1")["timeline"] if row["column"] == "said"] == []


def test_bad_statements_are_refused(town: Town) -> None:
    import json

    who = town.staff()
    who.post("/orders", order("T-1"))
    for wrong, status, code in BAD:
        body = json.dumps({"statements": [said("s-1", "packed", town.now) | wrong]})
        headers = {"content-type": "application/json"}
        who.refused("POST", "/orders/T-1/statements", status, code, content=body, headers=headers)
    assert who.get("/orders/T-1")["timeline"] == []


BAD: list[tuple[dict[str, Any], int, str]] = [
    ({"kind": "teleported"}, 422, "bad_request"),
    ({"said_at": "2026-11-22T12:00:00"}, 422, "bad_request"),
    ({"said_at": "2026-11-22T13:00:00+00:00"}, 422, "said_in_future"),
    ({"slot": 7}, 404, "slot_unknown"),
    ({"payload": {"text": 5}}, 422, "payload_bad_value"),
    ({"payload": {"colour": "red"}}, 422, "payload_unknown_key"),
    ({"corrects": "nothing", "correction": "did_not_occur"}, 404, "statement_unknown"),
    ({"by": "a\x00b"}, 422, "bad_request"),
    ({"by": "\ud800"}, 422, "bad_request"),
    ({"zone": "Mars/Olympus"}, 422, "bad_request"),
    ({"surprise": 1}, 422, "bad_request"),
]


def test_dispatched_by_staff_alone_is_never_shown_as_shipped(town: Town) -> None:
    """No input of staff makes a customer read "shipped"."""
    who, tag = town.staff(), town.tag()
    town.site()
    who.post("/orders", order("T-1", site="dock"))
    then = town.now - timedelta(days=6)
    state(
        who,
        "T-1",
        said("bound", "serial_bound", then, slot=1, payload={"serial": tag.serial}),
        said("packed", "packed", then, slot=1),
        said("label", "label_printed", then, slot=1, payload={"carrier": "DHL", "number": "3318810025"}),
        said("gone", "dispatched", then, "staff", slot=1),
        said("there", "delivered", then + timedelta(days=2), "staff", slot=1),
    )
    answer = who.get("/orders/T-1")
    [slot] = answer["shown"]["slots"]
    assert slot["stated"] == "delivered"
    assert slot["shown"] not in ("left", "accepted", "on_the_way", "delivered")
    customer = town.owner().get("/orders/T-1/customer")
    assert customer["shown"] == answer["shown"]
    assert customer["as_of"] == answer["as_of"]


@pytest.mark.parametrize("typed", ["T-1", "t-1", " t-1 ", "#T-1"])
def test_an_order_is_found_as_people_type_its_number(town: Town, typed: str) -> None:
    who = town.staff()
    who.post("/orders", order("T-1"))
    found = who.get("/find", params={"q": typed})["readings"][0]
    assert [each["number"] for each in found["orders"]] == ["T-1"]
    asked = {"number": typed, "email": "ann@example.com"}
    opened = town.client.post("/o", data=asked, follow_redirects=False)
    assert opened.headers["location"].startswith("/o/T-1?link=")


def refuted(town: Town) -> tuple[Somebody, Tag]:
    """An order whose tag our own receivers hear for days after "dispatched"."""
    who, tag = town.staff(), town.tag()
    town.site()
    town.gateway("dock-1", GatewayClass.OWN_SITE, "dock", HAMBURG)
    who.post("/orders", order("T-1", site="dock"))
    then = town.now - timedelta(days=8)
    state(
        who,
        "T-1",
        said("bound", "serial_bound", then, slot=1, payload={"serial": tag.serial}),
        said("packed", "packed", then + timedelta(minutes=5), slot=1),
        said("gone", "dispatched", then + timedelta(minutes=10), "staff", slot=1, by="agent Olivia"),
    )
    town.hear("dock-1", tag.serial, HAMBURG, [then + timedelta(hours=n) for n in range(0, 190, 2)])
    return who, tag


def test_dispatched_is_refuted_by_our_own_receivers(town: Town) -> None:
    who, _ = refuted(town)
    answer = who.get("/orders/T-1")
    [gone] = [v for v in answer["verdicts"] if v["kind"] == "dispatched"]
    assert gone["verdict"] == "refuted"
    assert any("dock-1" in reason["text"] for reason in gone["evidence"])
    assert "R-17" in [f["rule"]["id"] for f in answer["findings"]]
    lines = who.get("/orders/T-1/why")["lines"]
    assert any("refuted" in line for line in lines)
    [row] = who.get("/find?q=T-1")["readings"][0]["orders"]
    assert row["system_says"] == "left"
    assert row["evidence_says"] == "packed"
    assert any(finding.startswith("R-17") for finding in row["findings"])


def test_customer_and_support_read_the_same(town: Town) -> None:
    who, _ = refuted(town)
    staff, customer = who.get("/orders/T-1"), town.owner().get("/orders/T-1/customer")
    assert customer["shown"] == staff["shown"]
    assert customer["as_of"] == staff["as_of"]
    assert "Olivia" in str(staff)
    assert "Olivia" not in str(customer)


def test_a_customers_link(town: Town) -> None:
    refuted(town)
    nobody = town.nobody()
    wrong = {"json": {"email": "ben@example.com"}}
    first = nobody.refused("POST", "/orders/T-1/view", 404, "view_refused", **wrong)
    other = nobody.refused("POST", "/orders/NO-SUCH/view", 404, "view_refused", **wrong)
    assert first == other  # nobody learns which orders there are
    link = nobody.post("/orders/T-1/view", {"email": "Ann@Example.com"})
    shown: dict[str, Any] = {"headers": {"x-order-link": link["token"]}}
    assert nobody.get("/orders/T-1/customer", **shown)["number"] == "T-1"
    assert nobody.get(f"/orders/T-1/customer?link={link['token']}")["number"] == "T-1"
    nobody.refused("GET", "/orders/T-2/customer", 401, "view_ended", **shown)
    nobody.refused("GET", "/orders/T-1", 401, "sign_in_needed", **shown)
    town.wait(days=30)
    nobody.refused("GET", "/orders/T-1/customer", 401, "view_ended", **shown)


def test_a_customer_reads_only_their_own_order(town: Town) -> None:
    refuted(town)
    town.owner("ben@example.com").refused("GET", "/orders/T-1/customer", 404, "order_unknown")


def all_is_well(town: Town) -> tuple[Somebody, Somebody, Tag]:
    """Packed at the bench, heard leaving, scanned, on the way, delivered, claimed and activated."""
    operator, ann, tag = town.staff(Role.OPERATOR), town.owner(), town.tag()
    town.site()
    town.gateway("dock-1", GatewayClass.OWN_SITE, "dock", HAMBURG)
    town.gateway("van-1", GatewayClass.VEHICLE)
    town.gateway("street-gw", GatewayClass.CROWD)
    home = Place(481_200_000, 116_500_000, 25, PlaceSource.FIXED)
    ship_to = {"country": "DE", "postcode": "80331", "place": {"lat": 48.12, "lon": 11.65, "accuracy_m": 50}}
    operator.post("/orders", order("G-1", site="dock", ship_to=ship_to))
    bench = town.now - timedelta(days=4)
    left, there = bench + timedelta(hours=5), bench + timedelta(days=2)
    town.hear("dock-1", tag.serial, HAMBURG, [bench + timedelta(minutes=n) for n in range(-180, 300, 10)])
    road = [left + timedelta(hours=n) for n in range(1, 30)]
    for n, moment in enumerate(road):
        place = Place(535_500_000 - n * 1_800_000, 99_930_000 + n * 550_000, 30, PlaceSource.GNSS)
        town.hear("van-1", tag.serial, place, [moment])
    town.hear("street-gw", tag.serial, home, [there + timedelta(minutes=n) for n in range(0, 2000, 30)])
    label = {"carrier": "DHL", "number": "3318810025", "service": "express"}
    scan = {"carrier": "DHL", "number": "3318810025", "physical": True}
    state(
        operator,
        "G-1",
        said("bound", "serial_bound", bench, slot=1, payload={"serial": tag.serial}),
        said("packed", "packed", bench + timedelta(minutes=5), slot=1),
        said("label", "label_printed", bench + timedelta(minutes=6), slot=1, payload=label),
        said("gone", "dispatched", bench + timedelta(hours=4), "staff", slot=1),
        said("c1", "carrier_scan", left, "carrier", payload=scan | {"status": "in_transit"}),
        said("c2", "carrier_scan", left + timedelta(hours=20), "carrier", payload=scan | {"status": "in_transit"}),
        said("c3", "carrier_scan", there, "carrier", payload=scan | {"status": "delivered"}),
    )
    town.claim(ann, tag)
    return operator, ann, tag


def test_every_physical_step_can_be_read_as_proved(town: Town) -> None:
    operator, _, tag = all_is_well(town)
    answer = operator.get("/orders/G-1")
    physical = {step["step"]: step["verdict"] for step in answer["steps"] if step["physical"]}
    way = ["packed", "left", "accepted", "on_the_way", "delivered", "activated"]
    assert {step: physical[step] for step in way} == dict.fromkeys(way, "proved")
    assert answer["findings"] == []
    [rung] = answer["activations"]
    assert (rung["verdict"], rung["serial"]) == ("proved", tag.serial)
    assert [row[0] for row in answer["activation_ladder"]] == ["proved", "supported", "stated", "unknown"]
    [number] = answer["tracking"]
    assert number["words"] == "the carrier's number"
    assert number["read_as"] == words(decode(number["number"]))


def test_the_ladder_of_activation(town: Town) -> None:
    who, tag = refuted(town)
    ann = town.owner()

    def rung() -> str:
        return str(who.get("/orders/T-1")["activations"][0]["verdict"])

    assert rung() == "unknown"
    ann.post("/claims", {"code": tag.code})
    assert rung() == "stated"
    town.wait(hours=1)
    town.hear("dock-1", tag.serial, HAMBURG, [town.now])
    town.wait(minutes=1)
    assert rung() == "supported"
    town.claim(ann, tag)
    assert rung() == "proved"


def test_a_correction_is_a_new_row(town: Town) -> None:
    who, _ = refuted(town)
    town.wait(minutes=5)
    state(who, "T-1", said("oops", "dispatched", town.now, "staff", corrects="gone", correction="did_not_occur"))
    answer = who.get("/orders/T-1")
    rows = [row for row in answer["timeline"] if row["column"] == "said" and "dispatched" in row["text"]]
    assert [row["corrected"] for row in rows] == [True, False]
    assert [v for v in answer["verdicts"] if v["kind"] == "dispatched"] == []


def test_replayed_statements_are_marked(town: Town) -> None:
    who = town.staff()
    who.post("/orders", order("T-1"))
    state(who, "T-1", said("s-1", "packed", town.now, via="replay"))
    answer = who.get("/orders/T-1")
    assert answer["replayed"] is True
    assert [row["replay"] for row in answer["timeline"]] == [True]


def test_personalisation_stays_encrypted(town: Town) -> None:
    from sqlalchemy import select

    from server.store.tables import slots

    who = town.staff()
    lines = [{"sku": "TAG", "title": "Tag", "slots": [{"personalisation": "REX 0171 2345"}, {}]}]
    who.post("/orders", order("T-1", lines=lines))
    answer = who.get("/orders/T-1")
    assert [slot["personalised"] for slot in answer["order"]["slots"]] == [True, False]
    assert "REX" not in str(answer)
    with town.house.work() as (tx, _):
        kept = tx.execute(select(slots.c.personalisation)).scalars().all()
    assert all(b"REX" not in (each or b"") for each in kept)


def test_every_view_of_staff_is_written_down(town: Town) -> None:
    who, tag = refuted(town)
    lead = town.staff(Role.LEAD)
    who.get("/orders/T-1")
    who.get(f"/support/tags/{tag.serial}")
    who.get("/find?q=ann@example.com")
    assert [e["actor"] for e in lead.get("/audit?subject=order:T-1") if e["action"] == "viewed"] == [who.email]
    assert [e["actor"] for e in lead.get(f"/audit?subject=tag:{tag.serial}")] == [who.email]
    assert [e["actor"] for e in lead.get("/audit?subject=find:ann@example.com")] == [who.email]
