"""Gateways and sites over HTTP: enrolling with a one-time token, health in a word, revoking."""

from __future__ import annotations

import secrets
from datetime import timedelta
from typing import Any

from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey

from server.rules.authority import Role
from server.store import gateway_states
from tests.server.web.town import HAMBURG, HOME, Town
from wire.batch import Clock, GatewayClass
from wire.enrolment import EnrolRequest, decode_enrol_reply, decode_token, encode_request
from wire.signing import Domain, public_key, sign, verify
from wire.state import GatewayState

SITE = {"site": "dock", "name": "Dock", "zone": "Europe/Berlin", "lat": 53.55, "lon": 9.993}


def enrol(town: Town, token: str, key: Ed25519PrivateKey) -> Any:
    told = decode_token(token)
    request = EnrolRequest(told.gateway, told.secret, key.public_key().public_bytes_raw())
    payload = sign(key, Domain.ENROL_REQUEST, encode_request(request))
    answer = town.client.post(
        "/api/v1/gateways/enrol", content=payload, headers={"content-type": "application/octet-stream"}
    )
    if answer.status_code != 200:
        return answer.json()["error"]["code"]
    return decode_enrol_reply(verify(public_key(told.server_public_key), Domain.ENROL_REPLY, answer.content))


def test_a_gateway_enrols_once(town: Town) -> None:
    operator = town.staff(Role.OPERATOR)
    operator.post("/sites", SITE)
    operator.post("/sites", SITE)
    assert [site["id"] for site in operator.get("/sites")] == ["dock"]
    made = operator.post("/gateways", {"gateway": "dock-1", "gateway_class": "own_site", "site": "dock"})
    assert operator.get("/gateways/dock-1")["word"] == "not_enrolled"
    key = Ed25519PrivateKey.generate()
    reply = enrol(town, made["token"], key)
    assert reply.gateway == "dock-1"
    assert reply.mqtt_password
    assert enrol(town, made["token"], Ed25519PrivateKey.generate()) == "enrolment_refused"
    health = operator.get("/gateways/dock-1")
    assert (health["word"], health["site"]) == ("offline", "dock")
    assert abs(health["stands"]["lat"] - 53.55) < 1e-6
    operator.post("/gateways/dock-1/revoke")
    assert operator.get("/gateways/dock-1")["word"] == "revoked"
    again = operator.post("/gateways/dock-1/token")
    assert enrol(town, again["token"], key).gateway == "dock-1"
    actions = [each["action"] for each in operator.get("/audit?subject=gateway:dock-1")]
    assert actions[0] == "gateway_enrolled"
    assert "gateway_revoked" in actions


def test_nonsense_is_refused_with_one_answer(town: Town) -> None:
    for payload in (b"", b"x", secrets.token_bytes(200)):
        answer = town.client.post("/api/v1/gateways/enrol", content=payload)
        assert answer.status_code == 403
        assert answer.json()["error"]["code"] == "enrolment_refused"


def test_bad_gateways_and_sites(town: Town) -> None:
    operator = town.staff(Role.OPERATOR)
    operator.post("/sites", SITE)
    for body, status, code in (
        ({"gateway": "Bad Name", "gateway_class": "crowd", "owner": "x"}, 422, "gateway_name"),
        ({"gateway": "g-1", "gateway_class": "crowd"}, 422, "owner_needed"),
        ({"gateway": "g-1", "gateway_class": "own_site"}, 422, "site_needed"),
        ({"gateway": "g-1", "gateway_class": "own_site", "site": "moon"}, 404, "site_unknown"),
        ({"gateway": "g-1", "gateway_class": "spaceship"}, 422, "bad_request"),
    ):
        operator.refused("POST", "/gateways", status, code, json=body)
    operator.refused("POST", "/sites", 409, "site_exists", json=SITE | {"name": "Other"})
    bad = {"pickups": [{"weekday": 9, "at": "17:00"}]}
    operator.refused("POST", "/sites", 422, "site_invalid", json=SITE | {"site": "d2", "calendar": bad})
    operator.refused("GET", "/gateways/no-such", 404, "gateway_unknown")


