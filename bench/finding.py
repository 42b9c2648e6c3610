"""What private finding costs its owner and a gateway, in one run beside FindMy.py, which finds Apple's tags.

    python -m bench.finding --seconds 30

`lookback_ratio`: all keys and identifiers for a week's look-back of a tag one year old, nothing cached: FindMy.py
0.10.2 over ours. It favours the neighbour: where the tag stands in its sequence of keys is given (`update_alignment`),
so that it makes the keys of a week and not of a year; but a sequence has to be run through from its beginning. Ours are
8 day keys, each straight from the secret. Both make what a fetch needs: private key, public key, hash of it.

Opens: FindMy.py decrypts a report of Apple's form with a key at hand. Ours open a report (`opens_only`), or open it and
judge it by the tail of its frame (`owner.reports.read`, and `private-read.js` in headless Chromium).

FindMy.py wants an older bleak than our gateway and gets an environment of its own, `requirements/peer.txt` by hash,
made once in `.hearsight/peer`. One thread each, one after the other. Each figure is that of the fastest of many runs
over 500 reports. The last line is one JSON object.
"""

from __future__ import annotations

import argparse
import functools
import http.server
import json
import random
import shutil
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any, Final

from playwright.sync_api import sync_playwright

from owner.keys import DAY_S, TagSecret, day_of, owner_ring
from owner.reports import read
from wire import keys
from wire.frames import decode_o, encode_o
from wire.sealed import Report, open_report, seal

SEED: Final = 20261122
ROOT: Final = Path(__file__).resolve().parents[1]
PEER_HOME: Final = ROOT / ".hearsight" / "peer"
PEER_PINS: Final = ROOT / "requirements" / "peer.txt"
REPORTS: Final = 500
# A week touches eight days.
LOOK_BACK_DAYS: Final = 8

# Runs in the peer's own environment; prints its figures as JSON.
PEER: Final = """
import datetime, hashlib, json, os, sys, time
from cryptography.hazmat.primitives import serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.ciphers.aead import AESGCM
from findmy import FindMyAccessory
from findmy.keys import KeyPair
from findmy.reports import LocationReport

seconds, now = float(sys.argv[1]), datetime.datetime.now(datetime.timezone.utc)
parts = [hashlib.sha256(name).digest() for name in (b"master", b"skn", b"sks")]

def look_back():
    tag = FindMyAccessory(
        master_key=parts[0][:28], skn=parts[1], sks=parts[2], paired_at=now - datetime.timedelta(days=365)
    )
    index = tag.get_max_index(now)
    tag.update_alignment(now, index)
    names = set()
    while index >= tag.get_min_index(now - datetime.timedelta(days=7)):
        names |= {key.hashed_adv_key_b64 for key in tag.keys_at(index)}
        index -= 1
    return len(names)

def sealed(key):
    one = ec.generate_private_key(ec.SECP224R1())
    theirs = ec.derive_private_key(int.from_bytes(key.private_key_bytes, "big"), ec.SECP224R1()).public_key()
    point = one.public_key().public_bytes(serialization.Encoding.X962, serialization.PublicFormat.UncompressedPoint)
    mixed = hashlib.sha256(one.exchange(ec.ECDH(), theirs) + b"\\0\\0\\0\\1" + point).digest()
    return bytes(4) + b"\\1" + point + AESGCM(mixed[:16]).encrypt(mixed[16:], bytes(10), None)

key = KeyPair(hashlib.sha256(b"day").digest()[:28])
payloads = [sealed(key) for _ in range(int(sys.argv[2]))]

def opens():
    for payload in payloads:
        report = LocationReport(payload, key.hashed_adv_key_bytes)
        report.decrypt(key)
        assert report.latitude == 0
    return len(payloads)

def timed(step):
    done, best, began = 0, None, time.perf_counter()
    while best is None or time.perf_counter() - began < seconds:
        at = time.perf_counter()
        done = step()
        took = time.perf_counter() - at
        best = took if best is None else min(best, took)
    return done, best

keys, lookback_s = timed(look_back)
opened, opens_s = timed(opens)
print(json.dumps({"keys": keys, "lookback_s": lookback_s, "opens_per_s": opened / opens_s}))
"""

BROWSER: Final = """async ({ seed, firstDay, days, reports, nowS, seconds }) => {
    const { ownerRing, openReport, unhex } = await import("/private.js");
    const { read } = await import("/private-read.js");
    const sealed = reports.map(unhex), secret = unhex(seed);
    const best = async (step) => {
        let least = Infinity;
        for (const began = performance.now(); performance.now() - began < 1000 * seconds || least === Infinity;) {
            const at = performance.now();
            await step();
            least = Math.min(least, performance.now() - at);
        }
        return least / 1000;
    };
    const lookback_s = await best(() => ownerRing(secret, firstDay, days));
    const ring = await ownerRing(secret, firstDay, days), held = [...ring.days.values()].at(-1);
    let points = 0;
    const judged_s = await best(async () => { points = (await read(sealed, ring, nowS)).points.length; });
    const opened_s = await best(() => Promise.all(sealed.map((one) => openReport(one, held))));
    return { points, lookback_s, judged_s, opened_s };
}"""


def best_s(step: Callable[[], object], seconds: float) -> float:
    """The shortest of the runs that fit into `seconds`: what it costs, not what the neighbours of the machine do."""
    best, began = float("inf"), time.perf_counter()
    while best == float("inf") or time.perf_counter() - began < seconds:
        at = time.perf_counter()
        step()
        best = min(best, time.perf_counter() - at)
    return best


