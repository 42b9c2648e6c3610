"""Contacts over HTTP: a customer asks by link, both sides see the clock, calls are logged, who waits comes first."""

from __future__ import annotations

import re
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import pytest
from sqlalchemy import select

from server.rules.authority import Role
from server.store import weighings
from server.store.tables import contact_words, statements
from tests.server.web.test_orders import state
from tests.server.web.town import Somebody, Town, order, said

PHONE = "+1 305 555 0167"


@pytest.fixture
def agent(town: Town) -> Somebody:
    who = town.staff()
    who.post("/orders", order("T-1", phone=PHONE))
    return who


def link_of(town: Town, number: str = "T-1") -> str:
    token: str = town.nobody().post(f"/orders/{number}/view", {"email": "ann@example.com"})["token"]
    return token


def ask(town: Town, link: str, key: str = "k-1", status: int = 201, **more: Any) -> Any:
    body = {"key": key, "text": "Where is my tag?"} | more
    return town.nobody().post("/orders/T-1/contacts", body, status, headers={"x-order-link": link})


def thread(town: Town, link: str) -> Any:
    return town.nobody().get("/orders/T-1/contacts", headers={"x-order-link": link})


def open_rules(who: Somebody) -> set[str]:
    return {each["rule"]["id"] for each in who.get("/orders/T-1")["findings"]}


def form(page: str, action: str) -> dict[str, str]:
    """The hidden fields of the form with this action."""
    inside = re.search(rf'action="{re.escape(action)}">(.*?)</form>', page, re.DOTALL)
    assert inside, f"no form {action}"
    return dict(re.findall(r'type="hidden" name="(\w+)" value="([^"]*)"', inside[1]))


# -- the customer ------------------------------------------------------------------------------------------------
def test_asking_starts_the_clock_that_both_sides_see(town: Town, agent: Somebody) -> None:
    link = link_of(town)
    ask(town, link)
    both = [thread(town, link), agent.get("/orders/T-1/contacts")]
    assert both[0]["clock"] == both[1]["clock"]
    assert (both[0]["clock"]["late"], both[0]["reply_hours"]) == (False, 24)
    town.wait(hours=24)
    assert thread(town, link)["clock"]["late"]
    assert "R-22" in open_rules(agent)
    page = town.client.get(f"/o/T-1?link={link}").text
    assert "That is late: it was" in page


def test_sent_twice_it_is_one_contact_and_another_text_is_refused(town: Town, agent: Somebody) -> None:
    link = link_of(town)
    first = ask(town, link)
    town.wait(minutes=1)
    again = ask(town, link)
    assert (first["new"], again["new"], again["id"]) == (True, False, first["id"])
    assert len(thread(town, link)["messages"]) == 1
    assert ask(town, link, text="Something else", status=409)["error"]["code"] == "statement_conflict"


def test_words_are_encrypted_and_a_forwarded_link_shows_none(town: Town, agent: Somebody) -> None:
    link = link_of(town)
    ask(town, link, text="My secret street")
    with town.house.work() as (tx, _):
        [kept] = tx.execute(select(contact_words.c.words)).scalars()
        [payload] = tx.execute(select(statements.c.payload).where(statements.c.kind == "contact")).scalars()
    assert b"secret" not in kept
    assert "secret" not in str(payload)
    agent.post("/orders/T-1/contacts", {"key": "c", "direction": "in", "channel": "mail", "text": "It has shipped!"})
    forwarded, mine, ours = (
        each["messages"]
        for each in (thread(town, link), town.owner().get("/orders/T-1/contacts"), agent.get("/orders/T-1/contacts"))
    )
    assert [each["words"]["text"] for each in forwarded] == ["", ""]
    assert [each["words"]["text"] for each in mine] == ["My secret street", ""]
    assert [each["words"]["text"] for each in ours] == ["My secret street", "It has shipped!"]
    assert "secret" not in town.client.get(f"/o/T-1?link={link}").text


