"""What ends a finding, what does not, and what must never begin one: fees, returns, second hand, kept promises."""

from __future__ import annotations

from dataclasses import replace
from datetime import timedelta

from server.rules.causes import CauseKind
from server.rules.facts import ActKind, BeaconMode, CohortMark, Healthy, Source, Statement, StatementKind, Unit
from server.rules.payloads import About, Contact, Payment, PromiseKind, PromiseMade, Wants
from server.rules.services import speed_of
from server.rules.tracking.reading import Speed
from tests.server.rules import parcels
from tests.server.rules.build import (
    PACKED,
    SERIAL,
    act,
    at,
    bound,
    cleared,
    dispatched,
    facts,
    hear,
    judge,
    label,
    of_customer,
    only,
    promise,
    rules,
    say,
    scan,
)
from tests.server.rules.parcels import never, shows
from tests.server.rules.test_findings import opens_at
from tests.server.rules.test_findings_people import asks, by, offer, refund_asked, view

FEE = say(StatementKind.REFUNDED, at("Mon 16:00"), Payment(1600, "USD", "overnight"), slot=None)
MONEY = say(StatementKind.REFUNDED, at("Thu 16:00"), Payment(3778, "USD"), slot=None, ref="money")
PAID = say(StatementKind.PAYMENT, at("Mon 09:00"), Payment(3778, "USD"), source=Source.SHOP)
LEFT = (*PACKED, label(at("Tue 10:00")), scan(at("Tue 18:10")))


def not_received(said_at) -> Statement:
    return say(StatementKind.CONTACT, said_at, Contact(True, "mail", wants=Wants.NOT_RECEIVED), source=Source.CUSTOMER)


# -- the fee of a service is not the money -----------------------------------------------------------------------
def test_r21_the_fee_of_a_service_answers_no_request_for_the_money() -> None:
    assert "R-21" in rules(judge(facts(*PACKED, refund_asked(at("Mon 12:00")), FEE), at("Wed 12:00")))


def test_r28_the_fee_of_a_service_ends_no_dispute() -> None:
    threat = asks(at("Mon 11:00"), Wants.CHARGE_BACK)
    assert "R-28" in rules(judge(facts(*PACKED, PAID, threat, FEE), at("Tue 12:00")))
    assert cleared(judge(facts(*PACKED, PAID, threat, MONEY), at("Thu 16:00")), "R-28").cleared_at == at("Thu 16:00")


# -- R-21 --------------------------------------------------------------------------------------------------------
def test_r21_an_offer_after_the_day_does_not_make_it_younger() -> None:
    asked = (refund_asked(at("Mon 12:00")), offer(at("Wed 12:00")))
    assert only(judge(facts(*PACKED, *asked), at("Wed 13:00")), "R-21").since == at("Tue 12:00")


def test_r21_only_the_customer_lets_go_of_a_request() -> None:
    by_staff = say(StatementKind.REFUND_WITHDRAWN, at("Mon 16:00"))
    assert "R-21" in rules(judge(facts(*PACKED, refund_asked(at("Mon 12:00")), by_staff), at("Wed 12:00")))


def test_r21_another_units_refund_answers_nothing() -> None:
    other = say(StatementKind.REFUNDED, at("Mon 16:00"), Payment(100, "USD"), slot=2)
    asked = facts(*PACKED, refund_asked(at("Mon 12:00")), other, slots=2)
    assert "R-21" in rules(judge(asked, at("Wed 12:00")))


def test_r21_after_a_lapse_the_customer_may_keep_it_once_more() -> None:
    keep = say(StatementKind.PROMISE, at("Mon 15:00"), PromiseMade(PromiseKind.ARRIVE, at("Wed 00:00"), lapse="refund"))
    again = say(StatementKind.REFUND_WITHDRAWN, at("Wed 09:00"), source=Source.CUSTOMER)
    assert (
        cleared(judge(facts(*PACKED, keep, again), at("Wed 09:00")), "R-21").cleared_because == "the customer keeps it"
    )


def test_r21_compensation_ends_with_what_was_promised() -> None:
    kept = facts(
        *PACKED, promise(at("Mon 10:30"), "ship", at("Fri 00:00")), offer(at("Tue 12:00")), scan(at("Tue 18:10"))
    )
    assert cleared(judge(kept, at("Tue 18:10")), "R-21").cleared_at == at("Tue 18:10")


