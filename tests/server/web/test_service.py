"""Our service in figures over HTTP: counted in the background once an hour at most, read by anybody, without names."""

from __future__ import annotations

from datetime import timedelta

from server.sweep.measures import sweep_service_record
from server.sweep.orders import sweep_orders
from tests.server.web.town import Town, order, said


def sweep(town: Town) -> int:
    sweep_orders(town.engine, town.house.policy, lambda: town.now, 500)
    return sweep_service_record(town.engine, town.now)


def story(town: Town, number: str) -> None:
    """A promise that is broken, a message nine hours later, and an answer after three hours more."""
    who, now = town.staff(), town.now
    who.post("/orders", order(number))
    due = now - timedelta(hours=20)
    promise = said("p", "promise", due - timedelta(days=2), "staff", payload={"what": "ship", "due": due.isoformat()})
    asked = said("a", "contact", due + timedelta(hours=9), "customer", payload={"inbound": True, "channel": "mail"})
    answer = said("b", "contact", due + timedelta(hours=12), "staff", payload={"inbound": False, "channel": "mail"})
    who.post(f"/orders/{number}/statements", {"statements": [promise, asked, answer]})


def test_nothing_counted_yet(town: Town) -> None:
    answer = town.nobody().get("/service")
    assert answer["as_of"] is None
    assert [each["days"] for each in answer["periods"]] == [30, 90]
    assert "Nothing was counted yet" in town.client.get("/service").text


def test_figures_of_twenty_orders_and_none_of_fewer(town: Town) -> None:
    for number in range(19):
        story(town, f"T-{number}")
    assert sweep(town) == 19
    few = town.nobody().get("/service")["periods"][0]
    assert {few[name]["value"] for name in ("promises_kept_percent", "reply_median_h", "lead_median_h")} == {None}
    assert "Not enough data" in town.client.get("/service").text
    story(town, "T-19")
    town.wait(minutes=59)
    assert sweep(town) == 0, "once an hour is enough"
    town.wait(minutes=1)
    assert sweep(town) == 20
    answer = town.nobody().get("/service")
    month = answer["periods"][0]
    assert (month["promises_kept_percent"]["value"], month["promises_kept_percent"]["count"]) == (0.0, 20)
    assert month["reply_median_h"]["value"] == 3.0
    # The oldest fault is the missed ship-by, days before the broken promise.
    assert month["lead_median_h"]["value"] > 24
    page = town.client.get("/service").text
    assert "3.0 h" in page
    assert "Ann" not in page
    assert "Bob" not in page


def test_what_was_corrected_does_not_count(town: Town) -> None:
    story(town, "T-1")
    who = town.staff()
    undo = said("u", "note", town.now, "staff", corrects="a", correction="did_not_occur")
    who.post("/orders/T-1/statements", {"statements": [undo]})
    assert sweep(town) == 1
    assert town.nobody().get("/service")["periods"][0]["reply_median_h"]["count"] == 0
