"""Plays worlds from the command line.

python -m tests.world --seed 7 --count 200      a range of seeds; ends with `N passed, N failed`
python -m tests.world --seed 7 --count 1 -v     one seed with all its figures
"""

from __future__ import annotations

import argparse
import sys
import tempfile
from collections import Counter
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeRemainingColumn

from server.local.postgres import OwnPostgres
from server.store import db
from server.store.migrations import migrate
from tests.world.house import House
from tests.world.run import Result, play


@contextmanager
def own_house() -> Iterator[House]:
    """A PostgreSQL for this run alone, furnished."""
    with tempfile.TemporaryDirectory(prefix="world-pg-") as folder:
        Path(folder).chmod(0o755)
        with OwnPostgres(Path(folder) / "postgres", durable=False) as own:
            engine = db.engine(own.url)
            migrate(engine)
            engine.dispose()
            house = House(own.url)
            try:
                yield house
            finally:
                house.close()


def told(result: Result) -> str:
    """What somebody needs who wants to know why a seed failed."""
    return "\n".join(
        (f"--- seed {result.seed} ({result.digest[:12]}), its last events:", *result.last, result.wrong,
         f"--- replay: make world SEED={result.seed} COUNT=1")
    )  # fmt: skip


def main() -> int:
    options = argparse.ArgumentParser("tests.world", description="Plays whole systems, each under a seed.")
    options.add_argument("--seed", type=int, default=1, help="the first seed")
    options.add_argument("--count", type=int, default=1, help="how many seeds")
    options.add_argument("-v", "--verbose", action="store_true", help="what each world was made of")
    asked = options.parse_args()
    print(f"SEED={asked.seed} COUNT={asked.count}", flush=True)
    failed: list[int] = []
    passed = 0
    facts: Counter[str] = Counter()
    bar = (
        TextColumn("worlds"),
        BarColumn(),
        MofNCompleteColumn(),
        TimeRemainingColumn(),
        TextColumn("{task.description}"),
    )
    try:
        with own_house() as house, Progress(*bar, console=Console(stderr=True)) as progress:
            task = progress.add_task("", total=asked.count)
            for seed in range(asked.seed, asked.seed + asked.count):
                result = play(seed, house)
                facts.update(result.facts)
                if result.passed:
                    passed += 1
                else:
                    failed.append(seed)
                    print(told(result), flush=True)
                if asked.verbose:
                    print(f"seed {seed}: {result.digest[:16]} {result.events} events {result.facts}", flush=True)
                progress.update(task, advance=1, description=f"{len(failed)} failed" if failed else "")
    except KeyboardInterrupt:
        print("stopped", flush=True)
    if asked.verbose:
        print(f"in all: {dict(facts)}")
    if failed:
        print(f"failed: {' '.join(map(str, failed[:50]))}")
    print(f"{passed} passed, {len(failed)} failed")
    return 1 if failed else 0


if __name__ == "__main__":
    sys.exit(main())