# -- R-28 --------------------------------------------------------------------------------------------------------
def test_r28_what_was_proved_before_the_threat_is_proof() -> None:
    delivered = (*LEFT, scan(at("Wed 12:00"), "delivered"), PAID, asks(at("Thu 10:00"), Wants.CHARGE_BACK))
    never(judge(facts(*delivered), at("Thu 12:00")), "R-28")


# -- R-12, R-18 --------------------------------------------------------------------------------------------------
def test_r12_ends_when_the_money_is_back_but_an_answer_is_still_owed() -> None:
    came = promise(at("Mon 12:00"), "arrive", at("Wed 00:00"))
    assert cleared(judge(facts(*PACKED, came, MONEY), at("Thu 16:00")), "R-12").cleared_at == at("Thu 16:00")
    reply = promise(at("Mon 12:00"), "reply", at("Wed 00:00"))
    assert "R-12" in rules(judge(facts(*PACKED, reply, MONEY), at("Thu 16:00")))


def test_r18_three_people_who_each_kept_their_word_repeat_nothing() -> None:
    def answered(person: str, day: str) -> tuple[Statement, Statement]:
        told = say(StatementKind.CONTACT, at(f"{day} 12:00"), Contact(False, "mail"))
        return by(person, promise(at(f"{day} 10:00"), "reply", at(f"{day} 18:00"))), told

    kept = facts(*PACKED, *answered("O", "Mon"), *answered("A", "Tue"), *answered("M", "Wed"))
    never(judge(kept, at("Wed 11:00")), "R-18")


# -- R-15, R-19 --------------------------------------------------------------------------------------------------
def test_r15_what_comes_after_the_view_had_agreed_is_a_new_matter() -> None:
    views = [
        view(at("Mon 09:00"), About.SERVICE, "ground", source=Source.SYSTEM),
        view(at("Mon 12:00"), About.SERVICE, "overnight"),
        view(at("Tue 09:00"), About.SERVICE, "overnight", source=Source.SYSTEM),
        view(at("Wed 09:00"), About.SERVICE, "ground", source=Source.SYSTEM),
        by("B", view(at("Thu 09:00"), About.SERVICE, "overnight")),
    ]
    finding = only(judge(facts(*PACKED, *views), at("Thu 12:00")), "R-15")
    assert (finding.since, finding.severity) == (at("Thu 09:00"), "high")


def test_r15_the_view_of_another_unit_denies_nothing() -> None:
    other = replace(view(at("Mon 09:00"), About.SERVICE, "ground", source=Source.SYSTEM), slot=2)
    never(
        judge(facts(*PACKED, other, view(at("Mon 12:00"), About.SERVICE, "overnight"), slots=2), at("Mon 12:00")),
        "R-15",
    )


def test_r19_gone_and_back_again_is_no_contradiction() -> None:
    here = view(at("Fri 09:00"), About.STEP, "with_us")
    returned = say(StatementKind.RETURNED, at("Thu 12:00"), source=Source.WAREHOUSE)
    never(judge(facts(*LEFT, dispatched(at("Tue 16:00")), returned, here), at("Fri 10:00")), "R-19")
    replaced = bound(at("Thu 12:00"), serial=SERIAL + 1)
    never(judge(facts(*LEFT, dispatched(at("Tue 16:00")), replaced, here), at("Fri 10:00")), "R-19")
    heard = hear("bench", at("Thu 12:00"))
    never(judge(facts(*LEFT, dispatched(at("Tue 16:00")), heard, here), at("Fri 10:00")), "R-19")
    assert "R-19" in rules(judge(facts(*LEFT, dispatched(at("Tue 16:00")), here), at("Fri 10:00")))


def test_r19_many_words_are_not_a_finding_for_every_pair() -> None:
    said = [
        replace(view(at("Tue 09:00") + timedelta(minutes=n), About.SERVICE, ("ground", "overnight")[n % 2]), id=f"v{n}")
        for n in range(40)
    ]
    weighing = judge(facts(*PACKED, *said), at("Tue 12:00"))
    assert len([f for f in weighing.findings if f.rule.id == "R-19"]) == 39


