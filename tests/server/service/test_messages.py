"""Messages sent: one transaction, once, with everything they state; and lists that close themselves."""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor
from datetime import timedelta
from threading import Barrier
from typing import Any

from sqlalchemy import select, text

from server.rules.authority import Role
from server.rules.facts import Source, StatementKind
from server.service import answers
from server.store.tables import acts, notices, open_findings
from tests.server.service.remedy_town import place, say
from tests.server.web.test_orders import refuted, state
from tests.server.web.town import Somebody, Town, order, said


def letters(town: Town) -> list[str]:
    with town.house.work() as (tx, _):
        return [row.payload["text"] for row in tx.execute(select(notices).order_by(notices.c.no))]


def weighed(town: Town, number: str = "T-1") -> None:
    with town.house.work() as (tx, now):
        answers.weighing(tx, number, town.house.policy, now)


def message(key: str = "m-1", **more: Any) -> dict[str, Any]:
    return {"key": key, "text": "{status} You hear from us by {promise_due}.", **more}


def replying(town: Town, hours: float = 4) -> dict[str, Any]:
    return {"promises": [{"what": "reply", "due": (town.now + timedelta(hours=hours)).isoformat()}]}


def placed(town: Town, role: Role = Role.AGENT, ago: timedelta = timedelta(0)) -> Somebody:
    who = town.staff(role)
    who.post("/orders", order("T-1", placed_at=(town.now - ago).isoformat()))
    return who


def test_a_message_is_sent_once_and_written_down_whole(town: Town) -> None:
    who = placed(town)
    body = message(**replying(town))
    sent = who.post("/orders/T-1/messages", body)
    assert sent["new"] is True
    town.wait(minutes=3)
    assert who.post("/orders/T-1/messages", body) == {**sent, "new": False}
    [letter] = letters(town)
    assert letter.startswith("We have your order. You hear from us by Sun 22 Nov 2026 17:00 CET.")
    rows = who.get("/orders/T-1/statements?source=staff")
    assert [(r["kind"], r["by"], r["via"]) for r in rows] == [
        ("contact", who.email, "api"),
        ("promise", who.email, "api"),
    ]
    assert rows[0]["payload"]["text"] == body["text"], "as it was written: no address is copied into the ledger"
    changed = {**body, "text": "Something else."}
    who.refused("POST", "/orders/T-1/messages", 409, "statement_conflict", json=changed)
    fewer = message()
    who.refused("POST", "/orders/T-1/messages", 409, "statement_conflict", json=fewer)
    assert len(letters(town)) == 1


def test_two_who_send_the_same_at_once_send_one(town: Town) -> None:
    who, together = placed(town), Barrier(3)

    def send(_: int) -> bool:
        together.wait()
        return bool(who.post("/orders/T-1/messages", message(text="{status}"))["new"])

    with ThreadPoolExecutor(3) as pool:
        assert sorted(pool.map(send, range(3))) == [False, False, True]
    assert len(letters(town)) == 1
    entries = town.staff(Role.LEAD).get("/audit?subject=order:T-1")
    assert [e["action"] for e in entries].count("wrote") == 1


def test_it_answers_the_customer(town: Town) -> None:
    who = placed(town)
    state(who, "T-1", said("q", "contact", town.now, "customer", payload={"inbound": True, "channel": "mail"}))
    town.wait(hours=25)
    assert "R-22" in [f["rule"]["id"] for f in who.get("/orders/T-1")["findings"]]
    who.post("/orders/T-1/messages", message(text="It is packed tomorrow.", reason="says the warehouse"))
    assert "R-22" not in [f["rule"]["id"] for f in who.get("/orders/T-1")["findings"]]


def test_what_evidence_denies_is_not_sent(town: Town) -> None:
    who, _ = refuted(town)
    for body in (
        message(text="It was dispatched weeks ago."),
        message(text="Hello.", says=[{"about": "step", "value": "left"}]),
        message(text="Hello.", says=[{"about": "step", "value": "left"}], reason="I am sure"),
        message(text="See {carrier_number}."),
    ):
        who.refused("POST", "/orders/T-1/messages", 409, "message_stopped", json=body)
        looked = who.post("/orders/T-1/messages/preview", {k: v for k, v in body.items() if k not in ("key", "reason")})
        assert looked["stopped"] is True
    assert letters(town) == []
    assert who.get("/orders/T-1/statements?source=staff") == who.get("/orders/T-1/statements?source=staff")[:1]


def test_a_warning_needs_a_reason_which_is_kept(town: Town) -> None:
    who, auditor = placed(town), town.staff(Role.LEAD)
    body = message(text="Please send us your address again.")
    assert who.post("/orders/T-1/messages/preview", {"text": body["text"]})["needs_reason"] is True
    error = who.refused("POST", "/orders/T-1/messages", 409, "message_needs_reason", json=body)
    assert "The address on file is 20095, DE" in error["message"]
    who.refused("POST", "/orders/T-1/messages", 409, "message_needs_reason", json=body | {"reason": "  "})
    who.post("/orders/T-1/messages", body | {"reason": "they moved"})
    [entry] = [e for e in auditor.get("/audit?subject=order:T-1") if e["action"] == "wrote"]
    assert entry["actor"] == who.email
    assert entry["detail"]["reason"] == "they moved"
    assert entry["detail"]["objections"] == ["address_known"]


