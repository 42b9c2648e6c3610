"""Messages before they go out: what is claimed without evidence is caught, and no insert names what does not exist."""

from __future__ import annotations

from dataclasses import replace
from datetime import datetime, timedelta

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from server.rules import objections
from server.rules.authority import Action, Role
from server.rules.drafts import Draft, Promises, Says, Sender
from server.rules.facts import ActKind, Correction, OrderFacts, Source, Statement, StatementKind
from server.rules.inserts import OnFile
from server.rules.life import Step, far
from server.rules.objections import Checked, Objection, check
from server.rules.payloads import About, Assertion, Offer, OfferKind, Payment, PromiseKind
from server.rules.policy import SOLO, Policy
from server.rules.weigh import Weighing, weigh
from tests.server.rules.build import NUMBER, PACKED, act, at, dispatched, facts, hear, label, promise, say, scan
from tests.server.rules.story import read_story
from tests.server.rules.test_properties import shuffled
from tests.server.rules.worlds import moments, worlds

ON_FILE = OnFile("Dana Whitlock", "12 Oak Lane, 32601 Gainesville, FL", at("Mon 09:00"))
AGENT = Sender("agent-o@shop.example", Role.AGENT, "Olivia Orman")
LEFT = Says(About.STEP, "left")
STORY = read_story("T")


def looked(case: OrderFacts, draft: Draft, now: datetime, sender: Sender = AGENT, on_file: OnFile = ON_FILE) -> Checked:
    return check(case, weigh(case, SOLO, now), draft, sender, on_file, SOLO, now)


def codes(checked: Checked) -> list[str]:
    return [each.code for each in checked.objections]


def one(checked: Checked, code: str) -> Objection:
    found = [each for each in checked.objections if each.code == code]
    assert len(found) == 1, checked.objections
    return found[0]


def local(moment: str) -> datetime:
    """A local time of the story."""
    return STORY.at(datetime.fromisoformat(moment))


def known_at(now: datetime) -> OrderFacts:
    """Story T as it was known just before a moment."""
    return replace(STORY.facts, statements=tuple(s for s in STORY.facts.statements if s.learnt_at < now))


# --- story T -------------------------------------------------------------------------------------------------


def test_dispatched_weeks_ago_is_stopped_with_the_reason_and_what_to_say() -> None:
    now = local("2016-12-02T11:20")
    typed = "Your order was dispatched weeks ago, it is probably lost. The address again, please."
    checked = looked(known_at(now), Draft(typed), now)
    claim = one(checked, "against_evidence")
    assert claim.stops
    assert claim.rule == "R-17"
    assert claim.about.startswith("Your order was dispatched weeks ago")
    assert "Our own receivers heard it inside" in claim.why
    assert claim.say == "It should have left us by Mon 7 Nov 2016. Nothing shows that it did."
    address = one(checked, "address_known")
    assert not address.stops
    assert "12 Oak Lane, 32601 Gainesville, FL, given on Mon 7 Nov 2016" in address.why


def test_the_same_sentence_stops_where_no_serial_was_ever_bound() -> None:
    story = read_story("T2")
    now = story.at(datetime.fromisoformat("2016-12-02T11:20"))
    case = replace(story.facts, statements=tuple(s for s in story.facts.statements if s.learnt_at < now))
    claim = one(looked(case, Draft("It was dispatched weeks ago."), now), "against_evidence")
    assert claim.rule == "R-35"
    assert "No serial is bound" in claim.why


@pytest.mark.parametrize(
    "text", ["Your parcel was dispatched yesterday and is on its way.", "Your tag arrived at your door."]
)
def test_what_stops_a_message_says_what_is_missing_and_until_when(text: str) -> None:
    """Our word again, after a first one that nothing shows: the reason must say that it is no more than our word."""
    case = facts(*PACKED, dispatched(at("Mon 11:00")))
    stopped = one(looked(case, Draft(text), at("Wed 09:00")), "against_evidence")
    assert stopped.why == (
        "Nothing physical shows it yet, there is only our own word. "
        "The first physical sign is due by Wed 9 Nov 2016 23:00 EST."
    )


def keep(sender: str, remedy: Action | None = None, role: Role = Role.AGENT) -> Checked:
    now = local("2016-12-23T15:00")
    due = local("2017-01-07T00:00")
    draft = Draft("It arrives by {promise_due}.", promises=(Promises(PromiseKind.ARRIVE, due),), remedy=remedy)
    return looked(known_at(now), draft, now, Sender(sender, role))


