"""Writing to a customer on pages, without JavaScript: looked at first, objections beside the text, then sent."""

from __future__ import annotations

import html
import re
from datetime import UTC, datetime, time, timedelta

from httpx import Response

from server.rules.authority import Role
from tests.server.service.test_messages import letters
from tests.server.web.test_orders import refuted, state
from tests.server.web.town import Somebody, Town, order, said


def opened(who: Somebody, path: str = "/s/order/T-1") -> str:
    answer = who.client.get(path, headers=who.headers())
    assert answer.status_code == 200, answer.text
    return answer.text


def fields(page: str) -> dict[str, str]:
    """The hidden fields and the text of the form by which staff write."""
    form = page[page.index('action="/s/order/T-1/message"') :]
    key = re.search(r'name="key" value="(\w+)"', form)
    typed = re.search(r"<textarea[^>]*>(.*?)</textarea>", form, re.DOTALL)
    due = re.search(r'name="due"[^>]* value="([^"]*)"', form)
    promise = re.search(r'<select id="promise".*?</select>', form, re.DOTALL)
    chosen = re.search(r'value="(\w+)" selected', promise[0]) if promise else None
    assert key
    assert typed
    assert due
    return {
        "key": key[1],
        "text": html.unescape(typed[1]),
        "due": due[1],
        "promise": chosen[1] if chosen else "",
    }


def post(who: Somebody, do: str, **typed: str) -> Response:
    path = "/s/order/T-1/message"
    return who.client.post(path, data={**typed, "do": do}, headers=who.headers(), follow_redirects=False)


def read(answer: Response) -> str:
    return html.unescape(answer.text)


def test_story_t_on_the_page(town: Town) -> None:
    """What agent O wrote on 2 December is stopped with the reason and with what to say instead."""
    who, _ = refuted(town)
    form = fields(opened(who))
    typed = {**form, "text": "It was dispatched weeks ago, it is probably lost. The address again, please."}
    page = read(post(who, "preview", **typed))
    assert "Stops it (R-17):" in page
    assert "Our own receivers heard it inside after the pickup it should have left with" in page
    assert "Say instead:" in page
    assert "Our record says dispatched. Nothing shows that it left us: our own receivers still hear it." in page
    assert "The address on file is 20095, DE" in page
    assert 'value="send"' not in page, "there is no way to send it"
    stopped = post(who, "send", **typed, reason="I am sure")
    assert stopped.status_code == 409
    assert letters(town) == []
    better = post(who, "send", **{**form, "text": "{status}"})
    assert better.status_code == 303
    assert letters(town) == [
        "Our record says dispatched. Nothing shows that it left us: our own receivers still hear it."
    ]
    again = post(who, "send", **{**form, "text": "{status}"})
    assert again.status_code == 303
    assert len(letters(town)) == 1, "sent twice by one form is sent once"


def test_a_warning_can_be_answered_on_the_page(town: Town) -> None:
    who = town.staff()
    who.post("/orders", order("T-1", placed_at=town.now.isoformat()))
    typed = {**fields(opened(who)), "text": "Please send us your address again."}
    page = read(post(who, "preview", **typed))
    assert "Think again:" in page
    assert 'name="reason"' in page
    assert 'value="send"' in page
    asked = post(who, "send", **typed)
    assert asked.status_code == 409
    assert "Something speaks against this message." in read(asked)
    assert post(who, "send", **typed, reason="they moved").status_code == 303


def test_a_promise_from_a_template(town: Town) -> None:
    who = town.staff()
    town.site()
    who.post("/orders", order("T-1", site="dock"))
    case = read(who.client.get("/s/order/T-1", headers=who.headers()))
    assert "Will close itself: A carrier's physical scan" in case
    form = fields(opened(who, "/s/order/T-1/message?template=call_back"))
    assert form["promise"] == "call_back"
    assert form["text"] == "A person calls you by {promise_due}."
    assert post(who, "preview", **form).status_code == 200
    assert post(who, "send", **form).status_code == 303
    assert letters(town)[0].startswith("A person calls you by Sun 22 Nov 2026 17:00 CET.")
    town.wait(hours=5)
    second = fields(opened(who, "/s/order/T-1/message?template=call_back"))
    refused = post(who, "send", **second)
    assert refused.status_code == 409
    assert "Stops it (R-18):" in read(refused)
    assert post(who, "send", **second, remedy="express_reship").status_code == 303


def test_a_promise_without_a_due_moment_on_the_page(town: Town) -> None:
    who = town.staff()
    who.post("/orders", order("T-1"))
    typed = {**fields(opened(who)), "text": "Soon.", "promise": "reply", "due": ""}
    answer = post(who, "send", **typed)
    assert answer.status_code == 422
    assert "A promise without a due moment is refused." in read(answer)
    wrong = post(who, "preview", **{**typed, "due": "tomorrow"})
    assert wrong.status_code == 422
    assert "due: a day and a time" in read(wrong)
    assert post(who, "preview", **{**typed, "step": "beamed"}).status_code == 422
    assert post(who, "preview", **{**typed, "key": ""}).status_code == 422


