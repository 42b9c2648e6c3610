"""Rules about numbers, places, services and custody at their boundaries."""

from __future__ import annotations

from dataclasses import replace
from datetime import date

import pytest

from server.rules.case import lay_out
from server.rules.facts import ActKind, Source, Statement, StatementKind
from server.rules.findings.registry import FINDERS
from server.rules.moment import Moment
from server.rules.payloads import (
    About,
    Label,
    NumberGiven,
    Payment,
)
from server.rules.policy import SOLO, VERSIONS
from tests.server.rules.build import (
    NUMBER,
    PACKED,
    act,
    at,
    bound,
    facts,
    hear,
    judge,
    rules,
    say,
    scan,
)
from tests.server.rules.build import label as plain_label
from tests.server.rules.parcels import (
    BY_FRIDAY,
    CHARGED,
    MONDAY,
    ORIGINAL,
    OVER,
    OVERNIGHT,
    TO_SPOKANE,
    USPS,
    addressed,
    booking,
    cleared_of,
    handed_on,
    label,
    never,
    open_of,
    quote,
    shows,
    told,
    view,
    with_order,
    with_slot,
)
from tests.server.rules.test_findings import SECOND, opens_at
from tests.server.rules.worlds_parcels import PARCEL_RULES


# -- R-06 --------------------------------------------------------------------------------------------------------
def test_r06_history_older_than_the_label() -> None:
    old = facts(*PACKED, plain_label(at("Thu 14:00")), shows(at("Thu 14:30"), latest=at("Tue 08:00")))
    finding = opens_at(old, "R-06", at("Thu 14:30"))
    assert (finding.subject, finding.since) == (NUMBER, at("Thu 14:30"))
    never(judge(facts(*PACKED, plain_label(at("Thu 14:00")), shows(at("Thu 18:00"))), at("Fri 09:00")), "R-06")


def test_r06_the_label_may_come_after_its_history() -> None:
    old = facts(*PACKED, shows(at("Tue 08:00")), plain_label(at("Thu 14:00")))
    assert opens_at(old, "R-06", at("Thu 14:00")).since == at("Thu 14:00")


def test_r06_the_unique_id_changed() -> None:
    first, second = shows(at("Tue 18:00"), unique_id="a"), shows(at("Wed 18:00"), unique_id="b")
    opens_at(facts(*PACKED, plain_label(at("Tue 10:00")), first, second), "R-06", at("Wed 18:00"))
    same = shows(at("Wed 18:00"), unique_id="a")
    never(judge(facts(*PACKED, plain_label(at("Tue 10:00")), first, same), at("Fri 09:00")), "R-06")


def test_r06_a_number_that_was_only_told() -> None:
    told = say(StatementKind.NUMBER_GIVEN, at("Tue 10:00"), NumberGiven(NUMBER))
    opens_at(facts(told, shows(at("Tue 11:00"), latest=at("Mon 08:00", week=-4))), "R-06", at("Tue 11:00"))
    never(judge(facts(told, shows(at("Tue 11:00"))), at("Tue 12:00")), "R-06")


def test_r06_clears_with_this_parcels_scan_or_another_number() -> None:
    old = (*PACKED, plain_label(at("Thu 14:00")), shows(at("Thu 14:30"), latest=at("Tue 08:00")))
    ours = judge(facts(*old, shows(at("Thu 19:00"))), at("Thu 19:00"))
    assert cleared_of(ours, "R-06").cleared_because == "the carrier has had this parcel in hand under it"
    other = judge(facts(*old, label(at("Fri 09:00"), USPS, "second")), at("Fri 09:00"))
    assert cleared_of(other, "R-06").cleared_because == "another number was given"


# -- R-07 --------------------------------------------------------------------------------------------------------
@pytest.mark.parametrize(
    "words",
    [
        label(at("Tue 10:00"), destination_postcode="99201"),
        label(at("Tue 10:00"), TO_SPOKANE),
        say(StatementKind.NUMBER_GIVEN, at("Tue 10:00"), NumberGiven(TO_SPOKANE)),
    ],
    ids=["on the label", "in the number", "in a number that was told"],
)
def test_r07_another_zip(words: Statement) -> None:
    finding = opens_at(addressed(facts(*PACKED, words)), "R-07", at("Tue 10:00"))
    assert "99201" in finding.why
    assert "32601" in finding.why


def test_r07_the_carriers_word() -> None:
    case = facts(*PACKED, plain_label(at("Tue 10:00")), shows(at("Tue 18:00"), destination_postcode="99201-1234"))
    opens_at(addressed(case), "R-07", at("Tue 18:00"))


