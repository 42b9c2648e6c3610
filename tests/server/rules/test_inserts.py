"""What a message may name and promise ready-made: only facts that exist, and nothing without a due moment."""

from __future__ import annotations

from dataclasses import replace
from datetime import datetime

import pytest
from hypothesis import given, settings

from server.rules.case import lay_out
from server.rules.drafts import Draft, Promises
from server.rules.facts import OrderFacts, Source, StatementKind
from server.rules.inserts import INSERTS, OnFile
from server.rules.life import Step, far
from server.rules.moment import Moment
from server.rules.payloads import Label, Payment
from server.rules.policy import SOLO
from server.rules.promise_templates import TEMPLATES, due_of
from server.rules.promises import CONDITIONS
from server.rules.weigh import weigh
from tests.server.rules.build import NUMBER, PACKED, at, bound, dispatched, facts, hear, label, say, scan
from tests.server.rules.test_drafts import ON_FILE, codes, looked, one
from tests.server.rules.worlds import moments, worlds

EVERY = " | ".join(f"{name}={{{name}}}" for name in INSERTS)


def told(case: OrderFacts, now: datetime, on_file: OnFile = ON_FILE, slot: int | None = None) -> dict[str, str]:
    """Every insert that has a fact, with its words."""
    parts = looked(case, Draft(EVERY, slot=slot), now, on_file=on_file).letter.split("\n\n")[0].split(" | ")
    pairs = (part.partition("=") for part in parts)
    return {name: words for name, _, words in pairs if words != f"{{{name}}}"}


def test_inserts_of_a_parcel_that_left() -> None:
    case = facts(*PACKED, label(at("Mon 16:00")), scan(at("Mon 21:00")), hear("van", at("Mon 22:00"), at("Mon 23:00")))
    found = told(case, at("Tue 09:00"))
    assert found["carrier_number"] == f"UPS {NUMBER}"
    assert found["carrier_scan"].startswith("UPS had the parcel in hand Mon 7 Nov 2016 21:00 EST")
    assert found["left"] == "Mon 7 Nov 2016 21:00 EST"
    assert found["address"] == ON_FILE.address
    assert {"refund", "eta", "promise_due", "paid_service"}.isdisjoint(found)


def test_facts_that_only_look_like_one() -> None:
    """A number that no carrier writes, a scan without a parcel in hand, a departure that it came back from."""
    looks = facts(*PACKED, label(at("Mon 16:00"), "hello"), scan(at("Mon 21:00"), "pre_transit", physical=False))
    assert {"carrier_number", "carrier_scan", "left"}.isdisjoint(told(looks, at("Tue 09:00")))
    gone = (*PACKED, label(at("Mon 16:00")), scan(at("Mon 21:00")))
    back = facts(*gone, hear("dock", at("Thu 09:00"), at("Thu 15:00"), count=9))
    assert "left" in told(facts(*gone), at("Tue 09:00"))
    assert "left" not in told(back, at("Thu 16:00"))


def test_an_insert_without_its_fact_stops_and_says_what_is_missing() -> None:
    checked = looked(facts(*PACKED), Draft("See {carrier_number}, {carrier_number} and {colour}."), at("Tue 09:00"))
    assert one(checked, "insert_missing").why == "No number is known that a carrier can look up."
    assert one(checked, "insert_unknown").about == "{colour}"
    assert "{carrier_number}" in checked.letter


def test_an_insert_is_true_of_every_unit_or_of_none() -> None:
    one_label = facts(*PACKED, bound(at("Mon 10:00"), 4712, 2), label(at("Mon 16:00")), slots=2)
    assert "carrier_number" not in told(one_label, at("Tue 09:00"))
    assert "carrier_number" in told(one_label, at("Tue 09:00"), slot=1)


def test_what_an_insert_brings_is_not_read_as_inserts() -> None:
    strange = replace(ON_FILE, customer_name="{refund}")
    checked = looked(facts(*PACKED), Draft("Dear {customer_name}"), at("Tue 09:00"), on_file=strange)
    assert codes(checked) == []
    assert checked.letter == "Dear {refund}"


@settings(max_examples=80)
@given(worlds(), moments)
def test_an_insert_never_names_what_does_not_exist(world: OrderFacts, now: datetime) -> None:
    """A second look at the bare facts, without the code that fills the inserts."""
    found = told(world, now, OnFile("", "", now))
    known = [s for s in world.statements if s.learnt_at <= now]
    numbers = {s.payload.number for s in known if isinstance(s.payload, Label)}
    assert "customer_name" not in found
    assert "address" not in found
    if "carrier_number" in found:
        assert all(any(n in part for n in numbers) for part in found["carrier_number"].split("; "))
    if "carrier_scan" in found:
        assert any(s.kind is StatementKind.CARRIER_SCAN and s.payload.physical for s in known)  # type: ignore[union-attr]
    if "left" in found:
        assert any(far(s.evidenced) >= far(Step.LEFT) for s in weigh(world, SOLO, now).shown.slots)
    if "refund" in found:
        assert any(s.kind is StatementKind.REFUNDED for s in known)
    if "promise_due" in found:
        assert any(s.kind is StatementKind.PROMISE for s in known)


@pytest.mark.parametrize("name", TEMPLATES)
def test_a_template_makes_a_message_that_nothing_stops(name: str) -> None:
    template = TEMPLATES[name]
    case = facts(*PACKED, label(at("Mon 16:00")))
    now = at("Mon 16:30")
    draft = Draft(template.text, promises=(Promises(template.what, due_of(template, case, SOLO, now)),))
    checked = looked(case, draft, now)
    assert codes(checked) == []
    assert "{" not in checked.letter
    assert template.closes == CONDITIONS[template.what].words


def test_by_the_next_pickup_means_by_its_first_scan() -> None:
    template = TEMPLATES["reship_next_pickup"]
    assert due_of(template, facts(*PACKED), SOLO, at("Mon 16:30")) == at("Mon 23:00")
    assert due_of(template, facts(*PACKED), SOLO, at("Fri 18:00")) == at("Mon 23:00", week=1)
    assert due_of(TEMPLATES["call_back"], facts(), SOLO, at("Mon 16:30")) == at("Mon 20:30")


@pytest.mark.parametrize(("days", "due"), [(1, "Wed 00:00"), (2, "Thu 00:00")])
def test_without_pickups_it_is_due_when_the_rules_expect_a_sign(days: int, due: str) -> None:
    case, policy = facts(*PACKED), replace(SOLO, evidence_due_bd=days)
    bare = replace(case, order=replace(case.order, site=None))
    assert due_of(TEMPLATES["ship_next_pickup"], bare, policy, at("Mon 16:30")) == at(due)
    said = dispatched(at("Mon 16:30"))
    assert lay_out(bare, policy, Moment(at("Mon 17:00"))).evidence_due(said) == at(due)


def test_a_refund_of_one_unit_is_named_only_about_that_unit() -> None:
    back = say(StatementKind.REFUNDED, at("Tue 09:00"), Payment(1889, "USD"), slot=2, source=Source.SYSTEM)
    case = facts(*PACKED, back, slots=2)
    assert told(case, at("Wed 09:00"), slot=2)["refund"] == "18.89 USD, booked Tue 8 Nov 2016 09:00 EST"
    assert "refund" not in told(case, at("Wed 09:00"), slot=1)
    assert "refund" in told(case, at("Wed 09:00"))
