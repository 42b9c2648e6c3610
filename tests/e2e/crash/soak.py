"""Kills by the thousand: `make soak KILLS=3000 SEED=7`. The seed comes first, the last line sums up.

Each round has a fresh database, one or two workers and its own seed, which is printed with it: a round that fails is
played again with `KILLS=60 SEED=its seed`. Ctrl-C ends after the blow that is being struck, with the sum so far.
"""

from __future__ import annotations

import argparse
import random
import secrets
import sys
import tempfile
import time
from collections import Counter
from pathlib import Path

from server.local.postgres import OwnPostgres
from tests.e2e.crash.nursery import Nursery
from tests.e2e.crash.plant import Plant
from tests.e2e.crash.storm import storm

KILLS_A_ROUND = 60


def one_round(postgres: OwnPostgres, nursery: Nursery, seed: int, kills: int) -> tuple[Counter[str], int]:
    """What was hit, and how many sightings came through, each exactly once."""
    dice = random.Random(seed)
    with Plant(postgres, nursery, workers=dice.randint(1, 2)) as plant:
        hit = storm(plant, dice, kills, tell=lambda _: None)
        return hit, plant.finish()


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--kills", type=int, default=3_000)
    parser.add_argument("--seed", type=int, default=secrets.randbits(31))
    asked = parser.parse_args()
    print(f"SEED={asked.seed}", flush=True)
    began, done, sightings, failed = time.monotonic(), 0, 0, 0
    try:
        with tempfile.TemporaryDirectory(prefix="crash-") as folder, OwnPostgres(Path(folder) / "pg") as postgres:
            nursery = Nursery()
            for seed in range(asked.seed, sys.maxsize):
                if done >= asked.kills:
                    break
                kills = min(KILLS_A_ROUND, asked.kills - done)
                try:
                    hit, came = one_round(postgres, nursery, seed, kills)
                except Exception as wrong:
                    failed += 1
                    print(f"SEED={seed} failed: {type(wrong).__name__}: {wrong}", flush=True)
                else:
                    sightings += came
                    print(f"{done + kills:6} of {asked.kills} kills, {came} sightings: {_told(hit)}", flush=True)
                done += kills
            nursery.close()
    except KeyboardInterrupt:
        print("interrupted")
    minutes = (time.monotonic() - began) / 60
    print(
        f"crash: {done} kills in {minutes:.1f} min, {sightings} sightings stored exactly once, {failed} rounds failed"
    )
    return 1 if failed else 0


def _told(hit: Counter[str]) -> str:
    return ", ".join(f"{part} {times}" for part, times in sorted(hit.items()) if " to " not in part) + (
        f", cuts {sum(times for part, times in hit.items() if ' to ' in part)}"
    )


if __name__ == "__main__":
    sys.exit(main())