@pytest.mark.parametrize(
    ("ours", "theirs", "country"),
    [
        ("32601", "32601-4411", "US"),
        ("326014411", "32601", "US"),
        ("32601", "", "US"),
        ("", "99201", "US"),
        ("SW1A 1AA", "sw1a1aa", "GB"),
    ],
)
def test_r07_the_same_place_or_none_says_nothing(ours: str, theirs: str, country: str) -> None:
    case = addressed(facts(*PACKED, label(at("Tue 10:00"), destination_postcode=theirs)), ours, country)
    never(judge(case, at("Tue 10:00")), "R-07")


def test_r07_other_countries_compare_the_whole() -> None:
    case = addressed(facts(*PACKED, label(at("Tue 10:00"), destination_postcode="SW1A 2AA")), "SW1A 1AA", "GB")
    opens_at(case, "R-07", at("Tue 10:00"))


def test_r07_a_first_leg_leads_to_where_it_is_handed_on() -> None:
    first = label(at("Tue 10:00"), destination_postcode="99201")
    second = label(at("Wed 10:00"), USPS, "second", leg=2, destination_postcode="32601")
    whole = cleared_of(judge(addressed(facts(*PACKED, first, second)), at("Wed 10:00")), "R-07")
    assert whole.cleared_at == at("Wed 10:00")
    together = replace(second, said_at=at("Tue 09:00"), latest=at("Tue 09:00"), earliest=at("Tue 09:00"))
    never(judge(addressed(facts(*PACKED, first, together)), at("Wed 10:00")), "R-07")


def test_r07_clears_when_it_is_heard_at_the_address() -> None:
    wrong = (*PACKED, label(at("Tue 10:00"), destination_postcode="99201"))
    heard = judge(addressed(facts(*wrong, hear("phone", at("Fri 10:00")))), at("Fri 10:00"))
    assert cleared_of(heard, "R-07").cleared_because == "the tag was heard at the address"


def test_r07_a_number_on_the_label_and_told_is_one_finding_whatever_unit_bears_it() -> None:
    wrong, again = label(at("Tue 10:00"), TO_SPOKANE), told(at("Thu 10:00"), TO_SPOKANE)
    case = addressed(facts(*PACKED, wrong, bound(at("Wed 10:00"), 4712), again))
    assert open_of(judge(case, at("Thu 12:00")), "R-07").since == at("Tue 10:00")


def test_r07_the_replacements_label_settles_it() -> None:
    wrong, right = label(at("Tue 10:00"), TO_SPOKANE), label(at("Thu 10:00"), USPS, "second")
    case = addressed(facts(*PACKED, wrong, bound(at("Wed 10:00"), 4712), right))
    assert cleared_of(judge(case, at("Thu 12:00")), "R-07").cleared_at == at("Thu 10:00")


# -- R-08 --------------------------------------------------------------------------------------------------------
def test_r08_found_before_and_not_found_now() -> None:
    seen = (*PACKED, plain_label(at("Tue 10:00")), shows(at("Tue 18:00")))
    gone = facts(*seen, shows(at("Wed 10:00"), found=False))
    assert opens_at(gone, "R-08", at("Wed 10:00")).subject == NUMBER
    back = judge(facts(*seen, shows(at("Wed 10:00"), found=False), shows(at("Wed 12:00"))), at("Wed 12:00"))
    assert cleared_of(back, "R-08").cleared_because == "the carrier shows it again"


def test_r08_a_number_that_was_never_shown_has_not_vanished() -> None:
    never(judge(facts(plain_label(at("Tue 10:00")), shows(at("Wed 10:00"), found=False)), at("Wed 10:00")), "R-08")


def test_r08_carriers_forget_what_arrived() -> None:
    done = (*PACKED, plain_label(at("Tue 10:00")), shows(at("Tue 18:00")), scan(at("Fri 12:00"), "delivered"))
    never(judge(facts(*done, shows(at("Fri 12:00", week=4), found=False)), at("Fri 12:00", week=4)), "R-08")


# -- R-09 --------------------------------------------------------------------------------------------------------
@pytest.mark.parametrize(
    "words",
    [
        label(at("Mon 09:20"), USPS, service="Ground"),
        label(at("Mon 09:20"), "1Z5R89390357567127"),  # 03: ground by its number
        view(at("Mon 09:20"), Source.CUSTOMER, About.SERVICE, "ground, 3–5 business days"),
        view(at("Mon 09:20"), Source.SYSTEM, About.SERVICE, "ground"),
        view(at("Mon 09:20"), Source.CARRIER, About.SERVICE, "ground"),
    ],
)
def test_r09_opens_with_whatever_shows_less_than_was_paid_for(words: Statement) -> None:
    opens_at(facts(CHARGED, words), "R-09", at("Mon 09:20"))


