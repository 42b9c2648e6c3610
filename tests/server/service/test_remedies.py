"""Remedies on a real database: who may, what is pressed twice, what is taken back, and what is done exactly once."""

from __future__ import annotations

from datetime import timedelta

import pytest
from sqlalchemy import select

from server.rules.authority import Action, Role
from server.rules.facts import Source, StatementKind
from server.rules.policy import SOLO, TEAM
from server.rules.remedy_life import State
from server.service import answers
from server.service.ports import HouseLabels, Ports
from server.service.remedies import Ask, grant, offered, propose, retry, withdraw
from server.service.remedy_desk import ask_refund, mark_paid
from server.service.remedy_work import carry_out
from server.store import audit
from server.store import remedies as store
from server.store.tables import acts, house_labels
from server.sweep.remedies import sweep_remedies
from tests.server.service.remedy_town import (
    REFUND,
    SlowLabels,
    granted,
    leave,
    letters,
    place,
    refunded,
    refused,
    rules,
    say,
    shop_of,
    somebody,
    sweep,
)
from tests.server.web.town import Town

RESHIP = Action.EXPRESS_RESHIP


def test_an_owed_refund_is_queued_and_waits_for_a_person(town: Town) -> None:
    shop, payments = shop_of(town)
    place(town, "T-1")
    assert sweep(town, shop)["unasked"] == 1
    assert sweep(town, shop).get("unasked", 0) == 0, "once for each time that it falls due"
    with town.house.work() as (tx, _):
        [queued] = store.of_order(tx, "T-1")
    assert (queued.state, queued.action, queued.amount_minor, queued.asked_by) == ("proposed", REFUND, 3778, "system")
    agent = somebody(town, Role.AGENT)
    with town.house.work() as (tx, now):
        given = grant(tx, agent, queued.no, SOLO, now)
        assert grant(tx, agent, queued.no, SOLO, now) == given, "granted twice is granted once"
    assert sweep(town, shop) == {}
    assert payments.asked == [], "it can still be taken back"
    town.wait(seconds=SOLO.undo_s)
    assert sweep(town, shop) == {"done": 1}
    assert sweep(town, shop) == {}
    assert (len(payments.asked), letters(town), refunded(town)) == (1, {"T-1": 1}, {"T-1": [3778]})
    assert "R-03" not in rules(town, "T-1")
    with town.house.work() as (tx, _):
        kinds = set(tx.execute(select(acts.c.kind).where(acts.c.order_number == "T-1")).scalars())
        done = {entry.action for entry in audit.of_subject(tx, "order:T-1")}
    assert {"remedy_authorised", "remedy_done"} <= kinds
    assert {"remedy_proposed", "remedy_granted", "remedy_done"} <= done


def test_what_was_withdrawn_stays_so_until_it_falls_due_anew(town: Town) -> None:
    shop, _ = shop_of(town)
    place(town, "T-1")
    sweep(town, shop)
    agent = somebody(town, Role.AGENT)
    with town.house.work() as (tx, now):
        [queued] = store.of_order(tx, "T-1")
        assert withdraw(tx, agent, queued.no, "keeps it", now).state is State.WITHDRAWN
    keep = {"what": "arrive", "due": (town.now + timedelta(days=3)).isoformat(), "lapse": "refund"}
    town.wait(minutes=1)
    say(town, "T-1", StatementKind.PROMISE, Source.STAFF, payload=keep)
    assert sweep(town, shop).get("unasked", 0) == 0
    town.wait(days=4)
    assert sweep(town, shop)["unasked"] == 1, "the condition lapsed: due again, unasked"


def test_a_refund_above_an_agents_limit_waits_for_who_may(town: Town) -> None:
    shop, payments = shop_of(town)
    place(town, "T-1", paid=100_01)
    agent, lead = somebody(town, Role.AGENT), somebody(town, Role.LEAD)
    with town.house.work() as (tx, now):
        asked = propose(tx, agent, "T-1", Ask(REFUND), shop.ports, SOLO, now)
        with refused("remedy_not_yours"):
            grant(tx, agent, asked.no, SOLO, now)
        assert propose(tx, agent, "T-1", Ask(REFUND), shop.ports, SOLO, now) == asked
        assert grant(tx, lead, asked.no, SOLO, now).state is State.GRANTED
    assert payments.asked == []


