"""The codes from boxes that are being claimed just now: in memory only, for a quarter of an hour, then gone.

K_claim is never written anywhere: the database holds its hash. A restart of the server forgets every code, and the
owner types it again. What happened to a claim since then is kept beside it, so that the owner can watch.
"""

from __future__ import annotations

import threading
from collections import OrderedDict
from dataclasses import dataclass, field, replace
from datetime import datetime
from typing import Final

from server.service.refusals import refuse

# A claim makes at most a dozen steps; a carrier that tries for ever must not fill the memory.
STEPS_MAX: Final = 64
CLAIMS_MAX: Final = 10_000


@dataclass(frozen=True, slots=True)
class Step:
    """Something that happened to a claim: a word for programs, and what a person should read."""

    at: datetime
    step: str
    text: str


@dataclass(frozen=True, slots=True)
class _Held:
    k_claim: bytes = field(repr=False)
    expires_at: datetime
    steps: tuple[Step, ...] = ()
    carrying: bool = False


class ClaimMemory:
    """K_claim of every claim under way, each until its moment of expiry; the oldest goes if there are too many."""

    def __init__(self, limit: int = CLAIMS_MAX) -> None:
        self._limit = limit
        self._held: OrderedDict[str, _Held] = OrderedDict()
        self._lock = threading.RLock()

    def hold(self, claim: str, k_claim: bytes, expires_at: datetime, now: datetime) -> None:
        """Keep the key of a claim until `expires_at`."""
        with self._lock:
            for old in [name for name, held in self._held.items() if held.expires_at <= now]:
                del self._held[old]
            while len(self._held) >= self._limit:
                self._held.popitem(last=False)
            self._held[claim] = _Held(k_claim, expires_at)

    def key(self, claim: str, now: datetime) -> bytes:
        """The key of a claim under way. Refusals: claim_expired."""
        return self._living(claim, now).k_claim

    def holds(self, claim: str, now: datetime) -> bool:
        """Whether a claim is still under way here: after its end, or a restart, the code must be typed again."""
        with self._lock:
            held = self._held.get(claim)
        return held is not None and held.expires_at > now and bool(held.k_claim)

    def note(self, claim: str, step: str, text: str, now: datetime) -> None:
        """Remember what happened; the same again only renews its moment. Of a forgotten claim nothing is noted."""
        with self._lock:
            held = self._held.get(claim)
            if held is not None:
                before = held.steps[:-1] if held.steps and held.steps[-1].step == step else held.steps
                self._held[claim] = replace(held, steps=(*before, Step(now, step, text))[-STEPS_MAX:])

    def steps(self, claim: str) -> tuple[Step, ...]:
        """What happened to a claim since its code was accepted, oldest first; nothing once it is forgotten."""
        with self._lock:
            held = self._held.get(claim)
        return held.steps if held else ()

    def begin_carrying(self, claim: str, now: datetime) -> None:
        """One carrier at a time. Refusals: claim_expired, carry_busy."""
        with self._lock:
            held = self._living(claim, now)
            if held.carrying:
                raise refuse("carry_busy", reference=claim)
            self._held[claim] = replace(held, carrying=True)

    def end_carrying(self, claim: str) -> None:
        """The carrier is done, however it ended."""
        with self._lock:
            if claim in self._held:
                self._held[claim] = replace(self._held[claim], carrying=False)

    def forget(self, claim: str) -> None:
        """Drop the key of a claim; its steps stay until they expire."""
        with self._lock:
            if claim in self._held:
                self._held[claim] = replace(self._held[claim], k_claim=b"")

    def __len__(self) -> int:
        return len(self._held)

    def _living(self, claim: str, now: datetime) -> _Held:
        with self._lock:
            held = self._held.get(claim)
        if held is None or held.expires_at <= now or not held.k_claim:
            raise refuse("claim_expired", reference=claim)
        return held
