"""Partitions of `sightings` by the moment heard: days (UTC) while they are young, months later, made when data comes.

Retention drops a partition instead of deleting its rows, and a tag's last sighting is looked for in the newest first.
Nothing here waits for anybody who stores sightings: a new partition is attached under SHARE UPDATE EXCLUSIVE.
"""

from __future__ import annotations

import re
from collections.abc import Collection, Iterable
from datetime import UTC, date, datetime, time, timedelta
from typing import Final, NamedTuple

from sqlalchemy import Connection, Engine, text

from server.store.db import transaction

# A month keeps its days until so long after its end. Longer: more partitions for every read to pass. Shorter: gateways
# that were offline over the holidays still write into a month while it is merged, and have to wait for that.
YOUNG: Final = timedelta(days=35)
_DAY: Final = timedelta(days=1)
_NAME: Final = re.compile(r"sightings_(\d{4})_(\d{2})(?:_(\d{2}))?")
# More days than retention lets in; a process that lives for years must not remember them all.
_REMEMBERED: Final = 1_000


class Partition(NamedTuple):
    """One partition: the days [first, until). Sorts by time."""

    first: date
    until: date

    @property
    def is_month(self) -> bool:
        return self.until - self.first > _DAY

    @property
    def name(self) -> str:
        return f"sightings_{self.first:%Y_%m}" if self.is_month else f"sightings_{self.first:%Y_%m_%d}"

    @property
    def bounds(self) -> tuple[str, str]:
        """As PostgreSQL reads them, whatever its time zone."""
        return f"{self.first} 00:00:00+00", f"{self.until} 00:00:00+00"

    def holds(self, day: date) -> bool:
        return self.first <= day < self.until


def day(of: date) -> Partition:
    return Partition(of, of + _DAY)


def month(of: date) -> Partition:
    """The whole month in which a day lies."""
    first = of.replace(day=1)
    return Partition(first, (first + 31 * _DAY).replace(day=1))


def midnight(of: date) -> datetime:
    """When a day begins."""
    return datetime.combine(of, time(), UTC)


def is_young(whole: Partition, now: datetime) -> bool:
    """Whether a month still keeps its days apart."""
    return midnight(whole.until) + YOUNG > now


def horizon(now: datetime, retention: timedelta) -> datetime:
    """What was heard before goes, and is not stored any more: whole days, because partitions are."""
    return midnight((now - retention).date())


def every(tx: Connection) -> list[Partition]:
    """All partitions there are, the oldest first."""
    return sorted(_parse(name) for name in tx.execute(_EVERY).scalars())


def cover(tx: Connection, days: Collection[date], now: datetime) -> None:
    """Makes the partitions that these days lack.

    A transaction of its own, or the first thing in one: it waits for others who make partitions, and must hold nothing
    that they may wait for.
    """
    if not _lacking(days, every(tx)):
        return
    tx.execute(_ONE_AT_A_TIME)
    there = every(tx)  # again: whoever went before us may have made it
    for lacking in sorted(_lacking(days, there)):
        if not any(part.holds(lacking) for part in there):
            new = _fitting(lacking, there, now)
            attach(tx, new)
            there.append(new)


def hold(tx: Connection, days: Collection[date], now: datetime) -> None:
    """Before rows of these days are written, and before anything else is locked: waits while their month is merged.

    Costs nothing for days of young months, which are nearly all that ever come. A month counts as old a day too early,
    because whoever merges it may look at another clock.
    """
    for late in sorted({whole for each in days if not is_young(whole := month(each), now + _DAY)}):
        tx.execute(_HOLD, {"kind": _LATE_LOCK, "month": month_number(late)})


def month_number(whole: Partition) -> int:
    """Months by number: one lock each."""
    return whole.first.year * 12 + whole.first.month


def close(tx: Connection, whole: Partition) -> None:
    """Waits for whoever holds this month, and keeps others from it until the end of the transaction."""
    tx.execute(_CLOSE, {"kind": _LATE_LOCK, "month": month_number(whole)})


def attach(tx: Connection, new: Partition) -> None:
    """An empty partition. Its index comes with it."""
    tx.execute(text(f"create table {new.name} (like sightings including defaults including constraints)"))
    low, high = new.bounds
    tx.execute(text(f"alter table sightings attach partition {new.name} for values from ('{low}') to ('{high}')"))


class Covered:
    """Remembers in this process which days are covered, so that a set costs no query."""

    def __init__(self, engine: Engine) -> None:
        self._engine = engine
        self._known: set[date] = set()

    def cover(self, days: Collection[date], now: datetime) -> None:
        """Like `cover`, in a transaction of its own."""
        lacking = set(days) - self._known
        if lacking:
            with transaction(self._engine) as tx:
                cover(tx, lacking, now)
            self._known = lacking | (self._known if len(self._known) < _REMEMBERED else set())

    def forget(self) -> None:
        """A partition that was there is not: retention dropped it."""
        self._known.clear()


def _fitting(lacking: date, there: Iterable[Partition], now: datetime) -> Partition:
    whole = month(lacking)
    has_days = any(whole.holds(part.first) for part in there)
    return day(lacking) if has_days or is_young(whole, now) else whole


def _lacking(days: Collection[date], there: Iterable[Partition]) -> set[date]:
    return {each for each in days if not any(part.holds(each) for part in there)}


def _parse(name: str) -> Partition:
    found = _NAME.fullmatch(name)
    assert found, f"{name} is a partition of sightings that is none of ours"
    year, in_year, in_month = found.groups()
    first = date(int(year), int(in_year), int(in_month or 1))
    return day(first) if in_month else month(first)


_EVERY: Final = text(
    """
    select c.relname from pg_inherits i join pg_class c on c.oid = i.inhrelid
    where i.inhparent = cast('sightings' as regclass)
"""
)
# Any number that only we use.
_LATE_LOCK: Final = 0x4845_4153
_HOLD: Final = text("select pg_advisory_xact_lock_shared(:kind, :month)")
_CLOSE: Final = text("select pg_advisory_xact_lock(:kind, :month)")
_ONE_AT_A_TIME: Final = text("lock table only sightings in share update exclusive mode")
