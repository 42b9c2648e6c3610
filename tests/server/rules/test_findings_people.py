"""The rules about people at their boundaries: waits, refunds, promises, assurances, channels, disputes."""

from __future__ import annotations

from datetime import datetime, timedelta

import pytest

from server.rules.facts import ActKind, Source, Statement, StatementKind
from server.rules.payloads import (
    About,
    Assertion,
    ChannelState,
    Contact,
    Label,
    Offer,
    OfferKind,
    Payment,
    PromiseKind,
    PromiseMade,
    PublicText,
    Wants,
)
from tests.server.rules.build import PACKED, act, at, cleared, dispatched, facts, judge, only, promise, rules, say, scan
from tests.server.rules.test_findings import SECOND, opens_at


def asks(said_at: datetime, wants: Wants = Wants.ANSWER) -> Statement:
    return say(StatementKind.CONTACT, said_at, Contact(True, "mail", wants=wants), source=Source.CUSTOMER)


def answers(said_at: datetime, person: bool = True) -> Statement:
    return say(StatementKind.CONTACT, said_at, Contact(False, "mail", person))


def view(said_at: datetime, about: About, value: str = "", by_when: datetime | None = None, **who) -> Statement:
    return say(StatementKind.ASSERTION, said_at, Assertion(about, value, by_when), **who)


def offer(said_at: datetime, what: OfferKind = OfferKind.COMPENSATION) -> Statement:
    return say(StatementKind.OFFER, said_at, Offer(what))


def refund_asked(said_at: datetime) -> Statement:
    return say(StatementKind.REFUND_REQUESTED, said_at, source=Source.CUSTOMER, ref="asked")


def by(person: str, said: Statement) -> Statement:
    return Statement(**{name: getattr(said, name) for name in said.__slots__} | {"by": person, "id": said.id + person})


# -- R-22 ------------------------------------------------------------------------------------------------------
def test_r22_a_day_without_a_persons_word_counts_weekends_too() -> None:
    opens_at(facts(*PACKED, asks(at("Sat 18:00"))), "R-22", at("Sun 18:00"))


def test_r22_a_robots_receipt_is_no_answer_and_a_later_message_does_not_start_the_clock_anew() -> None:
    waiting = facts(*PACKED, asks(at("Mon 12:00")), answers(at("Mon 12:01"), person=False), asks(at("Tue 09:00")))
    assert opens_at(waiting, "R-22", at("Tue 12:00")).since == at("Tue 12:00")


def test_r22_in_time_is_nothing_and_late_is_cleared() -> None:
    in_time = judge(facts(*PACKED, asks(at("Mon 12:00")), answers(at("Tue 12:00"))), at("Tue 13:00"))
    assert "R-22" not in {f.rule.id for f in (*in_time.findings, *in_time.cleared)}
    late = judge(facts(*PACKED, asks(at("Mon 12:00")), answers(at("Tue 12:01"))), at("Tue 13:00"))
    assert cleared(late, "R-22").cleared_at == at("Tue 12:01")


def test_r22_a_promise_told_to_the_customer_is_an_answer_and_a_note_is_none() -> None:
    told = facts(*PACKED, asks(at("Mon 12:00")), promise(at("Mon 15:00"), "reply", at("Wed 12:00")))
    assert "R-22" not in rules(judge(told, at("Tue 13:00")))
    noted = facts(*PACKED, asks(at("Mon 12:00")), say(StatementKind.NOTE, at("Mon 15:00")))
    assert "R-22" in rules(judge(noted, at("Tue 13:00")))


# -- R-21 ------------------------------------------------------------------------------------------------------
def test_r21_a_counter_offer_is_a_warning_at_once_and_high_after_a_day() -> None:
    deflected = facts(*PACKED, refund_asked(at("Mon 12:00")), offer(at("Mon 14:00")))
    assert opens_at(deflected, "R-21", at("Mon 14:00")).severity == "warning"
    assert only(judge(deflected, at("Tue 12:00") - SECOND), "R-21").severity == "warning"
    assert only(judge(deflected, at("Tue 12:00")), "R-21").severity == "high"


def test_r21_silence_for_a_day_is_high_without_any_offer() -> None:
    assert opens_at(facts(*PACKED, refund_asked(at("Mon 12:00"))), "R-21", at("Tue 12:00")).severity == "high"


@pytest.mark.parametrize(
    ("end", "because"),
    [
        (say(StatementKind.REFUNDED, at("Mon 16:00"), Payment(100, "USD")), "it was refunded"),
        (say(StatementKind.REFUND_WITHDRAWN, at("Mon 16:00"), source=Source.CUSTOMER), "the customer keeps it"),
    ],
)
def test_r21_the_money_or_a_keep_ends_it(end: Statement, because: str) -> None:
    weighing = judge(facts(*PACKED, refund_asked(at("Mon 12:00")), offer(at("Mon 14:00")), end), at("Wed 12:00"))
    assert cleared(weighing, "R-21").cleared_because == because