def test_a_granted_refund_can_be_taken_back_until_it_is_tried(town: Town) -> None:
    shop, payments = shop_of(town)
    place(town, "T-1")
    agent = somebody(town, Role.AGENT)
    with town.house.work() as (tx, now):
        asked = propose(tx, agent, "T-1", Ask(REFUND), shop.ports, SOLO, now)
        grant(tx, agent, asked.no, SOLO, now)
        assert withdraw(tx, agent, asked.no, "", now).state is State.WITHDRAWN
    town.wait(hours=1)
    sweep(town, shop)
    assert payments.asked == []
    payments.fails = 1
    asked = granted(town, shop, agent, Ask(REFUND))
    town.wait(seconds=SOLO.undo_s)
    carry_out(shop, asked.no)
    with town.house.work() as (tx, now), refused("remedy_too_late"):
        withdraw(tx, agent, asked.no, "", now)


def test_a_port_that_fails_is_tried_again_and_then_given_up_visibly(town: Town) -> None:
    shop, payments = shop_of(town)
    place(town, "T-1")
    agent = somebody(town, Role.AGENT)
    asked = granted(town, shop, agent, Ask(REFUND))
    payments.fails = 6
    pauses, row = [], None
    town.wait(seconds=SOLO.undo_s)
    for _ in range(6):
        carry_out(shop, asked.no)
        with town.house.work() as (tx, now):
            row = store.by_no(tx, asked.no)
            assert row is not None
            if row.due_at is None:
                break
            pauses.append((row.due_at - now).total_seconds())
        assert carry_out(shop, asked.no) is None, "not before its time"
        town.now = row.due_at
    assert row is not None
    assert pauses == sorted(pauses)
    assert len(pauses) == 5
    assert (row.state, row.error, row.tries) == ("failed", "the bank is closed", 6)
    assert refunded(town) == {}
    with town.house.work() as (tx, now):
        retry(tx, agent, asked.no, now)
    assert carry_out(shop, asked.no) is State.DONE
    assert (refunded(town), letters(town)) == ({"T-1": [3778]}, {"T-1": 1})


def test_killed_between_the_port_and_the_commit_it_is_still_one(town: Town, monkeypatch: pytest.MonkeyPatch) -> None:
    shop, payments = shop_of(town)
    place(town, "T-1")
    agent = somebody(town, Role.AGENT)
    asked = granted(town, shop, agent, Ask(REFUND))
    town.wait(seconds=SOLO.undo_s)
    with monkeypatch.context() as killed:
        killed.setattr("server.service.remedy_work._write_down", lambda *_: (_ for _ in ()).throw(SystemExit))
        with pytest.raises(SystemExit):
            carry_out(shop, asked.no)
    town.wait(minutes=5)
    assert carry_out(shop, asked.no) is State.DONE
    assert len(payments.asked) == 2
    with town.house.work() as (tx, _):
        row = store.by_no(tx, asked.no)
    assert row is not None
    assert row.outcome == {"paid_at": (town.now - timedelta(minutes=5)).isoformat()}, "the ledger's first row"
    assert (refunded(town), letters(town)) == ({"T-1": [3778]}, {"T-1": 1})


def test_a_ledger_that_is_paid_by_hand_says_nothing_before_it_is_paid(town: Town) -> None:
    shop, _ = shop_of(town, by_hand=True)
    place(town, "T-1")
    agent, finance = somebody(town, Role.AGENT), somebody(town, Role.FINANCE)
    asked = granted(town, shop, agent, Ask(REFUND))
    town.wait(seconds=SOLO.undo_s)
    assert sweep_remedies(shop) == {"booked": 1}
    assert (refunded(town), letters(town)) == ({}, {})
    assert "R-03" in rules(town, "T-1"), "the money is not back"
    with town.house.work() as (tx, now):
        with refused("remedy_not_yours"):
            mark_paid(tx, agent, asked.key, now)
        with refused("payment_unknown"):
            mark_paid(tx, finance, "no such", now)
        mark_paid(tx, finance, asked.key, now)
    assert sweep_remedies(shop) == {"done": 1}
    assert (refunded(town), letters(town)) == ({"T-1": [3778]}, {"T-1": 1})


