"""Does it matter how much was heard before? Last heard, and one day of history, at 1, 10 and 100 million sightings.

    python -m bench.history            1 and 10 million
    python -m bench.history --full     and 100 million: about 15 GB of disk, half an hour
    python -m bench.history --rows 300000 3000000

10,000 tags over 365 days, stored by the product's own functions (ledger, binary COPY, partitions by day) and merged
into months by its own housekeeping. Nine tags in ten are heard all year long; one in ten was heard in the first five
days only, and is silent since. More sightings means: each tag is heard more often, on every day.

What is compared is the same question with the same answer. 200 tags of either kind are asked about. On the day that is
asked about each of them has exactly 24 sightings, one an hour, whatever the size; and each tag that is not silent is
heard in the last hour of the year. So the rows to be read stay the same, while the tag's own history before and after,
and everybody else's, grow tenfold. (A day on which a tag was heard ten times as often costs more, of course: it has ten
times as many rows to read and to show.)

All sizes stand side by side in one PostgreSQL and are asked in turn, so that a busy neighbour slows all alike. Each
question is asked once beforehand: `first_p99_ms` are those times, with whatever was not in memory then. The last line
is one JSON object; `p99_growth` is the largest p99 of the largest size over the smallest, of the four questions.
"""

from __future__ import annotations

import argparse
import json
import random
import statistics
import time
from collections.abc import Callable
from datetime import UTC, date, datetime, timedelta
from typing import Any, Final, NamedTuple

import numpy as np
from numpy.typing import NDArray
from sqlalchemy import Connection, Engine, text

from bench.databases import databases
from server.ingest.rows import empty_rows, pg_time
from server.store import copying, db, ledger, partitions, sightings
from server.store.ledger import BatchKey, NewBatch
from server.store.tables import gateways
from server.sweep.housekeeping import keep_house
from wire.batch import Clock, GatewayClass, Place, PlaceSource
from wire.receipt import OutcomeKind

SEED: Final = 20261122
TAGS: Final = 10_000
DAYS: Final = 365
FIRST: Final = date(2025, 11, 22)
NOW: Final = partitions.midnight(FIRST) + timedelta(days=DAYS)
# Longer than the year: nothing of it is to go.
RETENTION: Final = timedelta(days=400)
SILENT: Final = TAGS // 10
HEARD_AT_FIRST_DAYS: Final = 5
ASKED: Final = 200
ROUNDS: Final = 10
PER_BATCH: Final = 50
BATCHES_AT_ONCE: Final = 500
DAY_MS: Final = 86_400_000
HOUR_MS: Final = 3_600_000
# The days that are asked about: one in a merged month, five months back, and one of the few of the silent tags.
RANDOM_DAY: Final = 210
SILENT_DAY: Final = 2


class Kind(NamedTuple):
    """Tags that are asked about, and the day of the year that is."""

    name: str
    serials: tuple[int, ...]
    day: int


