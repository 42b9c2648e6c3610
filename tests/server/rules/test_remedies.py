"""What can be done about an order: by evidence, never beyond what was paid, never above anybody's limit."""

from __future__ import annotations

from dataclasses import replace
from datetime import datetime, timedelta

from hypothesis import given
from hypothesis import strategies as st

from server.rules.authority import TABLE, Action, Role, may
from server.rules.case import lay_out
from server.rules.facts import Act, Correction, Heard, OrderFacts, Source, Statement, StatementKind
from server.rules.findings.finding import Severity
from server.rules.gone import out_of_our_hands
from server.rules.moment import Moment
from server.rules.payloads import Label, Offer, OfferKind, Payment, PromiseKind, PromiseMade, Quote
from server.rules.policy import SOLO, TEAM
from server.rules.remedies import Remedy, Taken, not_faster, refund_owed, remedies_of, unasked
from server.rules.remedy_life import NEXT, OPEN, PAUSES, State, may_follow, may_withdraw, pause, undo_time
from server.rules.remedy_money import money_of
from server.rules.remedy_runs import Entry, Member, again, approval, entry
from tests.server.rules.build import PACKED, at, bound, dispatched, facts, hear, judge, label, promise, say, scan

LATE = at("Mon 12:00", week=1)
GRANTERS = (Role.AGENT, Role.LEAD, Role.SUPERVISOR, Role.FINANCE)


def paid(minor: int = 3778, service: str = "", ref: str = "paid") -> Statement:
    payment = Payment(minor, "USD", service)
    return say(StatementKind.PAYMENT, at("Mon 09:00"), payment, ref=ref, slot=None, source=Source.SHOP)


def back(minor: int, service: str = "", slot: int | None = None) -> Statement:
    payment = Payment(minor, "USD", service)
    return say(StatementKind.REFUNDED, at("Tue 09:00"), payment, ref=f"back{slot}", slot=slot, source=Source.SYSTEM)


def of(case: OrderFacts, role: Role = Role.AGENT, *taken: Taken, now: datetime = LATE) -> dict[Action, Remedy]:
    """The first remedy of each kind."""
    found: dict[Action, Remedy] = {}
    for each in remedies_of(case, judge(case, now), SOLO, role, taken):
        found.setdefault(each.action, each)
    return found


def test_a_late_order_is_reshipped_with_one_click() -> None:
    case = facts(*PACKED, paid(), dispatched(at("Tue 10:00")))
    [first, *_] = remedies_of(case, judge(case, LATE), SOLO, Role.AGENT)
    assert (first.action, first.one_click, first.slots, first.amount_minor) == (Action.EXPRESS_RESHIP, True, (1,), 0)


def test_nothing_is_sent_again_for_an_order_that_is_well() -> None:
    case = facts(*PACKED, paid())
    early = of(case, now=at("Mon 11:00"))
    assert not early[Action.EXPRESS_RESHIP].eligible
    assert early[Action.FULL_REFUND].eligible, "who wants the money back before it ships gets it"


def test_words_do_not_make_a_unit_leave() -> None:
    said = (dispatched(at("Tue 10:00")), say(StatementKind.DELIVERED, at("Wed 10:00")), label(at("Tue 09:00")))
    case = facts(*PACKED, paid(), *said)
    assert of(case)[Action.EXPRESS_RESHIP].eligible
    gone = facts(*PACKED, paid(), *said, scan(at("Tue 18:00")))
    assert not of(gone)[Action.EXPRESS_RESHIP].eligible
    assert not of(gone)[Action.FULL_REFUND].eligible


def test_what_left_is_replaced_by_a_lead() -> None:
    case = facts(
        *PACKED,
        paid(),
        label(at("Tue 09:00")),
        scan(at("Tue 18:00")),
        promise(at("Mon 09:30"), "arrive", at("Fri 12:00")),
    )
    assert of(case)[Action.REPLACE_LEFT_UNIT].eligible
    assert of(case)[Action.REPLACE_LEFT_UNIT].people == 0
    assert of(case, Role.LEAD)[Action.REPLACE_LEFT_UNIT].people == 1


def test_a_unit_that_left_and_was_replaced_counts_for_its_slot() -> None:
    case = facts(*PACKED, paid(), label(at("Tue 09:00")), scan(at("Tue 18:00")), bound(at("Thu 10:00"), serial=5000))
    assert not of(case)[Action.EXPRESS_RESHIP].eligible
    assert of(case)[Action.EXPRESS_RESHIP].why.startswith("It left us, as shown Tue 8 Nov 2016 18:00 EST")