def test_the_customer_reads_no_name_and_no_words_of_staff(town: Town, agent: Somebody) -> None:
    link = link_of(town)
    ask(town, link)
    town.wait(hours=1)
    agent.post(
        "/orders/T-1/contacts",
        {"key": "c", "direction": "out", "channel": "call", "outcome": "talked", "text": "told her it has shipped"},
    )
    answer = town.nobody().call("GET", "/orders/T-1/contacts", headers={"x-order-link": link})
    page = town.client.get(f"/o/T-1?link={link}").text
    for text in (answer.text, page):
        assert agent.email not in text
        assert "shipped" not in text
    assert answer.json()["clock"] is None
    assert "We answered" in page


def test_the_thread_tells_no_customer_bare_that_it_was_dispatched(town: Town, agent: Somebody) -> None:
    """In the timeline the word stands beside what evidence says of it; here it would stand alone."""
    link = link_of(town)
    ask(town, link)
    state(agent, "T-1", said("gone", "dispatched", town.now, "staff"))
    assert [each["channel"] for each in agent.get("/orders/T-1/contacts")["messages"]] == ["page", "dispatched"]
    theirs = town.nobody().call("GET", "/orders/T-1/contacts", headers={"x-order-link": link})
    assert [each["channel"] for each in theirs.json()["messages"]] == ["page", ""]


def test_customers_read_which_ways_in_are_dead_but_not_this_page(town: Town, agent: Somebody) -> None:
    link = link_of(town)
    for channel in ("call", "page"):
        agent.post(f"/ways-in/{channel}", {"works": False, "why": "probe_failed"})
    assert agent.get("/orders/T-1/contacts")["dead"] == ["Phone", "Form on the order page"]
    page = town.client.get(f"/o/T-1?link={link}").text
    assert "Does not work just now: Phone. This page does." in page


def test_call_me_promises_a_call_that_r12_judges(town: Town, agent: Somebody) -> None:
    link = link_of(town)
    ask(town, link, text="", call_me=True, when="in the evening")
    town.wait(hours=2)
    ask(town, link, key="k-2", text="", call_me=True, phone="+49 40 123456")
    [promise] = [each for each in agent.get("/orders/T-1")["promises"] if each["what"] == "call_back"]
    assert promise["state"] == "open"
    shown = agent.get("/orders/T-1/contacts")
    assert shown["call_by"] == promise["due"]
    assert [each["words"]["phone"] for each in shown["messages"]] == ["", "+49 40 123456"]
    assert thread(town, link)["phone_on_file"] == "ending in 67"
    town.wait(hours=22)
    assert "R-12" in open_rules(agent)
    agent.post("/orders/T-1/contacts", {"key": "c", "direction": "out", "channel": "call", "outcome": "talked"})
    assert agent.get("/orders/T-1/contacts")["call_by"] is None


def test_what_cannot_be_asked(town: Town, agent: Somebody) -> None:
    agent.post("/orders", order("T-2"))
    link = link_of(town)
    assert ask(town, link, text="", status=422)["error"]["code"] == "contact_empty"
    assert ask(town, link, call_me=True, phone="none", status=422)["error"]["code"] == "phone_missing"
    assert ask(town, link, direction="out", channel="call", status=422)["error"]["code"] == "bad_request"
    assert ask(town, link, text="x" * 2001, status=422)["error"]["code"] == "bad_request"
    other = {"x-order-link": link_of(town, "T-2")}
    town.nobody().refused(
        "POST", "/orders/T-1/contacts", 401, "view_ended", json={"key": "k", "text": "x"}, headers=other
    )
    eve = town.owner("eve@example.com")
    eve.refused("POST", "/orders/T-1/contacts", 404, "order_unknown", json={"key": "k", "text": "x"})
    agent.refused("POST", "/orders/T-1/contacts", 422, "bad_request", json={"key": "k", "text": "x"})
    call = {"key": "k", "direction": "in", "channel": "call"}
    agent.refused("POST", "/orders/T-1/contacts", 422, "contact_outcome", json=call)


def test_somebody_in_despair_is_heard_and_a_script_is_not(town: Town, agent: Somebody) -> None:
    link = link_of(town)
    for number in range(10):
        ask(town, link, key=f"k-{number}")
    assert ask(town, link, key="more", status=429)["error"]["code"] == "too_many"
    town.wait(hours=1)
    ask(town, link, key="more")