def test_r21_a_conditional_keep_suspends_and_its_lapse_makes_the_refund_due_by_itself() -> None:
    keep = say(StatementKind.PROMISE, at("Mon 15:00"), PromiseMade(PromiseKind.ARRIVE, at("Fri 00:00"), lapse="refund"))
    kept_so_far = facts(*PACKED, refund_asked(at("Mon 12:00")), offer(at("Mon 14:00")), keep)
    assert (
        cleared(judge(kept_so_far, at("Thu 12:00")), "R-21").cleared_because == "the customer keeps it on a condition"
    )
    lapsed = only(judge(kept_so_far, at("Fri 00:00")), "R-21")
    assert (lapsed.severity, lapsed.since) == ("critical", at("Fri 00:00"))
    paid = say(StatementKind.REFUNDED, at("Fri 09:00"), Payment(100, "USD"))
    assert "R-21" not in rules(judge(facts(*kept_so_far.statements, paid), at("Fri 09:00")))


def test_r21_compensation_alone_does_not_do_while_the_promise_can_be_met() -> None:
    due = promise(at("Mon 10:30"), "arrive", at("Fri 00:00"))
    assert opens_at(facts(*PACKED, due, offer(at("Tue 12:00"))), "R-21", at("Tue 12:00")).severity == "warning"
    repaired = facts(*PACKED, due, offer(at("Tue 12:00")), offer(at("Tue 13:00"), OfferKind.REPAIR))
    assert cleared(judge(repaired, at("Tue 13:00")), "R-21").cleared_because == "a repair was offered"
    too_late = facts(*PACKED, due, offer(at("Fri 12:00")))
    assert "R-21" not in rules(judge(too_late, at("Fri 12:00")))


# -- R-18 ------------------------------------------------------------------------------------------------------
def test_r18_the_third_person_not_the_third_promise() -> None:
    first = by("O", promise(at("Mon 10:30"), "ship", at("Fri 00:00")))
    second = by("A", promise(at("Mon 11:30"), "number_live", at("Fri 00:00")))
    again = by("O", promise(at("Mon 12:30"), "arrive", at("Fri 00:00")))
    third = by("M", promise(at("Mon 13:30"), "arrive", at("Fri 00:00")))
    assert "R-18" not in rules(judge(facts(*PACKED, first, second, again), at("Mon 14:00")))
    assert only(judge(facts(*PACKED, first, second, again, third), at("Mon 14:00")), "R-18").since == at("Mon 13:30")


def test_r18_two_broken_ones_of_a_kind() -> None:
    broken = facts(
        *PACKED,
        promise(at("Mon 10:30"), "ship", at("Tue 12:00")),
        promise(at("Mon 10:30"), "reship", at("Wed 12:00")),
    )
    opens_at(broken, "R-18", at("Wed 12:00"))
    left = facts(*broken.statements, *broken.heard, scan(at("Thu 18:00")))
    assert cleared(judge(left, at("Thu 18:00")), "R-18").cleared_at == at("Thu 18:00")


# -- R-19 ------------------------------------------------------------------------------------------------------
def test_r19_gone_and_still_here() -> None:
    both = (dispatched(at("Tue 10:00")), view(at("Wed 09:00"), About.STEP, "with_us"))
    finding = only(judge(facts(*PACKED, *both), at("Wed 09:00")), "R-19")
    assert finding.since == at("Wed 09:00")
    assert "R-19" not in rules(judge(facts(*PACKED, *both), at("Wed 09:00") - SECOND))


def test_r19_here_first_and_gone_later_is_no_contradiction() -> None:
    fine = (view(at("Tue 09:00"), About.STEP, "with_us"), dispatched(at("Tue 16:00")))
    assert "R-19" not in rules(judge(facts(*PACKED, *fine), at("Tue 16:00")))


def test_r19_machines_among_themselves_are_not_staff() -> None:
    system = view(at("Wed 09:00"), About.STEP, "with_us", source=Source.SYSTEM)
    by_system = say(StatementKind.DISPATCHED, at("Tue 10:00"), source=Source.WAREHOUSE)
    assert "R-19" not in rules(judge(facts(*PACKED, by_system, system), at("Wed 09:00")))


def test_r19_two_services() -> None:
    said = (view(at("Tue 09:00"), About.SERVICE, "overnight"), view(at("Tue 10:00"), About.SERVICE, "ground"))
    assert "R-19" in rules(judge(facts(*PACKED, *said), at("Tue 10:00")))
    assert "R-19" not in rules(
        judge(facts(*PACKED, said[0], view(at("Tue 10:00"), About.SERVICE, "?")), at("Tue 10:00"))
    )


# -- R-15 ------------------------------------------------------------------------------------------------------
def test_r15_the_first_assurance_is_high_the_second_critical() -> None:
    shown = view(at("Tue 09:00"), About.SERVICE, "ground", source=Source.CUSTOMER)
    first = view(at("Tue 09:10"), About.SERVICE, "overnight")
    second = by("B", view(at("Wed 09:00"), About.SERVICE, "overnight"))
    case = facts(*PACKED, shown, first, second)
    assert "R-15" not in rules(judge(case, first.said_at - SECOND))
    assert only(judge(case, first.said_at), "R-15").severity == "high"
    assert only(judge(case, at("Wed 09:00")), "R-15").severity == "critical"