def test_a_part_goes_back_where_the_units_cost_the_same() -> None:
    gone = replace(scan(at("Tue 18:00")), slot=1)
    case = facts(paid(3778), replace(label(at("Tue 09:00")), slot=1), gone, slots=2)
    refund = of(case)[Action.FULL_REFUND]
    assert (refund.eligible, refund.slots, refund.amount_minor) == (True, (2,), 1889)
    other = replace(case.order.lines[0], number=2, slots=())
    mixed = replace(case, order=replace(case.order, lines=(*case.order.lines, other)))
    assert not of(mixed)[Action.FULL_REFUND].eligible


def test_the_fee_is_known_only_where_it_was_paid_apart() -> None:
    slow = replace(label(at("Tue 09:00")), payload=Label("UPS", "1Z999AA10323456784", "ground"))
    apart = facts(paid(3778), paid(1600, "overnight", "fee"), slow)
    apart = replace(apart, order=replace(apart.order, paid_service="overnight"))
    fee = of(apart)[Action.REFUND_SERVICE_FEE]
    assert (fee.eligible, fee.amount_minor, fee.unasked, fee.ask_amount) == (True, 1600, True, False)
    whole = replace(apart, statements=(paid(5378, "overnight"), slow))
    fee = of(whole)[Action.REFUND_SERVICE_FEE]
    assert (fee.eligible, fee.unasked, fee.ask_amount, fee.one_click) == (True, False, True, False)
    again_ = replace(apart, statements=(*apart.statements, back(1600, "overnight")))
    assert not of(again_)[Action.REFUND_SERVICE_FEE].eligible
    assert of(again_)[Action.FULL_REFUND].amount_minor == 3778


def test_money_alone_does_not_settle_what_can_still_be_kept() -> None:
    slow = replace(label(at("Tue 09:00")), payload=Label("UPS", "1Z999AA10323456784", "ground"))
    arrive = say(
        StatementKind.PROMISE, at("Mon 09:30"), PromiseMade(PromiseKind.ARRIVE, LATE + timedelta(days=1)), ref="p"
    )
    case = facts(paid(3778), paid(1600, "overnight", "fee"), slow, arrive)
    case = replace(case, order=replace(case.order, paid_service="overnight"))
    fee, reship = of(case)[Action.REFUND_SERVICE_FEE], of(case)[Action.EXPRESS_RESHIP]
    assert "can still be done" in fee.why
    assert (fee.what, reship.what) == ("compensation", "repair")
    assert reship.eligible


def test_what_is_under_way_is_not_given_back_again() -> None:
    case = facts(paid(3778), paid(1600, "overnight", "fee"))
    under_way = Taken(Action.REFUND_SERVICE_FEE, (), State.GRANTED, LATE, LATE, 1600)
    assert of(case)[Action.FULL_REFUND].amount_minor == 5378
    assert of(case, Role.AGENT, under_way)[Action.FULL_REFUND].amount_minor == 3778
    withdrawn = replace(under_way, state=State.WITHDRAWN)
    assert of(case, Role.AGENT, withdrawn)[Action.FULL_REFUND].amount_minor == 5378


def annuls(wrong: Statement, said_at: datetime, ref: str) -> Statement:
    """A correction: that which the other says did not occur."""
    return replace(wrong, id=ref, said_at=said_at, learnt_at=said_at, corrects=wrong.id,
                   correction=Correction.DID_NOT_OCCUR)  # fmt: skip


def test_a_payment_that_was_annulled_by_mistake_stands_again() -> None:
    came = paid(3778)
    wrong = annuls(came, at("Tue 09:00"), "wrong")
    right = annuls(wrong, at("Wed 09:00"), "right")
    case = facts(came, wrong, right)
    assert [money_of(case, at(day), 0).paid_minor for day in ("Mon 12:00", "Tue 12:00", "Wed 12:00")] == [3778, 0, 3778]
    assert of(case)[Action.FULL_REFUND].amount_minor == 3778


def test_a_slow_replacement_is_told_before_it_is_bought() -> None:
    original = replace(label(at("Tue 09:00")), payload=Label("UPS", "1Z999AA10123456784", eta=at("Fri 12:00")))
    case = facts(*PACKED, paid(), original)
    slow, fast = (Quote("UPS", "any", at(f"{day} 12:00")) for day in ("Sat", "Thu"))
    assert "original" in not_faster(case, SOLO, at("Wed 09:00"), (1,), slow)
    assert not_faster(case, SOLO, at("Wed 09:00"), (1,), fast) == ""