def test_a_reship_is_one_click_and_costs_nothing(town: Town) -> None:
    shop, _ = shop_of(town)
    place(town, "T-1", units=2)
    agent = somebody(town, Role.AGENT)
    with town.house.work() as (tx, now):
        first = offered(tx, answers.weighing(tx, "T-1", SOLO, now), Role.AGENT, SOLO).remedies[0]
        assert (first.action, first.one_click, first.slots) == (RESHIP, True, (1, 2))
        asked = propose(tx, agent, "T-1", Ask(RESHIP), shop.ports, SOLO, now)
        assert propose(tx, agent, "T-1", Ask(RESHIP), shop.ports, SOLO, now).no == asked.no
        grant(tx, agent, asked.no, SOLO, now)
    assert carry_out(shop, asked.no) is State.DONE, "a label waits for nobody"
    with town.house.work() as (tx, now):
        labels = tx.execute(select(house_labels)).all()
        facts, weighed = looked = answers.weighing(tx, "T-1", SOLO, now)
        again = offered(tx, looked, Role.AGENT, SOLO)
    assert len(labels) == 1
    assert {s.slot for s in facts.statements if s.kind == "label_printed"} == {1, 2}
    assert weighed.shown.slots[0].shown is None, "a label is not a shipment"
    assert letters(town) == {"T-1": 1}
    assert not any(r.eligible for r in again.remedies if r.action is RESHIP)
    with town.house.work() as (tx, now), refused("remedy_not_eligible"):
        propose(tx, agent, "T-1", Ask(RESHIP), shop.ports, SOLO, now)


def test_what_left_is_replaced_by_a_lead_only(town: Town) -> None:
    shop, _ = shop_of(town)
    place(town, "T-1", units=2)
    leave(town, "T-1", slot=1)
    promised = {"what": "arrive", "due": (town.now + timedelta(hours=1)).isoformat()}
    say(town, "T-1", StatementKind.PROMISE, Source.STAFF, payload=promised)
    town.wait(hours=2)
    agent, lead = somebody(town, Role.AGENT), somebody(town, Role.LEAD)
    with town.house.work() as (tx, now):
        with refused("remedy_not_eligible"):
            propose(tx, agent, "T-1", Ask(RESHIP, slots=(1,)), shop.ports, SOLO, now)
        asked = propose(tx, agent, "T-1", Ask(Action.REPLACE_LEFT_UNIT), shop.ports, SOLO, now)
        assert asked.slots == (1,)
        with refused("remedy_not_yours"):
            grant(tx, agent, asked.no, SOLO, now)
        assert grant(tx, lead, asked.no, SOLO, now).state is State.GRANTED


def test_what_leaves_in_the_meantime_is_not_refunded(town: Town) -> None:
    shop, payments = shop_of(town)
    place(town, "T-1")
    agent = somebody(town, Role.AGENT)
    asked = granted(town, shop, agent, Ask(REFUND))
    leave(town, "T-1")
    town.wait(seconds=SOLO.undo_s)
    assert carry_out(shop, asked.no) is State.WITHDRAWN
    assert payments.asked == []


def test_a_label_that_is_no_faster_is_not_bought_unless_confirmed(town: Town) -> None:
    shop, _ = shop_of(town)
    place(town, "T-1")
    original = {"carrier": "UPS", "number": "1Z999AA10123456784", "eta": (town.now + timedelta(days=3)).isoformat()}
    say(town, "T-1", StatementKind.LABEL_PRINTED, Source.WAREHOUSE, payload=original)
    town.wait(days=2)
    slow = Ports(shop.ports.payments, SlowLabels(HouseLabels(town.engine), town.now + timedelta(days=4)))
    agent = somebody(town, Role.AGENT)
    with town.house.work() as (tx, now), refused("replacement_no_faster"):
        propose(tx, agent, "T-1", Ask(RESHIP, although_slow=True), slow, SOLO, now)
    with town.house.work() as (tx, now):
        asked = propose(tx, agent, "T-1", Ask(RESHIP, "the customer wants it so", although_slow=True), slow, SOLO, now)
    assert asked.plan is not None
    assert "the original is expected" in asked.plan["although"]
    assert "R-16" in rules(town, "T-1")


