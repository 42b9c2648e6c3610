"""The owner's answers over HTTP: where, since when, how sure, and why not; losing, finding, handing over."""

from __future__ import annotations

from datetime import datetime, timedelta
from typing import Any

from server.service import heard
from tests.server.web.town import HOME, Somebody, Tag, Town
from wire.batch import GatewayClass, Place, PlaceSource

FAR_AWAY = Place(407_128_000, -740_060_000, 25, PlaceSource.FIXED)


def owned(town: Town) -> tuple[Somebody, Tag]:
    ann, tag = town.owner(), town.tag()
    town.gateway("home-gw", GatewayClass.CROWD, place=HOME)
    town.claim(ann, tag)
    return ann, tag


def moments(town: Town, count: int, step_min: int = 5) -> list[datetime]:
    start = town.now + timedelta(minutes=1)
    town.wait(minutes=1 + count * step_min)
    return [start + timedelta(minutes=n * step_min) for n in range(count)]


def test_where_and_since_when(town: Town) -> None:
    ann, tag = owned(town)
    times = moments(town, 12)
    town.hear("home-gw", tag.serial, HOME, times)
    answer = ann.get(f"/tags/{tag.serial}")
    assert answer["age"] == "fresh"
    last = answer["last"]
    assert abs(last["lat"] - HOME.lat_e7 / 1e7) < 1e-5
    assert last["accuracy_m"] >= HOME.accuracy_m
    assert last["accuracy"].startswith("within ")
    assert datetime.fromisoformat(last["heard_at"]) == times[-1]
    assert datetime.fromisoformat(last["reached_us_at"]) == times[-1] + timedelta(seconds=20)
    assert datetime.fromisoformat(answer["here_since"]) == times[0]
    assert answer["battery"] == "medium"
    assert answer["managed"] is True
    assert "server can read" in answer["managed_note"]
    town.wait(minutes=20)
    assert ann.get(f"/tags/{tag.serial}")["age"] == "aging"
    town.wait(days=1)
    assert ann.get(f"/tags/{tag.serial}")["age"] == "old"


def test_since_when_on_the_day_of_the_claim(town: Town) -> None:
    """The same receiver heard it before the claim: what it heard since then must not shrink to the last moment."""
    ann, tag = town.owner(), town.tag()
    town.gateway("home-gw", GatewayClass.CROWD, place=HOME)
    town.hear("home-gw", tag.serial, HOME, moments(town, 6))
    town.claim(ann, tag)
    times = moments(town, 6)
    town.hear("home-gw", tag.serial, HOME, times)
    assert datetime.fromisoformat(ann.get(f"/tags/{tag.serial}")["here_since"]) == times[0]
    [listed] = ann.get("/tags")
    assert datetime.fromisoformat(listed["here_since"]) == times[0]


def test_since_when_after_a_walk(town: Town) -> None:
    """Home, out, and home again on one day: it is here since it came back, not since the last report."""
    ann, tag = owned(town)
    town.gateway("walk-gw", GatewayClass.CROWD)
    nearby = Place(HOME.lat_e7 + 100_000, HOME.lon_e7, 25, PlaceSource.FIXED)  # 1.1 km on
    morning, out, back = moments(town, 3), moments(town, 3), moments(town, 4)
    town.hear("home-gw", tag.serial, HOME, morning)
    town.hear("walk-gw", tag.serial, nearby, out)
    town.hear("home-gw", tag.serial, HOME, back)
    assert datetime.fromisoformat(ann.get(f"/tags/{tag.serial}")["here_since"]) == back[0]


def test_an_empty_answer_has_its_reason(town: Town) -> None:
    ann, tag = owned(town)
    answer = ann.get(f"/tags/{tag.serial}")
    assert (answer["age"], answer["last"], answer["empty"]["code"]) == ("never", None, "no_gateway_up")
    town.hear("home-gw", town.tag().serial, HOME, moments(town, 1))
    answer = ann.get(f"/tags/{tag.serial}")
    assert answer["empty"]["code"] == "never_heard"
    assert answer["empty"]["text"]


