"""How close is ingest to what PostgreSQL can take at all? From MQTT QoS 1 to the commit, with every check on.

    python -m bench.ingest --seconds 20 --workers 2
    python -m bench.ingest --seconds 20 --sightings 50 --without-mqbridge

Three sides take turns on one PostgreSQL, one Mosquitto and one table, emptied before each turn:

- ours: signed batches from 25 gateways, all frames valid, 25 live lots, 5,000 tags; from the first packet to the last
  commit. Signature, ledger, resolving, settling and receipts are all on, and the limits per gateway are asked, too;
  only they are raised (bench/house.py), because each of the 25 sends what forty would.
- bare COPY: binary, prebuilt buffers of 100,000 rows, one transaction each: what the database can take. The rows are
  in the order in which they were heard, as a program without our ingest would have them (`ratio_to_copy`), and once
  more sorted by serial, as our ingest writes them (`ratio_to_sorted_copy`).
- `mq-bridge` with the same sightings, already resolved and unsigned, at its best and with its defaults: how, and how
  it was tuned, stands in bench/mqbridge.py.

`ratio_to_mqbridge_insert` and `_copy` compare with the fastest of its ways that was measured,
`ratio_to_mqbridge_defaults` with its own settings. Broker, publisher, ingest and database share this machine's
processors. Then a load of half of our throughput, evenly paced: `publish_to_commit_ms` runs from the moment a packet
was due at the publisher to the commit of its ledger row, as PostgreSQL recorded it. The last line is one JSON object;
its figures are those of batches of 50, the other sizes stand in `by_sightings`.
"""

from __future__ import annotations

import argparse
import contextlib
import json
import random
import statistics
import tempfile
import time
from collections import defaultdict
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path
from typing import Any, Final

import numpy as np

from bench import mqbridge
from bench.house import SEED, House, house, new_load
from bench.mqbridge import PEERS, Peer
from bench.rounds import COPY_ROWS, Account, Turn, copy_round, our_round, peer_round

TAGS: Final = 5_000
# Sightings in one turn of each side: about two seconds, so that its beginning and end weigh little.
ROUND: Final = 300_000
HEADLINE: Final = 50


@dataclass(slots=True)
class Side:
    """One that takes turns: what has to run for it, its turn in seconds, and what was measured of it."""

    name: str
    turn: Callable[[], Turn]
    processes: Sequence[str]  # whose processor time is its own
    ready: Callable[[], contextlib.AbstractContextManager[None]] = contextlib.nullcontext
    per_s: list[float] = field(default_factory=list)
    cpu_s: dict[str, float] = field(default_factory=lambda: defaultdict(float))
    peak_mib: dict[str, int] = field(default_factory=dict)

    def take(self, house: House) -> None:
        with self.ready():
            turn, peak_mib = self.turn(), house.peak_mib()
        self.per_s.append(ROUND / turn.took_s)
        for name in self.processes:
            self.cpu_s[name] += turn.cpu_s[name]
            if name in peak_mib:  # the publisher is gone by now
                self.peak_mib[name] = max(peak_mib[name], self.peak_mib.get(name, 0))

    @property
    def median(self) -> float:
        return statistics.median(self.per_s)

    def cpu_us(self) -> dict[str, float]:
        """Per sighting."""
        return {name: round(used / (len(self.per_s) * ROUND) * 1e6, 2) for name, used in self.cpu_s.items()}


