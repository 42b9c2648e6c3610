"""The reply clock at its boundaries, and when the state of the house is one order's affair."""

from __future__ import annotations

from dataclasses import replace
from datetime import datetime

from hypothesis import given
from hypothesis import strategies as st

from server.rules.facts import OrderFacts, Source, Statement, StatementKind
from server.rules.payloads import ChannelState, Contact, PublicText, Wants
from tests.server.rules.build import PACKED, at, cleared, facts, judge, only, rules, say
from tests.server.rules.test_findings import SECOND
from tests.server.rules.test_findings_people import answers, asks


def house(kind: StatementKind, said_at: datetime, payload: ChannelState | PublicText, by: str = "probe") -> Statement:
    """Something said of the house as a whole."""
    said = say(kind, said_at, payload, slot=None, ref=f"house:{kind}-{said_at:%d%H%M}", source=Source.SYSTEM)
    return replace(said, order="", by=by)


def mailbox(moment: str, works: bool) -> Statement:
    return house(StatementKind.CHANNEL_STATE, at(moment), ChannelState("call", works, "" if works else "mailbox_full"))


def text(moment: str, hours: int | None) -> Statement:
    return house(StatementKind.PUBLIC_TEXT, at(moment), PublicText("We reply promptly.", hours), by="contact page")


def within(case: OrderFacts, *words: Statement) -> OrderFacts:
    return replace(case, house=words)


def test_the_clock_runs_in_calendar_hours_from_the_first_message() -> None:
    case = facts(*PACKED, asks(at("Sat 18:00")), asks(at("Sun 09:00"), Wants.SUPERVISOR))
    early = judge(case, at("Sun 18:00") - SECOND).reply
    late = judge(case, at("Sun 18:00")).reply
    assert early
    assert late
    assert (early.since, early.due, early.late) == (at("Sat 18:00"), at("Sun 18:00"), False)
    assert (late.late, late.messages, late.wants) == (True, 2, (Wants.ANSWER, Wants.SUPERVISOR))
    assert judge(case, at("Sun 17:00")).next_look_at == at("Sun 18:00")


def test_an_answer_stops_it_and_the_next_message_starts_it_anew() -> None:
    answered = facts(*PACKED, asks(at("Mon 12:00")), answers(at("Mon 13:00")))
    assert judge(answered, at("Wed 12:00")).reply is None
    again = judge(replace(answered, statements=(*answered.statements, asks(at("Tue 12:00")))), at("Wed 11:00")).reply
    assert again
    assert again.since == at("Tue 12:00")


def test_what_a_mailbox_sends_by_itself_asks_for_nothing() -> None:
    away = say(StatementKind.CONTACT, at("Mon 12:00"), Contact(True, "mail", person=False), source=Source.CUSTOMER)
    weighed = judge(facts(*PACKED, away), at("Thu 12:00"))
    assert weighed.reply is None
    assert "R-22" not in rules(weighed)


@given(st.permutations(range(5)), st.integers(1, 3))
def test_order_and_repetition_change_nothing(order: list[int], times: int) -> None:
    said = [asks(at("Mon 12:00")), answers(at("Mon 15:00")), asks(at("Tue 10:00")), asks(at("Tue 11:00"))]
    said.append(answers(at("Tue 11:30"), person=False))
    case = within(
        facts(*PACKED, *said), mailbox("Tue 09:00", False), mailbox("Tue 20:00", True), text("Mon 08:00", None)
    )
    shuffled = replace(
        case,
        statements=(*[s for s in case.statements if s not in said], *[said[n] for n in order] * times),
        house=tuple(reversed(case.house)) * times,
    )
    assert judge(shuffled, at("Wed 12:00")) == judge(case, at("Wed 12:00"))


