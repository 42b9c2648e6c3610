"""R-36: a code that no table knows opens a finding, moves nothing, and ends with the next event that is understood."""

from __future__ import annotations

from dataclasses import replace
from datetime import datetime

from server.rules.facts import Statement
from server.rules.payloads import CarrierScan, ShipmentStatus
from tests.server.rules.build import NUMBER, PACKED, at, facts, judge, label, rules, scan
from tests.server.rules.parcels import cleared_of, never, open_of, shows

LABELLED = (*PACKED, label(at("Tue 10:00")))


def unread(said_at: datetime, code: str = "abducted") -> Statement:
    said = shows(said_at, code=code, mapped=False)
    assert isinstance(said.payload, CarrierScan)
    scanned = CarrierScan("UPS", NUMBER, ShipmentStatus.UNKNOWN, physical=False, code=code, mapped=False)
    return replace(said, payload=scanned)


def test_it_opens_with_the_code_and_says_which() -> None:
    weighing = judge(facts(*LABELLED, unread(at("Wed 09:00"))), at("Wed 09:00"))
    found = open_of(weighing, "R-36")
    assert found.since == at("Wed 09:00")
    assert "abducted" in found.why
    assert weighing.shown.slots[0].shown != "accepted", "a code that nobody can read is no parcel in hand"


def test_not_before_its_time_and_not_of_a_code_we_know() -> None:
    never(judge(facts(*LABELLED, unread(at("Wed 09:00"))), at("Wed 08:59")), "R-36")
    known = shows(at("Wed 09:00"), code="unknown/unknown")
    never(judge(facts(*LABELLED, known), at("Wed 09:00")), "R-36")


def test_a_later_event_that_is_understood_ends_it_and_an_earlier_one_does_not() -> None:
    odd = unread(at("Wed 09:00"))
    assert "R-36" in rules(judge(facts(*LABELLED, scan(at("Tue 18:00")), odd), at("Wed 12:00")))
    ended = cleared_of(judge(facts(*LABELLED, odd, scan(at("Thu 07:00"))), at("Thu 08:00")), "R-36")
    assert ended.cleared_at == at("Thu 07:00")


def test_each_code_is_one_finding_however_often_it_is_told() -> None:
    told = (unread(at("Wed 09:00")), unread(at("Wed 10:00")), unread(at("Wed 11:00"), "beamed_up"))
    found = [f for f in judge(facts(*LABELLED, *told), at("Wed 12:00")).findings if f.rule.id == "R-36"]
    assert sorted(f.subject for f in found) == [f"{NUMBER} abducted", f"{NUMBER} beamed_up"]


def test_an_estimate_alone_explains_no_code() -> None:
    estimate = CarrierScan("UPS", NUMBER, ShipmentStatus.IN_TRANSIT, physical=False, eta=at("Fri 20:00"))
    said = replace(shows(at("Thu 07:00")), payload=estimate)
    assert "R-36" in rules(judge(facts(*LABELLED, unread(at("Wed 09:00")), said), at("Thu 08:00")))