def test_the_fee_of_an_unused_service_goes_back_by_itself(town: Town) -> None:
    shop, payments = shop_of(town)
    place(town, "T-1", fee=16_00, days_ago=1)
    say(
        town, "T-1", StatementKind.LABEL_PRINTED, Source.WAREHOUSE,
        payload={"carrier": "UPS", "number": "1Z999AA10323456784", "service": "ground"},
    )  # fmt: skip
    assert sweep(town, shop)["unasked"] == 1
    town.wait(seconds=SOLO.undo_s)
    assert sweep(town, shop)["done"] == 1
    assert refunded(town) == {"T-1": [16_00]}
    assert len(payments.asked) == 1
    for _ in range(3):
        town.wait(hours=1)
        sweep(town, shop)
    assert (refunded(town), letters(town)) == ({"T-1": [16_00]}, {"T-1": 1})
    with town.house.work() as (tx, now):
        found = offered(tx, answers.weighing(tx, "T-1", SOLO, now), Role.AGENT, SOLO).remedies
    refund = next(r for r in found if r.action is REFUND)
    assert refund.amount_minor == 3778, "the fee is back already, the rest is not"


def test_an_override_takes_two_people_or_a_second_look(town: Town) -> None:
    dock = town.gateway("dock-1", site=town.site(), gateway_class=0)  # type: ignore[arg-type]
    for number, policy in (("T-1", TEAM), ("T-2", SOLO)):
        place(town, number, days_ago=8)
        serial = town.tag().serial
        days = [town.now - timedelta(days=8) + timedelta(hours=h) for h in range(0, 190, 2)]
        town.hear(dock, serial, None, days)
        bound = {"serial": serial}
        at = town.now - timedelta(days=7)
        say(town, number, StatementKind.SERIAL_BOUND, Source.WAREHOUSE, at=at, slot=1, payload=bound)
        say(town, number, StatementKind.DISPATCHED, Source.STAFF, at=at + timedelta(hours=1))
        assert "R-17" in rules(town, number)
        shop, _ = shop_of(town)
        lead, boss = (
            somebody(town, Role.LEAD, f"lead{number[-1]}"),
            somebody(town, Role.SUPERVISOR, f"boss{number[-1]}"),
        )
        with town.house.work() as (tx, now):
            with refused("remedy_reason"):
                propose(tx, lead, number, Ask(Action.OVERRIDE_REFUTED), shop.ports, policy, now)
            ask = Ask(Action.OVERRIDE_REFUTED, "seen on the truck by two of us")
            asked = propose(tx, lead, number, ask, shop.ports, policy, now)
            assert grant(tx, lead, asked.no, policy, now).state is State.PROPOSED
        if policy is TEAM:
            with town.house.work() as (tx, now), refused("second_person"):
                grant(tx, lead, asked.no, policy, now)
            with town.house.work() as (tx, now):
                done = grant(tx, boss, asked.no, policy, now)
            assert done.granted_by == (lead.email, boss.email)
        else:
            with town.house.work() as (tx, now), refused("second_look_early"):
                grant(tx, lead, asked.no, policy, now)
            town.wait(seconds=policy.second_look_s)
            with town.house.work() as (tx, now):
                done = grant(tx, lead, asked.no, policy, now)
            assert done.granted_by == (lead.email,)
        assert done.state is State.GRANTED
        assert carry_out(shop, asked.no) is State.DONE
        assert "R-17" in rules(town, number), "no verdict changes by it"
        assert letters(town).get(number) is None


def test_a_customer_takes_the_refund_that_is_owed_with_one_click(town: Town) -> None:
    place(town, "T-1")
    place(town, "T-2", days_ago=1)
    with town.house.work() as (tx, now):
        assert ask_refund(tx, "T-1", None, SOLO, now)
        assert not ask_refund(tx, "T-1", None, SOLO, now)
        with refused("refund_not_owed"):
            ask_refund(tx, "T-2", None, SOLO, now)
    town.wait(seconds=SOLO.refund_answer_s + 1)
    assert "R-21" in rules(town, "T-1"), "an answer is due within a day"


def test_the_same_key_with_other_contents_is_refused(town: Town) -> None:
    shop, _ = shop_of(town)
    place(town, "T-1")
    agent = somebody(town, Role.AGENT)
    with town.house.work() as (tx, now):
        asked = propose(tx, agent, "T-1", Ask(REFUND, key="mine"), shop.ports, SOLO, now)
        assert propose(tx, agent, "T-1", Ask(REFUND, key="mine"), shop.ports, SOLO, now) == asked
        with refused("remedy_conflict"):
            propose(tx, agent, "T-1", Ask(RESHIP, key="mine"), shop.ports, SOLO, now)
    place(town, "T-2")
    with town.house.work() as (tx, now), refused("remedy_amount"):
        propose(tx, agent, "T-2", Ask(REFUND, amount_minor=1), shop.ports, SOLO, now)
