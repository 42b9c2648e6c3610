"""How many P frames the batch resolver opens in a second, with 25 and with 1,000 live lots.

    python -m bench.resolve --seconds 20

Every frame is valid and every one is another; 5,000 tags, spread evenly over all lots (the worst case: no lot is
likelier than another); sets of 5,000 frames. Baselines from the same run: one frame at a time with
`wire.frames.decode_p`, which calls the cipher once per frame and lot; and the MACs alone, which no order of lots
can save. One process, one thread. The last line is one JSON object.
"""

from __future__ import annotations

import argparse
import hashlib
import hmac
import json
import random
import time
from collections.abc import Callable
from dataclasses import dataclass

import numpy as np

from server.ingest.resolve import Frames, LotKey, Resolver, Verdict
from wire.errors import WireError
from wire.frames import FRAME_LEN, decode_p, encode_p
from wire.keys import tag_key

SEED = 20261122
SET_SIZE = 5_000
SETS = 4
TAGS = 5_000
NETWORK_ID = 0xF0


@dataclass(frozen=True, slots=True)
class Scene:
    """Lots, and sets of frames made under their keys."""

    k_factory: bytes
    lots: list[LotKey]
    sets: list[Frames]


def scene(dice: random.Random, lots: int) -> Scene:
    k_factory = dice.randbytes(16)
    keys = [LotKey(no, dice.randbytes(16)) for no in range(lots)]
    frames = [_frame(dice, k_factory, keys) for _ in range(SETS * SET_SIZE)]
    array = np.frombuffer(b"".join(frames), np.uint8).reshape(SETS, SET_SIZE, FRAME_LEN)
    return Scene(k_factory, keys, list(array))


def _frame(dice: random.Random, k_factory: bytes, lots: list[LotKey]) -> bytes:
    serial = dice.randrange(TAGS)
    return encode_p(
        lots[serial % len(lots)].key, tag_key(k_factory, serial), serial=serial, uptime_s=dice.randrange(10**6),
        boot=1, random2=dice.randbytes(2), status=0, network_id=NETWORK_ID,
    )  # fmt: skip


def per_second(step: Callable[[], int], seconds: float) -> float:
    """Frames a second of a step that says how many it did, over whole steps; the first one warms up."""
    step()
    done, began = 0, time.perf_counter()
    while (took := time.perf_counter() - began) < seconds:
        done += step()
    return done / took


def by_sets(scene: Scene) -> Callable[[], int]:
    resolver = Resolver(scene.k_factory, scene.lots, NETWORK_ID)
    turn = 0

    def step() -> int:
        nonlocal turn
        turn += 1
        found = resolver.resolve(scene.sets[turn % SETS])
        solved = int(np.count_nonzero(found.verdict == Verdict.RESOLVED))
        assert solved == SET_SIZE, f"only {solved} of {SET_SIZE} valid frames were resolved"
        return solved

    return step


def one_by_one(scene: Scene) -> Callable[[], int]:
    frames = [frame.tobytes() for frame in scene.sets[0][:50]]

    def step() -> int:
        for frame in frames:
            for lot in scene.lots:
                try:
                    decode_p(frame, lot.key, scene.k_factory, NETWORK_ID)
                except WireError:
                    continue
                break
        return len(frames)

    return step


def macs_only(scene: Scene) -> Callable[[], int]:
    messages = [frame[2:20].tobytes() for frame in scene.sets[0]]
    key = scene.k_factory

    def step() -> int:
        for message in messages:
            hmac.digest(key, message, hashlib.sha256)
        return len(messages)

    return step


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--seconds", type=float, default=20.0, help="how long all measurements together may take")
    seconds = parser.parse_args().seconds
    dice = random.Random(SEED)
    few, many = scene(dice, 25), scene(dice, 1_000)
    each = max(0.2, seconds / 6)
    figures = {
        "resolved_per_s_25_lots": per_second(by_sets(few), 2 * each),
        "resolved_per_s_1000_lots": per_second(by_sets(many), 2 * each),
        "baseline_one_by_one_per_s_25_lots": per_second(one_by_one(few), each / 2),
        "baseline_one_by_one_per_s_1000_lots": per_second(one_by_one(many), each / 2),
        "baseline_macs_only_per_s": per_second(macs_only(few), each / 2),
    }
    whole = {name: round(value) for name, value in figures.items()}
    print(json.dumps({"bench": "resolve", "set_size": SET_SIZE, "tags": TAGS, **whole}))


if __name__ == "__main__":
    main()
