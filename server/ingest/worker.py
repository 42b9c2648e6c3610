"""The worker: makes a set of deliveries ready, stores it, answers. Plain steps that somebody else calls in turn
(`pipeline.py` in two threads), so that they run the same under any clock and any broker.

What fails is told apart. The database away, or anything that follows from sightings broken: the set waits and is
tried again, unacknowledged. A batch that cannot be stored: the set is halved until that batch stands alone, and it
alone becomes a dead letter.
"""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any, Final

import psycopg
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
from sqlalchemy import Engine
from sqlalchemy.exc import DBAPIError, SQLAlchemyError

from server.ingest import metrics
from server.ingest.columns import Refusal
from server.ingest.inbox import Delivery
from server.ingest.keyring import REFRESH_S, Keyring, Keys
from server.ingest.lag import Freshest
from server.ingest.limits import Limits, Rate
from server.ingest.patience import pauses, words
from server.ingest.prepare import Prepared, prepare, refused_alone
from server.ingest.receipts import Message, receipts
from server.ingest.resolve import LotKey, Verdict
from server.ingest.storing import HookError, OnStored, Stored, store_set
from server.ingest.verify import Dropped, Entry, check
from server.store.db import transaction
from server.store.partitions import Covered
from wire import topics
from wire.batch import Clock

POISON: Final = "poison"
# How often an unknown gateway may make us look whether it was enrolled a moment ago.
_LOOK_AGAIN_S: Final = 0.25
_FLOOD_TOLD_S: Final = 60.0
# Smaller: a clock that NTP keeps only roughly counts for nothing. Larger: a gateway that is ahead hides that much lag.
_AHEAD_MAX_S: Final = 2.0

Answer = Callable[[Sequence[Delivery], Sequence[Message]], None]
"""Called after the commit: send these, and acknowledge these to the broker."""
Wait = Callable[[float], bool]
"""Waits so many seconds between two tries; True if there is no time for another one."""


class GivenUpError(Exception):
    """We may not wait any longer: what is not stored stays unacknowledged, and comes again."""


@dataclass(frozen=True, slots=True)
class Ready:
    """A set between the two steps: what to write (several parts only if something in it broke the making).

    `new_lots` were imported since the set before, or not long before we began: frames of their tags may lie in sets
    already stored.
    """

    deliveries: Sequence[Delivery]
    parts: Sequence[Prepared]
    new_lots: Sequence[LotKey]
    server_key: Ed25519PrivateKey

    @property
    def empty(self) -> bool:
        return not self.deliveries and not self.new_lots


