"""The life of a tag walked along the table: what is entered, what is left out, and in which order."""

from __future__ import annotations

from dataclasses import replace
from datetime import timedelta

from server.rules.facts import ActKind, OrderFacts, Unit
from server.rules.policy import SOLO
from server.rules.tag_state import states_of
from tests.server.rules.build import (
    PACKED,
    POWER_UP,
    SERIAL,
    act,
    at,
    bound,
    dispatched,
    facts,
    hear,
    judge,
    label,
    scan,
)

UNIT = Unit(SERIAL, manufactured_at=POWER_UP - timedelta(days=9), keyed_at=POWER_UP - timedelta(days=9))
NOW = at("Fri 12:00")


def states(case: OrderFacts, unit: Unit = UNIT) -> list[str]:
    entered = states_of(unit, case.heard, case.acts, judge(case, NOW).steps, SOLO, NOW)
    assert [e.at for e in entered] == sorted(e.at for e in entered)
    return [e.step.value for e in entered]


def test_from_the_factory_to_the_owner() -> None:
    way = (label(at("Tue 10:00")), dispatched(at("Tue 16:40")), scan(at("Tue 18:00")), hear("van", at("Tue 18:30")))
    home = (
        scan(at("Thu 09:00"), "out_for_delivery"),
        scan(at("Thu 12:00"), "delivered"),
        hear("cafe", at("Thu 13:00")),
    )
    done = (act(ActKind.CLAIMED, at("Thu 18:00")), act(ActKind.ACTIVATED, at("Thu 18:01")))
    assert states(facts(*PACKED, *way, *home, *done)) == [
        "manufactured", "keyed", "stocked", "bound", "packed", "left", "accepted", "on_the_way", "delivered",
        "claimed", "activated",
    ]  # fmt: skip


def test_words_alone_bind_a_tag_and_do_not_move_it() -> None:
    said = facts(bound(at("Mon 10:00")), dispatched(at("Tue 10:00")))
    assert states(said) == ["manufactured", "keyed", "bound"]


def test_release_and_a_second_life() -> None:
    second = (act(ActKind.ACTIVATED, at("Mon 12:00")), act(ActKind.RELEASED, at("Tue 12:00")))
    again = replace(act(ActKind.ACTIVATED, at("Wed 12:00"), "bob"), id="again")
    assert states(facts(*second, again))[2:] == ["claimed", "activated", "released", "claimed", "activated"]


def test_what_may_not_follow_is_left_out() -> None:
    """Refurbished while it is its owner's: the record is wrong, the state stays."""
    odd = facts(act(ActKind.ACTIVATED, at("Mon 12:00")), act(ActKind.REFURBISHED, at("Tue 12:00")))
    assert states(odd)[-1] == "activated"
    assert states(facts(act(ActKind.RETIRED, at("Tue 12:00"))))[-1] == "retired"