def test_a_third_promise_is_refused_without_a_remedy() -> None:
    repeated = one(keep("agent M"), "promise_repeated")
    assert repeated.stops
    assert repeated.rule == "R-18"
    assert "promised before" in repeated.why
    assert codes(keep("agent M", Action.EXPRESS_RESHIP)) == []


def test_a_remedy_that_its_sender_may_not_grant_helps_nobody() -> None:
    assert codes(keep("agent M", Action.REPLACE_LEFT_UNIT)) == ["promise_repeated", "remedy_not_yours"]
    assert codes(keep("lead", Action.REPLACE_LEFT_UNIT, Role.LEAD)) == []
    assert "remedy_not_yours" in codes(keep("agent M", Action.SEE_GATEWAYS))


def paying(*money: Statement, remedy: Action = Action.FULL_REFUND) -> list[str]:
    """What speaks against an agent's letter that goes with money, by what was paid."""
    draft = Draft("Hello.", remedy=remedy)
    return codes(looked(facts(*PACKED, *money), draft, at("Tue 12:00")))


def paid(minor: int, ref: str, currency: str = "USD", service: str = "") -> Statement:
    payment = Payment(minor, currency, service)
    return say(StatementKind.PAYMENT, at("Mon 09:00"), payment, ref=ref, slot=None, source=Source.SHOP)


def annuls(wrong: Statement) -> Statement:
    """A correction: that which the other says did not occur."""
    later = at("Mon 12:00")
    return replace(wrong, id=f"no-{wrong.id}", said_at=later, learnt_at=later, corrects=wrong.id,
                   correction=Correction.DID_NOT_OCCUR)  # fmt: skip


def test_what_an_agent_may_give_back_goes_by_the_money_that_is_there() -> None:
    goods, more = paid(90_00, "goods"), paid(90_00, "more")
    back = replace(paid(90_00, "back"), kind=StatementKind.REFUNDED)
    assert paying(goods) == []
    assert paying(goods, more) == ["remedy_not_yours"]
    assert paying(goods, more, annuls(more)) == [], "a payment that did not occur is not given back"
    assert paying(goods, more, back) == []
    assert paying(goods, more, back, annuls(back)) == ["remedy_not_yours"]
    assert paying(goods, paid(5_00, "euros", "EUR")) == ["remedy_not_yours"]


def test_a_fee_above_an_agents_limit_is_not_theirs_either() -> None:
    goods, fee = paid(90_00, "goods"), paid(101_00, "fee", service="overnight")
    assert paying(goods, fee, remedy=Action.REFUND_SERVICE_FEE) == ["remedy_not_yours"]
    assert paying(goods, fee, annuls(fee), remedy=Action.REFUND_SERVICE_FEE) == []


def test_two_of_us_contradict_one_another_before_it_is_read() -> None:
    now = local("2016-12-19T10:15")
    checked = looked(known_at(now), Draft("It is still here.", says=(Says(About.STEP, "with_us"),)), now)
    assert codes(checked) == ["contradicts"]
    assert one(checked, "contradicts").rule == "R-19"


def test_a_number_in_doubt_and_an_offer_instead_of_the_money() -> None:
    now = local("2016-12-23T14:20")
    offer = Draft("{carrier_number}", offers=(Offer(OfferKind.COMPENSATION, "A case."),))
    assert codes(looked(known_at(now), offer, now)) == ["refund_deflected", "number_doubtful"]


# --- what is claimed -----------------------------------------------------------------------------------------

SHIPPED = facts(*PACKED, label(at("Mon 16:00")), scan(at("Mon 21:00")))


@pytest.mark.parametrize(
    "text",
    [
        "It was dispatched.",
        "It is on its way.",
        "Your parcel has left our warehouse and is in transit.",
    ],
)
def test_the_same_words_about_a_parcel_that_left(text: str) -> None:
    gone = facts(*PACKED, label(at("Mon 16:00")), scan(at("Mon 21:00")), hear("van", at("Mon 22:00"), at("Mon 23:00")))
    assert codes(looked(gone, Draft(text), at("Tue 09:00"))) == []


_CLAIMED = ("words_not_shown", "not_shown", "against_evidence")


def test_the_same_claim_is_weighed_once(monkeypatch: pytest.MonkeyPatch) -> None:
    """A weighing reads every fact of an order; a letter may say the same in eight sentences."""
    weighed: list[OrderFacts] = []

    def counted(case: OrderFacts, policy: Policy, now: datetime) -> Weighing:
        weighed.append(case)
        return weigh(case, policy, now)

    monkeypatch.setattr(objections, "weigh", counted)
    draft = Draft("It was dispatched. It has left us. It is on its way. It was shipped a week ago.", says=(LEFT,))
    checked = looked(facts(*PACKED), draft, at("Mon 11:00"))
    assert len([o for o in checked.objections if o.code in _CLAIMED]) == 5, checked.objections
    assert len(weighed) == 3, "now, a week ago, and the letter as a whole"


