"""Each rule at its boundary: nothing one second before, open from the moment on, cleared with a reason."""

from __future__ import annotations

from dataclasses import replace
from datetime import date, datetime, timedelta

import pytest

from server.rules.facts import OrderFacts, Slot, StatementKind
from server.rules.findings.finding import Finding
from server.rules.payloads import Contact, Payment, PromiseEnded
from server.rules.promises import CONDITIONS, PromiseState
from tests.server.rules.build import (
    PACKED,
    SERIAL,
    STOCKED,
    at,
    bound,
    dispatched,
    facts,
    hear,
    judge,
    label,
    promise,
    rules,
    say,
    scan,
    step,
    verdict,
)

SECOND = timedelta(seconds=1)


def opens_at(case: OrderFacts, rule: str, moment: datetime) -> Finding:
    """Assert that a rule opens exactly at a moment, and that the weighing before said when to look."""
    before = judge(case, moment - SECOND)
    assert rule not in rules(before), "too early"
    assert before.next_look_at is not None
    assert before.next_look_at <= moment
    now = judge(case, moment)
    assert rule in rules(now), "too late"
    return next(f for f in now.findings if f.rule.id == rule)


# -- R-02 ------------------------------------------------------------------------------------------------------
def test_r02_opens_when_the_ship_by_day_is_over() -> None:
    """Ordered on Monday before the cut-off, two business days of handling: Wednesday is the last one."""
    finding = opens_at(facts(*PACKED), "R-02", at("Thu 00:00"))
    assert finding.since == at("Thu 00:00")
    assert finding.slot == 1


def test_r02_after_the_cutoff_counts_from_the_next_business_day() -> None:
    opens_at(facts(placed="Mon 17:00"), "R-02", at("Fri 00:00"))
    opens_at(facts(placed="Fri 17:00"), "R-02", at("Thu 00:00", week=1))


def test_r02_is_silent_when_it_left_in_time_and_clears_when_it_left_late() -> None:
    in_time = facts(*PACKED, label(at("Tue 10:00")), scan(at("Wed 23:59")))
    on_thursday = judge(in_time, at("Thu 12:00"))
    assert not on_thursday.findings
    assert not on_thursday.cleared
    late = judge(facts(*PACKED, label(at("Tue 10:00")), scan(at("Thu 00:01"))), at("Thu 12:00"))
    assert "R-02" not in rules(late)
    cleared = next(f for f in late.cleared if f.rule.id == "R-02")
    assert (cleared.cleared_at, cleared.cleared_because) == (at("Thu 00:01"), "it left, late")


@pytest.mark.parametrize(("shown", "opens"), [(False, "Thu 00:00"), (True, "Sat 00:00")])
def test_r02_an_options_lead_time_counts_only_if_it_was_shown(shown: bool, opens: str) -> None:
    slow = facts(*PACKED)
    line = replace(slow.order.lines[0], slots=(Slot(1, 1, lead_bd=2, lead_shown=shown),))
    opens_at(replace(slow, order=replace(slow.order, lines=(line,))), "R-02", at(opens))


def test_r02_a_stated_day_wins_over_handling() -> None:
    stated = facts(*PACKED)
    line = replace(stated.order.lines[0], slots=(Slot(1, 1, ship_by=date(2016, 11, 11)),))
    opens_at(replace(stated, order=replace(stated.order, lines=(line,))), "R-02", at("Sat 00:00"))


def test_r02_each_slot_by_itself() -> None:
    two = facts(*PACKED, label(at("Tue 10:00")), scan(at("Tue 18:00")), slots=2)
    assert {f.slot for f in judge(two, at("Thu 00:00")).findings if f.rule.id == "R-02"} == {2}


@pytest.mark.parametrize("kind", [StatementKind.ORDER_CANCELLED, StatementKind.REFUNDED])
def test_an_order_that_is_over_owes_nothing(kind: StatementKind) -> None:
    over = say(kind, at("Fri 09:00"), Payment(100, "USD") if kind is StatementKind.REFUNDED else None)
    weighing = judge(facts(*PACKED, dispatched(at("Tue 10:00")), label(at("Tue 10:00")), over), at("Fri 09:00"))
    assert not rules(weighing)
    assert {f.cleared_because for f in weighing.cleared} == {"the order was cancelled or refunded"}


