"""Mail-in on a real database: which order a letter is put to, once, what waits for a person, and robots."""

from __future__ import annotations

from datetime import timedelta
from typing import Any

import pytest
from sqlalchemy import select

from server.rules.authority import Role
from server.service.letters import write_customer
from server.store.tables import mail_in, notices
from tests.server.service.test_mail_reader import BOUNCE, letter
from tests.server.web.test_orders import state
from tests.server.web.town import Somebody, Town, order, said


@pytest.fixture
def operator(town: Town) -> Somebody:
    who = town.staff(Role.OPERATOR)
    who.post("/orders", order("T-1001"))
    return who


def send(operator: Somebody, raw: bytes | Any, status: int = 201) -> Any:
    content = raw if isinstance(raw, bytes) else bytes(raw)
    answer = operator.call("POST", "/mail-in", content=content, headers={"content-type": "application/octet-stream"})
    assert answer.status_code == status, answer.text
    return answer.json()


def notice(town: Town, number: str) -> int:
    """The number of a letter of ours to this order's customer."""
    with town.house.work() as (tx, now):
        write_customer(tx, number, "It ships tomorrow.", f"once:{number}", "http://tags.test", now)
        no: int = tx.execute(select(notices.c.no).where(notices.c.order_number == number)).scalar_one()
    return no


def rules(who: Somebody, number: str) -> set[str]:
    return {each["rule"]["id"] for each in who.get(f"/orders/{number}")["findings"]}


def test_a_letter_starts_the_clock_once(town: Town, operator: Somebody) -> None:
    told = send(operator, letter(subject="Order T-1001", Message_ID="<1@example.com>"))
    assert (told["outcome"], told["order"], told["new"]) == ("contact", "T-1001", True)
    town.wait(minutes=5)
    again = send(operator, letter(subject="Order T-1001", Message_ID="<1@example.com>"))
    assert again == told | {"new": False}
    thread = operator.get("/orders/T-1001/contacts")
    assert [each["channel"] for each in thread["messages"]] == ["mail"]
    assert "Where is it?" in thread["messages"][0]["words"]["text"]
    town.wait(hours=24)
    assert "R-22" in rules(operator, "T-1001")


def test_whoever_forges_a_sender_is_not_read_by_the_customer(town: Town, operator: Somebody) -> None:
    send(operator, letter("Pay again at evil.example", subject="T-1001"))
    [message] = town.owner().get("/orders/T-1001/contacts")["messages"]
    assert (message["channel"], message["words"]["text"]) == ("mail", "")


def test_every_way_by_which_an_order_is_meant(town: Town, operator: Somebody) -> None:
    operator.post("/orders", order("T-1002", email="bob@example.com"))
    ours = notice(town, "T-1002")
    for heads, number in (
        ({"Cc": "help+T-1002@shop.example", "subject": "T-1001"}, "T-1002"),
        ({"In_Reply_To": f"<notice-{ours}@hearsight>"}, "T-1002"),
        ({"subject": "T-1001 and T-1002"}, "T-1001"),  # hers
        ({"text": "It is number #T-1002."}, "T-1002"),
        ({}, "T-1001"),  # her only one
    ):
        assert send(operator, letter(**heads))["order"] == number, heads


def test_of_two_orders_the_open_one_is_meant_and_of_two_open_ones_a_person_says_which(
    town: Town, operator: Somebody
) -> None:
    operator.post("/orders", order("T-1002"))
    assert send(operator, letter("one"))["why"] == "several_orders"
    then = town.now - timedelta(days=3)
    scan = {"carrier": "DHL", "number": "3318810025", "status": "in_transit", "physical": True}
    state(
        operator, "T-1002",
        said("l", "label_printed", then, slot=1, payload={"carrier": "DHL", "number": "3318810025"}),
        said("s", "carrier_scan", then + timedelta(hours=6), "carrier", slot=1, payload=scan),
        said("d", "carrier_scan", then + timedelta(days=1), "carrier", slot=1, payload=scan | {"status": "delivered"}),
    )  # fmt: skip
    assert operator.get("/orders/T-1002")["shown"]["slots"][0]["shown"] == "delivered", "else this test proves nothing"
    assert send(operator, letter("two"))["order"] == "T-1001"


