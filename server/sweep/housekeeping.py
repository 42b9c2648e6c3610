"""What time does to the store: what is too old goes for good, months that are no longer young become one partition.

One at a time on a database, whoever started it: the sweep every hour, somebody at the command line now and then. It
may be interrupted at any moment; whatever is not done is found again by the next one.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Final

from sqlalchemy import Connection, Engine, text

from server.store import merging, partitions, pruning
from server.store.db import transaction
from server.store.locking import Wait
from server.store.partitions import Partition
from server.sweep.private import sweep_private
from server.sweep.retention import sweep_old

# Any number that only we use: whoever holds this lock is keeping house.
_LOCK: Final = 0x4845_4154

Tell = Callable[[str, int, int], None]
"""What is being done, and how much of how much is done."""


class KeptAlreadyError(Exception):
    """Another housekeeping is at work on this database."""


@dataclass(frozen=True, slots=True)
class Plan:
    """What is to be done with the sightings: drop whole partitions, erase what is before the horizon in one, merge
    the days of months. `ledger_before`: what came before goes from the ledger.
    """

    horizon: datetime
    ledger_before: datetime
    drop: tuple[Partition, ...]
    erase: tuple[Partition, ...]
    merge: tuple[Partition, ...]


def plan(tx: Connection, retention: timedelta, now: datetime) -> Plan:
    """What is to be done now; nothing is changed."""
    horizon = partitions.horizon(now, retention)
    there = partitions.every(tx)
    kept = [part for part in there if partitions.midnight(part.until) > horizon]
    months = {partitions.month(part.first) for part in kept if not part.is_month}
    return Plan(
        horizon=horizon,
        ledger_before=now - retention - pruning.LEDGER_LONGER,
        drop=tuple(part for part in there if part not in kept),
        erase=tuple(part for part in kept if _is_to_be_erased(tx, part, horizon)),
        merge=tuple(sorted(whole for whole in months if not partitions.is_young(whole, now))),
    )


def keep_house(
    engine: Engine, retention: timedelta, now: datetime, wait: Wait, tell: Tell, *, reports_kept: timedelta
) -> dict[str, int]:
    """Does all that is to be done; returns how many of each kind. `reports_kept`: how long sealed reports are.

    Needs two connections at a time. Raises KeptAlreadyError, BusyError (the table could not be had; another time).
    """
    with _alone(engine):
        with transaction(engine) as tx:
            merging.clear(tx)
            todo = plan(tx, retention, now)
        done = {"partitions dropped": 0, "sightings erased": 0, "months merged": 0}
        # First, because it waits for nobody: whoever holds the table of sightings for days must not keep these.
        done |= sweep_old(engine, retention, now)
        done |= sweep_private(engine, reports_kept, retention, now)
        for part in todo.drop:
            pruning.drop(engine, part, wait)
            done["partitions dropped"] += 1
            tell("partitions dropped", done["partitions dropped"], len(todo.drop))
        for part in todo.erase:
            say = _saying(tell, f"pages of {part.name} erased")
            done["sightings erased"] += pruning.erase(engine, part, todo.horizon, say)
        # Only now: while its sightings are there, a batch is what says where they were heard.
        say = _saying(tell, "ledger rows removed")
        done["ledger rows"] = pruning.prune_ledger(engine, todo.ledger_before, say)
        for whole in todo.merge:
            merging.swap(engine, merging.copy(engine, whole), wait)
            done["months merged"] += 1
            tell("months merged", done["months merged"], len(todo.merge))
    return done


def _is_to_be_erased(tx: Connection, part: Partition, horizon: datetime) -> bool:
    if partitions.midnight(part.first) >= horizon:
        return False
    empty = pruning.empty_before(tx, part)
    return empty is None or partitions.midnight(empty) < horizon


def _saying(tell: Tell, what: str) -> Callable[[int, int], None]:
    return lambda done, total: tell(what, done, total)


@contextmanager
def _alone(engine: Engine) -> Iterator[None]:
    """Raises KeptAlreadyError. A lock of the session: it goes with its connection, however that ends."""
    with engine.connect().execution_options(isolation_level="AUTOCOMMIT") as held:
        if not held.execute(text("select pg_try_advisory_lock(:lock)"), {"lock": _LOCK}).scalar_one():
            raise KeptAlreadyError
        try:
            yield
        finally:
            held.execute(text("select pg_advisory_unlock(:lock)"), {"lock": _LOCK})
