"""A set of signed batches made ready for one transaction: refusals told apart, frames resolved, rows built."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import date, datetime, timedelta
from typing import Final, NamedTuple

import numpy as np
from numpy.typing import NDArray

from server.ingest import metrics
from server.ingest.columns import Refusal, Runs, columns
from server.ingest.resolve import Resolver, Verdict
from server.ingest.rows import KEPT, Rows, sighting_rows, unresolved_rows
from server.ingest.verify import Entry
from server.store.copying import SIGHTINGS, CopyTarget
from server.store.partitions import horizon

_DAY_US: Final = 86_400_000_000
_PG_EPOCH: Final = date(2000, 1, 1)


class Lump(NamedTuple):
    """Rows for one table; `batch` says to which entry of the set (its index) each row belongs, in no order."""

    target: CopyTarget
    rows: Rows
    batch: NDArray[np.int64]

    def between(self, low: int, high: int) -> Lump:
        """The rows of the entries [low, high) alone, with their indexes counted from `low`."""
        which = (low <= self.batch) & (self.batch < high)
        return Lump(self.target, self.rows[which], self.batch[which] - low)

    def per_entry(self, entries: int) -> NDArray[np.int64]:
        """How many rows each entry has."""
        return np.bincount(self.batch, minlength=entries)


@dataclass(frozen=True, slots=True)
class Prepared:
    """Everything that one transaction will write, but for the numbers that only the ledger can give.

    `not_kept` counts frames of each verdict that becomes no row (owned, near their owner, foreign, unknown
    type, expired).
    """

    entries: tuple[Entry, ...]
    received_at: datetime
    sightings: Lump
    unresolved: tuple[Lump, ...]
    not_kept: Mapping[Verdict, int]

    def days(self) -> set[date]:
        """The days (UTC) of its sightings: each needs a partition."""
        if not len(self.sightings.rows):
            return set()
        days = self.sightings.rows["heard_at"].astype(np.int64) // _DAY_US
        # Nearly every set is of one day.
        found = [days[0]] if days.min() == days.max() else np.unique(days)
        return {_PG_EPOCH + timedelta(days=int(each)) for each in found}

    def between(self, low: int, high: int) -> Prepared:
        """A part of the set, as if it had come alone; what was counted stays with the whole."""
        return Prepared(
            entries=self.entries[low:high],
            received_at=self.received_at,
            sightings=self.sightings.between(low, high),
            unresolved=tuple(lump.between(low, high) for lump in self.unresolved),
            not_kept={},
        )


def prepare(entries: Sequence[Entry], resolver: Resolver, now: datetime, retention: timedelta) -> Prepared:
    """The set as rows. Entries whose records are unsound come back refused; frames that retention would remove at once
    become no row.
    """
    with metrics.STEPS["columns"].time():
        came, refused = columns([Runs(entry.sightings, entry.frames) for entry in entries], int(now.timestamp() * 1000))
        rows = came.since(int(horizon(now, retention).timestamp() * 1000))
        told = tuple(entry.refused(refused[n]) if n in refused else entry for n, entry in enumerate(entries))
    with metrics.STEPS["resolve"].time():
        resolved = resolver.resolve(rows.frames)
    counts = np.bincount(resolved.verdict, minlength=len(Verdict))
    counts[Verdict.EXPIRED] = len(came) - len(rows)
    kept = [verdict for verdict in KEPT if counts[verdict]]
    with metrics.STEPS["rows"].time():
        sightings = Lump(SIGHTINGS, *sighting_rows(rows, resolved))
        unresolved = tuple(Lump(*unresolved_rows(rows, resolved, verdict)) for verdict in kept)
    return Prepared(
        entries=told,
        received_at=now,
        sightings=sightings,
        unresolved=unresolved,
        not_kept={
            verdict: int(counts[verdict])
            for verdict in Verdict
            if counts[verdict] and verdict not in KEPT and verdict is not Verdict.RESOLVED
        },
    )


def refused_alone(entry: Entry, refusal: Refusal, now: datetime) -> Prepared:
    """A batch that the rest must not wait for: kept as a dead letter, without rows of its own."""
    nothing = Lump(SIGHTINGS, np.zeros(0, np.dtype([])), np.zeros(0, np.int64))
    return Prepared((entry.refused(refusal),), now, nothing, (), {})
