"""R-26: five orders and three times the usual share, whatever the order of the rows."""

from __future__ import annotations

import random
from datetime import timedelta

from hypothesis import given
from hypothesis import strategies as st

from server.rules.causes import CauseKind
from server.rules.cohorts import OrderRow, cohorts
from server.rules.policy import SOLO
from tests.server.rules.build import at

LOT = (CauseKind.LOT, "2016-T")
OTHER = (CauseKind.LOT, "2016-U")
BEGAN = at("Mon 09:00")


def row(number: int, *, hit: bool, cause: tuple[CauseKind, str] = LOT) -> OrderRow:
    since = {"R-17": BEGAN + timedelta(hours=number)} if hit else {}
    return OrderRow(f"O-{number:03}", since, frozenset({cause}))


def of(hits: int, having: int, others_hit: int, others: int) -> list[OrderRow]:
    ours = [row(n, hit=n < hits) for n in range(having)]
    return ours + [row(100 + n, hit=n < others_hit, cause=OTHER) for n in range(others)]


def test_five_orders_of_one_lot_and_nobody_else() -> None:
    (found,) = cohorts(of(5, 8, 0, 20), SOLO)
    assert (found.rule, found.kind, found.cause) == ("R-17", CauseKind.LOT, "2016-T")
    assert found.orders == tuple(f"O-{n:03}" for n in range(5))
    assert found.since == BEGAN + timedelta(hours=4), "the fifth order made it a cohort"


def test_four_are_a_coincidence() -> None:
    assert cohorts(of(4, 4, 0, 20), SOLO) == ()


def test_three_times_the_usual_and_no_less() -> None:
    assert len(cohorts(of(6, 10, 4, 20), SOLO)) == 1  # 60 % against 20 %
    assert cohorts(of(5, 10, 4, 20), SOLO) == ()  # 50 % against 20 %


def test_when_everything_has_one_cause_the_number_decides() -> None:
    assert len(cohorts(of(5, 50, 0, 0), SOLO)) == 1


@given(st.integers(0, 9), st.integers(1, 9), st.integers(0, 9), st.integers(0, 9), st.randoms())
def test_order_and_repetition_of_rows_mean_nothing(
    hits: int, having: int, others_hit: int, others: int, dice: random.Random
) -> None:
    rows = of(hits, having, others_hit, others)
    again = rows + rows[: len(rows) // 2]
    dice.shuffle(again)
    assert cohorts(again, SOLO) == cohorts(rows, SOLO)
