"""Rules about dates at their boundaries: dwell, refund owed, estimates, the last safe moment, replacements."""

from __future__ import annotations

from dataclasses import replace
from datetime import date, datetime, timedelta

import pytest

from server.rules.facts import ActKind, Source, Statement, StatementKind
from server.rules.payloads import (
    About,
    Payment,
    PromiseEnded,
    PromiseKind,
    PromiseMade,
)
from tests.server.rules.build import (
    PACKED,
    SERIAL,
    act,
    at,
    bound,
    dispatched,
    facts,
    hear,
    judge,
    promise,
    rules,
    say,
    scan,
)
from tests.server.rules.build import label as plain_label
from tests.server.rules.parcels import (
    BY_FRIDAY,
    GROUND,
    MONDAY,
    ORIGINAL,
    OVERNIGHT,
    USPS,
    booking,
    cleared_of,
    label,
    never,
    open_of,
    quote,
    shows,
    view,
    with_order,
    with_slot,
)
from tests.server.rules.test_findings import SECOND, opens_at


# -- R-01 --------------------------------------------------------------------------------------------------------
def test_r01_ordered_for_more_than_two_business_days() -> None:
    """Story F: ordered on Monday, still not packed; it opens on Thursday."""
    finding = opens_at(facts(), "R-01", at("Thu 00:00"))
    assert (finding.subject, finding.since, finding.severity) == ("ordered", at("Thu 00:00"), "warning")
    opens_at(facts(placed="Mon 17:00"), "R-01", at("Fri 00:00"))


def test_r01_each_state_has_its_own_maximum() -> None:
    opens_at(facts(*PACKED), "R-01", at("Thu 00:00"))
    moving = facts(*PACKED, plain_label(at("Tue 10:00")), scan(at("Tue 18:00")))
    never(judge(moving, at("Tue 23:59", week=2)), "R-01")
    assert opens_at(moving, "R-01", at("Wed 00:00", week=2)).subject == "on its way"


@pytest.mark.parametrize("end", [scan(at("Fri 12:00"), "delivered"), scan(at("Fri 12:00"), "available_for_pickup")])
def test_r01_is_silent_once_it_arrived(end: Statement) -> None:
    moving = (*PACKED, plain_label(at("Tue 10:00")), scan(at("Tue 18:00")))
    never(judge(facts(*moving, end), at("Wed 00:00", week=4)), "R-01")


def test_r01_clears_with_the_next_state() -> None:
    packed = say(StatementKind.PACKED, at("Thu 11:00"), source=Source.WAREHOUSE)
    finding = cleared_of(judge(facts(packed), at("Thu 11:00")), "R-01")
    assert (finding.cleared_at, finding.cleared_because) == (at("Thu 11:00"), "it was packed")
    left = cleared_of(judge(facts(*PACKED, hear("van", at("Thu 18:00"))), at("Thu 18:00")), "R-01")
    assert (left.subject, left.cleared_because) == ("packed", "it left us")


def test_r01_a_lead_time_that_was_shown_and_a_stated_day_allow_longer() -> None:
    opens_at(with_slot(facts(), lead_bd=2, lead_shown=True), "R-01", at("Sat 00:00"))
    opens_at(with_slot(facts(), lead_bd=2), "R-01", at("Thu 00:00"))
    opens_at(with_slot(facts(*PACKED), ship_by=date(2016, 11, 18)), "R-01", at("Sat 00:00", week=1))


def test_r01_an_order_that_is_over_is_not_stuck() -> None:
    over = say(StatementKind.ORDER_CANCELLED, at("Fri 09:00"))
    assert cleared_of(judge(facts(over), at("Fri 09:00")), "R-01").cleared_at == at("Fri 09:00")
    never(judge(facts(replace(over, said_at=at("Tue 09:00"), latest=at("Tue 09:00"))), at("Fri 09:00")), "R-01")


# -- R-03 --------------------------------------------------------------------------------------------------------
LIMIT = at("Wed 09:00", week=4)  # thirty days after Monday 09:00


def consent(said_at: datetime, source: Source = Source.CUSTOMER) -> Statement:
    return say(StatementKind.CONSENT_TO_DELAY, said_at, source=source)


def test_r03_thirty_days_after_an_order_without_a_stated_day() -> None:
    for profile in ("us_ftc", "standard", "unheard of"):
        finding = opens_at(with_order(facts(*PACKED), profile=profile), "R-03", LIMIT)
        assert (finding.since, finding.severity) == (LIMIT, "critical")


