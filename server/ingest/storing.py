"""One transaction for a whole set: ledger rows first, then only the rows of batches that were new, then the marks.
What was heard of a tag while it was private becomes no row.

Everything that follows from a set stands in this one transaction, the messages about lost tags included. What comes
back may be answered once the caller has committed, not before.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, replace
from datetime import datetime

import numpy as np
import psycopg
from numpy.typing import NDArray
from sqlalchemy import Connection, Engine

from server.ingest import metrics
from server.ingest.prepare import Lump, Prepared
from server.ingest.private import heard_in_private
from server.ingest.verify import Entry
from server.store import copying, ledger, partitions
from server.store.db import transaction
from server.store.ledger import BatchKey, DeadLetter, LedgerRow, NewBatch, OutboxKey
from server.store.partitions import Covered
from wire.receipt import Outcome, OutcomeKind

GIVEN_UP = "given_up"

OnStored = Callable[[Connection, NDArray[np.int64], NDArray[np.int64], datetime], None]
"""Called inside the transaction: serials heard (each once), when each was last heard (ms since 1970), and now."""


class HookError(Exception):
    """Something that follows from sightings failed; the sightings themselves are not to blame and wait."""


@dataclass(frozen=True, slots=True)
class Stored:
    """What became of a set: an outcome for each entry, in order, and how far each outbox is settled.

    `private` counts frames of new batches that were left out.
    """

    outcomes: tuple[tuple[Entry, Outcome], ...]
    marks: Mapping[OutboxKey, int]
    sightings: int
    unresolved: int
    private: int


def store_set(engine: Engine, covered: Covered, prepared: Prepared, on_stored: Iterable[OnStored]) -> Stored:
    """The set in a transaction of its own, committed; partitions that it needs are made before."""
    covered.cover(prepared.days(), prepared.received_at)
    try:
        with _committed(engine) as tx:
            return store(tx, prepared, on_stored)
    except psycopg.errors.CheckViolation as error:
        # PostgreSQL says this of a row that no partition takes, and of a constraint, which would have a name.
        if error.diag.constraint_name:
            raise
    covered.forget()  # retention dropped what we knew
    covered.cover(prepared.days(), prepared.received_at)
    with _committed(engine) as tx:
        return store(tx, prepared, on_stored)


@contextmanager
def _committed(engine: Engine) -> Iterator[Connection]:
    """A transaction whose commit is timed."""
    with ExitStack() as commit, transaction(engine) as tx:
        yield tx
        commit.enter_context(metrics.STEPS["commit"].time())


def store(tx: Connection, prepared: Prepared, on_stored: Iterable[OnStored]) -> Stored:
    """Writes the set and says what became of each batch. Doing it twice changes nothing.

    The days of its sightings are covered by partitions already.
    """
    partitions.hold(tx, prepared.days(), prepared.received_at)
    with metrics.STEPS["private"].time():
        prepared, left_out = _without_private(tx, prepared)
    first = _first_of_each_key(prepared.entries)
    with metrics.STEPS["ledger"].time():
        added = ledger.add(tx, _ledger_rows(prepared, first))
    numbers = np.zeros(len(prepared.entries), np.int64)
    for key, no in added.items():
        numbers[first[key]] = no
    with metrics.STEPS["copy"].time():
        sightings = _copy(tx, prepared.sightings, numbers)
        unresolved = sum(len(_copy(tx, lump, numbers)) for lump in prepared.unresolved)
    with metrics.STEPS["settle"].time():
        ledger.bury(tx, _letters(prepared.entries, numbers))
        outcomes = _outcomes(tx, prepared.entries, first, added)
        marks = ledger.settle(tx, {entry.key.outbox for entry in prepared.entries})
    with metrics.STEPS["hooks"].time():
        if len(sightings):
            _tell(tx, sightings, on_stored, prepared.received_at)
    return Stored(outcomes, marks, len(sightings), unresolved, int(np.count_nonzero(numbers[left_out])))


def _without_private(tx: Connection, prepared: Prepared) -> tuple[Prepared, NDArray[np.int64]]:
    """The set as it may be stored, and of each frame that is left out its entry."""
    lump = prepared.sightings
    if not len(lump.rows):
        return prepared, lump.batch
    private = heard_in_private(tx, lump.rows)
    if not private.any():
        return prepared, lump.batch[:0]
    kept = Lump(lump.target, lump.rows[~private], lump.batch[~private])
    return replace(prepared, sightings=kept), lump.batch[private]


def _first_of_each_key(entries: Iterable[Entry]) -> dict[BatchKey, int]:
    """Where each key comes first: a batch delivered twice within one set is stored once, too."""
    first: dict[BatchKey, int] = {}
    for n, entry in enumerate(entries):
        first.setdefault(entry.key, n)
    return first


def _ledger_rows(prepared: Prepared, first: Mapping[BatchKey, int]) -> list[NewBatch]:
    entries = prepared.entries
    rows = prepared.sightings.per_entry(len(entries)).tolist()
    unresolved = sum(
        (lump.per_entry(len(entries)) for lump in prepared.unresolved), np.zeros(len(entries), np.int64)
    ).tolist()
    return [
        NewBatch(
            key=key,
            body_sha256=entries[n].body_sha256,
            received_at=prepared.received_at,
            sent_at_ms=entries[n].sent_at_ms,
            gateway_class=entries[n].gateway_class,
            clock=entries[n].clock,
            place=entries[n].place,
            outcome=OutcomeKind.REFUSED if entries[n].refusal else OutcomeKind.STORED,
            reason=_reason(entries[n]) or None,
            rows=rows[n],
            unresolved=unresolved[n],
            dropped=entries[n].dropped,
        )
        for key, n in first.items()
    ]


def _reason(entry: Entry) -> str:
    if entry.refusal:
        return entry.refusal.reason
    return GIVEN_UP if entry.given_up else ""


def _copy(tx: Connection, lump: Lump, numbers: NDArray[np.int64]) -> NDArray[np.void]:
    """COPY of the rows whose batch is new; returns them."""
    if not len(lump.rows):
        return lump.rows
    batch_no = numbers[lump.batch]
    lump.rows["batch_no"] = batch_no
    rows = lump.rows if batch_no.all() else lump.rows[batch_no > 0]
    if len(rows):
        copying.copy_rows(tx, lump.target, rows.view(np.uint8).data)
    return rows


def _letters(entries: Iterable[Entry], numbers: NDArray[np.int64]) -> list[DeadLetter]:
    return [
        DeadLetter(no, entry.payload, entry.refusal.reason, entry.refusal.detail)
        for entry, no in zip(entries, numbers.tolist(), strict=True)
        if no and entry.refusal
    ]


def _outcomes(
    tx: Connection, entries: tuple[Entry, ...], first: Mapping[BatchKey, int], added: Mapping[BatchKey, int]
) -> tuple[tuple[Entry, Outcome], ...]:
    if len(added) == len(entries):  # nearly always: nothing came twice
        return tuple((entry, _outcome_of_new(entry)) for entry in entries)
    new = {first[key] for key in added}
    before = ledger.known(tx, [entry.key for n, entry in enumerate(entries) if entry.key not in added])
    known = before | {key: _as_row(entries[first[key]]) for key in added}
    return tuple(
        (entry, _outcome_of_new(entry) if n in new else _outcome_of_known(entry, known[entry.key]))
        for n, entry in enumerate(entries)
    )


def _as_row(entry: Entry) -> LedgerRow:
    kind = OutcomeKind.REFUSED if entry.refusal else OutcomeKind.STORED
    return LedgerRow(entry.body_sha256, kind, _reason(entry) or None)


def _outcome_of_new(entry: Entry) -> Outcome:
    kind = OutcomeKind.REFUSED if entry.refusal else OutcomeKind.STORED
    return Outcome(entry.key.sequence, kind, _reason(entry))


def _outcome_of_known(entry: Entry, known: LedgerRow) -> Outcome:
    """A repeated batch hears what became of it before; another body under its number is not that batch."""
    if known.body_sha256 != entry.body_sha256:
        return Outcome(entry.key.sequence, OutcomeKind.SEQUENCE_CONFLICT)
    if known.outcome is OutcomeKind.REFUSED:
        return Outcome(entry.key.sequence, OutcomeKind.REFUSED, known.reason or "")
    return Outcome(entry.key.sequence, OutcomeKind.DUPLICATE)


def _tell(tx: Connection, rows: NDArray[np.void], on_stored: Iterable[OnStored], now: datetime) -> None:
    serials, newest_ms = newest(rows)
    for tell in on_stored:
        try:
            tell(tx, serials, newest_ms, now)
        except Exception as error:
            raise HookError(str(error)) from error


def newest(rows: NDArray[np.void]) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
    """Each serial once, ascending, and when it was last heard (ms since 1970). Rows come in the order of serials."""
    serials = rows["serial"].astype(np.int64)
    starts = np.flatnonzero(np.r_[True, serials[1:] != serials[:-1]])
    heard_us = np.maximum.reduceat(rows["heard_at"].astype(np.int64), starts)
    return serials[starts], heard_us // 1000 + copying.PG_EPOCH_MS