def test_the_first_minute_after_a_claim(town: Town) -> None:
    """It was heard for weeks on its way; of the time since the claim there is nothing yet, and that is said calmly."""
    ann, tag = town.owner(), town.tag()
    town.gateway("home-gw", GatewayClass.CROWD, place=HOME)
    town.hear("home-gw", tag.serial, HOME, moments(town, 3))
    town.claim(ann, tag)
    empty = ann.get(f"/tags/{tag.serial}")["empty"]
    assert empty["code"] == "nothing_then"
    assert empty["text"].startswith("Not heard yet since it is yours.")


def test_what_was_long_before_the_claim_is_not_even_read(town: Town) -> None:
    """A tag that lay in a shop for a year answers as quickly as one from the factory."""
    town.gateway("home-gw", GatewayClass.CROWD, place=HOME)
    ann, tag = town.owner(), town.tag()
    town.hear("home-gw", tag.serial, HOME, [town.now - timedelta(days=120)])
    town.hear("home-gw", town.tag().serial, HOME, moments(town, 1))
    town.claim(ann, tag)
    assert ann.get(f"/tags/{tag.serial}")["empty"]["code"] == "never_heard"


def test_history_of_a_day(town: Town) -> None:
    ann, tag = owned(town)
    times = moments(town, 20)
    town.hear("home-gw", tag.serial, HOME, times)
    town.gateway("far-gw", GatewayClass.CROWD)
    town.hear("far-gw", tag.serial, FAR_AWAY, [times[10] + timedelta(minutes=2)])
    history = _history(ann, tag, town.now - timedelta(days=1), town.now)
    assert len(history["points"]) == 20
    [wrong] = history["looks_wrong"]
    assert "faster than any aircraft" in wrong["why"]
    assert abs(wrong["point"]["lat"] - 40.7128) < 0.01
    [stay] = history["stays"]
    assert (stay["reports"], stay["receivers"]) == (20, 1)
    before = _history(ann, tag, town.now - timedelta(days=3), town.now - timedelta(days=2))
    assert before["points"] == []
    assert before["empty"]


def _history(who: Somebody, tag: Tag, start: datetime, end: datetime) -> Any:
    return who.get(f"/tags/{tag.serial}/history", params={"from": start.isoformat(), "to": end.isoformat()})


def test_a_period_has_an_end_and_a_limit(town: Town) -> None:
    ann, tag = owned(town)
    for start, end in ((town.now, town.now - timedelta(days=1)), (town.now - timedelta(days=32), town.now)):
        period = {"from": start.isoformat(), "to": end.isoformat()}
        ann.refused("GET", f"/tags/{tag.serial}/history", 422, "period_invalid", params=period)
    for wrong in ("yesterday", "2026-11-22T12:00:00", "0001-01-01T00:00:00+14:00", "9999-12-31T23:59:59-12:00"):
        period = {"from": wrong, "to": town.now.isoformat()}
        ann.refused("GET", f"/tags/{tag.serial}/history", 422, "bad_request", params=period)


def test_tags_of_others_do_not_exist(town: Town) -> None:
    _, tag = owned(town)
    eve = town.owner("eve@example.com")
    for method, path, body in (
        ("GET", "", None),
        ("GET", "/receipt", None),
        ("POST", "/release", {}),
        ("POST", "/lost", {"message": "mine now"}),
        ("POST", "/transfer", {"to_email": "eve@example.com"}),
        ("PUT", "/name", {"name": "mine"}),
    ):
        more = {} if body is None else {"json": body}
        eve.refused(method, f"/tags/{tag.serial}{path}", 404, "tag_unknown", **more)


def test_a_name_of_ones_own(town: Town) -> None:
    ann, tag = owned(town)
    ann.put(f"/tags/{tag.serial}/name", {"name": "  Bicycle "})
    assert [each["name"] for each in ann.get("/tags")] == ["Bicycle"]