# -- R-33 --------------------------------------------------------------------------------
def test_r26_names_nobody_who_packed() -> None:
    mark = CohortMark("R-02", CauseKind.PACKED_BY, "Xaver Quirin", 6, at("Tue 09:00"))
    why = only(judge(replace(facts(*PACKED), cohorts=(mark,)), at("Tue 12:00")), "R-26").why
    assert why == "6 orders packed by one person have R-02, far more than others."


def test_r27_a_unit_that_was_bound_before_packing_may_be_replaced_later() -> None:
    whole = replace(PACKED[2], slot=None)
    both = (PACKED[0], bound(at("Mon 10:00")), bound(at("Mon 10:01"), SERIAL + 1, 2), whole)
    never(judge(facts(*both, bound(at("Wed 10:00"), SERIAL + 2), slots=2), at("Wed 12:00")), "R-27")


def test_r27_begins_when_another_unit_is_scanned() -> None:
    whole = replace(PACKED[2], slot=None)
    scanned = facts(whole, bound(at("Wed 10:00"), SERIAL, 1), slots=2)
    finding = only(judge(scanned, at("Wed 10:00")), "R-27")
    assert (finding.slot, finding.since) == (2, at("Wed 10:00"))


def test_r29_ends_when_the_parcel_is_back() -> None:
    afar = (hear("van", at("Tue 18:00")), hear("van", at("Tue 19:00")))
    on_its_way = facts(*PACKED, label(at("Tue 10:00")), *afar)
    assert "R-29" in rules(judge(on_its_way, at("Wed 12:00")))
    back = facts(*on_its_way.statements, *on_its_way.heard, hear("bench", at("Thu 12:00")))
    assert cleared(judge(back, at("Thu 13:00")), "R-29").cleared_because == "it is back with us"


def test_r32_second_hand_is_ordinary() -> None:
    sold = (
        act(ActKind.ACTIVATED, at("Fri 12:00")),
        act(ActKind.RELEASED, at("Sat 12:00")),
        act(ActKind.ACTIVATED, at("Sun 12:00"), account="buyer"),
    )
    never(judge(of_customer(facts(*LEFT, *sold)), at("Sun 13:00")), "R-32")


def test_r32_says_nothing_where_nobody_could_have_seen_it_leave() -> None:
    unseen = facts(*PACKED, act(ActKind.ACTIVATED, at("Fri 12:00")), unit=Unit(SERIAL, beacon_mode=BeaconMode.SILENT))
    never(judge(unseen, at("Fri 13:00")), "R-32")


def test_r32_who_listens_only_from_then_on_has_missed_nothing() -> None:
    activated = facts(*PACKED, act(ActKind.ACTIVATED, at("Tue 12:00")))
    deaf = replace(activated, healthy=(Healthy("dock", at("Tue 12:00")), Healthy("phone", at("Mon 06:00"))))
    never(judge(deaf, at("Wed 12:00")), "R-32")
    assert "R-32" in rules(judge(replace(activated, healthy=(Healthy("dock", at("Tue 11:59")),)), at("Wed 12:00")))


def test_r33_accuses_nobody_whose_parcel_came_after_the_words() -> None:
    late = facts(*LEFT, not_received(at("Wed 09:00")), act(ActKind.ACTIVATED, at("Fri 12:00")))
    never(judge(of_customer(late), at("Fri 13:00")), "R-33")


def test_r33_ends_when_a_person_decided() -> None:
    said = (act(ActKind.ACTIVATED, at("Fri 12:00")), not_received(at("Sat 09:00")))
    decided = of_customer(facts(*LEFT, *said, act(ActKind.REMEDY_AUTHORISED, at("Sat 12:00"))))
    assert cleared(judge(decided, at("Sat 12:00")), "R-33").cleared_because == "a person decided"


def test_twelve_days_are_not_two() -> None:
    assert speed_of("standard, 12 days") is Speed.GROUND
    assert speed_of("ground, within 21 days") is Speed.GROUND


# -- a replacement makes good ------------------------------------------------------------------------------------
def test_r04_r05_r17_end_when_the_replacement_has_left() -> None:
    inside = (hear("bench", at("Wed 20:00"), at("Wed 21:00")), hear("bench", at("Fri 20:00"), at("Fri 21:00")))
    refuted = (*PACKED, label(at("Tue 10:00")), dispatched(at("Tue 10:05")), *inside)
    assert {"R-04", "R-05", "R-17"} <= rules(judge(facts(*refuted), at("Fri 22:00")))
    second = replace(parcels.label(at("Thu 10:10"), parcels.USPS), id="second")
    reshipped = facts(*refuted, bound(at("Thu 10:00"), SERIAL + 1), second, shows(at("Thu 18:00"), parcels.USPS))
    weighing = judge(reshipped, at("Fri 22:00"))
    assert not {"R-02", "R-04", "R-05", "R-17"} & rules(weighing)
    assert cleared(weighing, "R-17").cleared_because == "its replacement left us"