# -- of the house ----------------------------------------------------------------------------------
def test_a_dead_channel_concerns_who_waits_meanwhile() -> None:
    down = (mailbox("Mon 10:00", False), mailbox("Mon 16:00", True))
    wrote = facts(*PACKED, asks(at("Mon 12:00")))
    assert only(judge(within(wrote, *down), at("Mon 13:00")), "R-24").since == at("Mon 12:00")
    assert cleared(judge(within(wrote, *down), at("Mon 17:00")), "R-24").cleared_at == at("Mon 16:00")
    slept = facts(*PACKED)
    later = facts(*PACKED, asks(at("Mon 16:00")))
    before = facts(*PACKED, asks(at("Mon 09:00")), answers(at("Mon 10:00")))
    for elsewhere in (slept, later, before):
        weighed = judge(within(elsewhere, *down), at("Mon 17:00"))
        assert "R-24" not in {f.rule.id for f in (*weighed.findings, *weighed.cleared)}


def test_of_two_waits_the_one_in_the_outage_counts() -> None:
    waits = (asks(at("Mon 09:00")), answers(at("Mon 09:30")), asks(at("Mon 12:00")))
    case = within(facts(*PACKED, *waits), mailbox("Mon 10:00", False))
    assert only(judge(case, at("Mon 13:00")), "R-24").since == at("Mon 12:00")


def test_answered_by_another_way_it_is_over_for_this_customer() -> None:
    case = within(facts(*PACKED, asks(at("Mon 12:00")), answers(at("Mon 14:00"))), mailbox("Mon 10:00", False))
    assert cleared(judge(case, at("Mon 15:00")), "R-24").cleared_at == at("Mon 14:00")


def test_a_text_without_hours_concerns_who_waits_until_it_names_them() -> None:
    vague = within(facts(*PACKED, asks(at("Mon 12:00"))), text("Mon 08:00", None))
    assert only(judge(vague, at("Mon 13:00")), "R-20").since == at("Mon 12:00")
    better = replace(vague, house=(*vague.house, text("Mon 18:00", 24)))
    assert cleared(judge(better, at("Mon 19:00")), "R-20").cleared_at == at("Mon 18:00")
    assert "R-20" not in rules(judge(within(facts(*PACKED), text("Mon 08:00", None)), at("Mon 13:00")))


def test_what_is_said_of_the_house_later_is_not_known_yet() -> None:
    case = within(facts(*PACKED, asks(at("Mon 12:00"))), mailbox("Mon 15:00", False))
    assert "R-24" not in rules(judge(case, at("Mon 14:00")))
    assert judge(case, at("Mon 14:00")).next_look_at == at("Mon 15:00")


NEXT_LATE = "We owed you an answer by"
STUCK = facts(*PACKED)  # packed on Monday, never seen to leave


def test_who_never_asked_was_owed_no_answer_by_a_moment_that_passed() -> None:
    weighed = judge(STUCK, at("Mon 12:00", week=1))
    assert weighed.findings
    assert weighed.shown.next_text == "A person has yet to check the tag itself and to write to you."
    assert weighed.shown.next_by is None


def test_who_was_answered_since_it_opened_is_not_told_that_we_are_late() -> None:
    talked = (asks(at("Sat 09:00", week=1)), answers(at("Sun 10:00", week=1)))
    weighed = judge(replace(STUCK, statements=(*STUCK.statements, *talked)), at("Fri 12:00", week=2))
    assert weighed.findings
    assert weighed.reply is None
    told = "You last heard from us Sun 20 Nov 2016 10:00 EST. A person goes on checking the tag itself."
    assert weighed.shown.next_text == told


def test_who_waits_is_told_the_moment_of_the_clock_before_and_after_it() -> None:
    case = replace(STUCK, statements=(*STUCK.statements, asks(at("Mon 12:00", week=1))))
    early = judge(case, at("Tue 12:00", week=1) - SECOND).shown
    assert early.next_text == "A person checks the tag itself and writes to you."
    assert early.next_by == at("Tue 12:00", week=1)
    late = judge(case, at("Tue 12:00", week=1)).shown
    assert late.next_text.startswith(f"{NEXT_LATE} Tue 15 Nov 2016 12:00 EST and are late.")
    assert "Ask a person on the page" not in late.next_text, "that page says it too"