def test_asked_for_once_it_is_not_offered_again() -> None:
    case = facts(*PACKED, paid(), dispatched(at("Tue 10:00")))
    for state in State:
        taken = Taken(Action.EXPRESS_RESHIP, (1,), state, at("Wed 09:00"), LATE)
        assert of(case, Role.AGENT, taken)[Action.EXPRESS_RESHIP].eligible == (state is State.WITHDRAWN), state
    done = Taken(Action.EXPRESS_RESHIP, (1,), State.DONE, at("Mon 09:00"), at("Mon 09:00"))
    assert of(case, Role.AGENT, done)[Action.EXPRESS_RESHIP].eligible, "it went wrong again since"


def test_an_owed_refund_is_queued_once_for_each_time_it_falls_due() -> None:
    case = facts(paid())
    owed_at = at("Mon 09:00") + timedelta(days=31)
    weighed = judge(case, owed_at)
    [(remedy, since)] = unasked(case, weighed, SOLO, ())
    assert (remedy.action, remedy.amount_minor) == (Action.FULL_REFUND, 3778)
    before = Taken(Action.FULL_REFUND, (), State.WITHDRAWN, since - timedelta(days=1), since)
    assert unasked(case, weighed, SOLO, (before,)) != ()
    assert unasked(case, weighed, SOLO, (replace(before, asked_at=since),)) == ()
    assert unasked(case, judge(case, at("Wed 09:00")), SOLO, ()) == ()


def test_a_refund_is_queued_only_by_the_rules_that_owe_it() -> None:
    """Asked for and answered with a gift, R-21 holds; nothing is owed unasked before it is critical."""
    asked = say(StatementKind.REFUND_REQUESTED, at("Mon 12:00"), source=Source.CUSTOMER, slot=None)
    gift = say(StatementKind.OFFER, at("Mon 13:00"), Offer(OfferKind.COMPENSATION, "A case."), slot=None)
    case = facts(paid(), asked, gift)
    weighed = judge(case, at("Wed 09:00"))
    [deflected] = [f for f in weighed.findings if f.rule.id == "R-21"]
    assert not refund_owed(deflected)
    assert unasked(case, weighed, SOLO, ()) == ()
    critical = replace(weighed, findings=(replace(deflected, severity=Severity.CRITICAL),))
    assert [(r.action, since) for r, since in unasked(case, critical, SOLO, ())] == [
        (Action.FULL_REFUND, deflected.since)
    ]


# --- Properties ------------------------------------------------------------------------------------------------

PARTS = (
    *PACKED, label(at("Tue 09:00")), dispatched(at("Tue 10:00")), scan(at("Tue 18:00")),
    scan(at("Wed 18:00"), physical=False), hear("cafe", at("Fri 12:00")), hear("phone", at("Fri 13:00")),
    hear("dock", at("Thu 10:00"), at("Thu 18:00")), bound(at("Thu 10:00"), serial=5000), paid(),
    paid(1600, "overnight", "fee"),
    back(1600, "overnight"), back(3778), promise(at("Mon 09:30"), "arrive", at("Fri 12:00")),
)  # fmt: skip


STILL_HERE = (*PACKED, label(at("Tue 09:00")), dispatched(at("Tue 10:00")), paid(), paid(1600, "overnight", "fee"))


@st.composite
def worlds(draw: st.DrawFn) -> tuple[OrderFacts, tuple[Taken, ...]]:
    # In every second world nothing left us: else hardly any has something to give back.
    there = PARTS if draw(st.booleans()) else STILL_HERE
    parts: list[Statement | Heard | Act] = draw(st.lists(st.sampled_from(there), unique_by=id))
    actions = (Action.FULL_REFUND, Action.REFUND_SERVICE_FEE, Action.EXPRESS_RESHIP)
    one = st.builds(
        Taken, st.sampled_from(actions), st.just(()), st.sampled_from(State), st.just(at("Wed 09:00")),
        st.just(at("Thu 09:00")), st.just(0),
    )  # fmt: skip
    taken = draw(st.lists(one, max_size=3))
    sums = [replace(t, amount_minor=0 if t.action is Action.EXPRESS_RESHIP else 1600) for t in taken]
    return facts(*parts, slots=draw(st.integers(1, 3))), tuple(sums)


