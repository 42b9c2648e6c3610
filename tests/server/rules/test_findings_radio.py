"""The rules that need the radio at their boundaries: two units moving, mismatches, no scan, wrong way, activations."""

from __future__ import annotations

from dataclasses import replace
from datetime import datetime, timedelta

from server.rules.facts import ActKind, Place, Source, Statement, StatementKind
from server.rules.payloads import Contact, Wants
from tests.server.rules.build import (
    HUB,
    PACKED,
    SERIAL,
    act,
    at,
    bound,
    cleared,
    facts,
    hear,
    judge,
    label,
    of_customer,
    only,
    rules,
    say,
    scan,
)
from tests.server.rules.test_findings import SECOND, opens_at

SECOND_TAG = 4712
NOWHERE = Place(47.6, -122.3, 50.0)  # the other coast
HARRISBURG = Place(40.232, -77.138, 50.0)


def says(said_at: datetime, wants: Wants) -> Statement:
    return say(StatementKind.CONTACT, said_at, Contact(True, "mail", wants=wants), source=Source.CUSTOMER)


# -- R-25 ------------------------------------------------------------------------------------------------------
REPLACED = (
    *PACKED,
    hear("bench", at("Mon 07:00"), at("Thu 10:00"), serial=SECOND_TAG),
    bound(at("Thu 10:00"), SECOND_TAG),
    label(at("Thu 11:00")),
    scan(at("Thu 18:00")),
)


def test_r25_the_first_unit_moves_after_its_replacement_was_accepted() -> None:
    moves = hear("van", at("Fri 09:00"), at("Fri 09:30"))
    assert "R-25" not in rules(judge(facts(*REPLACED, moves), at("Fri 09:00") - SECOND))
    assert only(judge(facts(*REPLACED, moves), at("Fri 09:30")), "R-25").since == at("Fri 09:00")


def test_r25_clears_when_the_first_comes_back() -> None:
    moves, back = hear("van", at("Fri 09:00"), at("Fri 09:30")), hear("dock", at("Tue 09:00", 1), at("Tue 09:30", 1))
    assert cleared(judge(facts(*REPLACED, moves, back), at("Tue 09:30", 1)), "R-25").cleared_at == at("Tue 09:00", 1)


def test_r25_an_original_that_stays_is_no_second_parcel() -> None:
    stays = hear("dock", at("Fri 09:00"), at("Fri 12:00"))
    assert "R-25" not in rules(judge(facts(*REPLACED, stays), at("Fri 12:00")))


# -- R-27 ------------------------------------------------------------------------------------------------------
def test_r27_one_tag_in_two_slots() -> None:
    twice = facts(*PACKED, replace(bound(at("Mon 11:00"), SERIAL, slot=2), id="again"), slots=2)
    assert only(judge(twice, at("Mon 11:00")), "R-27").slot == 2
    rebound = facts(*twice.statements, *twice.heard, bound(at("Mon 11:10"), SECOND_TAG, slot=2), slots=2)
    assert "R-27" not in rules(judge(rebound, at("Mon 11:10")))


def test_r27_packed_without_a_tag_until_one_is_bound() -> None:
    packed = say(StatementKind.PACKED, at("Mon 10:30"), slot=None, source=Source.WAREHOUSE)
    case = facts(*PACKED, packed, slots=2)
    assert only(judge(case, at("Mon 10:30")), "R-27").slot == 2
    later = facts(*PACKED, packed, bound(at("Mon 12:00"), SECOND_TAG, slot=2), slots=2)
    assert cleared(judge(later, at("Mon 12:00")), "R-27").cleared_at == at("Mon 12:00")
    nobody_scans = facts(packed, slots=2)
    assert "R-27" not in rules(judge(nobody_scans, at("Mon 12:00"))), "R-35 is the rule for that"


def test_r27_left_behind_under_one_label() -> None:
    whole = replace(label(at("Tue 10:00")), slot=None)
    away = hear("van", at("Tue 17:30"), at("Tue 18:20"))
    stays = (
        hear("bench", at("Mon 07:00"), at("Mon 12:00"), serial=SECOND_TAG),
        bound(at("Mon 11:00"), SECOND_TAG, slot=2),
    )
    still = hear("dock", at("Thu 09:00"), at("Thu 10:00"), serial=SECOND_TAG)
    assert "R-27" not in rules(judge(facts(*PACKED, whole, away, *stays, slots=2), at("Wed 12:00")))
    finding = only(judge(facts(*PACKED, whole, away, *stays, still, slots=2), at("Thu 10:00")), "R-27")
    assert (finding.slot, finding.since) == (2, at("Thu 10:00"))