def test_the_forms_without_a_script(town: Town, agent: Somebody) -> None:
    link = link_of(town)
    page = town.client.get(f"/o/T-1?link={link}").text
    for way, fields in (("ask", {"wants": "supervisor", "text": "Please!"}), ("call", {"when": "at noon"})):
        action = f"/o/T-1/{way}?link={link}"
        data = form(page, action) | fields
        for _ in range(2):
            answer = town.client.post(action, data=data, follow_redirects=False)
            assert answer.status_code == 303, answer.text
            assert answer.headers["location"].startswith(f"/o/T-1?link={link}")
    assert len(thread(town, link)["messages"]) == 2
    assert "R-23" in open_rules(agent), "a supervisor was asked for"
    page = town.client.get(f"/o/T-1?link={link}").text
    assert "A supervisor, please." in page
    assert "A person calls by" in page
    wrong = town.client.post(f"/o/T-1/ask?link={link}", data={"key": "x", "text": "y"})
    assert wrong.status_code == 422
    assert f'href="/o/T-1?link={link}">Try again' in wrong.text


def test_an_owner_asks_with_the_account_and_staff_do_not_in_her_place(town: Town, agent: Somebody) -> None:
    town.owner().post("/orders/T-1/contacts", {"key": "k", "text": "Where is it?"})
    assert agent.get("/orders/T-1/contacts")["messages"][0]["words"]["text"] == "Where is it?"
    read = town.client.get("/o/T-1", headers=agent.headers()).text
    assert "/o/T-1/ask" not in read
    answer = town.client.post("/o/T-1/ask", data={"key": "0" * 32, "text": "x"}, headers=agent.headers())
    assert answer.status_code == 403


def test_a_customers_key_takes_nobody_elses(town: Town, agent: Somebody) -> None:
    """Else whoever has a link could take the key under which the carrier's scan will come."""
    link = link_of(town)
    ask(town, link, key="scan-1")
    assert state(agent, "T-1", said("scan-1", "packed", town.now))[0]["new"]
    assert ask(town, link, key="scan-1")["new"] is False


def test_two_forms_at_once_are_one_contact(town: Town, agent: Somebody) -> None:
    link = link_of(town)
    with ThreadPoolExecutor(4) as pool:
        told = list(pool.map(lambda _: ask(town, link, call_me=True), range(4)))
    assert sorted(each["new"] for each in told) == [False, False, False, True]
    assert len(agent.get("/orders/T-1")["promises"]) == 1


# -- the call log ------------------------------------------------------------------------------------------------
def log(town: Town, who: Somebody, pressed: str, **more: str) -> None:
    page = town.client.get("/s/order/T-1", headers=who.headers()).text
    data = form(page, '/s/order/T-1/contact" class="card') | {"call": pressed} | more
    answer = town.client.post("/s/order/T-1/contact", data=data, headers=who.headers(), follow_redirects=False)
    assert answer.status_code == 303, answer.text


def test_a_call_that_was_taken_is_question_and_answer(town: Town, agent: Somebody) -> None:
    ask(town, link_of(town))
    town.wait(hours=3)
    log(town, agent, "in_talked", text="explained the delay")
    told = agent.get("/orders/T-1/contacts")
    assert told["clock"] is None
    assert [each["inbound"] for each in told["messages"]] == [True, True, False]
    assert told["messages"][-1]["by"] == agent.email
    [entry] = [each for each in town.staff(Role.LEAD).get("/audit?subject=order:T-1") if each["action"] == "contacted"][
        :1
    ]
    assert entry["actor"] == agent.email


@pytest.mark.parametrize(("pressed", "waits"), [("in_no_answer", True), ("out_no_answer", False)])
def test_a_call_that_nobody_took(town: Town, agent: Somebody, pressed: str, waits: bool) -> None:
    log(town, agent, pressed)
    assert (agent.get("/orders/T-1/contacts")["clock"] is not None) is waits