class Worker:
    """`make_ready` belongs to one thread and `store_and_answer` to one (perhaps another); sets go from the one to the
    other in order.
    """

    def __init__(
        self,
        engine: Engine,
        keys: Keys,
        ring: Keyring,
        answer: Answer,
        on_stored: Sequence[OnStored],
        *,
        clock: Callable[[], datetime],
        monotonic: Callable[[], float],
        wait: Wait,
        rate: Rate,
        retention: timedelta,
        log: Any,
    ) -> None:
        self._engine, self._keys, self._answer = engine, keys, answer
        self._on_stored, self._clock, self._monotonic = tuple(on_stored), clock, monotonic
        self._wait, self._log = wait, log
        self._covered, self._retention = Covered(engine), retention
        self._looked_at_s = monotonic()
        self._limits = Limits(rate)
        self._over: Counter[str] = Counter()
        self._told_flood_s = -math.inf
        self._take_over(ring)
        # Young ones count as new to us: whoever noticed them before may have been killed before it looked again.
        self._lots_seen = frozenset(ring.lots) - ring.young
        self.freshest = Freshest()
        """How old the freshest batch of late was, for whoever asks how late we are."""
        self.stored = 0
        """Rows committed to the table of sightings."""

    # --- the first step: make ready

    def make_ready(self, deliveries: Sequence[Delivery]) -> Ready:
        """Verifies, resolves and builds the rows of one set (which may be empty: keys are looked after all the same).

        Reads the database only to renew keys, and does without if that fails.
        """
        self._renew_keyring(REFRESH_S)
        with metrics.STEPS["verify"].time():
            entries = self._verify(deliveries)
        now = self._clock()
        self._note_age(entries, now)
        parts = list(self._prepare(entries, self._ring, now))
        new_lots = [lot for no, lot in self._ring.lots.items() if no not in self._lots_seen]
        self._lots_seen = frozenset(self._ring.lots)
        return Ready(deliveries, parts, new_lots, self._ring.server_key)

    def _renew_keyring(self, not_younger_s: float) -> None:
        """Looks whether keys changed, unless that was done so lately. Without a database the old ones must do."""
        now_s = self._monotonic()
        if now_s - self._looked_at_s < not_younger_s:
            return
        self._looked_at_s = now_s
        try:
            with transaction(self._engine) as tx:
                ring = self._keys.renew(tx, self._ring)
        except SQLAlchemyError as error:
            self._log.warning("keys_not_renewed", error=words(error))
        else:
            if ring is not self._ring:
                self._take_over(ring)

    def _take_over(self, ring: Keyring) -> None:
        self._ring = ring
        self._enrolled = frozenset(map(topics.batch, ring.gateways))
        self._limits.keep(self._enrolled)

    def _verify(self, deliveries: Sequence[Delivery]) -> list[Entry]:
        checked = [self._check(each) for each in deliveries]
        if Dropped.UNKNOWN_GATEWAY in checked:
            # Perhaps it was enrolled a moment ago: its first batch should not have to come twice.
            self._renew_keyring(_LOOK_AGAIN_S)
            for n, each in enumerate(deliveries):
                if checked[n] is Dropped.UNKNOWN_GATEWAY:
                    checked[n] = self._check(each)
        entries: list[Entry] = []
        for result in checked:
            if isinstance(result, Dropped):
                metrics.DROPPED.labels(result).inc()
            else:
                entries.append(result)
        metrics.DELIVERIES.inc(len(deliveries))
        metrics.BYTES.inc(sum(len(each.payload) for each in deliveries))
        return entries

    def _check(self, delivery: Delivery) -> Entry | Dropped:
        """The limit is asked before the signature: it is there to spare the processor."""
        topic, payload = delivery.topic, delivery.payload
        if topic in self._enrolled and not self._limits.take(topic, len(payload), delivery.arrived_s):
            self._note_flood(topic, delivery.arrived_s)
            return Dropped.RATE
        return check(topic, payload, self._ring.gateways)

    def _note_flood(self, topic: str, now_s: float) -> None:
        """The counter does not say which gateway it was, so the log does, at most once a minute."""
        self._over[topic] += 1
        if now_s - self._told_flood_s >= _FLOOD_TOLD_S:
            worst = {topics.gateway_of(each): batches for each, batches in self._over.most_common(5)}
            self._log.warning("gateways_over_limit", batches=worst, gateways=len(self._over))
            self._over.clear()
            self._told_flood_s = now_s

    def _note_age(self, entries: Sequence[Entry], now: datetime) -> None:
        """The age of the freshest batch whose gateway knows the time. Those that are ahead of us tell nothing: one of
        them would hide for all the others how late they are.
        """
        ages_s = [now.timestamp() - each.sent_at_ms / 1000 for each in entries if each.clock is Clock.GOOD]
        age_s = min((each for each in ages_s if each >= -_AHEAD_MAX_S), default=None)
        if age_s is not None:
            self.freshest.saw(age_s, self._monotonic())

    def _prepare(self, entries: Sequence[Entry], ring: Keyring, now: datetime) -> Iterator[Prepared]:
        if not entries:
            return
        try:
            yield prepare(entries, ring.resolver, now, self._retention)
        except Exception as error:
            if len(entries) == 1:
                yield self._isolated(entries[0], error, now)
                return
            metrics.HALVED.inc()
            middle = len(entries) // 2
            yield from self._prepare(entries[:middle], ring, now)
            yield from self._prepare(entries[middle:], ring, now)

    def _isolated(self, entry: Entry, error: Exception, now: datetime) -> Prepared:
        metrics.ISOLATED.inc()
        self._log.error(
            "batch_isolated", gateway=entry.gateway, sequence=entry.key.sequence, error=words(error), exc_info=error
        )
        return refused_alone(entry, Refusal(POISON, type(error).__name__), now)

    # --- the second step: store

    def store_and_answer(self, ready: Ready) -> None:
        """One transaction, and after its commit the answers. Tries again for as long as `wait` lets it.

        Raises GivenUpError: a set that is not stored as a whole was not acknowledged.
        """
        stored = [done for part in ready.parts for done in self._store(part)]
        if ready.deliveries:
            with metrics.STEPS["answer"].time():
                messages = [message for done in stored for message in receipts(done, ready.server_key)]
                self._answer(ready.deliveries, messages)
            metrics.SET_BATCHES.observe(len(ready.deliveries))
        for done in stored:
            self.stored += done.sightings
            _count_stored(done)
        for part in ready.parts:
            _count_frames(part.not_kept)
        if ready.new_lots:
            self._reresolve(ready.new_lots)

    def _store(self, prepared: Prepared) -> list[Stored]:
        """Stores the set, in parts if it must be."""
        for pause_s in pauses():
            try:
                return [store_set(self._engine, self._covered, prepared, self._on_stored)]
            except Exception as error:
                if _is_poison(error):
                    return self._store_apart(prepared, error)
                metrics.RETRIES.labels(type(error).__name__).inc()
                self._log.warning("store_failed", error=words(error), batches=len(prepared.entries), again_in_s=pause_s)
            if self._wait(pause_s):
                break
        raise GivenUpError

    def _store_apart(self, prepared: Prepared, error: Exception) -> list[Stored]:
        count = len(prepared.entries)
        if count > 1:
            metrics.HALVED.inc()
            middle = count // 2
            return self._store(prepared.between(0, middle)) + self._store(prepared.between(middle, count))
        (entry,) = prepared.entries
        if entry.refusal is not None and entry.refusal.reason == POISON:
            # Not even its dead letter can be stored, say because its gateway was removed: nobody is there to answer.
            metrics.DROPPED.labels("unstorable").inc()
            self._log.error("batch_unstorable", gateway=entry.gateway, sequence=entry.key.sequence, error=words(error))
            return []
        return self._store(self._isolated(entry, error, prepared.received_at))

    def _reresolve(self, lots: Sequence[LotKey]) -> None:
        for pause_s in pauses():
            try:
                with transaction(self._engine) as tx:
                    late = self._keys.reresolve(tx, lots)
                    for tell in self._on_stored if late.rows else ():
                        tell(tx, late.serials, late.newest_ms, self._clock())
                metrics.FRAMES.labels("private").inc(late.private)
                self._log.info("lots_added", lots=len(lots), frames_resolved_late=late.rows)
                return
            except SQLAlchemyError as error:
                self._log.warning("reresolve_failed", error=words(error), again_in_s=pause_s)
            if self._wait(pause_s):
                break
        raise GivenUpError


def _is_poison(error: Exception) -> bool:
    """Whether the batches are to blame, and not the database, the disk, the network or what follows from sightings."""
    if isinstance(error, DBAPIError) and isinstance(error.orig, psycopg.Error):
        error = error.orig
    if isinstance(error, psycopg.Error):
        return isinstance(error, psycopg.DataError | psycopg.IntegrityError)
    return not isinstance(error, SQLAlchemyError | HookError | OSError)


def _count_stored(done: Stored) -> None:
    metrics.SIGHTINGS.inc(done.sightings)
    metrics.UNRESOLVED.inc(done.unresolved)
    metrics.FRAMES.labels("resolved").inc(done.sightings)
    metrics.FRAMES.labels("private").inc(done.private)
    told = Counter((outcome.kind, outcome.reason) for _, outcome in done.outcomes)
    for (kind, reason), batches in told.items():
        metrics.OUTCOMES.labels(kind.name.lower(), reason).inc(batches)


def _count_frames(not_kept: Mapping[Verdict, int]) -> None:
    for verdict, frames in not_kept.items():
        metrics.FRAMES.labels("owned_not_stored" if verdict is Verdict.OWNED else verdict.name.lower()).inc(frames)