# -- R-04 ------------------------------------------------------------------------------------------------------
@pytest.mark.parametrize(
    ("opens", "week", "severity"), [("Wed 00:00", 0, "warning"), ("Thu 00:00", 0, "high"), ("Tue 00:00", 1, "critical")]
)
def test_r04_grows_with_whole_business_days(opens: str, week: int, severity: str) -> None:
    """A label of Monday: Tuesday over is a warning, Wednesday high, the fifth business day critical."""
    printed = facts(*PACKED, label(at("Mon 16:00")))
    moment = at(opens, week)
    before = [f.severity for f in judge(printed, moment - SECOND).findings if f.rule.id == "R-04"]
    assert severity not in before
    finding = next(f for f in judge(printed, moment).findings if f.rule.id == "R-04")
    assert (finding.severity, finding.since) == (severity, at("Wed 00:00"))


def test_r04_a_label_is_not_acceptance_and_a_notice_is_none() -> None:
    told = facts(*PACKED, label(at("Mon 16:00")), scan(at("Mon 20:00"), "pre_transit", physical=False))
    assert "R-04" in rules(judge(told, at("Wed 00:00")))


def test_r04_clears_with_the_scan() -> None:
    weighing = judge(facts(*PACKED, label(at("Mon 16:00")), scan(at("Wed 18:00"))), at("Wed 18:00"))
    assert "R-04" not in rules(weighing)
    assert "R-04" in {f.rule.id for f in weighing.cleared}


def test_scans_of_an_earlier_parcel_are_no_evidence() -> None:
    """Numbers are recycled: what is older than the label, or under another unique id, is another parcel's."""
    old = judge(facts(*PACKED, label(at("Tue 16:00")), scan(at("Mon 09:30"), "delivered")), at("Fri 00:00"))
    assert "R-04" in rules(old)
    assert step(old, "accepted") == step(old, "delivered") == "unknown"
    other = judge(facts(*PACKED, label(at("Tue 16:00")), scan(at("Wed 09:30"), number="another")), at("Fri 00:00"))
    assert "R-04" in rules(other)


# -- R-05 ------------------------------------------------------------------------------------------------------
def test_r05_waits_for_the_next_pickup_and_the_carriers_evening() -> None:
    finding = opens_at(facts(*PACKED, dispatched(at("Tue 10:00"))), "R-05", at("Tue 23:00"))
    assert finding.since == at("Tue 23:00")


def test_r05_fires_at_once_for_weeks_ago() -> None:
    said = at("Thu 11:00", week=2)
    opens_at(facts(*PACKED, dispatched(said, latest=said - timedelta(days=7))), "R-05", said)


def test_r05_over_the_weekend_is_not_hurried() -> None:
    opens_at(facts(*PACKED, dispatched(at("Fri 17:30"))), "R-05", at("Mon 23:00", week=1))


def test_r05_clears_when_something_shows() -> None:
    weighing = judge(facts(*PACKED, dispatched(at("Tue 10:00")), hear("van", at("Wed 18:00"))), at("Wed 18:00"))
    assert "R-05" not in rules(weighing)
    assert "R-05" in {f.rule.id for f in weighing.cleared}


# -- R-12 ------------------------------------------------------------------------------------------------------
@pytest.mark.parametrize(("grace_s", "opens"), [(None, "Wed 00:00"), (3600, "Wed 01:00")])
def test_r12_opens_at_due_and_grace(grace_s: int | None, opens: str) -> None:
    finding = opens_at(facts(*PACKED, promise(at("Mon 12:00"), "ship", at("Wed 00:00"), grace_s)), "R-12", at(opens))
    assert finding.subject == "promise-ship"


def contact(moment: str, channel: str = "mail", person: bool = True, inbound: bool = False):
    return say(StatementKind.CONTACT, at(moment), Contact(inbound, channel, person))