def test_the_letter_says_what_evidence_shows_beside_words_that_nothing_shows() -> None:
    checked = looked(facts(*PACKED), Draft("It was dispatched."), at("Mon 11:00"))
    assert codes(checked) == ["words_not_shown"]
    assert checked.letter.endswith("What evidence shows now: Your tag is packed.")


def test_asserting_that_it_left_is_stopped_also_while_evidence_is_not_due() -> None:
    checked = looked(facts(*PACKED), Draft("Hello.", says=(LEFT,)), at("Mon 11:00"))
    assert one(checked, "not_shown").stops
    long_ago = Draft("Hello.", says=(replace(LEFT, at_least_ago=timedelta(days=2)),))
    heard = facts(*PACKED, hear("dock", at("Tue 08:00"), at("Thu 08:00"), count=9))
    assert one(looked(heard, long_ago, at("Thu 09:00")), "against_evidence").rule == "R-17"


def test_asserting_that_it_is_here_when_it_left() -> None:
    gone = facts(*PACKED, label(at("Mon 16:00")), scan(at("Mon 21:00")), hear("van", at("Mon 22:00"), at("Mon 23:00")))
    checked = looked(gone, Draft("It is here.", says=(Says(About.STEP, "with_us"),)), at("Tue 09:00"))
    assert one(checked, "against_evidence").rule == "R-15"
    assert codes(looked(gone, Draft("It left {left}.", says=(LEFT,)), at("Tue 09:00"))) == []


@pytest.mark.parametrize(("assured", "why"), [(1, "2 assurances"), (2, "3 assurances")])
def test_another_assurance_against_what_is_shown_is_stopped(assured: int, why: str) -> None:
    """Story O: the page shows ground, people of ours assured overnight; the next one is stopped before it is said."""
    shown = say(StatementKind.ASSERTION, at("Mon 13:00"), Assertion(About.SERVICE, "ground"), source=Source.SYSTEM)
    moments_said = [at("Mon 13:05") + timedelta(minutes=n) for n in range(assured)]
    before = [say(StatementKind.ASSERTION, m, Assertion(About.SERVICE, "overnight")) for m in moments_said]
    draft = Draft("Overnight.", says=(Says(About.SERVICE, "overnight"),))
    denied = one(looked(facts(*PACKED, shown, *before), draft, at("Mon 14:00")), "against_evidence")
    assert denied.rule == "R-15"
    assert why in denied.why


# --- promises, numbers, names ---------------------------------------------------------------------------------


def promising(due: datetime | None, what: PromiseKind = PromiseKind.REPLY) -> Draft:
    return Draft("You hear from us by {promise_due}.", promises=(Promises(what, due),))


def test_a_promise_needs_a_due_moment_ahead() -> None:
    now = at("Tue 10:00")
    assert "promise_without_due" in codes(looked(facts(*PACKED), promising(None), now))
    assert "promise_past" in codes(looked(facts(*PACKED), promising(now), now))
    fine = looked(facts(*PACKED), promising(now + timedelta(hours=4)), now)
    assert codes(fine) == []
    assert "Promised: reply by Tue 8 Nov 2016 14:00 EST. It counts as kept by: A person's answer." in fine.letter


def test_a_promise_in_words_alone() -> None:
    checked = looked(facts(*PACKED), Draft("We will check with the courier and get back to you."), at("Tue 10:00"))
    assert codes(checked) == ["promise_in_words"]
    assert not checked.stopped


def test_a_remedy_since_the_broken_promise_lets_it_be_made_again() -> None:
    broken = promise(at("Mon 12:00"), "call_back", at("Mon 16:00"))
    again = promising(at("Tue 16:00"), PromiseKind.CALL_BACK)
    assert codes(looked(facts(*PACKED, broken), again, at("Tue 10:00"))) == ["promise_repeated"]
    early, late = (replace(act(ActKind.REMEDY_AUTHORISED, at(m)), order="T-1") for m in ("Mon 15:00", "Mon 17:00"))
    assert codes(looked(facts(*PACKED, broken, early), again, at("Tue 10:00"))) == ["promise_repeated"]
    assert codes(looked(facts(*PACKED, broken, late), again, at("Tue 10:00"))) == []


def test_another_kind_of_promise_repeats_nothing() -> None:
    broken = promise(at("Mon 12:00"), "call_back", at("Mon 16:00"))
    refund = promising(at("Wed 16:00"), PromiseKind.REFUND)
    assert codes(looked(facts(*PACKED, broken), refund, at("Tue 10:00"))) == []