def test_r03_a_stated_day_wins_and_a_lead_time_shown_was_stated() -> None:
    opens_at(with_slot(facts(*PACKED), ship_by=date(2016, 11, 11)), "R-03", at("Sat 00:00"))
    opens_at(with_slot(facts(*PACKED), ship_by=date(2016, 12, 30)), "R-03", at("Sat 00:00", week=7))
    never(judge(with_slot(facts(*PACKED), lead_bd=40, lead_shown=True), LIMIT), "R-03")
    opens_at(with_slot(facts(*PACKED), lead_bd=40), "R-03", LIMIT)


def test_r03_only_the_customers_own_consent_before_the_limit_prevents_it() -> None:
    never(judge(facts(*PACKED, consent(LIMIT)), LIMIT + 90 * SECOND), "R-03")
    opens_at(facts(*PACKED, consent(at("Tue 09:00"), Source.STAFF)), "R-03", LIMIT)
    late = judge(facts(*PACKED, consent(LIMIT + SECOND)), LIMIT + SECOND)
    assert cleared_of(late, "R-03").cleared_because == "the customer agreed to wait"
    kept = say(StatementKind.REFUND_WITHDRAWN, LIMIT + SECOND, source=Source.CUSTOMER)
    assert cleared_of(judge(facts(*PACKED, kept), LIMIT + SECOND), "R-03").cleared_at == LIMIT + SECOND


def test_r03_is_silent_when_it_left_and_clears_when_it_left_late() -> None:
    never(judge(facts(*PACKED, hear("van", LIMIT)), LIMIT + SECOND), "R-03")
    never(judge(facts(*PACKED, act(ActKind.ACTIVATED, at("Fri 09:00"))), LIMIT + SECOND), "R-03")
    gone = judge(facts(*PACKED, hear("van", LIMIT + SECOND)), LIMIT + SECOND)
    assert cleared_of(gone, "R-03").cleared_because == "it left, late"


def test_r03_ends_with_the_money_but_not_with_a_services_fee() -> None:
    back = say(StatementKind.REFUNDED, LIMIT + SECOND, Payment(3778, "USD"))
    assert cleared_of(judge(facts(*PACKED, back), LIMIT + SECOND), "R-03").cleared_at == LIMIT + SECOND
    fee = replace(back, payload=Payment(1600, "USD", "overnight"))
    assert "R-03" in rules(judge(facts(*PACKED, fee), LIMIT + SECOND))


def test_r03_a_conditional_keep_suspends_it_until_the_condition_lapses() -> None:
    made_at, due = LIMIT + timedelta(days=3), at("Fri 00:00", week=7)
    keep = say(StatementKind.PROMISE, made_at, PromiseMade(PromiseKind.ARRIVE, due, lapse="refund"), ref="keep")
    kept = facts(*PACKED, keep)
    assert "R-03" in rules(judge(kept, made_at - SECOND))
    suspended = cleared_of(judge(kept, due - SECOND), "R-03")
    assert (suspended.cleared_at, suspended.cleared_because) == (made_at, "the customer keeps it on a condition")
    again = opens_at(kept, "R-03", due)
    assert again.since == due
    assert "lapsed" in again.why
    early = facts(*PACKED, replace(keep, said_at=at("Tue 09:00"), latest=at("Tue 09:00"), learnt_at=at("Tue 09:00")))
    never(judge(early, due - SECOND), "R-03")
    opens_at(early, "R-03", due)


def test_r03_a_keep_that_was_let_go_or_after_it_left_owes_nothing_new() -> None:
    made_at, due = LIMIT + timedelta(days=3), at("Fri 00:00", week=7)
    keep = say(StatementKind.PROMISE, made_at, PromiseMade(PromiseKind.ARRIVE, due, lapse="refund"), ref="keep")
    let_go = say(StatementKind.PROMISE_CANCELLED, made_at + SECOND, PromiseEnded("keep"))
    assert open_of(judge(facts(*PACKED, keep, let_go), made_at + SECOND), "R-03").since == LIMIT
    left = facts(*PACKED, keep, hear("van", made_at + SECOND))
    assert "R-03" not in rules(judge(left, due)), "the lapse is R-21's: it did leave"


def test_r03_a_keep_that_was_due_before_it_was_made_suspends_nothing() -> None:
    made_at = LIMIT + timedelta(days=3)
    keep = say(StatementKind.PROMISE, made_at, PromiseMade(PromiseKind.ARRIVE, made_at, lapse="refund"), ref="keep")
    assert open_of(judge(facts(*PACKED, keep), made_at + SECOND), "R-03").since == LIMIT