def test_side_by_side_and_the_rows_of_one_source(town: Town) -> None:
    who, _ = refuted(town)
    operator = town.staff(Role.OPERATOR)
    scan = {"carrier": "DHL", "number": "3318810025", "status": "unknown", "physical": False, "found": False}
    label = {"carrier": "DHL", "number": "3318810025"}
    state(who, "T-1", said("l", "label_printed", town.now, slot=1, payload=label))
    state(operator, "T-1", said("c", "carrier_scan", town.now, "carrier", slot=1, payload=scan))
    page = read(who.client.get("/s/order/T-1", headers=who.headers()))
    beside = page[page.index("Side by side") : page.index('id="write"')]
    assert "left" in beside
    assert "DHL number 3318810025: no record of the number" in beside
    assert "our own receivers still hear it" in beside
    assert "As it came in" in page
    assert '"serial":' in page
    timeline = read(who.client.get("/s/order/T-1?source=carrier", headers=who.headers()))
    timeline = timeline[timeline.index('id="timeline"') :]
    assert "no record of the number" in timeline
    assert "serial" not in timeline.split("</table>")[0]
    heard = read(who.client.get("/s/order/T-1?source=heard", headers=who.headers()))
    assert "Dispatched" not in heard[heard.index('id="timeline"') :]
    assert opened(who, "/s/order/T-1?source=nonsense")


def test_our_record_of_a_unit_is_what_was_said_of_it_not_that_we_talked(town: Town) -> None:
    who, _ = refuted(town)
    town.wait(seconds=60)
    contact = {"inbound": False, "channel": "call", "wants": "answer"}
    state(who, "T-1", said("talked", "contact", town.now, payload=contact))
    page = opened(who)
    beside = page[page.index("Side by side") : page.index('id="write"')]
    last = beside.split("last: ", 1)[1].split("<", 1)[0]
    assert "Dispatched" in last or "dispatched" in last, last
    assert "we answered" in page[page.index('id="timeline"') :], "there it stands as everything that was said"


def test_a_promise_due_at_midnight_is_due_by_the_end_of_the_day_before(town: Town) -> None:
    who = town.staff()
    who.post("/orders", order("T-1"))
    midnight = datetime.combine(town.now.date() + timedelta(days=3), time(), UTC)
    promised = {"what": "reply", "due": midnight.isoformat(), "grace_s": 0}
    state(who, "T-1", said("p", "promise", town.now, payload=promised))
    page = opened(who)
    promises = page[page.index("<h2>Promises</h2>") :].split("</table>", 1)[0]
    assert "the end of" in promises
    assert " 00:00<" not in promises


def test_whoever_else_is_looking_is_named(town: Town) -> None:
    who, other = town.staff(), town.staff(Role.LEAD)
    who.post("/orders", order("T-1"))
    assert "Also looking" not in opened(who)
    assert f"Also looking: {who.email}" in opened(other)


def test_the_operator_reads_and_does_not_write(town: Town) -> None:
    operator = town.staff(Role.OPERATOR)
    operator.post("/orders", order("T-1"))
    assert "/s/order/T-1/message" not in opened(operator)


def test_the_customers_page_has_no_raw_rows(town: Town) -> None:
    refuted(town)
    ann = town.owner()
    page = town.client.get("/o/T-1", headers=ann.headers()).text
    assert "As it came in" not in page
    assert "Olivia" not in page


def test_lists_on_pages(town: Town) -> None:
    who, _ = refuted(town)
    lead = town.staff(Role.LEAD)
    due = (town.now + timedelta(hours=2)).isoformat()
    body = {"key": "m", "text": "{status}", "promises": [{"what": "reply", "due": due}]}
    who.post("/orders/T-1/messages", body)
    findings = opened(who, "/s/findings")
    assert 'href="/s/order/T-1"' in findings
    assert "R-17" in findings
    assert "No finding of this kind is open" in opened(who, "/s/findings?rule=R-24")
    assert 'href="/s/order/T-1"' in opened(who, "/s/promises?when=today")
    assert "No promise is overdue." in opened(who, "/s/promises")
    assert "wrote" in opened(lead, "/s/audit?subject=order:T-1")
    assert "Nothing is written down" in opened(lead, "/s/audit?subject=order:T-9")
    assert who.client.get("/s/findings?rule=R-99", headers=who.headers()).status_code == 422
    who.refused("GET", "/findings?rule=R-99", 422, "bad_request")
    assert who.client.get("/s/promises?when=never", headers=who.headers()).status_code == 422


def test_whoever_calls_is_found_by_name_and_telephone(town: Town) -> None:
    who = town.staff()
    who.post("/orders", order("T-1", phone="+49 (40) 123-4567"))
    promise = said("p", "promise", town.now, "staff", payload={"what": "reply", "due": town.now.isoformat()})
    [made] = state(who, "T-1", promise)
    asked = {
        "ann EXAMPLE": "name",
        "+4940 1234567": "phone",
        "49401234567": "phone",
        f"promise {made['id']}": "promise",
    }
    for typed, kind in asked.items():
        found = who.get("/find", params={"q": typed})["readings"]
        assert [(each["kind"], [row["number"] for row in each["orders"]]) for each in found] == [(kind, ["T-1"])], typed
    assert who.get("/find", params={"q": "Ann"})["readings"] == []
