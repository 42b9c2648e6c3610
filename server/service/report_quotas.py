"""How much one gateway may bring in an hour, of one tag and altogether: counted in memory, and nowhere else.

On disk nothing may link a gateway with an identifier, so that these counts are kept in this process only, under names
that are HMACs with a key of this process. A restart forgets the hour that has begun: a gateway may then bring its hour
once more, within what an EID takes in its whole life, which stands in the database. Several web processes count each
for itself.
"""

from __future__ import annotations

import hashlib
import hmac
import threading
from collections import OrderedDict
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import datetime
from typing import Final

# Some 30 MiB. Fuller than this, the oldest count is forgotten: better than to refuse what was heard.
PAIRS_MAX: Final = 200_000


@dataclass(frozen=True, slots=True)
class HourlyMost:
    """How many reports one gateway may bring in an hour: of one EID, and altogether."""

    of_one_eid: int
    altogether: int


@dataclass(frozen=True, slots=True)
class Taken:
    """What was counted under which names, in which hour since 1970."""

    hour: int
    gateway: bytes
    pair: bytes
    count: int


class Counting:
    """What one upload took of its gateway's hour, so that it can be given back."""

    def __init__(self, quotas: ReportQuotas) -> None:
        self._quotas = quotas
        self.taken: list[Taken] = []

    def take(self, gateway: str, eid: bytes, wanted: int, most: HourlyMost, now: datetime) -> int:
        """How many of `wanted` reports of this EID the gateway may still bring, 0 to all of them; they are counted."""
        taken = self._quotas.take(gateway, eid, wanted, most, now)
        self.taken.append(taken)
        return taken.count


class ReportQuotas:
    """Counts of the present hour; `key` is this process's own."""

    def __init__(self, key: bytes, pairs_max: int = PAIRS_MAX) -> None:
        self._key = key
        self._pairs_max = pairs_max
        self._lock = threading.Lock()
        self._hour = -1
        self._pairs: OrderedDict[bytes, int] = OrderedDict()
        self._gateways: dict[bytes, int] = {}  # no more than are enrolled: whoever is counted was verified

    @contextmanager
    def counting(self) -> Iterator[Counting]:
        """What is taken inside counts if the block ends well; if it raises, nothing was stored and nothing counts."""
        counting = Counting(self)
        try:
            yield counting
        except BaseException:
            self._give_back(counting.taken)
            raise

    def take(self, gateway: str, eid: bytes, wanted: int, most: HourlyMost, now: datetime) -> Taken:
        """Counts and returns what is granted."""
        hour = int(now.timestamp()) // 3600
        of, pair = self._name(b"gateway", gateway), self._name(eid, gateway)
        with self._lock:
            if hour != self._hour:
                self._hour = hour
                self._pairs.clear()
                self._gateways.clear()
            brought, altogether = self._pairs.get(pair, 0), self._gateways.get(of, 0)
            granted = max(0, min(wanted, most.of_one_eid - brought, most.altogether - altogether))
            if granted:
                if pair not in self._pairs and len(self._pairs) >= self._pairs_max:
                    self._pairs.popitem(last=False)
                self._pairs[pair] = brought + granted
                self._gateways[of] = altogether + granted
        return Taken(hour, of, pair, granted)

    def _give_back(self, taken: list[Taken]) -> None:
        with self._lock:
            for each in taken:
                if each.hour == self._hour and each.count:
                    self._gateways[each.gateway] -= each.count
                    if each.pair in self._pairs:  # else it was forgotten meanwhile
                        self._pairs[each.pair] -= each.count

    def _name(self, what: bytes, gateway: str) -> bytes:
        """What is counted under: whoever lacks the process's key cannot tell of whom."""
        return hmac.digest(self._key, what + b"\x00" + gateway.encode(), hashlib.sha256)[:16]
