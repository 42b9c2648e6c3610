"""How late we are: what waits here, what waits at the broker, and the time without a broker."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from server.ingest.inbox import SET_MAX, Delivery, Inbox
from server.ingest.lag import PRESSED, PRESSED_S, WINDOW_S, Backlog, Freshest, lag_s

NOW_S = 1000.0


def test_nothing_waits_and_nothing_is_late() -> None:
    assert lag_s(Backlog(), None, 0.0, NOW_S) == 0.0
    assert lag_s(Backlog(), 500.0, 0.0, NOW_S) == 0.0, "a gateway that was away sends old batches"


def test_the_oldest_that_waits_here() -> None:
    assert lag_s(Backlog(1, 3, NOW_S - 40), 0.5, 0.0, NOW_S) == 40


def test_the_queue_at_the_broker_is_as_old_as_the_freshest_that_comes_through() -> None:
    pressed = Backlog(100, 300, NOW_S - 0.25, pressed_at_s=NOW_S - PRESSED_S)
    assert lag_s(pressed, 240.0, 0.0, NOW_S) == 240
    assert lag_s(pressed, 0.1, 0.0, NOW_S) == 0.25, "one live gateway among many that catch up"
    assert lag_s(pressed, None, 0.0, NOW_S) == 0.25, "nobody's clock is good"
    assert lag_s(Backlog(1, 1, NOW_S, NOW_S - PRESSED_S - 1), 240.0, 0.0, NOW_S) == 0.0


def test_without_a_broker_everything_is_late() -> None:
    assert lag_s(Backlog(), None, 90.0, NOW_S) == 90


@given(st.lists(st.tuples(st.sampled_from([0.0, 1.0, 10.0, 31.0]), st.floats(-5, 5000)), min_size=1, max_size=80))
def test_freshest_is_the_least_age_of_the_window(seen: list[tuple[float, float]]) -> None:
    """Against the plain reading of it, with every sample kept."""
    freshest, all_of_them, now_s = Freshest(), list[tuple[float, float]](), 0.0
    for pause_s, age_s in seen:
        now_s += pause_s
        freshest.saw(age_s, now_s)
        all_of_them.append((now_s, max(age_s, 0.0)))
    for later_s in (0.0, WINDOW_S / 2, WINDOW_S, WINDOW_S + 40):
        at_s = now_s + later_s
        assert freshest.age_s(at_s) == min((age for then, age in all_of_them if at_s - then <= WINDOW_S), default=None)


def delivery(arrived_s: float, mid: int = 1) -> Delivery:
    return Delivery("t", b"12345", mid, 0, arrived_s)


def test_what_was_taken_waits_until_it_is_answered() -> None:
    inbox = Inbox()
    assert inbox.backlog() == Backlog()
    for at_s in (1.0, 2.0):
        inbox.put(delivery(at_s))
    assert inbox.backlog() == Backlog(2, 2, 1.0)
    inbox.take(0)
    inbox.put(delivery(3.0))
    assert inbox.backlog() == Backlog(1, 3, 1.0)
    inbox.take(0)
    assert inbox.backlog() == Backlog(0, 3, 1.0)
    inbox.answered()
    assert inbox.backlog() == Backlog(0, 1, 3.0)
    inbox.answered()
    assert inbox.backlog() == Backlog()


def test_pressed_counts_what_is_under_way_too() -> None:
    inbox = Inbox()
    for n in range(PRESSED - 1):
        inbox.put(delivery(float(n)))
    assert inbox.backlog().pressed_at_s is None
    assert len(inbox.take(0) or []) == min(PRESSED - 1, SET_MAX)
    inbox.put(delivery(500.0))
    assert inbox.backlog().pressed_at_s == 500.0