def test_a_customer_never_reads_shipped_on_words_alone(town: Town) -> None:
    """A sentence that nothing shows goes out only with a reason, and with what evidence does show beside it."""
    who = placed(town)
    state(who, "T-1", said("b", "serial_bound", town.now, slot=1, payload={"serial": town.tag().serial}))
    who.post("/orders/T-1/messages", message(text="It is on its way.", reason="the courier told me"))
    [letter] = letters(town)
    assert letter.endswith("What evidence shows now: We have your order.")
    [slot] = who.get("/orders/T-1/customer")["shown"]["slots"]
    assert (slot["stated"], slot["shown"]) == ("bound", None)


def test_a_promise_without_a_due_moment_is_refused(town: Town) -> None:
    who = placed(town)
    body = message(text="Soon.", promises=[{"what": "reply"}])
    who.refused("POST", "/orders/T-1/messages", 422, "promise_without_due", json=body)
    assert who.post("/orders/T-1/messages/preview", {"text": "x", "promises": [{"what": "reply"}]})["stopped"]


def broken_promise(town: Town) -> Somebody:
    """In an order that should have left long ago, so that it can be sent again."""
    who = placed(town, ago=timedelta(days=10))
    who.post("/orders/T-1/messages", message(**replying(town, 1)))
    town.wait(hours=2)
    return who


def test_a_repeated_promise_forces_a_remedy(town: Town) -> None:
    who = broken_promise(town)
    again = message("m-2", **replying(town, 3))
    error = who.refused("POST", "/orders/T-1/messages", 409, "promise_repeated", json=again)
    assert "remedy" in error["do"]
    unable = again | {"remedy": "replace_left_unit"}
    who.refused("POST", "/orders/T-1/messages", 409, "promise_repeated", json=unable)
    who.refused(
        "POST", "/orders/T-1/messages", 409, "remedy_not_eligible", json=again | {"remedy": "refund_service_fee"}
    )
    assert len(letters(town)) == 1, "a letter and its remedy go together, or not at all"
    who.post("/orders/T-1/messages", again | {"remedy": "express_reship"})
    who.post("/orders/T-1/messages", again | {"remedy": "express_reship"})
    with town.house.work() as (tx, _):
        [act] = tx.execute(select(acts)).all()
    assert (act.kind, act.actor) == ("remedy_authorised", who.email)
    [taken] = who.get("/orders/T-1/remedies")["taken"]
    assert (taken["action"], taken["state"]) == ("express_reship", "granted")
    # Once it is authorised, somebody else may promise as well.
    town.staff().post("/orders/T-1/messages", message("m-3", **replying(town, 5)))


def test_who_may_write_and_who_may_promise(town: Town) -> None:
    placed(town)
    finance, operator = town.staff(Role.FINANCE), town.staff(Role.OPERATOR)
    finance.post("/orders/T-1/messages", message(text="Your money is on its way back."))
    finance.refused("POST", "/orders/T-1/messages", 403, "not_yours", json=message("m-2", **replying(town)))
    operator.refused("POST", "/orders/T-1/messages", 403, "not_yours", json=message("m-3"))


def test_a_message_about_nothing_there_is(town: Town) -> None:
    who = placed(town)
    who.refused("POST", "/orders/T-2/messages", 404, "order_unknown", json=message())
    who.refused("POST", "/orders/T-1/messages", 404, "slot_unknown", json=message(slot=7, text="Hello."))
    who.refused(
        "POST", "/orders/T-1/messages", 422, "bad_request", json=message(says=[{"about": "step", "value": "x"}])
    )
    who.refused("POST", "/orders/T-1/messages", 422, "bad_request", json=message(text="x" * 4001))


def test_nobody_of_ours_lets_go_of_a_promise(town: Town) -> None:
    """A promise closes by evidence, or because the one to whom it was made lets go of it."""
    who = placed(town)
    who.post("/orders/T-1/messages", message(**replying(town)))
    ended = {"payload": {"promise": "message:m-1:promise-1"}}
    body = {"statements": [said("e", "promise_cancelled", town.now, "staff", **ended)]}
    who.refused("POST", "/orders/T-1/statements", 422, "payload_bad_value", json=body)
    state(who, "T-1", said("e", "promise_cancelled", town.now, "customer", **ended))
    assert [p["state"] for p in who.get("/orders/T-1")["promises"]] == ["cancelled"]


# --- lists ---------------------------------------------------------------------------------------------------


