"""Staff who would like an order to look better than it is: no word of theirs becomes a carrier's evidence."""

from __future__ import annotations

from datetime import timedelta
from typing import Any

import pytest

from server.rules.authority import Role
from tests.server.web.test_orders import all_is_well, state
from tests.server.web.town import Somebody, Town, order, said

LABEL = {"carrier": "DHL", "number": "3318810025"}
SCAN = {**LABEL, "status": "delivered", "physical": True}


def ordered(town: Town) -> Somebody:
    who = town.staff()
    who.post("/orders", order("T-1"))
    state(who, "T-1", said("label", "label_printed", town.now - timedelta(hours=9), payload=LABEL))
    return who


@pytest.mark.parametrize("source", ["shop", "warehouse", "staff", "customer"])
def test_a_carriers_event_has_no_other_source(town: Town, source: str) -> None:
    agent, operator = ordered(town), town.staff(Role.OPERATOR)
    body = {"statements": [said("s", "carrier_scan", town.now, source, payload=SCAN)]}
    for who in (agent, operator):
        error = who.refused("POST", "/orders/T-1/statements", 422, "payload_bad_value", json=body)
        assert "carrier" in error["message"]
    assert agent.get("/orders/T-1")["shown"]["slots"][0]["evidenced"] is None


def test_what_a_carrier_said_is_not_staffs_to_take_away(town: Town) -> None:
    all_is_well(town)
    agent = town.staff(Role.SUPERVISOR)
    town.wait(minutes=5)
    no_scan: dict[str, Any] = said("oops", "note", town.now, "staff", corrects="c3", correction="did_not_occur")
    error = agent.refused("POST", "/orders/G-1/statements", 403, "source_not_yours", json={"statements": [no_scan]})
    assert "carrier" in error["message"]
    rows = [row for row in agent.get("/orders/G-1")["timeline"] if row["source"] == "carrier"]
    assert [row["corrected"] for row in rows] == [False, False, False]


def test_who_recorded_a_statement_is_written_down_whatever_name_it_bears(town: Town) -> None:
    agent = ordered(town)
    lead = town.staff(Role.LEAD)
    state(agent, "T-1", said("packed", "packed", town.now, by="Somebody else"))
    state(agent, "T-1", said("packed", "packed", town.now, by="Somebody else"))  # again: nothing new is recorded
    written = [entry for entry in lead.get("/audit?subject=order:T-1") if entry["action"] != "viewed"]
    assert [(entry["action"], entry["actor"]) for entry in written] == [
        ("stated", agent.email),
        ("stated", agent.email),
        ("recorded", agent.email),
    ]


@pytest.mark.parametrize("key", ["remedy:1:refunded", "scan:0123", "mail:0123", "message:m-1:letter"])
def test_nobody_takes_the_key_under_which_the_server_will_record(town: Town, key: str) -> None:
    who = town.staff(Role.AGENT)
    who.post("/orders", order("T-1"))
    said_first = said(key, "note", town.now, "staff", payload={"text": "x"})
    who.refused("POST", "/orders/T-1/statements", 422, "bad_request", json={"statements": [said_first]})
