"""How much work a weighing is: a question is answered once, and an order of thousands of words is no quadratic one."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace
from datetime import timedelta
from time import process_time

from server.rules.case import Case, lay_out
from server.rules.moment import Moment
from server.rules.policy import SOLO
from tests.server.rules.build import PACKED, at, bound, dispatched, facts, judge, rules

BINDINGS = 4_000


def test_a_question_about_a_case_is_answered_once() -> None:
    asked: list[Case] = []

    def slots(case: Case) -> Iterator[int]:
        asked.append(case)
        yield from (unit.slot.number for unit in case.slots)

    case = lay_out(facts(*PACKED, slots=2), SOLO, Moment(at("Tue 10:00")))
    assert case.once(slots) == case.once(slots) == (1, 2)
    assert asked == [case]


def test_a_slot_that_was_bound_thousands_of_times_is_weighed_in_a_moment() -> None:
    """Nobody does so on purpose; a scanner that runs wild does, and then every page about the order waits."""
    scans = [
        replace(bound(at("Mon 10:00") + timedelta(seconds=number), 5_000 + number), id=f"b{number}")
        for number in range(BINDINGS)
    ]
    wild = facts(*scans, dispatched(at("Tue 10:00")))
    began = process_time()
    weighing = judge(wild, at("Thu 10:00"))
    # Some tenths of a second; with work for every pair of scans it was nine seconds.
    assert process_time() - began < 2.0
    assert "R-05" in rules(weighing)