def test_promises_by_when_they_fall_due(town: Town) -> None:
    who = placed(town)
    due = {"today": town.now + timedelta(hours=2), "later": town.now + timedelta(days=3)}
    kinds = {"today": "reply", "later": "refund"}
    for when, moment in due.items():
        promises = [{"what": kinds[when], "due": moment.isoformat()}]
        who.post("/orders/T-1/messages", message(when, text="You hear of it.", promises=promises))
    assert who.get("/promises")["rows"] == []
    for when, kind in kinds.items():
        [row] = who.get(f"/promises?when={when}")["rows"]
        assert (row["order"], row["customer"], row["what"], row["by"]) == ("T-1", "Ann Example", kind, who.email)
    town.wait(hours=3)
    weighed(town)
    [overdue] = who.get("/promises?when=overdue")["rows"]
    assert overdue["what"] == "reply"
    assert who.get("/promises?when=today")["rows"] == []
    who.post("/orders/T-1/messages", message("answer", text="Here is your answer."))
    assert who.get("/promises")["rows"] == [], "it closed itself"


def test_findings_the_worst_and_oldest_first(town: Town) -> None:
    who, _ = refuted(town)
    weighed(town)
    rows = who.get("/findings")["rows"]
    assert rows[0]["severity"] == "critical"
    assert [r["rule"] for r in who.get("/findings?rule=R-17")["rows"]] == ["R-17"]
    highs = who.get("/findings?severity=high")["rows"]
    assert highs
    assert {r["severity"] for r in highs} == {"high"}
    assert who.get("/findings?rule=R-17&severity=warning") == {"rows": [], "next": None}
    who.refused("GET", "/findings?rule=R-1", 422, "bad_request")
    for wrong in ("x", "1-2", "1-2-3-4", "1-99999999999999999999-1", "1-999999999999999999-1"):
        who.refused("GET", f"/findings?after={wrong}", 422, "bad_request")
    with town.house.work() as (tx, _):
        before = tx.execute(select(open_findings).order_by(open_findings.c.no)).all()
    weighed(town)
    with town.house.work() as (tx, _):
        assert tx.execute(select(open_findings).order_by(open_findings.c.no)).all() == before, (
            "what holds keeps its row"
        )


def test_a_page_begins_behind_the_last_one(town: Town) -> None:
    who = town.staff()
    for number in range(56):
        who.post("/orders", order(f"T-{number}"))
        weighed(town, f"T-{number}")
    first = who.get("/findings?rule=R-02")
    second = who.get(f"/findings?rule=R-02&after={first['next']}")
    assert len(first["rows"]) == 50
    assert second["next"] is None
    assert {r["order"] for r in first["rows"] + second["rows"]} == {f"T-{n}" for n in range(56)}
    assert len(second["rows"]) == 6


def test_a_list_costs_its_rows_and_not_what_exists(town: Town) -> None:
    """Every order of the lists is in an index: no page reads or sorts a table."""
    with town.house.work() as (tx, _):
        tx.execute(text("set local enable_seqscan = off"))
        tx.execute(text("set local enable_bitmapscan = off"))
        for query, index in (
            (
                "open_findings where (urgency, since, no) > (1, now(), 5) order by urgency, since, no",
                "urgency_since_no",
            ),
            ("open_findings where rule = 'R-02' order by urgency, since, no", "rule_urgency_since_no"),
            ("open_promises where due <= now() and (due, no) > (now(), 5) order by due, no", "due_no"),
        ):
            plan = "\n".join(tx.execute(text(f"explain select * from {query} limit 51")).scalars())
            assert index in plan
            assert "Sort" not in plan


def test_who_else_is_looking(town: Town) -> None:
    who, other = placed(town), town.staff(Role.LEAD)
    who.get("/orders/T-1")
    town.wait(minutes=1)
    assert who.get("/orders/T-1/looking") == []
    [seen] = other.get("/orders/T-1/looking")
    assert seen["email"] == who.email
    town.wait(minutes=10)
    assert other.get("/orders/T-1/looking") == []


def test_the_audit_a_hundred_at_a_time(town: Town) -> None:
    who, auditor = placed(town), town.staff(Role.LEAD)
    for _ in range(130):
        town.wait(seconds=1)
        who.get("/orders/T-1/why")
    first = auditor.get("/audit?subject=order:T-1")
    rest = auditor.get(f"/audit?subject=order:T-1&before={first[-1]['no']}")
    assert len(first) == 100
    assert len({e["no"] for e in first + rest}) == 131
    assert rest[-1]["action"] == "recorded"


def test_no_letter_tells_of_a_remedy_that_waits_for_somebody_else(town: Town) -> None:
    place(town, "T-9", fee=150_00, days_ago=1)
    slow = {"carrier": "UPS", "number": "1Z999AA10323456784", "service": "ground"}
    say(town, "T-9", StatementKind.LABEL_PRINTED, Source.WAREHOUSE, payload=slow)
    agent = town.staff(Role.AGENT)
    message = {"key": "m-9", "text": "Your fee goes back.", "remedy": "refund_service_fee", "reason": "it was slow"}
    stopped = agent.refused("POST", "/orders/T-9/messages", 409, "message_stopped", json=message)
    assert "Above the limit of agent" in str(stopped)
    assert letters(town) == []
    message["remedy"] = "override_refuted"
    agent.refused("POST", "/orders/T-9/messages", 409, "message_stopped", json=message)