@given(worlds(), st.sampled_from(GRANTERS))
def test_no_reship_while_an_earlier_unit_was_shown_to_have_left(
    world: tuple[OrderFacts, tuple[Taken, ...]], role: Role
) -> None:
    case, taken = world
    weighed = judge(case, LATE)
    shown = {s.slot for s in weighed.steps if s.step == "left" and s.verdict in ("proved", "supported")}
    for remedy in remedies_of(case, weighed, SOLO, role, taken):
        if remedy.action is Action.EXPRESS_RESHIP and remedy.eligible:
            assert not set(remedy.slots) & shown
            for with_disputed in (False, True):
                laid = lay_out(case, SOLO, Moment(LATE), with_disputed)
                assert all(out_of_our_hands(laid.units_of(slot)) is None for slot in remedy.slots)


@given(worlds(), st.sampled_from(GRANTERS), st.sampled_from((SOLO, TEAM)))
def test_nobody_is_offered_what_is_above_them_and_nothing_more_than_was_paid(
    world: tuple[OrderFacts, tuple[Taken, ...]], role: Role, policy: object
) -> None:
    case, taken = world
    came = sum(
        s.payload.amount_minor for s in case.statements if s.kind == "payment" and isinstance(s.payload, Payment)
    )
    went = sum(
        s.payload.amount_minor for s in case.statements if s.kind == "refunded" and isinstance(s.payload, Payment)
    )
    pending = sum(t.amount_minor for t in taken if t.state in OPEN)
    for remedy in remedies_of(case, judge(case, LATE), policy, role, taken):  # type: ignore[arg-type]
        assert remedy.why
        if remedy.people:
            assert may(role, remedy.action, remedy.amount_minor, policy.profile).allowed  # type: ignore[attr-defined]
        assert remedy.amount_minor <= max(0, came - went - pending)
        if remedy.action in (Action.EXPRESS_RESHIP, Action.REPLACE_LEFT_UNIT):
            assert remedy.amount_minor == 0, "its invoice is zero"


@given(worlds())
def test_order_and_repetition_of_facts_offer_the_same(world: tuple[OrderFacts, tuple[Taken, ...]]) -> None:
    case, taken = world
    turned = replace(case, statements=case.statements[::-1] * 2, heard=case.heard[::-1] * 2)
    assert remedies_of(turned, judge(turned, LATE), SOLO, Role.LEAD, taken) == remedies_of(
        case, judge(case, LATE), SOLO, Role.LEAD, taken
    )


# --- Life, and runs ----------------------------------------------------------------------------------------------


def test_what_may_follow_what() -> None:
    assert set(NEXT) == set(State)
    assert not any(may_follow(State.DONE, each) for each in State)
    assert not may_withdraw(State.GRANTED, 1)
    assert may_withdraw(State.GRANTED, 0)
    assert not may_withdraw(State.FAILED, 0), "nobody knows whether it was done"
    assert [pause(n) for n in range(1, 7)] == [*PAUSES, None]
    assert list(PAUSES) == sorted(PAUSES)
    assert undo_time(Action.FULL_REFUND, SOLO) > undo_time(Action.EXPRESS_RESHIP, SOLO) == timedelta(0)


def test_a_run_pays_what_was_approved_or_nothing() -> None:
    case = facts(paid())
    found = remedies_of(case, judge(case, LATE), SOLO, Role.FINANCE)
    planned = entry("T-1", found, Action.FULL_REFUND)
    assert (planned.state, planned.amount_minor) == (Member.WAITING, 3778)
    assert again(planned, found, Action.FULL_REFUND) == planned
    assert again(replace(planned, amount_minor=100), found, Action.FULL_REFUND).state is Member.LEFT_OUT


@given(st.lists(st.integers(1, 400_00), min_size=1, max_size=40), st.sampled_from(Role), st.booleans())
def test_a_run_above_a_limit_needs_another_person(sums: list[int], role: Role, team: bool) -> None:
    entries = [Entry(f"T-{n}", minor, "USD", Member.WAITING, "") for n, minor in enumerate(sums)]
    policy = TEAM if team else SOLO
    allowed = approval(role, entries, policy)
    grant = TABLE[Action.COHORT_REMEDY].get(role)
    assert allowed.allowed == (grant is not None and (grant.limit_minor is None or sum(sums) <= grant.limit_minor))
    if allowed.allowed and (sum(sums) > 300_00 or len(sums) > 25):
        assert (allowed.people, allowed.code) == ((2, "allowed") if team else (1, "allowed_after_delay"))