def measure(house: House, seconds: float, sightings: int, peers: Sequence[Peer], account: Account) -> dict[str, Any]:
    """All sides in turn, at least three times each; then ours at half its speed."""
    batches = ROUND // sightings
    ours = Side("ours", lambda: our_round(house, batches, sightings, account), ("ingest", *_SHARED))
    bare = Side("copy", lambda: copy_round(house, ROUND), ("postgres",))
    in_order = Side("sorted_copy", lambda: copy_round(house, ROUND, by_serial=True), ("postgres",))
    theirs = [_peer_side(house, peer, batches, sightings) for peer in peers]
    our_round(house, batches // 4, sightings, account)  # warms up the caches
    copy_round(house, COPY_ROWS)
    until = time.perf_counter() + seconds
    while len(ours.per_s) < 3 or time.perf_counter() < until:
        for side in (bare, in_order, ours, *theirs):
            side.take(house)
    return {
        "ratio_to_copy": round(ours.median / bare.median, 3),
        "ratio_to_sorted_copy": round(ours.median / in_order.median, 3),
        **_against(ours, theirs),
        "sightings_per_s": round(ours.median),
        "copy_rows_per_s": round(bare.median),
        "sorted_copy_rows_per_s": round(in_order.median),
        "rounds": len(ours.per_s),
        "cpu_us_per_sighting": ours.cpu_us(),
        "copy_cpu_us_per_row": bare.cpu_us() | {"postgres_sorted": in_order.cpu_us()["postgres"]},
        "peak_mib": ours.peak_mib,
        **_paced(house, sightings, ours.median / 2, max(5.0, seconds / 4), account),
    }


_SHARED: Final = ("postgres", "broker", "publisher")


def _paced(house: House, sightings: int, per_s: float, seconds: float, account: Account) -> dict[str, Any]:
    """`per_s` sightings a second for so long."""
    rate = per_s / sightings
    turn = our_round(house, int(rate * seconds), sightings, account, rate)
    p50, p99 = np.percentile(np.array(turn.late_s) * 1000, (50, 99))
    return {
        "paced_sightings_per_s": round(per_s),
        "publish_to_commit_ms_p50": round(float(p50), 1),
        "publish_to_commit_ms_p99": round(float(p99), 1),
    }


def _peer_side(house: House, peer: Peer, messages: int, sightings: int) -> Side:
    """Its process runs only for its own turns: an idle one still takes a hundredth of a core."""
    packets = mqbridge.packets(house, peer, messages, sightings)
    turn = partial(peer_round, house, packets, ROUND)
    return Side(peer.name, turn, (mqbridge.PROCESS, *_SHARED), partial(mqbridge.running, house, peer))


def _against(ours: Side, theirs: Sequence[Side]) -> dict[str, Any]:
    """How we stand to the ways of mq-bridge that were measured."""
    if not theirs:
        return {}

    def ratio(kind: str, end: str = "") -> float:
        fastest = max(side.median for side in theirs if side.name.startswith(kind) and side.name.endswith(end))
        return round(ours.median / fastest, 3)

    return {
        "ratio_to_mqbridge_insert": ratio("insert"),
        "ratio_to_mqbridge_copy": ratio("copy"),
        "ratio_to_mqbridge_defaults": {"insert": ratio("insert", "_default"), "copy": ratio("copy", "_default")},
        "mqbridge": {
            side.name: {
                "sightings_per_s": round(side.median),
                "cpu_us_per_sighting": side.cpu_us(),
                "peak_mib": side.peak_mib[mqbridge.PROCESS],
            }
            for side in theirs
        },
    }


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--seconds", type=float, default=20.0, help="how long all sides together, for each size")
    parser.add_argument("--sightings", default="10,50,200", help="sightings per batch: one size or several")
    parser.add_argument("--workers", type=int, default=2, help="processes of the ingest")
    parser.add_argument("--embedded", action="store_true", help="the server's own broker instead of Mosquitto")
    parser.add_argument("--without-mqbridge", action="store_true", help="ours and bare COPY alone")
    asked = parser.parse_args()
    if asked.embedded and asked.workers > 1:
        parser.error("the server's own broker has no shared subscription: add --workers 1")
    sizes = [int(size) for size in asked.sightings.split(",")]
    peers: Sequence[Peer] = () if asked.without_mqbridge else PEERS
    by_size: dict[int, dict[str, Any]] = {}
    account = Account()
    load = new_load(random.Random(SEED), TAGS)
    with (
        tempfile.TemporaryDirectory(prefix="hearsight-bench-") as name,
        house(Path(name), load, embedded=asked.embedded, workers=asked.workers) as running,
    ):
        mqbridge.prepare(running)
        running.start_ingest()
        for size in sizes:
            by_size[size] = measure(running, asked.seconds, size, peers, account)
    headline = HEADLINE if HEADLINE in by_size else sizes[0]
    result = {
        "bench": "ingest", "broker": "embedded" if asked.embedded else "mosquitto", "workers": asked.workers,
        "sightings_per_batch": headline, **by_size[headline], "sightings": account.sightings, "lost": account.lost,
        "duplicates": account.duplicates,
        "by_sightings": {str(size): figures for size, figures in by_size.items() if size != headline},
    }  # fmt: skip
    print(json.dumps(result))


if __name__ == "__main__":
    main()