def test_r02_r04_a_receipt_shows_that_it_came_also_where_nobody_scans() -> None:
    weighing = judge(facts(*PACKED, label(at("Tue 10:00")), act(ActKind.ACTIVATED, at("Fri 12:00"))), at("Fri 12:00"))
    assert not {"R-02", "R-04"} & rules(weighing)


def test_r12_what_was_due_before_it_was_promised_is_broken_when_it_is_promised() -> None:
    late = facts(*PACKED, promise(at("Wed 12:00"), "ship", at("Tue 00:00")))
    assert only(judge(late, at("Wed 12:00")), "R-12").since == at("Wed 12:00")


def test_r28_nothing_is_disputed_before_it_is_paid() -> None:
    paid = replace(PAID, said_at=at("Wed 09:00"), learnt_at=at("Wed 09:00"))
    case = facts(*PACKED, asks(at("Tue 10:00"), Wants.CHARGE_BACK), paid)
    assert only(judge(case, at("Wed 12:00")), "R-28").since == at("Wed 09:00")


def test_r29_a_second_journey_begins_anew() -> None:
    journeys = (
        hear("van", at("Tue 18:00")),
        hear("van", at("Tue 19:00")),
        hear("bench", at("Thu 12:00")),
        hear("van", at("Fri 18:00")),
        hear("van", at("Fri 19:00")),
    )
    assert only(judge(facts(*PACKED, *journeys), at("Sun 12:00")), "R-29").since == at("Sat 01:00")


def test_a_tag_that_is_scanned_twice_is_no_replacement_of_itself() -> None:
    again = replace(bound(at("Tue 09:00")), id="again")
    never(judge(facts(*LEFT, again, hear("van", at("Tue 19:00"))), at("Wed 13:00")), "R-25")


def test_a_scan_that_is_dated_ahead_shows_nothing_before_its_time() -> None:
    ahead = replace(scan(at("Tue 12:00")), earliest=at("Fri 12:00"), latest=at("Fri 12:00"))
    case = facts(*PACKED, label(at("Tue 10:00")), ahead)
    assert judge(case, at("Tue 13:00")).shown.slots[0].shown == "packed"
    assert judge(case, at("Fri 12:00")).shown.slots[0].shown == "accepted"


def test_r15_left_is_asserted_and_nothing_shows_it() -> None:
    said = view(at("Tue 10:05"), About.STEP, "left")
    assert opens_at(facts(*PACKED, said), "R-15", at("Tue 23:00")).severity == "high"
    again = by("B", view(at("Wed 10:05"), About.STEP, "with_carrier"))
    assert only(judge(facts(*PACKED, said, again), at("Fri 12:00")), "R-15").severity == "critical"
    gone = facts(*PACKED, label(at("Tue 10:00")), said, scan(at("Wed 18:10")))
    assert cleared(judge(gone, at("Wed 18:10")), "R-15").cleared_at == at("Wed 18:10")
    never(judge(facts(*LEFT, said), at("Fri 12:00")), "R-15")


def test_r15_says_that_a_replacement_left_and_not_that_it_did() -> None:
    said = view(at("Tue 10:05"), About.STEP, "left")
    replacement = (bound(at("Wed 09:00"), SERIAL + 1), label(at("Wed 10:00")), scan(at("Wed 18:10")))
    over = cleared(judge(facts(*PACKED, said, *replacement), at("Fri 12:00")), "R-15")
    assert (over.cleared_at, over.cleared_because) == (at("Wed 18:10"), "its replacement left us")


def test_r25_one_scan_without_a_label_is_not_two_parcels() -> None:
    second = (bound(at("Wed 09:00"), SERIAL + 1), scan(at("Wed 18:10")), scan(at("Thu 18:10"), "out_for_delivery"))
    never(judge(facts(*PACKED, scan(at("Tue 18:10")), *second), at("Fri 12:00")), "R-25")