def waiting(town: Town, kind: str) -> list[dict[str, Any]]:
    from sqlalchemy import select

    from server.store.tables import notices

    with town.house.work() as (tx, _):
        query = select(notices).where(notices.c.kind == kind).order_by(notices.c.no)
        return [dict(row) for row in tx.execute(query).mappings()]


def hear_and_tell(town: Town, tag: Tag) -> None:
    with town.house.work() as (tx, now):
        heard.stored(tx, {tag.serial: now}, now, "http://tags.test")


def test_the_news_of_a_lost_tag_comes_once_by_every_channel(town: Town) -> None:
    ann, tag = owned(town)
    ann.put(f"/tags/{tag.serial}/name", {"name": "Bicycle"})
    hear_and_tell(town, tag)
    assert waiting(town, "lost_heard") == []
    ann.post("/channels", {"kind": "webhook", "address": "https://hooks.example.com/tags"})
    lost = ann.post(f"/tags/{tag.serial}/lost", {"message": "Call me", "contact": "0171"})
    assert lost["message"] == "Call me"
    assert ann.get(f"/tags/{tag.serial}")["lost"]["message"] == "Call me"
    with town.house.work() as (tx, now):
        heard.stored(tx, {tag.serial: now - timedelta(minutes=1)}, now, "")  # from before it was lost: no news
    assert waiting(town, "lost_heard") == []
    for _ in range(3):
        town.wait(minutes=5)
        hear_and_tell(town, tag)
    told = waiting(town, "lost_heard")
    assert [row["channel_no"] is None for row in told] == [False, True]  # the webhook, and the account's own address
    assert told[0]["payload"]["name"] == "Bicycle"
    assert told[0]["payload"]["url"] == f"http://tags.test/t/{tag.serial}"
    ann.post(f"/tags/{tag.serial}/found")
    ann.refused("POST", f"/tags/{tag.serial}/found", 409, "not_lost", json={})
    ann.post(f"/tags/{tag.serial}/lost", {"message": "Again"})
    town.wait(minutes=5)
    hear_and_tell(town, tag)
    assert len(waiting(town, "lost_heard")) == 4


def test_a_finder_reaches_the_owner_without_knowing_them(town: Town) -> None:
    ann, tag = owned(town)
    nobody = town.nobody()
    path = f"/found/{tag.found_code}"
    nobody.refused("POST", f"{path}/message", 409, "not_lost", json={"message": "Hello"})
    ann.post(f"/tags/{tag.serial}/lost", {"message": "Call me"})
    typed = tag.found_code.lower().replace("0", "o")
    assert nobody.get(f"/found/{typed}")["message"] == "Call me"
    for _ in range(2):
        nobody.post(f"{path}/message", {"message": "It lies in the park", "contact": "ben"})
    [letter] = waiting(town, "found_message")
    assert letter["payload"]["message"] == "It lies in the park"
    for n in range(3):
        nobody.call("POST", f"{path}/message", json={"message": f"{n}"})
    nobody.refused("POST", f"{path}/message", 429, "too_many", json={"message": "again"})
    nobody.refused("GET", "/found/NOSUCHCODE", 404, "found_code_unknown")


def test_channels(town: Town) -> None:
    ann, ben = town.owner(), town.owner("ben@example.com")
    hook = ann.post("/channels", {"kind": "webhook", "address": "https://hooks.example.com/tags"})
    assert hook["secret"].startswith("whsec_")
    mail = ann.post("/channels", {"kind": "email", "address": "ann@work.example"})
    assert mail["secret"] is None
    listed = ann.get("/channels")
    assert [each["address"] for each in listed] == ["https://hooks.example.com/tags", "ann@work.example"]
    assert "whsec" not in str(listed)
    assert ben.get("/channels") == []
    ben.refused("DELETE", f"/channels/{hook['no']}", 404, "channel_unknown")
    ann.post(f"/channels/{mail['no']}/test")
    ann.post(f"/channels/{mail['no']}/test")
    assert len(waiting(town, "channel_test")) == 1
    ann.delete(f"/channels/{hook['no']}")
    assert [each["kind"] for each in ann.get("/channels")] == ["email"]
    bad = {"json": {"kind": "email", "address": "a@b.c\r\nBcc: all@example.com"}}
    ann.refused("POST", "/channels", 422, "email_invalid", **bad)


