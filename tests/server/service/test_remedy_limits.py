"""Who wants more money than a role gives: by another name, in parts, by the machine, or twice."""

from __future__ import annotations

import pytest

from server.rules.authority import Action, Role
from server.rules.facts import Source, StatementKind
from server.rules.policy import SOLO
from server.rules.remedy_life import State
from server.service import answers
from server.service.remedies import Ask, grant, offered, propose, retry, take
from server.service.remedy_desk import mark_paid
from server.service.remedy_work import carry_out
from server.store import audit
from tests.server.service.remedy_town import REFUND, granted, place, refused, say, shop_of, somebody, sweep
from tests.server.web.town import Town

SLOW = {"carrier": "UPS", "number": "1Z999AA10323456784", "service": "ground"}


def test_a_fee_that_a_person_names_is_no_way_around_the_limit(town: Town) -> None:
    shop, _ = shop_of(town)
    place(town, "T-1", paid=500_00, service="overnight", days_ago=1)
    say(town, "T-1", StatementKind.LABEL_PRINTED, Source.WAREHOUSE, payload=SLOW)
    agent, fee = somebody(town, Role.AGENT), Action.REFUND_SERVICE_FEE
    with town.house.work() as (tx, now):
        shown = next(
            r for r in offered(tx, answers.weighing(tx, "T-1", SOLO, now), Role.AGENT, SOLO).remedies if r.action is fee
        )
        assert (shown.ask_amount, shown.people) == (True, 1), "a small one is the agent's to give"
        asked = take(tx, agent, "T-1", Ask(fee, amount_minor=500_00, key="k"), shop.ports, SOLO, now)
        assert asked.state is State.PROPOSED
        with refused("remedy_not_yours"):
            grant(tx, agent, asked.no, SOLO, now)
        with refused("remedy_conflict"):
            take(tx, agent, "T-1", Ask(fee, amount_minor=1_00, key="k"), shop.ports, SOLO, now)


def test_a_fee_that_one_of_us_stated_is_not_paid_by_the_machine_whatever_it_is(town: Town) -> None:
    shop, payments = shop_of(town)
    place(town, "T-1", fee=5_000_00, days_ago=1)
    say(town, "T-1", StatementKind.LABEL_PRINTED, Source.WAREHOUSE, payload=SLOW)
    sweep(town, shop)
    town.wait(seconds=SOLO.undo_s)
    sweep(town, shop)
    assert payments.asked == []


def test_money_in_parts_is_one_sum_for_whoever_grants_it(town: Town) -> None:
    shop, _ = shop_of(town)
    place(town, "T-1", paid=80_00, fee=60_00, days_ago=40)
    say(town, "T-1", StatementKind.LABEL_PRINTED, Source.WAREHOUSE, payload=SLOW)
    agent, lead = somebody(town, Role.AGENT), somebody(town, Role.LEAD)
    with town.house.work() as (tx, now):
        fee = take(tx, agent, "T-1", Ask(Action.REFUND_SERVICE_FEE), shop.ports, SOLO, now)
        assert (fee.state, fee.amount_minor) == (State.GRANTED, 60_00)
        rest = take(tx, agent, "T-1", Ask(REFUND), shop.ports, SOLO, now)
        assert (rest.state, rest.amount_minor) == (State.PROPOSED, 80_00)
        with refused("remedy_not_yours"):
            grant(tx, agent, rest.no, SOLO, now)
        assert grant(tx, lead, rest.no, SOLO, now).state is State.GRANTED


def test_what_was_paid_by_hand_between_two_tries_is_not_paid_again(town: Town) -> None:
    shop, payments = shop_of(town)
    place(town, "T-1")
    agent = somebody(town, Role.AGENT)
    with town.house.work() as (tx, now):
        asked = take(tx, agent, "T-1", Ask(REFUND), shop.ports, SOLO, now)
    payments.fails, payments.final = 1, True
    town.wait(seconds=SOLO.undo_s)
    assert carry_out(shop, asked.no) is State.FAILED
    by_hand = {"amount_minor": 3778, "currency": "USD"}
    say(town, "T-1", StatementKind.REFUNDED, Source.SHOP, payload=by_hand)
    with town.house.work() as (tx, now):
        retry(tx, agent, asked.no, now)
    assert carry_out(shop, asked.no) is State.FAILED
    assert len(payments.asked) == 1


@pytest.mark.parametrize("key", ["mine", ""])
@pytest.mark.parametrize(
    ("action", "slots"),
    [(REFUND, (1, 2)), (REFUND, (2, 1, 2)), (Action.EXPRESS_RESHIP, (2, 1)), (Action.EXPRESS_RESHIP, (1, 2))],
)
def test_the_same_request_again_is_the_same_remedy_however_its_units_are_named(
    town: Town, action: Action, slots: tuple[int, ...], key: str
) -> None:
    shop, _ = shop_of(town)
    place(town, "T-1", units=2)
    agent = somebody(town, Role.AGENT)
    with town.house.work() as (tx, now):
        asked = propose(tx, agent, "T-1", Ask(action, slots=slots, key=key), shop.ports, SOLO, now)
        assert propose(tx, agent, "T-1", Ask(action, slots=slots, key=key), shop.ports, SOLO, now) == asked
        if key:
            with refused("remedy_conflict"):
                propose(tx, agent, "T-1", Ask(action, slots=(1,), key=key), shop.ports, SOLO, now)


def test_the_audit_names_the_account_that_granted_and_the_payment_that_counted(town: Town) -> None:
    shop, _ = shop_of(town, by_hand=True)
    place(town, "T-1")
    agent, finance, boss = (somebody(town, role) for role in (Role.AGENT, Role.FINANCE, Role.SUPERVISOR))
    asked = granted(town, shop, agent, Ask(REFUND))
    town.wait(seconds=SOLO.undo_s)
    sweep(town, shop)
    for who in (finance, finance, boss):
        with town.house.work() as (tx, now):
            assert mark_paid(tx, who, asked.key, now).paid_by == finance.email, "the first one counts"
    with town.house.work() as (tx, _):
        done = [(entry.action, entry.account_no) for entry in audit.of_subject(tx, "order:T-1")]
    assert done.count(("remedy_granted", agent.account_no)) == 1
    assert [entry for entry in done if entry[0] == "refund_paid"] == [("refund_paid", finance.account_no)]