def test_r09_the_carriers_scan() -> None:
    case = facts(CHARGED, *PACKED, label(at("Mon 10:00")), shows(at("Mon 18:00"), service="Ground"))
    opens_at(case, "R-09", at("Mon 18:00"))


@pytest.mark.parametrize(
    "words",
    [
        view(at("Mon 09:20"), Source.STAFF, About.SERVICE, "ground"),  # a person's word is R-15's
        view(at("Mon 09:20"), Source.SYSTEM, About.SERVICE, "overnight"),
        view(at("Mon 09:20"), Source.SYSTEM, About.SERVICE, "by pigeon"),
        label(at("Mon 09:20"), NUMBER, service="overnight"),
    ],
)
def test_r09_is_silent_where_nothing_is_certainly_slower(words: Statement) -> None:
    never(judge(facts(CHARGED, words), at("Mon 09:20")), "R-09")


def test_r09_counts_from_when_the_charge_is_known() -> None:
    slow = view(at("Mon 09:20"), Source.SYSTEM, About.SERVICE, "ground")
    upgrade = replace(CHARGED, said_at=at("Mon 12:00"), latest=at("Mon 12:00"), learnt_at=at("Mon 12:00"))
    assert opens_at(facts(upgrade, slow), "R-09", at("Mon 12:00")).since == at("Mon 12:00")
    opens_at(with_order(facts(slow), paid_service="overnight"), "R-09", at("Mon 09:20"))


def test_r09_an_order_that_is_not_placed_yet_was_charged_nothing() -> None:
    early = with_order(facts(label(at("Mon 08:00"), USPS, service="Ground")), paid_service="overnight")
    opens_at(early, "R-09", at("Mon 09:00"))


def test_r09_clears_with_the_right_booking_or_when_the_fee_is_back_after_arrival() -> None:
    slow = view(at("Mon 09:20"), Source.SYSTEM, About.SERVICE, "ground")
    booked = judge(facts(CHARGED, slow, label(at("Mon 11:00"), service="overnight")), at("Mon 11:00"))
    assert cleared_of(booked, "R-09").cleared_because == "it is booked as it was paid for"
    fee = say(StatementKind.REFUNDED, at("Tue 10:00"), Payment(1600, "USD", "overnight"))
    moving = (CHARGED, slow, *PACKED, label(at("Mon 11:00"), USPS), fee)
    assert "R-09" in rules(judge(facts(*moving), at("Tue 10:00")))  # money does not replace the repair
    arrived = judge(facts(*moving, act(ActKind.ACTIVATED, at("Fri 09:00"))), at("Fri 09:00"))
    assert cleared_of(arrived, "R-09").cleared_because == "it arrived and the fee is back"


# -- R-13 --------------------------------------------------------------------------------------------------------
@pytest.mark.parametrize("number", ["T-1", "t 1", "12345", "9400110200881234567890"])
def test_r13_a_number_that_no_carrier_can_look_up(number: str) -> None:
    finding = opens_at(facts(told(at("Tue 10:00"), number)), "R-13", at("Tue 10:00"))
    assert finding.why.endswith("No carrier's number is known yet.")


def test_r13_an_order_number_that_looks_like_a_carriers_is_ours_all_the_same() -> None:
    case = with_order(facts(told(at("Tue 10:00"), "3318810025")), number="3318810025")
    assert "our own order number" in opens_at(case, "R-13", at("Tue 10:00")).why


def test_r13_names_the_number_to_quote() -> None:
    legs = (label(at("Mon 16:00"), NUMBER, "one"), label(at("Tue 09:00"), USPS, "two", leg=2))
    finding = opens_at(facts(*legs, told(at("Tue 10:00"), "T-1")), "R-13", at("Tue 10:00"))
    assert "It is our own order number." in finding.why
    assert finding.why.endswith(f"Quote USPS {USPS}.")


def test_r13_a_label_of_a_carrier_whose_numbers_we_read() -> None:
    opens_at(facts(label(at("Tue 10:00"), "12345")), "R-13", at("Tue 10:00"))
    other = say(StatementKind.LABEL_PRINTED, at("Tue 10:00"), Label("Northline", "12345"))
    never(judge(facts(other), at("Tue 10:00")), "R-13")
    never(judge(facts(label(at("Tue 10:00"), USPS), told(at("Tue 11:00"), USPS)), at("Tue 12:00")), "R-13")