# -- R-29 ------------------------------------------------------------------------------------------------------
def test_r29_two_frames_afar_and_no_scan_when_one_was_due() -> None:
    gone = facts(*PACKED, label(at("Tue 10:00")), hear("van", at("Tue 17:30"), at("Tue 18:20"), place=HUB))
    assert opens_at(gone, "R-29", at("Wed 00:20")).since == at("Wed 00:20")
    once = facts(*PACKED, label(at("Tue 10:00")), hear("van", at("Tue 17:30"), place=HUB))
    assert "R-29" not in rules(judge(once, at("Wed 12:00")))


def test_r29_clears_with_the_scan_and_needs_none_that_came_in_time() -> None:
    gone = (*PACKED, label(at("Tue 10:00")), hear("van", at("Tue 17:30"), at("Tue 18:20"), place=HUB))
    assert cleared(judge(facts(*gone, scan(at("Wed 06:00"))), at("Wed 06:00")), "R-29").cleared_at == at("Wed 06:00")
    in_time = judge(facts(*gone, scan(at("Tue 21:00"))), at("Wed 06:00"))
    assert "R-29" not in {f.rule.id for f in (*in_time.findings, *in_time.cleared)}


# -- R-30 ------------------------------------------------------------------------------------------------------
def test_r30_where_no_way_to_the_address_leads() -> None:
    lost = facts(*PACKED, label(at("Tue 10:00")), hear("cafe", at("Thu 09:00"), at("Thu 11:00"), place=NOWHERE))
    assert only(judge(lost, at("Thu 11:00")), "R-30").since == at("Thu 11:00")
    hub = facts(*PACKED, label(at("Tue 10:00")), hear("cafe", at("Thu 09:00"), at("Thu 11:00"), place=HARRISBURG))
    assert "R-30" not in rules(judge(hub, at("Thu 11:00")))


def test_r30_delivered_and_a_day_later_elsewhere() -> None:
    delivered = (*PACKED, label(at("Tue 10:00")), scan(at("Tue 18:00")), scan(at("Thu 12:00"), "delivered"))
    soon = hear("cafe", at("Thu 18:00"), at("Thu 19:00"), place=HARRISBURG)
    assert "R-30" not in rules(judge(facts(*delivered, soon), at("Thu 19:00"))), (
        "it may still be on its way to the door"
    )
    elsewhere = hear("cafe", at("Fri 18:00"), at("Fri 19:00"), place=HARRISBURG)
    assert only(judge(facts(*delivered, elsewhere), at("Fri 19:00")), "R-30").since == at("Fri 19:00")
    home = hear("phone", at("Sat 18:00"), at("Sat 19:00"))
    assert cleared(judge(facts(*delivered, elsewhere, home), at("Sat 19:00")), "R-30").cleared_at == at("Sat 18:00")


# -- R-32, R-33 ------------------------------------------------------------------------------------------------
LEFT = (*PACKED, label(at("Tue 10:00")), scan(at("Tue 18:10")))


def test_r32_activated_before_anything_showed_that_it_left() -> None:
    early = facts(*LEFT, act(ActKind.ACTIVATED, at("Tue 12:00")))
    assert only(judge(early, at("Tue 12:00")), "R-32").since == at("Tue 12:00")
    fine = facts(*LEFT, act(ActKind.ACTIVATED, at("Fri 12:00")))
    assert "R-32" not in rules(judge(fine, at("Fri 12:00")))


def test_r32_another_account_until_a_gift_clears_it() -> None:
    other = of_customer(facts(*LEFT, act(ActKind.ACTIVATED, at("Fri 12:00"), account="stranger")))
    assert only(judge(other, at("Fri 12:00")), "R-32").slot == 1
    gift = of_customer(facts(*other.statements, *other.heard, *other.acts, says(at("Fri 15:00"), Wants.GIFT)))
    assert cleared(judge(gift, at("Fri 15:00")), "R-32").cleared_because == "it was a gift"


def test_r33_never_arrived_yet_activated_by_the_same_account() -> None:
    both = of_customer(facts(*LEFT, act(ActKind.ACTIVATED, at("Fri 12:00")), says(at("Sat 09:00"), Wants.NOT_RECEIVED)))
    assert only(judge(both, at("Sat 09:00")), "R-33").since == at("Sat 09:00")
    assert "R-33" not in rules(judge(both, at("Sat 09:00") - SECOND))
    by_another = replace(both, order=replace(both.order, account="somebody else"))
    assert "R-33" not in rules(judge(by_another, at("Sat 09:00") + timedelta(hours=1)))