# Serials below SILENT are silent. Spread over all of each kind.
KINDS: Final = (
    Kind("random", tuple(range(SILENT + 7, TAGS, (TAGS - SILENT) // ASKED))[:ASKED], RANDOM_DAY),
    Kind("silent", tuple(range(3, SILENT, SILENT // ASKED))[:ASKED], SILENT_DAY),
)


# --- the year -----------------------------------------------------------------------------------------------


def heard_on(day: int, rows: int, rng: np.random.Generator) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
    """Serials and moments (ms since midnight) of one day in order of time."""
    lowest = 0 if day < HEARD_AT_FIRST_DAYS else SILENT
    serials = rng.integers(lowest, TAGS, rows)
    moments = rng.integers(0, DAY_MS, rows)
    for kind in KINDS:
        if kind.day == day:
            others = ~np.isin(serials, kind.serials)
            serials = np.concatenate([serials[others], np.repeat(kind.serials, 24)])
            hours = np.tile(np.arange(24) * HOUR_MS, len(kind.serials))
            moments = np.concatenate([moments[others], hours + rng.integers(0, HOUR_MS, len(hours))])
    if day == DAYS - 1:
        serials = np.concatenate([serials, np.arange(SILENT, TAGS)])
        moments = np.concatenate([moments, rng.integers(DAY_MS - HOUR_MS, DAY_MS, TAGS - SILENT)])
    order = np.argsort(moments, kind="stable")
    return serials[order], moments[order]


def store_year(engine: Engine, total: int) -> None:
    """All days, stored as they came, then merged as the sweep would have done."""
    rng = np.random.default_rng(SEED)
    with db.transaction(engine) as tx:
        row = {"gateway": "bench", "gateway_class": GatewayClass.CROWD, "owner": "bench", "created_at": NOW}
        gateway_no = tx.execute(gateways.insert().values(row).returning(gateways.c.no)).scalar_one()
    stored = 0
    for day in range(DAYS):
        serials, moments = heard_on(day, total * (day + 1) // DAYS - total * day // DAYS, rng)
        on = FIRST + timedelta(days=day)
        with db.transaction(engine) as tx:
            partitions.cover(tx, {on}, partitions.midnight(on))
        size = PER_BATCH * BATCHES_AT_ONCE
        for start in range(0, len(serials), size):
            with db.transaction(engine) as tx:
                _store_set(tx, gateway_no, on, stored, serials[start : start + size], moments[start : start + size])
            stored += BATCHES_AT_ONCE
    keep_house(engine, RETENTION, NOW, time.sleep, lambda *_: None, reports_kept=RETENTION)
    with engine.connect().execution_options(isolation_level="AUTOCOMMIT") as alone:
        alone.execute(text("vacuum (analyze)"))  # what autovacuum would have done in the course of the year


def _store_set(
    tx: Connection, gateway_no: int, on: date, sequence: int, serials: NDArray[np.int64], moments: NDArray[np.int64]
) -> None:
    midnight_ms = int(partitions.midnight(on).timestamp() * 1000)
    batches = -(-len(serials) // PER_BATCH)
    received = datetime.fromtimestamp((midnight_ms + int(moments[-1])) / 1000, UTC)
    keys = [BatchKey(gateway_no, bytes(16), sequence + n) for n in range(batches)]
    numbers = ledger.add(tx, [_batch(key, received) for key in keys])
    rows = empty_rows(copying.SIGHTINGS, len(serials))
    rows["serial"], rows["heard_at"] = serials, pg_time(midnight_ms + moments)
    rows["batch_no"] = np.array([numbers[key] for key in keys]).repeat(PER_BATCH)[: len(serials)]
    rows["uptime_s"], rows["boot"], rows["adverts"] = (on - FIRST).days * 86_400 + moments // 1000, 1, 3
    rows["rssi_max_dbm"], rows["rssi_mean_dbm"] = -60, -63
    copying.copy_rows(tx, copying.SIGHTINGS, rows.view(np.uint8).data)


def _batch(key: BatchKey, received: datetime) -> NewBatch:
    place = Place(525_000_000, 134_000_000, 10, PlaceSource.FIXED)
    return NewBatch(
        key=key, body_sha256=bytes(32), received_at=received, sent_at_ms=int(received.timestamp() * 1000),
        gateway_class=GatewayClass.CROWD, clock=Clock.GOOD, place=place,
        outcome=OutcomeKind.STORED, reason=None, rows=PER_BATCH, unresolved=0, dropped={},
    )  # fmt: skip


# --- the questions ------------------------------------------------------------------------------------------


def last_heard(tx: Connection, kind: Kind, serial: int) -> None:
    found = sightings.last_heard(tx, [serial])[serial].heard_at
    since = NOW - timedelta(hours=1) if kind.name == "random" else partitions.midnight(FIRST)
    until = NOW if kind.name == "random" else since + timedelta(days=HEARD_AT_FIRST_DAYS)
    assert since <= found < until, found


def one_day(tx: Connection, kind: Kind, serial: int) -> None:
    start = partitions.midnight(FIRST + timedelta(days=kind.day))
    found = sightings.history(tx, serial, start, start + timedelta(days=1))
    assert len(found) == 24, len(found)


QUESTIONS: Final[dict[str, Callable[[Connection, Kind, int], None]]] = {"last_heard": last_heard, "one_day": one_day}


def ask(engines: dict[int, Engine]) -> dict[int, dict[str, dict[str, float]]]:
    """Times of every question at every size, in turn."""
    asked = [
        (name, kind, serial, rows)
        for name in QUESTIONS
        for kind in KINDS
        for serial in kind.serials
        for rows in engines
    ]
    dice = random.Random(SEED)
    first = _round(engines, asked, dice)
    again: dict[tuple[int, str], list[float]] = {}
    for _ in range(ROUNDS):
        for key, times in _round(engines, asked, dice).items():
            again.setdefault(key, []).extend(times)
    return {
        rows: {
            name: {
                "p50_ms": round(statistics.median(times) * 1000, 3),
                "p99_ms": round(_p99(times) * 1000, 3),
                "first_p99_ms": round(_p99(first[rows, name]) * 1000, 3),
            }
            for (at, name), times in sorted(again.items())
            if at == rows
        }
        for rows in engines
    }


def _round(
    engines: dict[int, Engine], asked: list[tuple[str, Kind, int, int]], dice: random.Random
) -> dict[tuple[int, str], list[float]]:
    took: dict[tuple[int, str], list[float]] = {}
    for name, kind, serial, rows in dice.sample(asked, len(asked)):
        with db.transaction(engines[rows]) as tx:
            began = time.perf_counter()
            QUESTIONS[name](tx, kind, serial)
            took.setdefault((rows, f"{name}_{kind.name}"), []).append(time.perf_counter() - began)
    return took


def _p99(times: list[float]) -> float:
    return statistics.quantiles(times, n=100)[98]


def bytes_per_sighting(engine: Engine) -> dict[str, dict[str, float]]:
    """Heap and index of a young day and of a merged month, the largest of each."""
    said: dict[str, dict[str, float]] = {}
    with engine.connect() as tx:
        for part in partitions.every(tx):
            count = tx.execute(text(f"select count(*) from {part.name}")).scalar_one()  # noqa: S608 - our own name
            heap, index = tx.execute(_SIZES, {"name": part.name}).one()
            said["month" if part.is_month else "day"] = {
                "heap": round(heap / count, 1), "index": round(index / count, 1),
            }  # fmt: skip
    return said


_SIZES: Final = text("select pg_relation_size(cast(:name as regclass)), pg_indexes_size(cast(:name as regclass))")


# --- the whole ----------------------------------------------------------------------------------------------


def measure(sizes: list[int]) -> dict[str, Any]:
    with databases(sizes, store_year, "sightings") as engines:
        told = ask(engines)
        size = bytes_per_sighting(engines[sizes[-1]])
    small, large = told[sizes[0]], told[sizes[-1]]
    growth = {name: round(large[name]["p99_ms"] / small[name]["p99_ms"], 2) for name in large}
    return {"p99_growth": max(growth.values()), "growth": growth, "sizes": told, "bytes_per_sighting": size}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--full", action="store_true", help="and 100 million sightings")
    parser.add_argument("--rows", type=int, nargs="+", help="other sizes, the smallest first")
    asked = parser.parse_args()
    sizes = asked.rows or [1_000_000, 10_000_000, *([100_000_000] if asked.full else [])]
    print(json.dumps({"bench": "history", "tags": TAGS, "days": DAYS, **measure(sorted(sizes))}))


if __name__ == "__main__":
    main()
