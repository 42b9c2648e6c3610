"""The catalogue of rules has all thirty-six, and the table of authority says what it should."""

from __future__ import annotations

from dataclasses import replace

import pytest

from server.rules.authority import UNASKED, Action, Role, may, who
from server.rules.facts import Source, StatementKind
from server.rules.findings.registry import CATALOGUE, FINDERS, authority
from tests.server.rules.build import (
    at,
    bound,
    dispatched,
    facts,
    judge,
    label,
    say,
    scan,
)


def test_every_rule_is_at_work_and_has_its_runbook() -> None:
    """What is true, what to say, what to do, and who may grant what: nobody stands before a finding without it."""
    assert list(CATALOGUE) == [f"R-{n:02}" for n in range(1, 37)]
    assert list(FINDERS) == list(CATALOGUE)
    for rule in CATALOGUE.values():
        assert all((rule.title, rule.true, rule.say, rule.do, authority(rule))), rule.id
        assert "shipped" not in rule.customer.lower(), "a customer never reads it from a finding"
    needing_radio = {n for n, r in CATALOGUE.items() if r.needs_radio}
    assert needing_radio == {f"R-{n}" for n in (17, 25, 26, 27, 29, 30, 31, 32, 33, 34)}


def test_what_nobody_has_to_ask_for_is_said_of_its_own_rules_alone() -> None:
    said = {rule.id: authority(rule).split(";")[0] for rule in CATALOGUE.values() if "the system" in authority(rule)}
    assert said == {
        "R-03": "the system queues it",
        "R-09": "the system, unasked",
        "R-21": "the system queues it once it is critical",
    }
    assert all(CATALOGUE[rule].remedy is action for action, row in UNASKED.items() for rule in row.rules)


@pytest.mark.parametrize(
    ("role", "action", "amount", "allowed"),
    [
        (Role.AGENT, Action.FULL_REFUND, 100_00, True),
        (Role.AGENT, Action.FULL_REFUND, 100_01, False),
        (Role.LEAD, Action.FULL_REFUND, 300_00, True),
        (Role.LEAD, Action.FULL_REFUND, 300_01, False),
        (Role.FINANCE, Action.FULL_REFUND, 9_999_00, True),
        (Role.AGENT, Action.EXPRESS_RESHIP, 0, True),
        (Role.AGENT, Action.REPLACE_LEFT_UNIT, 0, False),
        (Role.LEAD, Action.REPLACE_LEFT_UNIT, 0, True),
        (Role.OWNER, Action.SEE_ORDER, 0, False),
        (Role.OWNER, Action.SEE_OWN_PLACES, 0, True),
        (Role.SUPERVISOR, Action.SEE_OWN_PLACES, 0, False),
        (Role.OPERATOR, Action.FULL_REFUND, 0, False),
    ],
)
def test_who_may_do_what(role: Role, action: Action, amount: int, allowed: bool) -> None:
    answer = may(role, action, amount)
    assert answer.allowed == allowed
    assert answer.code == "allowed" if allowed else answer.code in ("not_your_role", "above_your_limit")


def test_overriding_a_refutation_takes_two_people_or_in_a_small_shop_a_second_look() -> None:
    team = may(Role.SUPERVISOR, Action.OVERRIDE_REFUTED)
    solo = may(Role.SUPERVISOR, Action.OVERRIDE_REFUTED, profile="solo")
    assert (team.people, team.code) == (2, "allowed")
    assert (solo.people, solo.code) == (1, "allowed_after_delay")
    assert "two people" in who(Action.OVERRIDE_REFUTED)


def test_a_carriers_word_outranks_ours_and_nobody_claims_a_rank() -> None:
    assert scan(at("Mon 10:00")).rank > scan(at("Mon 10:00"), physical=False).rank > bound(at("Mon 10:00")).rank
    assert bound(at("Mon 10:00")).rank > dispatched(at("Mon 10:00")).rank
    assert say(StatementKind.NOTE, at("Mon 10:00"), source=Source.CUSTOMER).rank == 1


def test_a_scan_in_the_hand_is_evidence_from_the_carrier_alone() -> None:
    theirs = scan(at("Tue 18:00"), "delivered")
    for source, accepted in ((Source.CARRIER, "supported"), (Source.STAFF, "stated"), (Source.SHOP, "stated")):
        weighing = judge(facts(label(at("Tue 10:00")), replace(theirs, source=source)), at("Wed 09:00"))
        assert [step.verdict for step in weighing.steps if step.step == "accepted"] == [accepted], source


def test_what_a_role_may_not_is_said_in_plain_words() -> None:
    told = may(Role.OPERATOR, Action.COHORT_REMEDY).why
    assert told == "operator may not approve a remedy for many orders; supervisor up to 2000.00, finance may."
