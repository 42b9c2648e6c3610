"""The claims under way, and the codes of managed ones: in memory only, for a quarter of an hour, then gone.

K_claim is never written anywhere: the database holds its hash, and of a private claim it does not even come here. A
restart of the server forgets every claim, and the owner begins again. What happened to a claim since then is kept
beside it, so that the owner can watch.
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
    k_claim: bytes = field(repr=False)  # empty: private
    expires_at: datetime
    private: bool
    over: bool = False
    steps: tuple[Step, ...] = ()
    carrying: bool = False


class ClaimMemory:
    """Every claim under way, each until its moment of expiry; the oldest goes if there are too many."""

    def __init__(self, limit: int = CLAIMS_MAX) -> None:
        self._limit = limit
        self._held: OrderedDict[str, _Held] = OrderedDict()
        self._lock = threading.RLock()

    def hold(self, claim: str, k_claim: bytes | None, expires_at: datetime, now: datetime) -> None:
        """Keep a claim until `expires_at`, with its key; without one it is private."""
        with self._lock:
            for old in [name for name, held in self._held.items() if held.expires_at <= now]:
                del self._held[old]
            while len(self._held) >= self._limit:
                self._held.popitem(last=False)
            self._held[claim] = _Held(k_claim or b"", expires_at, k_claim is None)

    def key(self, claim: str, now: datetime) -> bytes:
        """The key of a managed claim under way. Refusals: claim_expired, claim_kind."""
        held = self._living(claim, now)
        if held.private:
            raise refuse("claim_kind", reference=claim)
        return held.k_claim

    def must_live(self, claim: str, now: datetime) -> None:
        """A claim of either kind that is under way. Refusals: claim_expired."""
        self._living(claim, now)

    def must_be_private(self, claim: str, now: datetime) -> None:
        """A private claim that is under way. Refusals: claim_expired, claim_kind."""
        if not self._living(claim, now).private:
            raise refuse("claim_kind", reference=claim)

    def private(self, claim: str) -> bool | None:
        """Which kind a claim is of, also after its end; None once it is forgotten."""
        with self._lock:
            held = self._held.get(claim)
        return held.private if held else None

    def holds(self, claim: str, now: datetime, *, private: bool = False) -> bool:
        """Whether a claim of this kind is under way: after its end, or a restart, it is begun again."""
        with self._lock:
            held = self._held.get(claim)
        return held is not None and held.expires_at > now and not held.over and held.private is private

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
            self.key(claim, now)  # only a managed claim is carried: for a private one the client speaks itself
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
                self._held[claim] = replace(self._held[claim], k_claim=b"", over=True)

    def __len__(self) -> int:
        return len(self._held)

    def _living(self, claim: str, now: datetime) -> _Held:
        with self._lock:
            held = self._held.get(claim)
        if held is None or held.expires_at <= now or held.over:
            raise refuse("claim_expired", reference=claim)
        return held
