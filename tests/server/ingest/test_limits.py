"""Limits per gateway as laws: nobody gets more than the rate, nobody within it is refused, neighbours feel nothing."""

from __future__ import annotations

from itertools import accumulate

from hypothesis import given
from hypothesis import strategies as st

from server.ingest.limits import BURST_S, Limits, Rate

RATE = Rate(batches_per_s=8, bytes_per_s=1024)
# Binary fractions: sums of them are exact, so that the laws can be stated without a margin.
PAUSES = st.sampled_from([0.0, 0.0, 0.0, 1 / 64, 1 / 8, 0.5, 1.0, 30.0])
SIZES = st.sampled_from([0, 64, 128, 256, 1024, 4096, int(BURST_S * 1024), int(BURST_S * 1024) + 1])
ARRIVALS = st.lists(st.tuples(PAUSES, SIZES), max_size=200)


def moments(arrivals: list[tuple[float, int]], start_s: float = 0.0) -> list[tuple[float, int]]:
    """(arrived at, size) from (pause before, size)."""
    times = accumulate((pause for pause, _ in arrivals), initial=start_s)
    return [(at, size) for at, (_, size) in zip(list(times)[1:], arrivals, strict=True)]


@given(ARRIVALS, st.sampled_from([0.0, -512.0, 4096.0]))
def test_in_any_stretch_no_more_gets_through_than_its_rate_and_one_burst(arrivals, start_s: float) -> None:
    limits = Limits(RATE)
    taken = [(at, size) for at, size in moments(arrivals, start_s) if limits.take("gw", size, at)]
    for first in range(len(taken)):
        size_sum = 0
        for last in range(first, len(taken)):
            stretch_s = taken[last][0] - taken[first][0]
            size_sum += min(taken[last][1], int(RATE.bytes_per_s * BURST_S))
            assert last - first + 1 <= RATE.batches_per_s * (stretch_s + BURST_S)
            assert size_sum <= RATE.bytes_per_s * (stretch_s + BURST_S)


@given(st.lists(st.tuples(st.sampled_from([1 / 8, 0.5, 1.0, 30.0]), st.sampled_from([0, 64, 128])), max_size=300))
def test_whoever_stays_within_the_rate_is_never_refused(arrivals) -> None:
    limits = Limits(RATE)
    assert all(limits.take("gw", size, at) for at, size in moments(arrivals))


def test_a_burst_is_let_in_and_then_the_rate() -> None:
    limits = Limits(RATE)
    burst = int(RATE.batches_per_s * BURST_S)
    assert [limits.take("gw", 0, 0.0) for _ in range(burst + 2)] == [True] * burst + [False] * 2
    assert limits.take("gw", 0, 1 / 8)
    assert not limits.take("gw", 0, 1 / 8)
    assert [limits.take("gw", 0, 1000.0) for _ in range(burst + 1)] == [True] * burst + [False]


def test_a_batch_larger_than_all_that_may_come_at_once_gets_through_after_a_silence() -> None:
    """Refused, it would be published again for ever: the limit is a setting, and how large a batch may be is not."""
    limits = Limits(RATE)
    much = int(RATE.bytes_per_s * BURST_S) * 9
    assert all(limits.take("gw", much, n * (BURST_S + 0.3)) for n in range(100)), "rounded as well"
    limits = Limits(RATE)
    assert [limits.take("gw", much, at) for at in (0.0, 0.0, BURST_S / 2, BURST_S)] == [True, False, False, True]
    assert not limits.take("gw", 64, BURST_S), "and it is all that gets through"


@given(ARRIVALS)
def test_what_is_refused_costs_nothing(arrivals) -> None:
    """Left out beforehand, the refused ones change nothing about the rest."""
    limits, without = Limits(RATE), Limits(RATE)
    taken = [(at, size) for at, size in moments(arrivals) if limits.take("gw", size, at)]
    assert all(without.take("gw", size, at) for at, size in taken)


@given(ARRIVALS)
def test_a_flood_of_one_is_not_felt_by_another(arrivals) -> None:
    alone, beside = Limits(RATE), Limits(RATE)
    for at, size in moments(arrivals):
        for _ in range(20):
            beside.take("flood", 4096, at)
        assert alone.take("gw", size, at) == beside.take("gw", size, at)


@given(st.lists(st.tuples(st.sampled_from("abcde"), PAUSES), max_size=60), st.sets(st.sampled_from("abcde")))
def test_only_those_that_are_kept_take_memory(arrivals, enrolled: set[str]) -> None:
    limits, now_s = Limits(RATE), 0.0
    for gateway, pause_s in arrivals:
        now_s += pause_s
        limits.take(gateway, 64, now_s)
    limits.keep(enrolled)
    assert len(limits) <= len(enrolled)


@given(st.lists(st.sampled_from([0.0, 5.0, -5.0, 1e6, -1e6]), max_size=100))
def test_a_clock_that_steps_lets_nobody_in_for_ever_and_shuts_nobody_out(steps: list[float]) -> None:
    """A monotonic clock does not step; should one, the worst is one burst more, or the time of the step waited."""
    limits, now_s = Limits(RATE), 0.0
    for step_s in steps:
        now_s += step_s
        limits.take("gw", 64, now_s)
    assert limits.take("gw", 64, max(accumulate(steps, initial=0.0)) + BURST_S)
