"""Remedies over HTTP: the API, the pages' plain forms without JavaScript, and what the customer may take."""

from __future__ import annotations

import re
from datetime import datetime, timedelta
from typing import Any

from server.rules.authority import Role
from server.rules.facts import Source, StatementKind
from server.rules.policy import SOLO
from server.sweep.remedies import sweep_remedies
from tests.server.service.remedy_town import letters, place, refunded, say, shop_of
from tests.server.web.town import Somebody, Town


def page(town: Town, who: Somebody, path: str) -> str:
    answer = town.client.get(path, headers=who.headers())
    assert answer.status_code == 200, answer.text
    return answer.text


def send(town: Town, who: Somebody, path: str, **fields: str) -> str:
    """Sends a form and gives where it leads."""
    answer = town.client.post(path, data=fields or {"x": "y"}, headers=who.headers(), follow_redirects=False)
    assert answer.status_code == 303, answer.text
    return answer.headers["location"]


def hidden(text: str, action: str) -> dict[str, str]:
    """The hidden fields of the first form with this address."""
    form = text.split(f'action="{action}"', 1)[1].split("</form>", 1)[0]
    return dict(re.findall(r'<input type="hidden" name="(\w+)" value="([^"]*)"', form))


def test_the_first_remedy_is_one_click_at_the_orders_page(town: Town) -> None:
    place(town, "T-1", units=2)
    agent = town.staff()
    shown = page(town, agent, "/s/order/T-1")
    section = shown.split('id="remedies"', 1)[1]
    assert section.index("Express reship, at no cost") < section.index("Refund what did not ship")
    assert "one click" in section
    fields = hidden(section, "/s/order/T-1/remedies")
    assert (fields["action"], fields["slots"]) == ("express_reship", "1,2")
    assert send(town, agent, "/s/order/T-1/remedies", **fields) == "/s/order/T-1"
    after = page(town, agent, "/s/order/T-1")
    assert "Granted" in after
    assert "It is asked for already (granted)." in after
    shop, _ = shop_of(town)
    sweep_remedies(shop)
    assert "HSL-" in page(town, agent, "/s/order/T-1")
    assert letters(town) == {"T-1": 1}


def test_a_replacement_that_was_begun_is_the_first_thing_that_both_read(town: Town) -> None:
    place(town, "T-1", units=2, days_ago=5)
    agent = town.staff()
    before = page(town, agent, "/s/order/T-1")
    assert "replacement" not in before.split('id="remedies"', 1)[0]
    send(town, agent, "/s/order/T-1/remedies", action="express_reship", slots="1,2")
    shop, _ = shop_of(town)
    sweep_remedies(shop)
    begun = "A replacement is under way since"
    after = page(town, agent, "/s/order/T-1")
    assert f"<dd><b>{begun}" in after
    assert "send no other. </dd>" in after, "what the finding asked for is being done"
    assert "A replacement was already started" in after, "beside the refund that it would double"
    theirs, ours = agent.get("/orders/T-1/customer")["shown"], agent.get("/orders/T-1")["shown"]
    assert theirs == ours
    assert theirs["next_text"].startswith(begun)
    assert all(slot["replacing"] for slot in theirs["slots"])
    [label] = agent.get("/orders/T-1")["tracking"]
    scan = {"carrier": label["carrier"], "number": label["number"], "status": "in_transit", "physical": True}
    town.wait(seconds=60)
    say(town, "T-1", StatementKind.CARRIER_SCAN, Source.CARRIER, payload=scan)
    assert begun not in page(town, agent, "/s/order/T-1")
    assert not any(slot["replacing"] for slot in agent.get("/orders/T-1")["shown"]["slots"])


def test_an_operator_reads_and_asks_for_nothing(town: Town) -> None:
    place(town, "T-1")
    operator = town.staff(Role.OPERATOR)
    shown = page(town, operator, "/s/order/T-1")
    assert "/s/order/T-1/remedies" not in shown
    page(town, operator, "/s/remedies")
    operator.refused("POST", "/orders/T-1/remedies", 403, "not_yours", json={"action": "full_refund"})