def test_r15_only_what_is_shown_can_close_it() -> None:
    shown = view(at("Tue 09:00"), About.SERVICE, "ground", source=Source.SYSTEM)
    said = view(at("Tue 09:10"), About.SERVICE, "overnight")
    repeated = view(at("Tue 12:00"), About.SERVICE, "overnight")
    booked = say(StatementKind.LABEL_PRINTED, at("Tue 15:00"), Label("UPS", "1Z999AA10123456784", "Next Day Air"))
    assert "R-15" in rules(judge(facts(*PACKED, shown, said, booked), at("Tue 15:00"))), "by the one who asserted it"
    corrected = by("B", booked)
    assert "R-15" in rules(judge(facts(*PACKED, shown, said, repeated), at("Tue 15:00")))
    assert cleared(judge(facts(*PACKED, shown, said, corrected), at("Tue 15:00")), "R-15").cleared_at == at("Tue 15:00")


def test_r15_an_arrival_before_the_carriers_own_estimate() -> None:
    eta = view(at("Tue 19:00"), About.ARRIVAL, by_when=at("Tue 00:00", week=1), source=Source.CARRIER)
    said = view(at("Tue 19:30"), About.ARRIVAL, by_when=at("Sat 00:00"))
    assert "R-15" in rules(judge(facts(*PACKED, eta, said), at("Tue 19:30")))
    humble = view(at("Tue 19:30"), About.ARRIVAL, by_when=at("Wed 00:00", week=1))
    assert "R-15" not in rules(judge(facts(*PACKED, eta, humble), at("Tue 19:30")))


# -- R-28 ------------------------------------------------------------------------------------
def test_r20_until_it_names_hours() -> None:
    vague = say(StatementKind.PUBLIC_TEXT, at("Mon 12:00"), PublicText("prompt reply"), ref="vague")
    better = say(StatementKind.PUBLIC_TEXT, at("Tue 12:00"), PublicText("reply within a day", 24), ref="better")
    assert only(judge(facts(*PACKED, vague), at("Mon 12:00")), "R-20").since == at("Mon 12:00")
    assert (
        cleared(judge(facts(*PACKED, vague, better), at("Tue 12:00")), "R-20").cleared_because == "it names hours now"
    )


def test_r23_the_second_message_about_one_trouble() -> None:
    trouble = facts(*PACKED, asks(at("Thu 10:00")), answers(at("Thu 11:00")), asks(at("Thu 12:00")))
    finding = only(judge(trouble, at("Thu 12:00")), "R-23")
    assert finding.since == at("Thu 12:00")
    calm = facts(*PACKED, asks(at("Tue 10:00")), answers(at("Tue 11:00")), asks(at("Tue 12:00")))
    assert "R-23" not in rules(judge(calm, at("Tue 12:00"))), "nothing was wrong yet"


def test_r23_a_supervisor_asked_for() -> None:
    asked = facts(*PACKED, asks(at("Tue 10:00"), Wants.SUPERVISOR))
    assert only(judge(asked, at("Tue 10:00")), "R-23").since == at("Tue 10:00")
    done = facts(*PACKED, asks(at("Tue 10:00"), Wants.SUPERVISOR), act(ActKind.REMEDY_AUTHORISED, at("Tue 15:00")))
    assert cleared(judge(done, at("Tue 15:00")), "R-23").cleared_at == at("Tue 15:00")


def test_r24_from_the_first_failure_to_the_repair() -> None:
    def state(said_at: datetime, works: bool) -> Statement:
        return say(StatementKind.CHANNEL_STATE, said_at, ChannelState("phone", works, "" if works else "mailbox_full"))

    down = (state(at("Mon 12:00"), False), state(at("Mon 13:00"), False))
    assert only(judge(facts(*PACKED, *down), at("Mon 14:00")), "R-24").since == at("Mon 12:00")
    up = state(at("Tue 12:00"), True)
    assert cleared(judge(facts(*PACKED, *down, up), at("Tue 12:00")), "R-24").cleared_at == at("Tue 12:00")


def test_r28_from_the_threat_until_the_window_closes() -> None:
    paid = say(StatementKind.PAYMENT, at("Mon 09:00"), Payment(3778, "USD"), source=Source.SHOP)
    threat = asks(at("Tue 10:00"), Wants.CHARGE_BACK)
    case = facts(*PACKED, paid, threat)
    assert (
        "the carrier's acceptance, the tag heard away from us, delivery"
        in only(judge(case, at("Tue 10:00")), "R-28").why
    )
    closes_at = paid.said_at + timedelta(days=120)
    assert "R-28" in rules(judge(case, closes_at - SECOND))
    assert cleared(judge(case, closes_at), "R-28").cleared_because == "the window is closed"
    assert "R-28" not in rules(judge(facts(*PACKED, threat), at("Tue 10:00"))), "nothing was paid"