def state(town: Town, gateway: str, **more: Any) -> None:
    usual: dict[str, Any] = {"scanner": "scanning", "last_advert_age_s": 2.0, "clock": Clock.GOOD}
    told = GatewayState(gateway, True, int(town.now_s * 1000), **usual | more)
    with town.house.work() as (tx, now):
        gateway_states.put(tx, told, now)


def test_connected_is_not_hearing(town: Town) -> None:
    who = town.staff()
    town.site()
    town.gateway("dock-1", GatewayClass.OWN_SITE, "dock", HAMBURG)

    def word() -> str:
        return str(who.get("/gateways/dock-1")["word"])

    assert word() == "offline"
    state(town, "dock-1", restarts={"silence": 2}, dropped={"window_full": 7}, queued_batches=3)
    assert word() == "hearing"
    health = who.get("/gateways/dock-1")
    assert health["restarts"] == {"silence": 2}
    assert health["dropped"] == {"window_full": 7}
    assert health["queued_batches"] == 3
    assert health["clock"] == "good"
    state(town, "dock-1", last_advert_age_s=3600.0)
    assert word() == "deaf"
    state(town, "dock-1", last_advert_age_s=3.2e9)
    assert word() == "deaf"
    state(town, "dock-1", last_advert_age_s=None)
    assert word() == "deaf"
    state(town, "dock-1", scanner="stopped")
    assert word() == "scanning_stopped"
    town.wait(minutes=2)
    assert word() == "offline"
    assert len(who.get("/gateways")) == 1


def test_where_a_passer_by_stands_is_told_to_nobody(town: Town) -> None:
    operator = town.staff(Role.OPERATOR)
    town.gateway("neighbour", GatewayClass.CROWD, place=HOME)
    assert operator.get("/gateways/neighbour")["stands"] is None


def test_find_reads_in_every_way(town: Town) -> None:
    from tests.server.web.test_orders import state as say
    from tests.server.web.town import order, said

    who, tag = town.staff(), town.tag()
    town.site()
    town.gateway("dock-1", GatewayClass.OWN_SITE, "dock", HAMBURG)
    who.post("/orders", order("T-1"))
    then = town.now - timedelta(days=1)
    say(
        who,
        "T-1",
        said("b", "serial_bound", then, slot=1, payload={"serial": tag.serial}),
        said("l", "label_printed", then, slot=1, payload={"carrier": "UPS", "number": "1Z999AA10123456784"}),
    )
    town.hear("dock-1", tag.serial, HAMBURG, [then])

    def kinds(typed: object) -> list[str]:
        found = who.get("/find", params={"q": typed})
        return [reading["kind"] for reading in found["readings"]]

    assert kinds("T-1") == ["order"]
    assert kinds(f" {tag.serial} ") == ["serial"]
    assert kinds(tag.found_code.lower()) == ["found_code"]
    assert kinds(f"https://tags.test/f/{tag.found_code}") == ["found_code"]
    assert kinds("Ann@Example.com") == ["email"]
    assert kinds("1z 999 aa1 0123 4567 84") == ["tracking"]
    assert kinds("dock-1") == ["gateway"]
    found = who.get("/find", params={"q": str(tag.serial)})
    [reading] = found["readings"]
    assert reading["read_as"] == "a tag's number"
    assert reading["tag"]["at_our_sites"][0]["gateway"] == "dock-1"
    assert [row["number"] for row in reading["orders"]] == ["T-1"]
    assert "order" in [each["kind"] for each in found["other_readings"]]
    nothing = who.get("/find", params={"q": "no such thing"})
    assert nothing["readings"] == []
    assert nothing["advice"]
    assert len(who.get("/support/orders")) == 1


def test_a_claim_code_is_not_looked_up(town: Town) -> None:
    who, tag = town.staff(), town.tag()
    lead = town.staff(Role.LEAD)
    for typed in (tag.code, f"https://tags.test/c/#{tag.code}", f"#{tag.code}"):
        found = who.get("/find", params={"q": typed})
        assert found["readings"] == []
        assert tag.code not in str(found)
        assert "claim code" in found["advice"]
    assert tag.code not in str(lead.get("/audit", params={"subject": "find:(a claim code)"}))
    assert town.tag().code not in str(lead.get("/audit", params={"subject": f"find:{tag.code}"}))