KEPT = {
    "ship": (scan(at("Tue 18:00")),),
    "reship": (hear("van", at("Tue 18:00")),),
    "number_live": (scan(at("Tue 18:00"), "pre_transit", physical=False),),
    "arrive": (scan(at("Tue 18:00"), "delivered"),),
    "reply": (contact("Tue 18:00"),),
    "call_back": (contact("Tue 18:00", "call"),),
    "refund": (say(StatementKind.REFUNDED, at("Tue 18:00"), Payment(100, "USD")),),
}
NOT_KEPT = {
    "ship": (scan(at("Tue 18:00"), "pre_transit", physical=False), dispatched(at("Tue 18:00"))),
    "reship": (scan(at("Mon 11:00")),),  # left before the promise: that was the first parcel
    "number_live": (scan(at("Tue 18:00"), "unknown", physical=False, found=False),),
    "arrive": (scan(at("Tue 18:00"), "out_for_delivery"), say(StatementKind.DELIVERED, at("Tue 18:00"))),
    "reply": (contact("Tue 18:00", person=False), contact("Tue 18:00", inbound=True)),
    "call_back": (contact("Tue 18:00", "mail"),),
    "refund": (say(StatementKind.REFUND_REQUESTED, at("Tue 18:00")),),
}


def test_every_kind_of_promise_has_its_condition_tested() -> None:
    assert set(KEPT) == set(NOT_KEPT) == set(CONDITIONS)


@pytest.mark.parametrize("what", KEPT)
def test_what_keeps_a_promise(what: str) -> None:
    made = promise(at("Mon 12:00"), what, at("Wed 00:00"))
    kept = judge(facts(*PACKED, made, *KEPT[what]), at("Fri 00:00"))
    assert [(p.state, p.met_at) for p in kept.promises] == [(PromiseState.KEPT, at("Tue 18:00"))]
    assert "R-12" not in rules(kept)


@pytest.mark.parametrize("what", NOT_KEPT)
def test_what_does_not_keep_a_promise(what: str) -> None:
    made = promise(at("Mon 12:00"), what, at("Wed 00:00"))
    broken = judge(facts(*PACKED, made, *NOT_KEPT[what]), at("Fri 00:00"))
    assert [p.state for p in broken.promises] == [PromiseState.BROKEN]
    assert "R-12" in rules(broken)


def test_a_promise_kept_late_stays_broken_and_its_finding_clears() -> None:
    late = judge(
        facts(*PACKED, promise(at("Mon 12:00"), "ship", at("Tue 00:00")), scan(at("Tue 18:00"))), at("Wed 00:00")
    )
    assert [(p.state, p.met_at) for p in late.promises] == [(PromiseState.BROKEN, at("Tue 18:00"))]
    assert "R-12" not in rules(late)
    assert [f.cleared_because for f in late.cleared if f.rule.id == "R-12"] == ["it was kept, late"]


def test_a_promise_let_go_is_cancelled_only_before_it_breaks() -> None:
    made = promise(at("Mon 12:00"), "ship", at("Wed 00:00"))
    for moment, state in (("Tue 12:00", PromiseState.CANCELLED), ("Wed 12:00", PromiseState.BROKEN)):
        let_go = say(StatementKind.PROMISE_CANCELLED, at(moment), PromiseEnded(made.id))
        assert [p.state for p in judge(facts(made, let_go), at("Thu 12:00")).promises] == [state]


# -- R-17 ------------------------------------------------------------------------------------------------------
def test_r17_needs_the_pickup_its_grace_and_two_frames() -> None:
    """Said Tuesday 10:05, pickup 17:00, grace two hours: what is heard up to 19:00 is a parcel on the dock."""
    lie = (*PACKED, dispatched(at("Tue 10:05")))
    on_time = hear("dock", at("Tue 12:00"), at("Tue 19:00"))
    assert "R-17" not in rules(judge(facts(*lie, on_time), at("Tue 22:00")))
    one = hear("dock", at("Tue 19:00") + SECOND)
    single = judge(facts(*lie, on_time, one), at("Tue 22:00"))
    assert "R-17" not in rules(single)
    assert verdict(single, "said") == "contradicted"
    both = facts(*lie, on_time, one, hear("dock", at("Tue 21:00")))
    finding = opens_at(both, "R-17", at("Tue 21:00"))
    assert finding.since == at("Tue 21:00")
    assert verdict(judge(both, at("Tue 21:00")), "said") == "refuted"


def test_r17_one_frame_at_two_gateways_is_one() -> None:
    lie = (*PACKED, dispatched(at("Tue 10:05")), hear("dock", at("Wed 10:00")), hear("bench", at("Wed 10:00")))
    assert "R-17" not in rules(judge(facts(*lie), at("Wed 12:00")))


