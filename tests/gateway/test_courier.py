"""The courier: oldest first, never too many, again without a receipt, all anew after a new connection."""

from __future__ import annotations

from gateway.courier import AGAIN_AFTER_S, IN_FLIGHT_MAX, Courier


def publish(courier: Courier, waiting: list[int], now_s: float) -> list[int]:
    """One turn of run.py, with a list for an outbox."""
    ask = courier.ask(now_s)
    due = courier.due(ask, [s for s in waiting if s > ask.after][: ask.limit], now_s)
    for sequence in due:
        courier.published(sequence, now_s)
    return due


def test_oldest_first_and_not_too_many() -> None:
    courier, waiting = Courier(), list(range(100))
    assert publish(courier, waiting, 0) == list(range(IN_FLIGHT_MAX))
    assert publish(courier, waiting, 1) == []
    courier.settled([3, 4])
    assert publish(courier, waiting, 2) == [20, 21]


def test_without_a_receipt_again_after_30_s_and_then_less_often() -> None:
    courier, waiting, times = Courier(), [0], []
    for second in range(400):
        if publish(courier, waiting, float(second)):
            times.append(second)
    assert times == [0, 30, 90, 210, 330]


def test_a_receipt_for_anything_brings_the_patience_back() -> None:
    courier, waiting = Courier(), [0, 1]
    publish(courier, waiting, 0)
    publish(courier, waiting, 30)
    courier.settled([1])
    assert publish(courier, [0], 59) == []
    assert publish(courier, [0], 60) == [0]


def test_what_is_never_answered_does_not_starve_what_is_new() -> None:
    courier, waiting = Courier(), list(range(60))
    answered: set[int] = set()
    for second in range(200):
        for sequence in publish(courier, [s for s in waiting if s not in answered], float(second)):
            if sequence >= IN_FLIGHT_MAX:  # the first twenty are lost on the server's side
                answered.add(sequence)
                courier.settled([sequence])
    assert answered == set(range(IN_FLIGHT_MAX, 60))


def test_a_new_connection_begins_anew() -> None:
    courier, waiting = Courier(), [5, 6]
    assert publish(courier, waiting, 0) == [5, 6]
    courier.connected()
    assert publish(courier, waiting, 1) == [5, 6]


def test_an_answer_from_before_the_connection_is_not_used() -> None:
    """Else `furthest` would jump over what the new connection has not published yet."""
    courier = Courier()
    ask = courier.ask(0)
    courier.connected()
    assert courier.due(ask, [50, 51], 0) == []
    assert publish(courier, [1, 2], AGAIN_AFTER_S) == [1, 2]


def test_what_got_another_name_is_due_at_once_and_only_once() -> None:
    courier, waiting = Courier(), list(range(4))
    assert publish(courier, waiting[:3], 0) == [0, 1, 2]
    courier.renamed([1, 3])
    assert publish(courier, waiting, 1) == [3, 1], "3 was not published yet, and comes as what is new"
    assert publish(courier, waiting, 2) == []
