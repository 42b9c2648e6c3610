"""How much one gateway may send: token buckets for batches and for bytes, asked before a signature is verified.

A gateway that floods us, broken or not its owner's any more, would otherwise take the processor from all others. What
is over the limit is forgotten and gets no receipt; its gateway keeps it and publishes it again later, so nothing is
lost. Pure: the moment is an argument. Each worker counts for itself.
"""

from __future__ import annotations

from collections.abc import Collection
from dataclasses import dataclass
from typing import Final

# What may come at once after a silence, as seconds of the rate. Less: the window that a gateway sends again after an
# outage of the broker would be cut off. More: a flood is let in that much longer before it is noticed.
BURST_S: Final = 10.0


@dataclass(frozen=True, slots=True)
class Rate:
    """What one gateway may send in the long run."""

    batches_per_s: float
    bytes_per_s: float


class Limits:
    """One pair of buckets per gateway; each is kept as the moment at which it will be full again.

    Ask only for gateways that are enrolled and `keep` those after each change of the list: that bounds the memory.
    Not thread-safe: it belongs to the thread that verifies.
    """

    def __init__(self, rate: Rate) -> None:
        self._rate = rate
        self._full_at_s: dict[str, tuple[float, float]] = {}

    def __len__(self) -> int:
        return len(self._full_at_s)

    def take(self, gateway: str, size: int, now_s: float) -> bool:
        """Whether a delivery of `size` bytes that arrived at `now_s` is within both limits; if so, it is counted.

        One that is refused costs nothing, so that a gateway which is over the limit gets through what it may. None
        costs more than all that may come at once: one that is larger would otherwise never get through.
        """
        batches_s, bytes_s = self._full_at_s.get(gateway, (now_s, now_s))
        batches_s = max(batches_s, now_s) + 1 / self._rate.batches_per_s
        bytes_s = max(bytes_s, now_s) + min(size / self._rate.bytes_per_s, BURST_S)
        if max(batches_s, bytes_s) > now_s + BURST_S:
            return False
        self._full_at_s[gateway] = batches_s, bytes_s
        return True

    def keep(self, gateways: Collection[str]) -> None:
        """Forgets every gateway but these."""
        for gone in self._full_at_s.keys() - set(gateways):
            del self._full_at_s[gone]