def test_r17_said_after_the_pickup_has_until_the_next_one() -> None:
    lie = facts(*PACKED, dispatched(at("Tue 17:05")), hear("dock", at("Tue 20:00"), at("Wed 18:59")))
    assert "R-17" not in rules(judge(lie, at("Wed 18:59")))


def test_r17_clears_when_it_leaves_and_the_words_stay_refuted() -> None:
    lie = (*PACKED, dispatched(at("Tue 10:00")), hear("dock", at("Wed 08:00"), at("Wed 12:00")))
    left = judge(
        facts(*lie, label(at("Wed 13:00")), scan(at("Wed 18:00")), hear("van", at("Wed 18:30"))), at("Thu 09:00")
    )
    assert "R-17" not in rules(left)
    assert [f.cleared_because for f in left.cleared if f.rule.id == "R-17"] == ["it has left since"]
    assert verdict(left, "said") == "refuted"
    assert step(left, "left") == "proved"
    assert left.shown.sentence == "Your parcel is on its way."


def test_a_return_is_no_lie() -> None:
    """It left, and a week later it is heard at our site again."""
    back = (
        *PACKED,
        dispatched(at("Tue 10:00")),
        label(at("Tue 10:00")),
        scan(at("Tue 18:00")),
        hear("van", at("Tue 18:00"), at("Tue 19:00")),
        hear("dock", at("Tue 10:00", week=1), at("Tue 15:00", week=1)),
    )
    weighing = judge(facts(*back), at("Tue 16:00", week=1))
    assert "R-17" not in rules(weighing)
    assert step(weighing, "returned") == "proved"
    assert weighing.shown.sentence == "Your parcel came back to us."
    assert weighing.shown.slots[0].shown == "packed"


def test_a_van_that_turns_round_contradicts() -> None:
    """Seen away at 18:00 and inside again the same evening: both are physical, so neither wins."""
    turned = facts(
        *PACKED,
        dispatched(at("Tue 10:00")),
        hear("van", at("Tue 18:00")),
        hear("dock", at("Tue 20:00"), at("Tue 23:00")),
    )
    weighing = judge(turned, at("Wed 09:00"))
    assert verdict(weighing, "said") == "contradicted"
    assert "R-17" in rules(weighing)
    assert weighing.shown.slots[0].shown == "packed"


def test_the_replaced_units_life_is_not_the_new_ones() -> None:
    """Reshipped with another serial: that the new unit was in stock does not refute the first dispatch."""
    first = (
        *PACKED,
        dispatched(at("Tue 10:00")),
        label(at("Tue 10:00")),
        scan(at("Tue 18:00")),
        hear("van", at("Tue 18:00")),
    )
    spare = hear("bench", at("Mon 09:00"), at("Fri 12:00"), serial=SERIAL + 1)
    weighing = judge(facts(*first, bound(at("Fri 10:00"), SERIAL + 1), spare), at("Fri 13:00"))
    assert verdict(weighing, "said") == "proved"
    assert not rules(weighing)


# -- R-35 ------------------------------------------------------------------------------------------------------
def test_r35_opens_with_the_words_and_clears_with_the_binding() -> None:
    opens_at(facts(STOCKED, dispatched(at("Tue 10:00"))), "R-35", at("Tue 10:00"))
    later = judge(facts(STOCKED, dispatched(at("Tue 10:00")), bound(at("Tue 11:00"))), at("Tue 12:00"))
    assert "R-35" not in rules(later)
    assert "R-35" in {f.rule.id for f in later.cleared}
    assert "R-35" not in rules(judge(facts(bound(at("Tue 09:00")), dispatched(at("Tue 10:00"))), at("Tue 12:00")))


def test_r35_a_serial_for_the_whole_order_binds_only_a_single_unit() -> None:
    whole = replace(bound(at("Tue 09:00")), slot=None)
    said = replace(dispatched(at("Tue 10:00")), slot=None)
    assert "R-35" not in rules(judge(facts(whole, said), at("Tue 12:00")))
    assert "R-35" in rules(judge(facts(whole, said, slots=2), at("Tue 12:00")))