def test_our_full_mailbox_is_everybodys_who_waits(town: Town, agent: Somebody) -> None:
    agent.post("/orders", order("T-2"))
    agent.post("/orders", order("T-3"))
    agent.post("/orders/T-2/contacts", {"key": "m", "direction": "in", "channel": "mail"})
    assert [row["number"] for row in agent.get("/waiting")["rows"]] == ["T-2"]
    town.wait(minutes=5)
    log(town, agent, "in_mailbox_full")
    states = {way["channel"]: (way["works"], way["why"]) for way in agent.get("/ways-in")["channels"]}
    assert states["call"] == (False, "mailbox_full")
    for number, concerned in (("T-1", True), ("T-2", True), ("T-3", False)):
        found = {each["rule"]["id"] for each in agent.get(f"/orders/{number}")["findings"]}
        assert ("R-24" in found) is concerned, number
    assert "Phone" in town.client.get(f"/o/T-1?link={link_of(town)}").text
    agent.post("/ways-in/call", {"works": True})
    assert "R-24" not in open_rules(agent)


def test_news_of_the_house_are_weighed_for_those_who_wait_and_for_nobody_else(town: Town, agent: Somebody) -> None:
    agent.post("/orders", order("T-2"))
    for number in ("T-1", "T-2"):
        agent.get(f"/orders/{number}")
    agent.post("/orders/T-2/contacts", {"key": "m", "direction": "in", "channel": "mail"})
    with town.house.work() as (tx, now):
        assert weighings.due(tx, now, 10) == ()
    agent.post("/ways-in/chat", {"works": False, "why": "robot in a circle"})
    with town.house.work() as (tx, now):
        assert weighings.due(tx, now, 10) == ("T-2",)


def test_a_text_without_hours_is_found_while_somebody_waits(town: Town, agent: Somebody) -> None:
    agent.post("/public-texts", {"place": "contact page", "text": "We reply promptly."})
    assert "R-20" not in open_rules(agent)
    ask(town, link_of(town))
    assert "R-20" in open_rules(agent)
    town.wait(hours=1)
    agent.post("/public-texts", {"place": "contact page", "text": "Within a day.", "hours": 24})
    assert "R-20" not in open_rules(agent)
    assert "Within a day." in town.client.get("/s/ways-in", headers=agent.headers()).text


# -- one case, and who waits --------------------------------------------------------------------------------------
def test_every_way_of_one_order_is_one_thread_with_one_clock(town: Town, agent: Somebody) -> None:
    ask(town, link_of(town))
    started = town.now
    for hour, channel in enumerate(("mail", "public", "chat"), 1):
        town.wait(hours=1)
        agent.post("/orders/T-1/contacts", {"key": f"{hour}", "direction": "in", "channel": channel})
    told = agent.get("/orders/T-1/contacts")
    assert [each["channel"] for each in told["messages"]] == ["page", "mail", "public", "chat"]
    assert (told["clock"]["messages"], len(told["waits"])) == (4, 1)
    [row] = agent.get("/waiting")["rows"]
    assert (row["number"], row["messages"]) == ("T-1", 4)
    assert row["since"] == told["clock"]["since"]
    assert started.strftime("%Y-%m-%dT%H:%M") in row["since"]


def test_who_waits_longest_comes_first_and_leaves_when_answered(town: Town, agent: Somebody) -> None:
    for number in ("T-2", "T-3"):
        agent.post("/orders", order(number))
    for number in ("T-3", "T-1", "T-2"):
        agent.post(f"/orders/{number}/contacts", {"key": "m", "direction": "in", "channel": "mail"})
        town.wait(hours=1)
    assert [row["number"] for row in agent.get("/waiting")["rows"]] == ["T-3", "T-1", "T-2"]
    state(agent, "T-3", said("a", "contact", town.now, "staff", payload={"inbound": False, "channel": "mail"}))
    told = agent.get("/waiting?limit=2")
    assert [row["number"] for row in told["rows"]] == ["T-1"], "T-3 is answered, and T-2 beyond the limit"
    assert [row["number"] for row in agent.get("/waiting")["rows"]] == ["T-1", "T-2"]
    found = town.client.get("/s?q=T-1", headers=agent.headers()).text
    assert "Answer due" in found
    page = town.client.get("/s/waiting", headers=agent.headers()).text
    assert page.index("T-1") < page.index("T-2")