def test_r13_clears_when_the_right_number_is_given() -> None:
    weighing = judge(facts(told(at("Tue 10:00"), "T-1"), told(at("Wed 10:00"), USPS)), at("Wed 10:00"))
    assert cleared_of(weighing, "R-13").cleared_at == at("Wed 10:00")


# -- R-14 --------------------------------------------------------------------------------------------------------
def test_r14_the_next_carrier_has_not_scanned_it_a_business_day_later() -> None:
    """Story C: handed on on Friday, so Monday is its business day and it opens on Tuesday."""
    legs = (*PACKED, label(at("Fri 09:00"), USPS, leg=2), handed_on(at("Fri 17:00")))
    finding = opens_at(facts(*legs), "R-14", at("Tue 00:00", week=1))
    assert finding.subject == "leg 2"


def test_r14_the_label_of_a_later_leg_is_enough() -> None:
    legs = (*PACKED, label(at("Mon 16:00"), NUMBER, "one"), label(at("Tue 09:00"), USPS, "two", leg=2))
    assert "The label of leg 2 is of Tue" in opens_at(facts(*legs), "R-14", at("Thu 00:00")).why
    still_first = shows(at("Wed 12:00"))  # the first carrier still has it
    assert "last scanned it Wed" in opens_at(facts(*legs, still_first), "R-14", at("Fri 00:00")).why


def test_r14_is_silent_with_a_scan_in_time_and_clears_with_a_late_one() -> None:
    legs = (*PACKED, label(at("Mon 16:00"), USPS, leg=2), handed_on(at("Mon 17:00")))
    never(judge(facts(*legs, shows(at("Tue 23:00"), USPS)), at("Fri 09:00")), "R-14")
    late = judge(facts(*legs, shows(at("Wed 09:00"), USPS)), at("Wed 09:00"))
    assert cleared_of(late, "R-14").cleared_because == "the next carrier scanned it"
    arrived = judge(facts(*legs, hear("phone", at("Thu 09:00"))), at("Thu 09:00"))
    assert cleared_of(arrived, "R-14").cleared_because == "it arrived"


# -- all --------------------------------------------------------------------------------------------------------
STUCK = {
    "R-01": facts(*PACKED, OVER),
    "R-03": with_slot(facts(*PACKED, OVER), ship_by=date(2016, 11, 11)),
    "R-06": facts(*PACKED, plain_label(at("Thu 14:00")), shows(at("Thu 14:30"), latest=at("Tue 08:00")), OVER),
    "R-07": addressed(facts(label(at("Tue 10:00"), TO_SPOKANE), OVER)),
    "R-08": facts(plain_label(at("Tue 10:00")), shows(at("Tue 18:00")), shows(at("Wed 10:00"), found=False), OVER),
    "R-09": facts(CHARGED, label(at("Mon 09:20"), USPS, service="Ground"), OVER),
    "R-13": facts(told(at("Tue 10:00"), "T-1"), OVER),
    "R-14": facts(label(at("Mon 16:00"), USPS, leg=2), handed_on(at("Mon 17:00")), OVER),
    "R-16": facts(*ORIGINAL, quote(at("Fri 10:00"), MONDAY), OVER),
}


@pytest.mark.parametrize("rule", STUCK)
def test_an_order_that_is_over_closes_every_finding(rule: str) -> None:
    assert rule in rules(judge(STUCK[rule], OVER.said_at - SECOND))
    finding = cleared_of(judge(STUCK[rule], OVER.said_at), rule)
    assert (finding.cleared_at, finding.cleared_because) == (OVER.said_at, "the order was cancelled or refunded")


def test_what_is_settled_asks_for_no_further_look() -> None:
    """A sweep costs what is due: an order that left and arrived in time is never looked at for these rules again."""
    done = (
        *(PACKED[1:3]),
        BY_FRIDAY,
        label(at("Tue 09:00"), USPS, leg=2),
        shows(at("Tue 18:00"), USPS),
        scan(at("Thu 12:00"), "delivered", number=USPS),
        act(ActKind.ACTIVATED, at("Thu 13:00")),
    )
    moment = Moment(at("Thu 14:00"))
    case = lay_out(booking(facts(*done), OVERNIGHT), SOLO, moment)
    assert moment.next_look_at is None
    for rule in PARCEL_RULES:
        assert not list(FINDERS[rule](case)), rule
    assert moment.next_look_at is None


def test_every_known_version_of_the_policy_is_named_by_itself() -> None:
    assert VERSIONS[SOLO.version] == SOLO
    assert "2026.1" in VERSIONS
    assert all(policy.version == version for version, policy in VERSIONS.items())
