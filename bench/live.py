"""How long after the commit does an owner who watches know that the tag was heard?

    python -m bench.live --seconds 20

Everything is the real thing: 25 gateways send 20 batches of 50 sightings a second of 1,000 tags by MQTT, the ingest
stores them, and 50 owners have a live answer of one tag each open at the web, by the owner's own client. Of each
sighting of a watched tag the time is taken from its commit (as PostgreSQL notes it) to the first event that tells of
it or of a later one: what is heard within half a second is told together, so `folded` have no event of their own.
`missed` must be 0. The last line is one JSON object.
"""

from __future__ import annotations

import argparse
import asyncio
import contextlib
import json
import random
import secrets
import signal
import socket
import statistics
import sys
import tempfile
import time
from bisect import bisect_left
from collections.abc import Iterator, Mapping, Sequence
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Final

import httpx
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
from sqlalchemy import Connection, text

from bench.house import SEED, House, house, new_load
from bench.publisher import publishing, write_packets
from owner.api import Api
from server.local import children
from server.rules.authority import Role
from server.rules.facts import ActKind
from server.service import accounts, people
from server.settings import variable
from server.store import acts, ownership, units
from server.store.acts import NewAct

TAGS: Final = 1_000
OWNERS: Final = 50
BATCHES_PER_S: Final = 20
SIGHTINGS: Final = 50
# For the last events; whoever is not told by then was missed.
PATIENCE_S: Final = 5.0

Told = list[tuple[int, float]]
"""Of one tag: the moment of the hearing that an event told (ms since 1970), and when the event came (s)."""


def people_with_tags(tx: Connection) -> dict[int, str]:
    """An owner for each of the first tags, since yesterday: serial and token."""
    since, tokens = datetime.now(UTC) - timedelta(days=1), {}
    units.add_manifest(tx, "bench", bytes(32), "lot-0", since, since)
    for serial in range(OWNERS):
        email = f"owner-{serial}@example.com"
        who = accounts.caller(people.create(tx, email, "", Role.OWNER, since, actor="bench"))
        tokens[serial], _ = accounts.new_api_token(tx, secrets.token_bytes, who, "bench", since)
        public = Ed25519PrivateKey.generate().public_key().public_bytes_raw()
        made = units.Unit(
            serial,
            "lot-0",
            "model",
            "transit_beacon",
            public,
            secrets.token_bytes(32),
            f"F{serial:09d}",
            "bench",
            since,
        )
        units.add(tx, [made])
        act = acts.add(tx, NewAct(ActKind.ACTIVATED, since, who.account_no, email, serial), since)
        ownership.begin(tx, serial, who.account_no, f"Tag {serial}", bytes(32), act, since)
    return tokens


@contextlib.contextmanager
def web(running: House) -> Iterator[str]:
    """The web as a process; gives its address."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port = probe.getsockname()[1]
    env = {**running.env, variable("port"): str(port)}
    with (running.folder / "web.log").open("wb") as output:
        process = children.start([sys.executable, "-m", "server", "web"], env=env, output=output)
    try:
        until = time.monotonic() + 60
        while not _answers(f"http://127.0.0.1:{port}/ready"):
            assert time.monotonic() < until, (running.folder / "web.log").read_text()
            time.sleep(0.1)
        yield f"http://127.0.0.1:{port}"
    finally:
        children.end(process, ((signal.SIGTERM, 15),))


def _answers(url: str) -> bool:
    try:
        return httpx.get(url, trust_env=False).is_success
    except httpx.TransportError:
        return False


async def watch(server: str, tokens: Mapping[int, str], running: House, path: Path, seconds: float) -> dict[int, Told]:
    """Opens every stream, lets the packets be published, and gives what each was told meanwhile."""
    told: dict[int, Told] = {serial: [] for serial in tokens}
    ready = {serial: asyncio.Event() for serial in tokens}

    async def follow(serial: int, token: str) -> None:
        async for event in Api(server, token).events(f"/tags/{serial}/live"):
            if event.kind == "sighting":
                told[serial].append((int(event.id.partition("-")[0]), time.time()))
            ready[serial].set()

    streams = [asyncio.create_task(follow(serial, token)) for serial, token in tokens.items()]
    await asyncio.gather(*(each.wait() for each in ready.values()))

    def publish() -> None:
        with publishing(path, running.broker_port, BATCHES_PER_S):
            time.sleep(seconds)

    await asyncio.to_thread(publish)
    await asyncio.sleep(PATIENCE_S)
    for stream in streams:
        stream.cancel()
    await asyncio.gather(*streams, return_exceptions=True)
    return told


def committed(running: House, serials: Sequence[int]) -> list[tuple[int, int, float]]:
    """Every stored sighting of these tags: serial, moment (ms), and when it was committed (s)."""
    query = """
        select serial, (extract(epoch from heard_at) * 1000)::bigint,
               extract(epoch from pg_xact_commit_timestamp(xmin))::float8
        from sightings where serial = any(:serials)
    """
    with running.engine.connect() as tx:
        return [
            (int(row[0]), int(row[1]), float(row[2])) for row in tx.execute(text(query), {"serials": list(serials)})
        ]


def measure(seconds: float) -> dict[str, float | int]:
    with tempfile.TemporaryDirectory() as name, contextlib.ExitStack() as stack:
        running = stack.enter_context(house(Path(name), new_load(random.Random(SEED), TAGS)))
        with running.engine.begin() as tx:
            tokens = people_with_tags(tx)
        path = running.folder / "packets"
        batches = running.load.batches(round(seconds * BATCHES_PER_S), SIGHTINGS, int(time.time() * 1000))
        write_packets(path, batches)
        running.start_ingest()
        server = stack.enter_context(web(running))
        told = asyncio.run(watch(server, tokens, running, path, seconds))
        stored = committed(running, sorted(tokens))
    late_ms, missed = [], 0
    for serial, heard_ms, committed_s in stored:
        events = sorted(told[serial])
        at = bisect_left(events, (heard_ms, 0.0))
        if at == len(events):
            missed += 1
        else:
            late_ms.append(1000 * (min(came_s for _, came_s in events[at:]) - committed_s))
    cuts = statistics.quantiles(late_ms, n=100)
    events_told = sum(map(len, told.values()))
    return {
        "commit_to_owner_ms_p50": round(cuts[49], 1),
        "commit_to_owner_ms_p99": round(cuts[98], 1),
        "commit_to_owner_ms_max": round(max(late_ms), 1),
        "sightings": len(stored),
        "events": events_told,
        "folded": len(stored) - missed - events_told,
        "missed": missed,
        "streams": OWNERS,
    }


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--seconds", type=float, default=20.0, help="how long the gateways send")
    print(json.dumps(measure(parser.parse_args().seconds)))


if __name__ == "__main__":
    main()