def test_webhooks_never_lead_into_private_networks(town: Town) -> None:
    ann = town.owner()
    for address in (
        "http://hooks.example.com/",
        "https://localhost/", "https://127.0.0.1/", "https://127.1/", "https://0x7f.0.0.1/", "https://2130706433/",
        "https://10.1.2.3/", "https://192.168.1.1:8443/", "https://169.254.169.254/latest/meta-data", "https://[::1]/",
        "https://[fd00::1]/", "https://[::ffff:127.0.0.1]/", "https://printer/", "https://nas.local/",
        "https://user:pass@example.com/", "ftp://example.com/", "https://", "https://exa mple.com/", "https://[::1/",
        "https://example.com:99999/", "javascript:alert(1)",
    ):  # fmt: skip
        ann.refused("POST", "/channels", 422, "webhook_unsafe", json={"kind": "webhook", "address": address})
    ann.post("/channels", {"kind": "webhook", "address": "https://93.184.215.14/hook"})


def test_handing_over(town: Town) -> None:
    ann, tag = owned(town)
    ben, eve = town.owner("ben@example.com"), town.owner("eve@example.com")
    path = f"/tags/{tag.serial}/transfer"
    ann.refused("POST", path, 404, "account_unknown", json={"to_email": "nobody@example.com"})
    ann.refused("POST", path, 422, "transfer_to_self", json={"to_email": "ann@example.com"})
    ann.post(f"/tags/{tag.serial}/lost", {"message": "x"})
    offer = ann.post(path, {"to_email": "Ben@example.com"})
    assert [each["serial"] for each in ben.get("/transfers")] == [tag.serial]
    assert waiting(town, "transfer_offer")[0]["payload"]["from"] == "ann@example.com"
    accept = f"/transfers/{offer['transfer_id']}/accept"
    eve.refused("POST", accept, 404, "transfer_unknown", json={})
    assert ben.post(accept)["serial"] == tag.serial
    ben.refused("POST", accept, 404, "transfer_unknown", json={})
    assert ann.get("/tags") == []
    [mine] = ben.get("/tags")
    assert mine["lost"] is None
    ben.refused("GET", f"/tags/{tag.serial}/receipt", 404, "no_receipt")
    # With the code from the box the new owner makes a receipt of their own; the tag forgets the former one first.
    town.wait(minutes=5)
    town.claim(ben, tag)
    assert ben.get(f"/tags/{tag.serial}/receipt")["serial"] == tag.serial


def test_a_receipt_of_an_earlier_ownership_is_not_shown_as_the_present_ones(town: Town) -> None:
    ann, tag = owned(town)
    ben = town.owner("ben@example.com")
    for giver, taker in ((ann, ben), (ben, ann)):
        offer = giver.post(f"/tags/{tag.serial}/transfer", {"to_email": taker.email})
        town.wait(minutes=5)
        taker.post(f"/transfers/{offer['transfer_id']}/accept")
    ann.refused("GET", f"/tags/{tag.serial}/receipt", 404, "no_receipt")


def test_an_offer_ends(town: Town) -> None:
    ann, tag = owned(town)
    ben = town.owner("ben@example.com")
    offer = ann.post(f"/tags/{tag.serial}/transfer", {"to_email": "ben@example.com"})
    town.wait(days=7)
    ben.refused("POST", f"/transfers/{offer['transfer_id']}/accept", 404, "transfer_unknown", json={})
    again = ann.post(f"/tags/{tag.serial}/transfer", {"to_email": "ben@example.com"})
    ann.post(f"/tags/{tag.serial}/release")
    ben.refused("POST", f"/transfers/{again['transfer_id']}/accept", 404, "transfer_unknown", json={})