@pytest.mark.parametrize("number", ["T-1", "hello", "123"])
def test_a_number_that_no_carrier_can_look_up(number: str) -> None:
    case = facts(*PACKED, label(at("Mon 16:00")))
    objection = one(looked(case, Draft("Look there.", numbers=(number,)), at("Tue 09:00")), "not_a_carrier_number")
    assert objection.say == f"Quote UPS {NUMBER}."


def test_our_own_number_called_a_tracking_number() -> None:
    case = replace(facts(*PACKED), order=replace(facts().order, number="HS-2016-0311"))
    typed = "Your tracking number is HS-2016-0311."
    assert "not_a_carrier_number" in codes(looked(case, Draft(typed), at("Tue 09:00")))
    assert codes(looked(case, Draft("Your order HS-2016-0311 is packed."), at("Tue 09:00"))) == []


def test_a_number_that_is_on_no_label_of_this_order() -> None:
    case = facts(*PACKED, label(at("Mon 16:00")))
    assert codes(looked(case, Draft("See 9400110200881234567896."), at("Tue 09:00"))) == ["number_doubtful"]
    assert codes(looked(case, Draft(f"See {NUMBER}."), at("Tue 09:00"))) == []


@pytest.mark.parametrize("text", ["Yours, Olivia Orman", "Ask for Orman.", "Write to agent-o@shop.example."])
def test_no_letter_names_who_wrote_it(text: str) -> None:
    assert one(looked(facts(*PACKED), Draft(text), at("Tue 09:00")), "names_staff").stops


@pytest.mark.parametrize(
    "text", ["Is {address} still right?", "Write to our address on file.", "What is your e-mail address?"]
)
def test_other_words_about_addresses(text: str) -> None:
    assert "address_known" not in codes(looked(facts(*PACKED), Draft(text), at("Tue 09:00")))


def test_without_an_address_on_file_it_may_be_asked_for() -> None:
    nothing = replace(ON_FILE, address="")
    typed = Draft("Please send us your address.")
    assert codes(looked(facts(*PACKED), typed, at("Tue 09:00"), on_file=nothing)) == []
    assert codes(looked(facts(*PACKED), typed, at("Tue 09:00"))) == ["address_known"]


def test_nothing_is_no_message() -> None:
    assert codes(looked(facts(*PACKED), Draft("  "), at("Tue 09:00"))) == ["empty"]


# --- what must hold in every world -----------------------------------------------------------------------------

DRAFTS = (
    Draft("Your order was dispatched weeks ago. {carrier_number} {status}"),
    Draft("{evidence}", says=(LEFT, Says(About.SERVICE, "overnight")), slot=1),
    Draft("{promise_due}", promises=(Promises(PromiseKind.ARRIVE, at("Fri 00:00", week=3)),)),
)


@settings(max_examples=100)
@given(worlds(), moments, st.sampled_from(("left", "with_carrier", "arrived")), st.sampled_from((None, 0, 86_400)))
def test_nobody_asserts_unobjected_what_nothing_shows(
    world: OrderFacts, now: datetime, step: str, ago_s: int | None
) -> None:
    needed = {"left": Step.LEFT, "with_carrier": Step.ACCEPTED, "arrived": Step.DELIVERED}[step]
    words = {"left": "It was dispatched.", "with_carrier": "It is in transit.", "arrived": "It was delivered."}[step]
    ago = None if ago_s is None else timedelta(seconds=ago_s)
    for slot in world.order.slots:
        shown = next(s for s in weigh(world, SOLO, now).shown.slots if s.slot == slot.number)
        if far(shown.evidenced) < far(needed):
            asserted = looked(world, Draft("Hello.", slot.number, (Says(About.STEP, step, at_least_ago=ago),)), now)
            assert {"not_shown", "against_evidence"} & {o.code for o in asserted.stopped}
            typed = looked(world, Draft(words, slot.number), now)
            assert {"words_not_shown", "against_evidence"} & set(codes(typed))


@st.composite
def twice(draw: st.DrawFn) -> tuple[OrderFacts, OrderFacts]:
    world = draw(worlds())
    return world, shuffled(draw, world)


@settings(max_examples=60)
@given(twice(), moments, st.sampled_from(DRAFTS))
def test_order_and_repetition_of_facts_change_nothing(
    both: tuple[OrderFacts, OrderFacts], now: datetime, draft: Draft
) -> None:
    assert looked(both[0], draft, now) == looked(both[1], draft, now)
