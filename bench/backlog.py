"""Does draining an outage depend on how many tags there are? And how long is it until sightings are fresh again?

    python -m bench.backlog                    ten minutes of outage, twice for each number of tags: two minutes
    python -m bench.backlog --minutes 60       as long as the question asks: eight minutes

For so long no ingest runs, while 25 gateways send 20 batches of 50 sightings a second together (1,000 sightings a
second); Mosquitto keeps them. Then the ingest starts, and the gateways go on at their pace. Once with 1,000 and once
with 100,000 tags in 25 live lots, in turn. `drain_growth` is the second's time over the first's, from the first commit
to the last one of what had waited; what comes before is `start_s`. A worker that starts derives each tag's key when it
first hears it: `extra_us_per_tag` is the difference of the two divided by the tags, and weighs less the longer the
outage was. `fresh_after_s`: from the start of the ingest until every batch that becomes due from then on is committed
within a second. The last line is one JSON object.
"""

from __future__ import annotations

import argparse
import contextlib
import json
import random
import statistics
import tempfile
import time
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

from bench.house import SEED, House, house, new_load
from bench.publisher import publishing, write_packets
from bench.rounds import Account, Key, committed_s, count, due_s, first_of, last_of, settled, wait

FEW: Final = 1_000
MANY: Final = 100_000
BATCHES_PER_S: Final = 20
SIGHTINGS: Final = 50
FRESH_S: Final = 1.0
# Live batches are made for so long at a time.
LIVE_S: Final = 5


@dataclass(frozen=True, slots=True)
class Drained:
    """One outage: seconds from the start of the ingest to its first commit, from there to the last commit of what had
    waited, and from the start until live batches were fresh again.
    """

    start_s: float
    drain_s: float
    fresh_after_s: float


def outage(house: House, batches: int, account: Account) -> Drained:
    """Lets so many batches wait at the broker, starts the ingest, sends live ones meanwhile; all must arrive once."""
    house.clear("sightings")
    house.start_ingest()  # for its session at the broker, which outlives it
    house.end_ingest()
    path = house.folder / "packets"
    first = first_of(house.load)
    write_packets(path, house.load.batches(batches, SIGHTINGS, int(time.time() * 1000)))
    with publishing(path, house.broker_port):
        pass
    waiting = due_s(first, batches, 0, 0)
    last_waiting = last_of(house.load)
    began = time.time()
    house.start_ingest(wait=False)
    live: dict[Key, float] = {}
    drained = False
    while not drained:
        drained = settled(house, last_waiting)  # then once more: these must be fresh
        live |= _live(house)
    last = last_of(house.load)
    wait(lambda: settled(house, last))
    count(house, (batches + len(live)) * SIGHTINGS, account)
    committed = committed_s(house, began)
    house.end_ingest()
    safe = [committed[key] for key in waiting]
    late = [committed[key] for key, due in live.items() if committed[key] - due > FRESH_S]
    return Drained(min(safe) - began, max(safe) - min(safe), max(late, default=began) - began)


def _live(house: House) -> dict[Key, float]:
    """Some seconds of live batches: when each was due."""
    path = house.folder / "packets"
    first = first_of(house.load)
    write_packets(path, house.load.batches(LIVE_S * BATCHES_PER_S, SIGHTINGS, int(time.time() * 1000)))
    with publishing(path, house.broker_port, BATCHES_PER_S) as began:
        pass
    return due_s(first, LIVE_S * BATCHES_PER_S, began, BATCHES_PER_S)


@contextlib.contextmanager
def _house(tags: int, workers: int) -> Iterator[House]:
    load = new_load(random.Random(SEED), tags)
    with tempfile.TemporaryDirectory(prefix="hearsight-bench-") as name, house(Path(name), load, workers=workers) as it:
        yield it


def measure(minutes: float, rounds: int, workers: int) -> dict[str, Any]:
    batches = round(minutes * 60 * BATCHES_PER_S)
    account = Account()
    drained: dict[int, list[Drained]] = {FEW: [], MANY: []}
    with contextlib.ExitStack() as stack:
        houses = {tags: stack.enter_context(_house(tags, workers)) for tags in drained}
        for _ in range(rounds):
            for tags, running in houses.items():
                drained[tags].append(outage(running, batches, account))
    few, many = (_medians(results) for results in drained.values())
    return {
        "drain_growth": round(many["drain_s"] / few["drain_s"], 3),
        "extra_us_per_tag": round((many["drain_s"] - few["drain_s"]) / (MANY - FEW) * 1e6, 1),
        "waiting_sightings": batches * SIGHTINGS,
        "tags_1000": few | {"sightings_per_s": round(batches * SIGHTINGS / few["drain_s"])},
        "tags_100000": many | {"sightings_per_s": round(batches * SIGHTINGS / many["drain_s"])},
        "rounds": rounds,
        "sightings": account.sightings,
        "lost": account.lost,
        "duplicates": account.duplicates,
    }


def _medians(results: list[Drained]) -> dict[str, float]:
    return {
        name: round(statistics.median(getattr(each, name) for each in results), 2)
        for name in ("start_s", "drain_s", "fresh_after_s")
    }


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--minutes", type=float, default=10.0, help="how long no ingest ran")
    parser.add_argument("--rounds", type=int, default=2, help="outages with few and with many tags, each")
    parser.add_argument("--workers", type=int, default=2, help="processes of the ingest")
    asked = parser.parse_args()
    figures = measure(asked.minutes, asked.rounds, asked.workers)
    print(json.dumps({"bench": "backlog", "minutes": asked.minutes, "workers": asked.workers, **figures}))


if __name__ == "__main__":
    main()
