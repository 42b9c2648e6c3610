"""Our service in figures: what counts, in which period, and nothing from too few cases."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta

from hypothesis import given
from hypothesis import strategies as st

from server.rules.promises import PromiseState
from server.rules.service_record import COUNT_MIN, Due, OrderRecord, Reply, Trouble, period

NOW = datetime(2026, 11, 22, 12, tzinfo=UTC)
DAY, HOUR = timedelta(days=1), timedelta(hours=1)
KEPT, BROKEN = PromiseState.KEPT, PromiseState.BROKEN


def promised(*states: PromiseState, at: datetime = NOW - DAY) -> OrderRecord:
    return OrderRecord(promises=tuple(Due(at, state) for state in states))


def test_a_share_of_what_fell_due_and_was_not_let_go() -> None:
    orders = [promised(*[KEPT] * 15, *[BROKEN] * 5, *[PromiseState.CANCELLED] * 9, PromiseState.OPEN)]
    figure = period(orders, 30, NOW).promises_kept_percent
    assert (figure.value, figure.count) == (75.0, 20)
    assert period([promised(*[KEPT] * 19)], 30, NOW).promises_kept_percent.value is None


def test_only_the_days_of_the_period_count() -> None:
    many = [KEPT] * COUNT_MIN
    old, young, ahead = (promised(*many, at=NOW - 60 * DAY), promised(*many), promised(*many, at=NOW + DAY))
    assert period([old, young, ahead], 30, NOW).promises_kept_percent.count == COUNT_MIN
    assert period([old, young, ahead], 90, NOW).promises_kept_percent.count == 2 * COUNT_MIN
    edge = promised(KEPT, at=NOW - 30 * DAY)
    assert period([edge], 30, NOW).promises_kept_percent.count == 0


def test_whoever_still_waits_counts_with_the_time_so_far() -> None:
    answered = [Reply(NOW - DAY, NOW - DAY + 2 * HOUR)] * 9
    waiting = [Reply(NOW - DAY, None)] * 11
    figure = period([OrderRecord(replies=(*answered, *waiting))], 30, NOW).reply_median_h
    assert (figure.value, figure.count) == (24.0, 20)


def test_the_lead_is_from_the_oldest_fault_that_held_when_the_customer_wrote() -> None:
    at = NOW - DAY
    order = OrderRecord(
        troubles=(
            Trouble(at - 5 * HOUR, None), Trouble(at - 9 * HOUR, at + HOUR),
            Trouble(at - 50 * HOUR, at - HOUR), Trouble(at, None), Trouble(at + HOUR, None),
        ),
        messages=(at,),
    )  # fmt: skip
    figure = period([order] * COUNT_MIN, 30, NOW).lead_median_h
    assert (figure.value, figure.count) == (9.0, COUNT_MIN)
    well = OrderRecord(messages=(at,))
    assert period([well] * COUNT_MIN, 30, NOW).lead_median_h.count == 0


@given(st.lists(st.tuples(st.integers(-100, 10), st.sampled_from(PromiseState)), max_size=60), st.randoms())
def test_a_share_is_one_and_the_order_of_orders_changes_nothing(rows, dice) -> None:
    orders = [promised(state, at=NOW + day * DAY) for day, state in rows]
    one = period(orders, 90, NOW)
    dice.shuffle(orders)
    assert period(orders, 90, NOW) == one
    value = one.promises_kept_percent.value
    assert value is None or 0 <= value <= 100
    assert (value is None) == (one.promises_kept_percent.count < COUNT_MIN)