def test_the_api_asks_grants_and_takes_back(town: Town) -> None:
    place(town, "T-1", paid=100_01)
    agent, lead = town.staff(), town.staff(Role.LEAD)
    found = agent.get("/orders/T-1/remedies")
    assert [r["action"] for r in found["remedies"] if r["eligible"]] == ["express_reship", "full_refund"]
    assert [r["one_click"] for r in found["remedies"] if r["eligible"]] == [True, False]
    asked = agent.post("/orders/T-1/remedies", {"action": "full_refund", "reason": "asked twice"})
    assert asked["state"] == "proposed"
    agent.refused("POST", f"/remedies/{asked['no']}/grant", 403, "remedy_not_yours")
    button = f'action="/s/remedies/{asked["no"]}/grant"'
    assert button not in page(town, agent, "/s/remedies"), "a button that only refuses helps nobody"
    assert "Waits for: agent up to 100.00, lead" in page(town, agent, "/s/remedies")
    assert button in page(town, lead, "/s/remedies")
    assert lead.post(f"/remedies/{asked['no']}/grant")["state"] == "granted"
    assert [r["no"] for r in agent.get("/remedies")["remedies"]] == [asked["no"]]
    assert agent.post(f"/remedies/{asked['no']}/withdraw")["state"] == "withdrawn"
    agent.refused("POST", f"/remedies/{asked['no']}/retry", 409, "remedy_settled")
    agent.refused("POST", "/remedies/999/grant", 404, "remedy_unknown")
    agent.refused("POST", "/orders/T-1/remedies", 409, "remedy_not_eligible", json={"action": "refund_service_fee"})


def test_the_desk_lists_what_waits_and_the_ledger(town: Town) -> None:
    place(town, "T-1")
    agent, finance = town.staff(), town.staff(Role.FINANCE)
    asked = agent.post("/orders/T-1/remedies", {"action": "full_refund"})
    town.wait(seconds=SOLO.undo_s)
    shop, _ = shop_of(town, by_hand=True)
    assert sweep_remedies(shop) == {"booked": 1}
    assert "It is paid" not in page(town, agent, "/s/remedies")
    shown = page(town, finance, "/s/remedies")
    assert "37.78 USD" in shown
    assert send(town, finance, "/s/remedies/paid", **hidden(shown, "/s/remedies/paid")) == "/s/remedies"
    assert sweep_remedies(shop) == {"done": 1}
    assert "Nothing waits" in page(town, finance, "/s/remedies")
    assert agent.get("/orders/T-1/remedies")["taken"][0]["state"] == "done"
    agent.refused("POST", "/remedies/paid", 403, "not_yours", json={"key": asked["key"]})


def test_a_run_by_forms_from_preview_to_the_last_letter(town: Town) -> None:
    for number in ("T-1", "T-2", "T-3"):
        place(town, number, paid=10_00)
    boss, agent = town.staff(Role.SUPERVISOR), town.staff()
    desk = page(town, boss, "/s/remedies")
    words = {"cause": "wrong day", "customer_text": "We were wrong.", "orders": "T-1 T-2\nT-3", "action": "full_refund"}
    fields: dict[str, Any] = {**hidden(desk, "/s/remedies/runs"), **words}
    where = send(town, boss, "/s/remedies/runs", **fields)
    assert send(town, boss, "/s/remedies/runs", **fields) == where, "pressed twice, one run"
    shown = page(town, boss, where)
    assert "3 orders, 30.00 USD" in shown
    refused = town.client.post(f"{where}/approve", data={"x": "y"}, headers=agent.headers())
    assert refused.status_code == 403
    send(town, boss, f"{where}/approve")
    assert "until then it can be taken back" in page(town, boss, where)
    town.wait(seconds=SOLO.undo_s)
    shop, _ = shop_of(town)
    sweep_remedies(shop)
    assert refunded(town) == {number: [10_00] for number in ("T-1", "T-2", "T-3")}
    assert letters(town) == dict.fromkeys(("T-1", "T-2", "T-3"), 1)
    assert boss.get(f"/remedy-runs/{where.rpartition('/')[2]}")["progress"]["done"] == 3


