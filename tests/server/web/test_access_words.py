"""Who may call what, where the role alone does not say it: what is told, in whose name, and from which machine."""

from __future__ import annotations

import pytest
from fastapi.testclient import TestClient

from server.rules.authority import Role
from tests.server.web.test_access import STAFF
from tests.server.web.town import Town, order, said


def test_an_agent_calling_an_owners_route(town: Town) -> None:
    error = town.staff().refused("GET", "/tags", 403, "not_yours")
    assert "agent" in error["message"]
    assert "owner" in error["do"]


@pytest.mark.parametrize("role", sorted(STAFF))
def test_staff_say_nothing_in_the_name_of_carriers(town: Town, role: str) -> None:
    operator, who = town.staff(Role.OPERATOR), town.staff(Role(role))
    operator.post("/orders", order("T-1"))
    scan = {"carrier": "DHL", "number": "1234567890", "status": "in_transit", "physical": True}
    body = {"statements": [said("k", "carrier_scan", town.now, "carrier", payload=scan)]}
    answer = who.call("POST", "/orders/T-1/statements", json=body)
    assert answer.status_code == (201 if role == "operator" else 403), answer.text


def test_metrics_are_for_this_machine(town: Town) -> None:
    client = TestClient(town.client.app, client=("127.0.0.1", 50_000))
    assert client.get("/metrics").status_code == 200
    assert client.get("/metrics", headers={"x-forwarded-for": "10.0.0.1"}).status_code == 401
    assert town.nobody().call("GET", "/metrics").status_code == 401
