"""What the wiring gets from the outside world in one value: clocks, dice and the log, made at the door."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any


@dataclass(frozen=True, slots=True)
class Edges:
    """`steady_ns` only grows, `wall_ms` says what time it is; `fresh_id` makes 16 random bytes, `jitter` 0 … 1."""

    steady_ns: Callable[[], int]
    wall_ms: Callable[[], int]
    fresh_id: Callable[[], bytes]
    jitter: Callable[[], float]
    log: Any

    def now_s(self) -> float:
        return self.steady_ns() / 1e9