def test_the_customer_takes_the_refund_by_link_without_an_account(town: Town) -> None:
    place(town, "T-1", email="ann@example.com")
    link = town.nobody().post("/orders/T-1/view", {"email": "ann@example.com"})
    path = link["url"].removeprefix("http://tags.test")
    shown = town.client.get(path).text
    assert "Give me my money back" in shown
    action = f"/o/T-1/refund?link={link['token']}"
    assert f'action="{action}"' in shown
    for _ in range(2):
        answer = town.client.post(action, data={"x": "y"}, follow_redirects=False)
        assert answer.headers["location"] == path
    assert "You asked for your money back" in town.client.get(path).text
    asked = town.nobody().get("/orders/T-1/customer/remedies", headers={"x-order-link": link["token"]})
    at, by = town.now, town.now + timedelta(seconds=SOLO.refund_answer_s)
    told = [datetime.fromisoformat(asked[key]) for key in ("asked_at", "answer_by")]
    assert (told, asked["refund_owed"], asked["under_way"]) == ([at, by], True, [])
    town.wait(seconds=SOLO.refund_answer_s)
    assert "That is late." in town.client.get(path).text
    foreign = town.client.post(action, data={"x": "y"}, headers={"sec-fetch-site": "cross-site"})
    assert foreign.status_code == 403
    place(town, "T-2", email="ann@example.com", days_ago=1)
    ann = town.owner()
    ann.refused("POST", "/orders/T-2/customer/refund", 409, "refund_not_owed")
    town.staff().refused("POST", "/orders/T-1/customer/refund", 403, "not_yours")


def test_an_answered_request_is_no_request_any_more(town: Town) -> None:
    """Kept on a condition, it is one again when the condition lapses; refunded, nothing of it is left to read."""
    place(town, "T-1", email="ann@example.com")
    ann = town.owner()

    def reads() -> str:
        page = town.client.get("/o/T-1", headers=ann.headers()).text
        return page.partition("What you can do")[2].partition("</section>")[0]

    ann.post("/orders/T-1/customer/refund")
    assert "You asked for your money back" in reads()
    town.wait(minutes=1)
    keep = {"what": "arrive", "due": (town.now + timedelta(days=3)).isoformat(), "lapse": "refund"}
    say(town, "T-1", StatementKind.PROMISE, Source.STAFF, payload=keep)
    assert "You asked" not in reads()
    town.wait(days=3)
    assert "You asked for your money back" in reads()
    assert "That is late." in reads()
    say(town, "T-1", StatementKind.REFUNDED, Source.SHOP, payload={"amount_minor": 3778, "currency": "USD"})
    assert reads() == ""


def test_compensation_alone_makes_nobody_owed_their_money(town: Town) -> None:
    """R-21 warns of it; the whole sum is owed when a limit is over or a condition lapsed."""
    place(town, "T-1", email="ann@example.com", days_ago=1)
    ann, agent = town.owner(), town.staff()
    due = (town.now + timedelta(days=3)).isoformat()
    say(town, "T-1", StatementKind.PROMISE, Source.STAFF, payload={"what": "arrive", "due": due})
    town.wait(minutes=1)
    say(town, "T-1", StatementKind.OFFER, Source.STAFF, payload={"what": "compensation", "amount_minor": 500})
    assert "R-21" in {each["rule"]["id"] for each in agent.get("/orders/T-1")["findings"]}
    assert ann.get("/orders/T-1/customer/remedies")["refund_owed"] is False
    ann.refused("POST", "/orders/T-1/customer/refund", 409, "refund_not_owed")


def test_a_customer_reads_no_staff_member_by_a_remedy(town: Town) -> None:
    place(town, "T-1", email="ann@example.com")
    agent, ann = town.staff(), town.owner()
    agent.post("/orders/T-1/remedies", {"action": "full_refund", "reason": "a secret reason"})
    town.wait(seconds=SOLO.undo_s)
    read = town.client.get("/o/T-1", headers=ann.headers()).text + str(ann.get("/orders/T-1/customer"))
    assert "A remedy for your order is granted" in read
    shop, _ = shop_of(town)
    sweep_remedies(shop)
    read += town.client.get("/o/T-1", headers=ann.headers()).text + str(ann.get("/orders/T-1/customer"))
    assert agent.email not in read
    assert "secret reason" not in read


def test_forms_refuse_what_no_form_sends(town: Town) -> None:
    place(town, "T-1")
    agent = town.staff()
    for fields in (
        {"action": "burn"},
        {"action": "full_refund", "slots": "x"},
        {"action": "full_refund", "amount": "e9"},
    ):
        answer = town.client.post("/s/order/T-1/remedies", data=fields, headers=agent.headers())
        assert answer.status_code == 422, fields
