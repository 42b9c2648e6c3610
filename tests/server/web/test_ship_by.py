"""The day that a checkout shows is the day to which the rules hold the order: the same function, in the site's zone."""

from __future__ import annotations

from datetime import UTC, date, datetime, time, timedelta
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from server.rules.case import lay_out
from server.rules.facts import Line, Order, OrderFacts, Place, Site, Slot
from server.rules.findings import r03_refund_owed
from server.rules.moment import Moment
from server.rules.policy import SOLO
from server.rules.sale_profiles import PROFILES
from server.rules.ship_by import before_payment
from server.rules.weigh import weigh
from tests.server.web.town import Town, order

MONDAY_NOON = datetime(2026, 11, 23, 11, 0, tzinfo=UTC)  # 12:00 in Berlin
SITE = Site(
    "wh", "Warehouse", "Pacific/Auckland", Place(0, 0, 1), holidays=frozenset({date(2026, 12, 25)}), cutoff=time(13, 0)
)


def cart(*leads: int, **more: Any) -> dict[str, Any]:
    slots = [{"lead_time_bd": lead} for lead in leads]
    return {"site": "dock", "placed_at": MONDAY_NOON.isoformat(), "lines": [{"title": "Tag", "slots": slots}], **more}


def test_each_unit_has_its_day_and_its_sentence(town: Town) -> None:
    town.site()
    answer = town.staff().post("/ship-by", cart(0, 10))
    assert (answer["zone"], answer["policy"], answer["profile"]) == ("Europe/Berlin", SOLO.version, "standard")
    plain, lettered = answer["slots"]
    assert (plain["slot"], plain["ship_by"], plain["over_at"]) == (1, "2026-11-25", "2026-11-25T23:00:00Z")
    assert plain["sentence"].startswith("Tag leaves us by Wed 25 Nov 2026. If it has not left")
    assert lettered["ship_by"] == "2026-12-09"
    assert "takes 10 business days of that time" in lettered["sentence"]
    assert plain["unstated_limit"] == "2026-12-23T11:00:00Z"


def test_after_the_cutoff_the_next_business_day_counts(town: Town) -> None:
    town.site()
    evening = cart(0, placed_at=(MONDAY_NOON + timedelta(hours=8)).isoformat())
    assert town.staff().post("/ship-by", evening)["slots"][0]["ship_by"] == "2026-11-26"


def test_without_a_moment_it_is_now(town: Town) -> None:
    town.site()
    now = town.staff().post("/ship-by", cart(0, placed_at=None))
    assert datetime.fromisoformat(now["placed_at"]) == town.now


def test_what_is_not_known_is_refused(town: Town) -> None:
    who = town.staff()
    who.refused("POST", "/ship-by", 404, "site_unknown", json=cart(0))
    town.site()
    error = who.refused("POST", "/ship-by", 404, "profile_unknown", json=cart(0, profile="mars"))
    assert "us_ftc" in error["do"]
    for wrong in (cart(), cart(-1), cart(366), cart(*[0] * 101), cart(0, lines=[]), cart(0, more=1)):
        who.refused("POST", "/ship-by", 422, "bad_request", json=wrong)


def test_an_order_recorded_as_shown_is_late_at_that_moment_and_not_before(town: Town) -> None:
    """Shown, paid, recorded – and R-02 and R-03 open when the shown day is over."""
    town.site()
    who = town.staff()
    placed_at = town.now - timedelta(days=9)
    shown = who.post("/ship-by", cart(1, placed_at=placed_at.isoformat()))["slots"][0]
    lines = [{"sku": "TAG-1", "title": "Tag", "slots": [{"lead_time_bd": 1, "ship_by": shown["ship_by"]}]}]
    who.post("/orders", order("T-1", placed_at=placed_at.isoformat(), site="dock", lines=lines))
    findings = {each["rule"]["id"]: each["since"] for each in who.get("/orders/T-1")["findings"]}
    assert findings["R-02"] == findings["R-03"] == shown["over_at"]


@given(
    st.datetimes(datetime(2026, 1, 1), datetime(2027, 12, 31)),  # noqa: DTZ001 - made aware below
    st.lists(st.integers(0, 40), min_size=1, max_size=4),
    st.sampled_from(sorted(PROFILES)),
)
def test_shown_before_payment_is_what_r02_and_r03_hold_the_order_to(at: datetime, leads: list[int], name: str) -> None:
    placed_at = at.replace(tzinfo=UTC)
    slots = tuple(Slot(number, 1, lead_bd=lead, lead_shown=True) for number, lead in enumerate(leads, 1))
    shown = before_payment(SITE, placed_at, slots, PROFILES[name], SOLO)
    order_of = Order("T-1", placed_at, SITE.zone, (Line(1, "TAG", "Tag", slots),), site="wh", profile=name)
    facts = OrderFacts(order_of, sites=(SITE,))
    for each in shown:
        assert each.over_at > placed_at
        held = weigh(facts, SOLO, each.over_at)
        late = {f.slot: f.since for f in held.findings if f.rule.id == "R-02"}
        assert late[each.slot] == each.over_at
        before = weigh(facts, SOLO, each.over_at - timedelta(microseconds=1))
        assert each.slot not in {f.slot for f in before.findings if f.rule.id == "R-02"}
        untold = Slot(each.slot, 1, lead_bd=leads[each.slot - 1])
        assert each.unstated_limit == r03_refund_owed.limit(lay_out(facts, SOLO, Moment(placed_at)), untold)


@pytest.mark.parametrize("name", sorted(PROFILES))
def test_a_profile_has_a_limit_and_names_its_source(name: str) -> None:
    assert PROFILES[name].ship_within_d > 0
    assert PROFILES[name].source