# -- R-10 --------------------------------------------------------------------------------------------------------
@pytest.mark.parametrize(
    "words",
    [
        label(at("Tue 19:00"), eta=MONDAY),
        view(at("Tue 19:00"), Source.CARRIER, About.ARRIVAL, by=MONDAY),
    ],
)
def test_r10_the_carrier_expects_it_after_the_promised_day(words: Statement) -> None:
    finding = opens_at(facts(*PACKED, BY_FRIDAY, words), "R-10", at("Tue 19:00"))
    assert finding.subject == "promise-arrive"


def test_r10_a_scans_estimate_and_its_correction() -> None:
    late = (*PACKED, BY_FRIDAY, label(at("Tue 10:00")), shows(at("Tue 19:00"), eta=MONDAY))
    opens_at(facts(*late), "R-10", at("Tue 19:00"))
    better = judge(facts(*late, shows(at("Wed 08:00"), eta=at("Sat 00:00"))), at("Wed 08:00"))
    assert cleared_of(better, "R-10").cleared_because == "the carrier expects it in time"


@pytest.mark.parametrize("source", [Source.STAFF, Source.SYSTEM, Source.WAREHOUSE, Source.CUSTOMER])
def test_r10_an_internal_event_never_makes_an_estimate(source: Source) -> None:
    never(judge(facts(BY_FRIDAY, view(at("Tue 19:00"), source, About.ARRIVAL, by=MONDAY)), at("Tue 19:00")), "R-10")


def test_r10_a_promise_made_against_the_estimate_opens_when_it_is_made() -> None:
    known = label(at("Mon 10:00"), eta=MONDAY)
    late = facts(known, promise(at("Tue 09:00"), "arrive", at("Sat 00:00")))
    assert opens_at(late, "R-10", at("Tue 09:00")).since == at("Tue 09:00")


def test_r10_ends_with_the_promise() -> None:
    late = facts(*PACKED, BY_FRIDAY, label(at("Tue 10:00"), eta=MONDAY))
    assert "R-10" in rules(judge(late, at("Sat 00:00") - SECOND))
    broken = judge(late, at("Sat 00:00"))
    assert cleared_of(broken, "R-10").cleared_because == "the promised day is over"
    assert "R-12" in rules(broken)


def test_r10_a_replacement_in_time_is_enough() -> None:
    first = (*PACKED, BY_FRIDAY, label(at("Tue 10:00"), eta=MONDAY))
    second = (bound(at("Wed 09:00"), SERIAL + 1), label(at("Wed 10:00"), USPS, "second", eta=at("Sat 00:00")))
    assert cleared_of(judge(facts(*first, *second), at("Wed 10:00")), "R-10").cleared_at == at("Wed 10:00")


# -- R-11 --------------------------------------------------------------------------------------------------------
def test_r11_four_hours_before_the_last_cutoff_that_keeps_the_day() -> None:
    """Promised by Friday, overnight until Thursday 18:00: it opens on Thursday at 14:00 (story O)."""
    case = booking(facts(*PACKED, BY_FRIDAY), GROUND, OVERNIGHT)
    finding = opens_at(case, "R-11", at("Thu 14:00"))
    assert "overnight, Thu 10 Nov 2016 18:00 EST" in finding.why
    opens_at(booking(facts(*PACKED, BY_FRIDAY), replace(OVERNIGHT, transit_bd=2)), "R-11", at("Wed 14:00"))


@pytest.mark.parametrize(("saturday", "opens"), [(False, "Thu 14:00"), (True, "Fri 14:00")])
def test_r11_saturday_counts_only_for_services_that_deliver_then(saturday: bool, opens: str) -> None:
    by_saturday = promise(at("Mon 09:05"), "arrive", at("Sun 00:00"))
    opens_at(booking(facts(*PACKED, by_saturday), replace(OVERNIGHT, saturday=saturday)), "R-11", at(opens))


def test_r11_a_holiday_moves_it_forward() -> None:
    case = booking(facts(*PACKED, BY_FRIDAY), OVERNIGHT)
    friday_off = replace(case, sites=tuple(replace(s, holidays=frozenset({date(2016, 11, 11)})) for s in case.sites))
    opens_at(friday_off, "R-11", at("Wed 14:00"))


def test_r11_nobody_hands_over_at_the_weekend() -> None:
    by_monday = promise(at("Mon 09:05"), "arrive", MONDAY)
    opens_at(booking(facts(*PACKED, by_monday), OVERNIGHT), "R-11", at("Fri 14:00"))


def test_r11_a_promise_that_no_service_keeps_is_late_when_it_is_made() -> None:
    today = promise(at("Tue 12:00"), "arrive", at("Wed 00:00"))
    finding = opens_at(booking(facts(*PACKED, today), OVERNIGHT), "R-11", at("Tue 12:00"))
    assert "would have kept it was overnight, Mon" in finding.why