def test_what_fits_no_order_waits_sealed_and_is_settled_once(town: Town, operator: Somebody) -> None:
    told = send(operator, stranger())
    assert (told["outcome"], told["why"]) == ("waits", "no_order")
    with town.house.work() as (tx, _):
        assert b"secret" not in tx.execute(select(mail_in.c.letter)).scalar_one()
    agent = town.staff()
    [waiting] = agent.get("/mail-in")
    assert (waiting["sender"], waiting["text"]) == ("eve@example.com", "My secret street")
    assert agent.get("/waiting")["mails"] == 1
    came = town.now
    town.wait(hours=30)
    agent.refused("POST", f"/mail-in/{told['no']}/settle", 404, "order_unknown", json={"order": "T-9"})
    settled = agent.post(f"/mail-in/{told['no']}/settle", {"order": "T-1001"})
    assert agent.post(f"/mail-in/{told['no']}/settle", {"order": "T-1001"}) == settled | {"new": False}
    agent.refused("POST", f"/mail-in/{told['no']}/drop", 409, "mail_settled")
    assert agent.get("/mail-in") == []
    clock = agent.get("/orders/T-1001/contacts")["clock"]
    assert clock["since"] == came.isoformat().replace("+00:00", "Z")
    assert clock["late"], "its writer waited while nobody settled it"
    with town.house.work() as (tx, _):
        assert tx.execute(select(mail_in.c.letter)).scalar_one() is None


def stranger() -> Any:
    message = letter("My secret street")
    message.replace_header("From", "eve@example.com")
    return message


def test_the_pages_settle_and_drop(town: Town, operator: Somebody) -> None:
    first, second = send(operator, stranger())["no"], send(operator, spam())["no"]
    agent = town.staff()
    page = town.client.get("/s/mail", headers=agent.headers()).text
    assert "My secret street" in page
    assert "2 letters without an order" in town.client.get("/s/waiting", headers=agent.headers()).text
    done = town.client.post(f"/s/mail/{first}/settle", data={"order": "T-1001"}, headers=agent.headers())
    assert done.status_code == 200, done.text
    done = town.client.post(f"/s/mail/{second}/drop", data={}, headers=agent.headers())
    assert "No letter waits." in done.text


def spam() -> Any:
    message = letter("Buy <script>alert(1)</script>", "An offer")
    message.replace_header("From", "spam@example.net")
    return message


# -- machines ----------------------------------------------------------------------------------------------------
def test_an_out_of_office_note_starts_no_clock(town: Town, operator: Somebody) -> None:
    told = send(operator, letter(subject="Out of office: T-1001", Auto_Submitted="auto-replied"))
    assert told["outcome"] == "auto_reply"
    thread = operator.get("/orders/T-1001/contacts")
    assert thread["clock"] is None
    assert [each["person"] for each in thread["messages"]] == [False]
    assert town.owner().get("/orders/T-1001/contacts")["messages"] == []


def test_a_robot_that_answers_itself_is_found_and_no_longer_written_down(town: Town, operator: Somebody) -> None:
    for number in range(8):
        send(operator, letter(f"Thank you {number}", "T-1001", Auto_Submitted="auto-replied"))
        town.wait(minutes=1)
        assert ("R-24" in rules(operator, "T-1001")) is (number >= 4), number
    assert len(operator.get("/orders/T-1001/contacts")["messages"]) == 5


def test_a_letter_of_ours_that_came_back_is_a_dead_channel(town: Town, operator: Somebody) -> None:
    bounce = BOUNCE.replace(b"notice-17@", b"notice-%d@" % notice(town, "T-1001"))
    for _ in range(2):
        assert send(operator, bounce)["outcome"] == "bounce"
    [finding] = [each for each in operator.get("/orders/T-1001")["findings"] if each["rule"]["id"] == "R-24"]
    assert "mailbox full" in finding["why"]
    assert operator.get("/orders/T-1001/contacts")["clock"] is None


def test_nobodys_flood_fills_an_order(town: Town, operator: Somebody) -> None:
    told = [send(operator, letter(f"letter {n}", "T-1001")) for n in range(31)]
    assert {each["outcome"] for each in told[:30]} == {"contact"}
    assert told[30]["why"] == "too_many"


def test_a_letter_larger_than_a_request_is_refused(operator: Somebody) -> None:
    assert send(operator, b"x" * (1024 * 1024 + 1), 413)["error"]["code"] == "too_large"
