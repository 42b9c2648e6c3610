"""Kills in turn and at random moments, drawn from a seed: whoever is killed comes back, and the load never stops."""

from __future__ import annotations

import random
import time
from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass

from tests.e2e.crash.plant import Plant
from tests.fixtures.cuts import HOWS, Cut

# Committed between two blows, so that each of them meets a system at work, and at another point of its work.
PROGRESS_MAX = 12
DOWN_MAX_S = 0.2
TWO_AT_ONCE = 0.25
CUTS_A_ROUND = 2


@dataclass(frozen=True)
class Blow:
    """What happens to one part, and how it comes back. `strike` is false if there was nothing to hit."""

    name: str
    strike: Callable[[], bool | None]
    heal: Callable[[], object]
    is_kill: bool = True


def blows(plant: Plant, dice: random.Random) -> list[Blow]:
    """One round: everybody is killed once, and some connections are cut."""
    parts = [
        Blow("mosquitto", plant.broker.kill, plant.broker.start),
        Blow("postgres", plant.kill_postgres, plant.revive_postgres),
        Blow("backend", plant.kill_backend, lambda: None),
        Blow("gateway", plant.kill_outboxes, plant.start_outboxes),
        *(_ingest(plant, number) for number in range(1, len(plant.ingests) + 1)),
    ]
    cuts = [(to, how) for to in ("database", "ingest", "gateways") for how in HOWS]
    return parts + [
        _cut(getattr(plant, f"to_{to}"), f"{how} to {to}", how) for to, how in dice.sample(cuts, CUTS_A_ROUND)
    ]


def _ingest(plant: Plant, number: int) -> Blow:
    return Blow(f"ingest {number}", lambda: plant.kill_ingest(number), lambda: plant.revive_ingest(number))


def _cut(cut: Cut, name: str, how: str) -> Blow:
    return Blow(name, lambda: cut.cut(how), cut.heal, is_kill=False)


def storm(plant: Plant, dice: random.Random, kills: int, tell: Callable[[str], None] = print) -> Counter[str]:
    """Until so many processes were killed; returns how often each part was hit."""
    hit: Counter[str] = Counter()
    deck: list[Blow] = []
    done = 0
    while done < kills:
        if len(deck) < 2:
            fresh = blows(plant, dice)
            dice.shuffle(fresh)
            deck = fresh + deck
        plant.wait_for(dice.randint(1, PROGRESS_MAX))
        time.sleep(dice.uniform(0, 0.02))
        struck = [deck.pop()]
        if dice.random() < TWO_AT_ONCE and deck[-1].name != struck[0].name:
            struck.append(deck.pop())
        tell(f"{done + 1:5}  {' and '.join(blow.name for blow in struck)}")
        for blow in struck:
            if blow.strike() is not False:
                hit[blow.name] += 1
                done += blow.is_kill
        time.sleep(dice.uniform(0, DOWN_MAX_S))
        dice.shuffle(struck)
        for blow in struck:
            blow.heal()
    return hit
