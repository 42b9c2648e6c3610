"""R-31 at its boundaries: how a place's chance of hearing a tag is measured, and how much silence says something."""

from __future__ import annotations

from dataclasses import replace
from datetime import date, timedelta

import pytest
from hypothesis import given
from hypothesis import strategies as st

from server.rules.facts import ActKind, BeaconMode, OrderFacts, Unit
from server.rules.listening import ListenedDay, by_day, chance, days_to_be_sure
from server.rules.policy import SOLO
from tests.server.rules.build import PACKED, SERIAL, act, at, cleared, facts, hear, judge, label, only, rules, scan
from tests.server.rules.parcels import OVER, never
from tests.server.rules.story import read_story
from tests.server.rules.test_findings import SECOND

DELIVERED = (*PACKED, label(at("Tue 10:00")), scan(at("Tue 18:00")), scan(at("Thu 12:00"), "delivered"))
THURSDAY = at("Thu 12:00").date()
DAYS = [THURSDAY + timedelta(days=number) for number in range(-30, 30)]


def heard_of(*tags: int, share: int = 1) -> tuple[ListenedDay, ...]:
    """Tag 1 is heard daily, the others on every `share`-th day."""
    return tuple(ListenedDay(day, frozenset((1, *(tags if n % share == 0 else ())))) for n, day in enumerate(DAYS))


def quiet(*more: object, listened: tuple[ListenedDay, ...] | None = None, **how: object) -> OrderFacts:
    case = facts(*DELIVERED, *more, **how)  # type: ignore[arg-type]
    return replace(case, listened=heard_of(2, 3, 4) if listened is None else listened)


def test_three_days_where_every_tag_is_heard_daily() -> None:
    opens = at("Sun 12:00")
    assert "R-31" not in rules(judge(quiet(), opens - SECOND))
    finding = only(judge(quiet(), opens), "R-31")
    assert (finding.since, finding.subject) == (opens, str(SERIAL))
    assert "100%" in finding.why


def test_where_tags_are_heard_every_other_day_it_takes_longer() -> None:
    """Tag 1 daily and six others every other day: a little more than half."""
    case = quiet(listened=heard_of(2, 3, 4, 5, 6, 7, share=2))
    p = chance(by_day(case.listened, SERIAL), THURSDAY, SOLO)
    assert p == pytest.approx(0.5, abs=0.1)
    assert p is not None
    n = days_to_be_sure(p, 5)
    assert n is not None
    opens = at("Thu 19:00") + timedelta(days=n)  # the first whole UTC day is Friday; days end at 19:00 in New York
    assert "R-31" not in rules(judge(case, opens - SECOND))
    assert only(judge(case, opens), "R-31").since == opens


def test_no_measure_no_finding() -> None:
    never(judge(quiet(listened=()), at("Thu 12:00", week=3)), "R-31")
    two_tags = quiet(listened=heard_of(2))
    never(judge(two_tags, at("Thu 12:00", week=3)), "R-31")
    few_days = quiet(listened=tuple(day for day in heard_of(2, 3, 4) if day.day > THURSDAY - timedelta(days=6)))
    never(judge(few_days, at("Thu 12:00", week=3)), "R-31")


def test_days_on_which_nobody_listened_are_no_silence() -> None:
    """The receivers of the place were off from the delivery on."""
    before = tuple(day for day in heard_of(2, 3, 4) if day.day < THURSDAY)
    never(judge(quiet(listened=before), at("Thu 12:00", week=3)), "R-31")


def test_a_tag_does_not_measure_its_own_place() -> None:
    mine = tuple(replace(day, serials=day.serials | {SERIAL}) for day in heard_of(2, 3) if day.day < THURSDAY)
    assert chance(by_day(mine, SERIAL), THURSDAY, SOLO) == 1.0
    assert all(SERIAL not in heard for heard in by_day(mine, SERIAL).values())


@pytest.mark.parametrize("kind", [ActKind.CLAIMED, ActKind.ACTIVATED])
def test_in_its_owners_hand_it_ends(kind: ActKind) -> None:
    never(judge(quiet(act(kind, at("Fri 12:00"))), at("Thu 12:00", week=1)), "R-31")
    late = judge(quiet(act(kind, at("Mon 12:00", week=1))), at("Thu 12:00", week=1))
    assert cleared(late, "R-31").cleared_at == at("Mon 12:00", week=1)


