"""The reader of PromQL that holds our rules and dashboard against the product: what it reads, and what it refuses."""

from __future__ import annotations

import pytest

from tests.fixtures.promql import PromqlError, Series, read


def test_what_an_expression_asks_for() -> None:
    found = read(
        'sum by (le, step) (rate(a_seconds_bucket{x=~"p|q", y!="z"}[5m])) / on (step) max(b) > 0.5 or vector(0)'
    )
    assert found.series == [
        Series("a_seconds_bucket", (("x", "=~", "p|q"), ("y", "!=", "z")), True, ("sum", "rate")),
        Series("b", (), False, ("max",)),
    ]
    assert found.grouped == {"le", "step"}


@pytest.mark.parametrize(
    "wrong",
    [
        "sum(a",
        "a)",
        "summ(a)",
        "rate(a_total)",
        "rate(a[5m])",
        "a_total[5m]",
        "sum by (x (a)",
        "a{x=y}",
        "a{x~'y'}",
        "histogram_quantile(0.9, sum by (step) (rate(a_bucket[5m])))",
        "histogram_quantile(0.9, sum by (le) (rate(a_total[5m])))",
        "1 > 0",
        "a{x='y'} > §",
        "",
    ],
)
def test_what_prometheus_would_not_take_or_not_mean(wrong: str) -> None:
    with pytest.raises(PromqlError):
        read(wrong)
