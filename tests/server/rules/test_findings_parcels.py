"""The rules about parcels at their boundaries: dwell, refund owed, numbers, destinations, services, custody."""

from __future__ import annotations

from dataclasses import replace
from datetime import date, datetime, time, timedelta

import pytest

from server.rules.case import lay_out
from server.rules.facts import ActKind, Order, OrderFacts, Service, ShipTo, Slot, Source, Statement, StatementKind
from server.rules.findings.finding import Finding
from server.rules.findings.registry import FINDERS
from server.rules.moment import Moment
from server.rules.payloads import (
    About,
    Assertion,
    CarrierScan,
    Label,
    LegEnded,
    NumberGiven,
    Payment,
    PromiseKind,
    PromiseMade,
    Quote,
    ShipmentStatus,
)
from server.rules.policy import SOLO, VERSIONS
from server.rules.weigh import Weighing
from tests.server.rules.build import (
    HOME,
    NUMBER,
    PACKED,
    SERIAL,
    ZONE,
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
from tests.server.rules.test_findings import SECOND, opens_at
from tests.server.rules.worlds_parcels import PARCEL_RULES

USPS = "9400110200881234567896"
TO_SPOKANE = "420992019205500000000000000001"
OVER = say(StatementKind.ORDER_CANCELLED, at("Thu 09:00", week=5))


def open_of(weighing: Weighing, rule: str) -> Finding:
    found = [f for f in weighing.findings if f.rule.id == rule]
    assert len(found) == 1, [f.why for f in found]
    return found[0]


def cleared_of(weighing: Weighing, rule: str) -> Finding:
    assert rule not in rules(weighing)
    return next(f for f in weighing.cleared if f.rule.id == rule)


def never(weighing: Weighing, rule: str) -> None:
    assert rule not in {f.rule.id for f in (*weighing.findings, *weighing.cleared)}


def label(said_at: datetime, number: str = NUMBER, ref: str = "", **more: object) -> Statement:
    payload = Label("USPS" if number == USPS else "UPS", number, **more)  # type: ignore[arg-type]
    return say(StatementKind.LABEL_PRINTED, said_at, payload, ref=ref, source=Source.WAREHOUSE, exact=True)


def shows(said_at: datetime, number: str = NUMBER, latest: datetime | None = None, **more: object) -> Statement:
    """What the carrier shows; physical unless it has no record."""
    found = bool(more.get("found", True))
    status = ShipmentStatus.IN_TRANSIT if found else ShipmentStatus.UNKNOWN
    payload = CarrierScan("USPS" if number == USPS else "UPS", number, status, found, **more)  # type: ignore[arg-type]
    return say(StatementKind.CARRIER_SCAN, said_at, payload, source=Source.CARRIER, latest=latest, exact=True)


def view(said_at: datetime, source: Source, about: About, value: str = "", by: datetime | None = None) -> Statement:
    ref = f"{source}-{about}-{said_at:%d%H%M}"
    return say(StatementKind.ASSERTION, said_at, Assertion(about, value, by), source=source, ref=ref)


def with_order(case: OrderFacts, **changes: object) -> OrderFacts:
    order: Order = replace(case.order, **changes)  # type: ignore[arg-type]
    return replace(case, order=order)


def with_slot(case: OrderFacts, **changes: object) -> OrderFacts:
    slot = Slot(1, 1, **changes)  # type: ignore[arg-type]
    return with_order(case, lines=(replace(case.order.lines[0], slots=(slot,)),))


# -- R-01 ------------------------------------------------------------------------------------------------------
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


# -- R-03 ------------------------------------------------------------------------------------------------------
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


def test_r03_a_keep_that_was_due_before_it_was_made_suspends_nothing() -> None:
    made_at = LIMIT + timedelta(days=3)
    keep = say(StatementKind.PROMISE, made_at, PromiseMade(PromiseKind.ARRIVE, made_at, lapse="refund"), ref="keep")
    assert open_of(judge(facts(*PACKED, keep), made_at + SECOND), "R-03").since == LIMIT


# -- R-06 ------------------------------------------------------------------------------------------------------
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


# -- R-07 ------------------------------------------------------------------------------------------------------
def addressed(case: OrderFacts, postcode: str = "32601", country: str = "US") -> OrderFacts:
    return with_order(case, ship_to=ShipTo(ZONE, country, postcode=postcode, place=HOME))


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


# -- R-08 ------------------------------------------------------------------------------------------------------
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


# -- R-09 ------------------------------------------------------------------------------------------------------
CHARGED = say(StatementKind.PAYMENT, at("Mon 09:00"), Payment(1600, "USD", "overnight"), slot=None, source=Source.SHOP)


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


def test_r09_clears_with_the_right_booking_or_when_the_fee_is_back_after_arrival() -> None:
    slow = view(at("Mon 09:20"), Source.SYSTEM, About.SERVICE, "ground")
    booked = judge(facts(CHARGED, slow, label(at("Mon 11:00"), service="overnight")), at("Mon 11:00"))
    assert cleared_of(booked, "R-09").cleared_because == "it is booked as it was paid for"
    fee = say(StatementKind.REFUNDED, at("Tue 10:00"), Payment(1600, "USD", "overnight"))
    moving = (CHARGED, slow, *PACKED, label(at("Mon 11:00"), USPS), fee)
    assert "R-09" in rules(judge(facts(*moving), at("Tue 10:00")))  # money does not replace the repair
    arrived = judge(facts(*moving, act(ActKind.ACTIVATED, at("Fri 09:00"))), at("Fri 09:00"))
    assert cleared_of(arrived, "R-09").cleared_because == "it arrived and the fee is back"


# -- R-10 ------------------------------------------------------------------------------------------------------
BY_FRIDAY = promise(at("Mon 09:05"), "arrive", at("Sat 00:00"))
MONDAY = at("Tue 00:00", week=1)


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


# -- R-11 ------------------------------------------------------------------------------------------------------
def booking(case: OrderFacts, *services: Service) -> OrderFacts:
    return replace(case, sites=tuple(replace(site, services=services) for site in case.sites))


OVERNIGHT = Service("overnight", time(18, 0), 1)
GROUND = Service("ground", time(17, 0), 4)


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


# -- R-13 ------------------------------------------------------------------------------------------------------
def told(said_at: datetime, number: str) -> Statement:
    return say(StatementKind.NUMBER_GIVEN, said_at, NumberGiven(number), ref=f"told-{number}")


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


# -- R-14 ------------------------------------------------------------------------------------------------------
def handed_on(said_at: datetime, latest: datetime | None = None) -> Statement:
    payload = LegEnded("Consolidator", 1, next_carrier="USPS")
    return say(StatementKind.LEG_ENDED, said_at, payload, source=Source.SYSTEM, latest=latest, exact=True)


def test_r14_the_next_carrier_has_not_scanned_it_a_business_day_later() -> None:
    """Story C: handed on on Friday, so Monday is its business day and it opens on Tuesday."""
    legs = (*PACKED, label(at("Fri 09:00"), USPS, leg=2), handed_on(at("Fri 17:00")))
    finding = opens_at(facts(*legs), "R-14", at("Tue 00:00", week=1))
    assert finding.subject == "leg 2"


def test_r14_the_label_of_a_later_leg_is_enough() -> None:
    legs = (*PACKED, label(at("Mon 16:00"), NUMBER, "one"), label(at("Tue 09:00"), USPS, "two", leg=2))
    opens_at(facts(*legs), "R-14", at("Thu 00:00"))
    still_first = shows(at("Wed 12:00"))  # the first carrier still has it
    opens_at(facts(*legs, still_first), "R-14", at("Fri 00:00"))


def test_r14_is_silent_with_a_scan_in_time_and_clears_with_a_late_one() -> None:
    legs = (*PACKED, label(at("Mon 16:00"), USPS, leg=2), handed_on(at("Mon 17:00")))
    never(judge(facts(*legs, shows(at("Tue 23:00"), USPS)), at("Fri 09:00")), "R-14")
    late = judge(facts(*legs, shows(at("Wed 09:00"), USPS)), at("Wed 09:00"))
    assert cleared_of(late, "R-14").cleared_because == "the next carrier scanned it"
    arrived = judge(facts(*legs, hear("phone", at("Thu 09:00"))), at("Thu 09:00"))
    assert cleared_of(arrived, "R-14").cleared_because == "it arrived"


# -- R-16 ------------------------------------------------------------------------------------------------------
def quote(said_at: datetime, eta: datetime) -> Statement:
    return say(StatementKind.LABEL_QUOTED, said_at, Quote("UPS", "overnight", eta), ref=f"quote-{said_at:%d%H%M}")


ORIGINAL = (*PACKED, label(at("Tue 10:00"), eta=MONDAY))


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


def test_r16_clears_with_a_faster_choice() -> None:
    case = facts(*ORIGINAL, quote(at("Fri 10:00"), MONDAY), quote(at("Fri 10:05"), at("Sun 00:00")))
    finding = cleared_of(judge(case, at("Fri 10:05")), "R-16")
    assert finding.cleared_because == "a faster one was chosen"


# -- all -------------------------------------------------------------------------------------------------------
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
