"""Words of a letter that are read as claims or are none: it left, the money is back."""

from __future__ import annotations

from dataclasses import replace
from datetime import timedelta

import pytest

from server.rules import phrases
from server.rules.drafts import Draft, Promises
from server.rules.facts import StatementKind
from server.rules.findings.registry import CATALOGUE
from server.rules.payloads import PromiseKind
from server.rules.policy import SOLO
from server.rules.weigh import weigh
from tests.server.rules.build import PACKED, at, facts
from tests.server.rules.test_drafts import annuls, codes, looked, one, paid


@pytest.mark.parametrize(
    "text",
    [
        "It was dispatched.",
        "Good news: your parcel has left our warehouse!",
        "We shipped it yesterday, and it will be with you soon.",
        "It's on its way.",
        "It was handed over to the carrier on Monday.",
        "It is with the courier.",
        "Your parcel has been delivered.",
        "It wasn't lost; it was sent out last week.",
        "USPS picked it up on Friday.",
        "USPS has picked up your parcel.",
        "The courier collected your parcel on Friday.",
        "It has been collected.",
        "We handed it over to USPS on Friday.",
        "We dropped your parcel off at UPS yesterday.",
        "It is with USPS now and you should receive it tomorrow.",
        "USPS has it.",
        "It has been posted.",
        "We posted it yesterday.",
        "It is in the post.",
        "It's in the mail.",
        "Out the door already!",
        "The parcel is en route to Florida.",
    ],
)
def test_words_that_claim_it_left(text: str) -> None:
    waiting = facts(*PACKED)
    [claim] = [o for o in looked(waiting, Draft(text), at("Tue 09:00")).objections if o.rule in ("R-05", "R-17")]
    assert claim.about in text
    assert claim.say == weigh(waiting, SOLO, at("Tue 09:00")).shown.sentence


@pytest.mark.parametrize(
    "text",
    [
        "It has not been dispatched.",
        "Nothing shows that it left us.",
        "Our record says dispatched; I cannot see anything that shows it.",
        "You can see when it has left us.",
        "It should have left us by then.",
        "Nobody can tell you whether it was shipped.",
        "There is nothing left for you to do.",
        "Turn left at our shop.",
        "Your money is on its way back.",
        "We sent you a message.",
        "In the mail we sent you there is a link.",
        "Has it arrived?",
        "Has USPS picked it up?",
        "Have you seen whether it was posted?",
        "We will hand it over to USPS tomorrow.",
        "Once USPS has picked it up, you can follow it.",
        "As soon as the courier has it, you see it on your page.",
        "USPS has not picked it up.",
        "USPS never collected it.",
        "USPS should have picked it up on Friday.",
        "The courier collected nothing from us on Friday.",
        "USPS has your parcel listed, no more.",
        "Your complaint was passed on to USPS.",
        "The courier is en route to us.",
        "Your picture was posted on our page.",
        "We keep you posted.",
        "It was picked up by a receiver at our dock.",
    ],
)
def test_what_is_denied_or_asked_is_no_claim(text: str) -> None:
    assert "R-05" not in [o.rule for o in looked(facts(*PACKED), Draft(text), at("Tue 09:00")).objections]


@pytest.mark.parametrize(
    "text",
    [
        "We have refunded you.",
        "You are refunded.",
        "You've been refunded.",
        "Your order was refunded in full.",
        "Your refund was paid yesterday.",
        "Your refund has been booked.",
        "We have already issued your refund.",
        "Your money is now back.",
        "We sent you the money back.",
        "Refunded, as you asked.",
    ],
)
def test_money_that_is_said_to_be_back_is_compared_with_the_refunds(text: str) -> None:
    back = replace(paid(90_00, "back"), kind=StatementKind.REFUNDED)
    now = at("Tue 12:00")
    warned = one(looked(facts(*PACKED, paid(90_00, "goods")), Draft(text), now), "refund_not_shown")
    assert warned.about == text
    assert warned.why == "No refund of this order is booked."
    assert not warned.stops, "somebody may have paid it by hand and not said so yet"
    assert codes(looked(facts(*PACKED, paid(90_00, "goods"), back), Draft(text), now)) == []
    assert "refund_not_shown" in codes(looked(facts(*PACKED, back, annuls(back)), Draft(text), now))
    assert phrases.claims(text) == (), "a run of refunds may say so: it tells nobody where a parcel is"


@pytest.mark.parametrize(
    "text",
    [
        "You will be refunded.",
        "We'll refund you.",
        "Your refund is booked by {promise_due}; you need not ask again.",
        "You are refunded if it is not here by Friday.",
        "You are refunded by Friday.",
        "Once it is refunded, you get a letter.",
        "You have not been refunded yet.",
        "Have you been refunded?",
        "Has your refund been paid?",
        "You asked for a refund.",
        "Would you like to be refunded?",
        "Your fee goes back.",
        "Your money is on its way back.",
    ],
)
def test_a_refund_that_is_promised_or_asked_about_is_no_refund(text: str) -> None:
    draft = Draft(text, promises=(Promises(PromiseKind.REFUND, at("Fri 12:00")),))
    assert "refund_not_shown" not in codes(looked(facts(*PACKED), draft, at("Tue 12:00")))


def test_no_sentence_of_the_catalogue_is_a_claim_of_its_own() -> None:
    """What we tell people to say must not be stopped when they say it; R-29 is said only of what left."""
    for rule in CATALOGUE.values():
        if rule.id != "R-29":
            assert phrases.claims(rule.say) == (), rule.say
        assert phrases.refunds(rule.say) == (), rule.say


def test_weeks_ago_is_at_least_a_week() -> None:
    [claim] = phrases.claims("It was shipped 3 weeks ago.")
    assert claim.ago == timedelta(weeks=3)
    assert [c.ago for c in phrases.claims("Dispatched weeks ago.")] == [timedelta(weeks=1)]
    assert [c.ago for c in phrases.claims("Dispatched.")] == [None]