def test_r11_without_services_or_once_it_left_nobody_is_woken() -> None:
    never(judge(facts(*PACKED, BY_FRIDAY), at("Fri 12:00")), "R-11")
    gone = (*PACKED, BY_FRIDAY, label(at("Tue 10:00")), shows(at("Tue 18:00")))
    never(judge(booking(facts(*gone), OVERNIGHT), at("Fri 12:00")), "R-11")


def test_r11_clears_when_it_leaves_and_wakes_again_with_a_late_estimate() -> None:
    case = (*PACKED, BY_FRIDAY, label(at("Thu 15:00"), USPS), shows(at("Thu 16:00"), USPS))
    left = judge(booking(facts(*case), OVERNIGHT), at("Thu 16:00"))
    assert cleared_of(left, "R-11").cleared_because == "it is on its way"
    late = shows(at("Thu 17:00"), USPS, eta=MONDAY)
    assert opens_at(booking(facts(*case, late), OVERNIGHT), "R-11", at("Thu 17:00")).since == at("Thu 17:00")


def test_r11_leaving_by_a_service_that_is_too_slow_is_not_enough() -> None:
    slow = (*PACKED, BY_FRIDAY, label(at("Tue 10:00"), USPS, service="ground"), shows(at("Tue 18:00"), USPS))
    opens_at(booking(facts(*slow), GROUND, OVERNIGHT), "R-11", at("Thu 14:00"))


def test_r11_stays_past_the_cutoff_until_the_promise_is_over() -> None:
    case = booking(facts(*PACKED, BY_FRIDAY), OVERNIGHT)
    before, after = judge(case, at("Thu 18:00") - SECOND), judge(case, at("Thu 18:00"))
    assert before.next_look_at == at("Thu 18:00")
    assert "keeps it: overnight" in open_of(before, "R-11").why
    assert "would have kept it was overnight" in open_of(after, "R-11").why
    assert cleared_of(judge(case, at("Sat 00:00")), "R-11").cleared_because == "the promised day is over"


# -- R-16 --------------------------------------------------------------------------------------------------------
@pytest.mark.parametrize(("eta", "opens"), [(MONDAY, True), (MONDAY - SECOND, False)])
def test_r16_not_before_the_original(eta: datetime, opens: bool) -> None:
    case = facts(*ORIGINAL, quote(at("Fri 10:00"), eta))
    if opens:
        assert opens_at(case, "R-16", at("Fri 10:00")).since == at("Fri 10:00")
    else:
        never(judge(case, at("Fri 10:00")), "R-16")


def test_r16_a_replacement_that_misses_the_promise_does_not_help_either() -> None:
    sent = (*PACKED, BY_FRIDAY, dispatched(at("Tue 10:00")))
    opens_at(facts(*sent, quote(at("Thu 10:00"), MONDAY)), "R-16", at("Thu 10:00"))
    never(judge(facts(*sent, quote(at("Thu 10:00"), at("Sat 00:00"))), at("Thu 10:00")), "R-16")
    never(judge(facts(*sent, quote(at("Sat 10:00"), MONDAY)), at("Sat 10:00")), "R-16")  # the day is over


def test_r16_the_first_label_replaces_nothing() -> None:
    never(judge(facts(*PACKED, BY_FRIDAY, quote(at("Mon 15:00"), MONDAY), label(at("Mon 16:00"), eta=MONDAY)),
                at("Mon 17:00")), "R-16")  # fmt: skip


def test_r16_the_second_label_itself() -> None:
    second = label(at("Fri 12:00"), USPS, "second", eta=MONDAY)
    opens_at(facts(*ORIGINAL, bound(at("Fri 11:00"), SERIAL + 1), second), "R-16", at("Fri 12:00"))


def test_r16_another_number_for_a_box_that_never_left_is_no_replacement() -> None:
    again = label(at("Wed 12:00"), USPS, "second", eta=MONDAY)
    never(judge(facts(*ORIGINAL, again), at("Wed 12:00")), "R-16")
    opens_at(facts(*ORIGINAL, dispatched(at("Wed 10:00")), again), "R-16", at("Wed 12:00"))


def test_r16_clears_with_a_faster_choice() -> None:
    case = facts(*ORIGINAL, quote(at("Fri 10:00"), MONDAY), quote(at("Fri 10:05"), at("Sun 00:00")))
    finding = cleared_of(judge(case, at("Fri 10:05")), "R-16")
    assert finding.cleared_because == "a faster one was chosen"