def reports_of_today(secret: TagSecret, dice: random.Random, day: int) -> tuple[list[Report], bytes]:
    """Honest reports of one day with right tails, each another, and the key that they are sealed to."""
    public = keys.day_public_key(secret.seed, day)
    eid, made = keys.eid(public), []
    for n in range(REPORTS):
        at_s = day * DAY_S + n * DAY_S // REPORTS
        frame = decode_o(encode_o(secret.own_key, eid, tick=at_s // 900, status=0))
        lat, lon = 525_200_000 + dice.randrange(9_000), 134_050_000 + dice.randrange(9_000)
        made.append(Report(lat, lon, at_s, 35, -dice.randrange(40, 99), 0, frame.tail, 3))
    return made, public


def peer(seconds: float) -> dict[str, Any]:
    """FindMy.py's figures, from its own environment, which is made the first time."""
    python = PEER_HOME / "bin" / "python"
    stamp = PEER_HOME / ".pins"
    pins = PEER_PINS.read_text()
    if not stamp.exists() or stamp.read_text() != pins:
        print(f"making {PEER_HOME.relative_to(ROOT)} for FindMy.py", file=sys.stderr)
        shutil.rmtree(PEER_HOME, ignore_errors=True)
        subprocess.run([sys.executable, "-m", "venv", str(PEER_HOME)], check=True)
        install = [str(python), "-m", "pip", "install", "--quiet", "--require-hashes", "-r", str(PEER_PINS)]
        subprocess.run(install, check=True, stdout=sys.stderr)
        stamp.write_text(pins)
    done = subprocess.run([python, "-c", PEER, str(seconds), str(REPORTS)], check=True, capture_output=True, text=True)
    found: dict[str, Any] = json.loads(done.stdout.splitlines()[-1])
    return found


class _Quiet(http.server.SimpleHTTPRequestHandler):
    def log_message(self, *_: object) -> None:
        """Says nothing."""


@contextmanager
def _served() -> Iterator[str]:
    handler = functools.partial(_Quiet, directory=str(ROOT / "server" / "web" / "static"))
    with http.server.ThreadingHTTPServer(("127.0.0.1", 0), handler) as server:
        threading.Thread(target=server.serve_forever, daemon=True).start()
        yield f"http://127.0.0.1:{server.server_port}"
        server.shutdown()


def browser(given: dict[str, Any], chromium: str) -> dict[str, Any]:
    """The figures of the module in headless Chromium."""
    with _served() as origin, sync_playwright() as play:
        made = play.chromium.launch(executable_path=chromium, args=["--no-sandbox", "--disable-background-networking"])
        page = made.new_page()
        page.goto(f"{origin}/icon.svg")
        found: dict[str, Any] = page.evaluate(BROWSER, given)
        made.close()
    return found


def measure(seconds: float, chromium: str) -> dict[str, float | int]:
    each = max(0.2, seconds / 9)
    dice = random.Random(SEED)
    secret = TagSecret(1, dice.randbytes(32))
    day = day_of(int(time.time()))
    week = range(day - LOOK_BACK_DAYS + 1, day + 1)
    now_s = (day + 1) * DAY_S
    plain, public = reports_of_today(secret, dice, day)
    sealed = [seal(one, public) for one in plain]
    ring, d = owner_ring(secret, week), keys.day_private_key(secret.seed, day)
    assert len(read(sealed, ring, now_s).points) == REPORTS
    lookback_s = best_s(lambda: owner_ring(secret, week), each)
    judged_s = best_s(lambda: read(sealed, ring, now_s), each)
    opened_s = best_s(lambda: [open_report(one, d) for one in sealed], each)
    sealed_s = best_s(lambda: [seal(one, public) for one in plain], each)
    theirs = peer(each)
    given = {
        "seed": secret.seed.hex(), "firstDay": week[0], "days": len(week), "nowS": now_s, "seconds": each,
        "reports": [one.hex() for one in sealed],
    }  # fmt: skip
    page = browser(given, chromium)
    assert page["points"] == REPORTS
    return {
        "lookback_ratio": round(theirs["lookback_s"] / lookback_s),
        "lookback_ms": round(1000 * lookback_s, 3),
        "lookback_keys": len(week),
        "findmy_lookback_ms": round(1000 * theirs["lookback_s"], 1),
        "findmy_lookback_keys": theirs["keys"],
        "keys_per_s": round(len(week) / lookback_s),
        "findmy_keys_per_s": round(theirs["keys"] / theirs["lookback_s"]),
        "opens_per_s": round(REPORTS / judged_s),
        "opens_only_per_s": round(REPORTS / opened_s),
        "findmy_opens_per_s": round(theirs["opens_per_s"]),
        "seals_per_s": round(REPORTS / sealed_s),
        "chromium_lookback_ms": round(1000 * page["lookback_s"], 1),
        "chromium_opens_per_s": round(REPORTS / page["judged_s"]),
        "chromium_opens_only_per_s": round(REPORTS / page["opened_s"]),
    }


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--seconds", type=float, default=30.0, help="how long all measurements together may take")
    parser.add_argument("--chromium", default="/usr/bin/chromium", help="the browser's program")
    chosen = parser.parse_args()
    print(json.dumps({"bench": "finding", "reports": REPORTS, **measure(chosen.seconds, chosen.chromium)}))


if __name__ == "__main__":
    main()