def test_the_radio_silence_after_a_private_claim_is_no_finding() -> None:
    """From its claim on a private tag sends nothing that we read, for years, and also after it is given up."""
    owned = [act(ActKind.ACTIVATED, at("Fri 12:00"))]
    for acts in (owned, [*owned, act(ActKind.RELEASED, at("Mon 12:00", week=1))]):
        for week in (1, 3, 50):
            never(judge(quiet(*acts), at("Thu 12:00", week=week)), "R-31")


def test_a_silent_unit_says_nothing_by_its_silence() -> None:
    silent = quiet(unit=Unit(SERIAL, beacon_mode=BeaconMode.SILENT))
    never(judge(silent, at("Thu 12:00", week=3)), "R-31")


def test_heard_it_ends_and_the_next_silence_counts_from_there() -> None:
    again = quiet(hear("phone", at("Mon 12:00", week=1)))
    assert cleared(judge(again, at("Mon 12:00", week=1)), "R-31").cleared_because == "it was heard"
    assert only(judge(again, at("Thu 12:00", week=1)), "R-31").since == at("Thu 12:00", week=1)
    early = quiet(hear("phone", at("Sat 12:00")))
    assert "R-31" not in rules(judge(early, at("Tue 12:00", week=1) - SECOND))


def test_an_order_that_is_over_ends_it() -> None:
    assert cleared(judge(quiet(OVER), at("Fri 12:00", week=5)), "R-31").cleared_at == OVER.latest


def test_looked_at_every_night_for_a_month_and_no_longer() -> None:
    """A day's measure wakes no order, so the order looks."""
    waiting = quiet(listened=tuple(day for day in heard_of(2, 3, 4) if day.day < THURSDAY))
    looks, look = [], at("Sun 13:00")
    while (following := judge(waiting, look).next_look_at) is not None and following < at("Thu 12:00", week=20):
        looks.append(following)
        look = following
    nights = [each for each in looks if (each.hour, each.minute) == (0, 0)]
    assert len(nights) >= SOLO.silent_look_d
    owned = replace(waiting, acts=(act(ActKind.CLAIMED, at("Fri 12:00")),))
    assert (judge(owned, at("Sun 13:00")).next_look_at or at("Thu 12:00", week=20)) > looks[0]


@pytest.mark.parametrize("letter", ["G", "P", "O", "S"])
def test_no_story_is_silent_however_well_its_place_is_listened_to(letter: str) -> None:
    story = read_story(letter)
    first = story.facts.order.placed_at.date() - timedelta(days=40)
    listened = tuple(ListenedDay(first + timedelta(days=n), frozenset((1, 2, 3, 4))) for n in range(200))
    never(judge(replace(story.facts, listened=listened), story.ends_at), "R-31")


@given(st.integers(1, 99), st.integers(1, 20))
def test_the_doubt_is_below_what_is_allowed_and_not_before(p_percent: int, doubt_percent: int) -> None:
    p = p_percent / 100
    n = days_to_be_sure(p, doubt_percent)
    assert n is not None
    assert (1 - p) ** n < doubt_percent / 100 * (1 + 1e-9)
    assert n == 1 or (1 - p) ** (n - 1) >= doubt_percent / 100 * (1 - 1e-9)
    assert days_to_be_sure(0.0, doubt_percent) is None
    assert days_to_be_sure(1.0, doubt_percent) == 1


@given(st.lists(st.tuples(st.integers(0, 40), st.sets(st.integers(1, 6))), max_size=60))
def test_a_chance_is_one_and_order_and_repetition_do_not_change_it(rows: list[tuple[int, set[int]]]) -> None:
    days = [ListenedDay(date(2016, 10, 1) + timedelta(days=n), frozenset(serials)) for n, serials in rows]
    measured = chance(by_day(days, 9), date(2016, 11, 1), SOLO)
    assert measured is None or 0 <= measured <= 1
    assert measured == chance(by_day([*reversed(days), *days], 9), date(2016, 11, 1), SOLO)
