"""How many orders are weighed per second, and does a round of the sweep cost more the more orders are open?

    python -m bench.weigh                              10 thousand and 1 million open orders: some minutes, 3 GB of disk
    python -m bench.weigh --orders 1000 10000          only to see that it runs

First the rules alone, on one core: every story's facts, weighed at the story's end (hundreds of words and sightings)
and when half of its facts were known. `orders_per_s` counts weighings of all of them in turn, in processor time.

Then the sweep, on the server's own PostgreSQL: orders that were bound, labelled, said to be dispatched and heard on the
shelf, in a database of each size; 500 of them are due in each round, spread over all. A round is the product's own
function: find what is due, and for each order gather its facts, weigh them and keep the verdict, in a transaction of
its own. The sizes take turns, so that a busy neighbour slows both. The last line is one JSON object; `sweep_growth` is
the median round at the largest size over that at the smallest.
"""

from __future__ import annotations

import argparse
import json
import statistics
import time
import tomllib
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any, Final

from rich.console import Console
from rich.progress import track
from sqlalchemy import Engine, text

from bench.databases import databases
from server.rules.facts import OrderFacts
from server.rules.policy import SOLO
from server.rules.story.reader import story_of
from server.rules.weigh import weigh
from server.store import db, partitions
from server.sweep.orders import sweep_orders

STORIES: Final = Path(__file__).resolve().parent.parent / "firmware_sim" / "stories"
NOW: Final = datetime(2026, 11, 20, 12, tzinfo=UTC)
DUE: Final = 500
ROUNDS: Final = 9
# Orders of one statement of SQL: a bar that moves, and a transaction that is no giant.
CHUNK: Final = 50_000
err: Final = Console(stderr=True)


# --- the rules alone ----------------------------------------------------------------------------------------


def cases() -> list[tuple[OrderFacts, datetime]]:
    """Facts and a moment, two of each story."""
    found = []
    for path in sorted(STORIES.glob("*.toml")):
        story = story_of(tomllib.loads(path.read_text()))
        moments = sorted(story.fact_times())
        found += [(story.facts, moments[len(moments) // 2]), (story.facts, story.ends_at)]
    return found


def orders_per_s(seconds: float) -> float:
    """Weighings in a second of processor time."""
    asked, done, began = cases(), 0, time.process_time()
    while (took := time.process_time() - began) < seconds:
        for facts, now in asked:
            weigh(facts, SOLO, now)
        done += len(asked)
    return done / took


# --- the sweep ----------------------------------------------------------------------------------------------


def fill(engine: Engine, orders: int) -> None:
    """So many open orders, none of them due; what autovacuum would have done by then is done."""
    with db.transaction(engine) as tx:
        partitions.cover(tx, {NOW.date()}, NOW)
        tx.execute(text(_HOUSE), {"now": NOW})
    chunks = range(0, orders, CHUNK)
    for first in track(chunks, f"{orders:,} orders", console=err, transient=True):
        asked = {"first": first, "last": min(first + CHUNK, orders) - 1, "now": NOW}
        for statement in _ORDERS:
            with db.transaction(engine) as tx:
                tx.execute(text(statement), asked)
    with engine.connect().execution_options(isolation_level="AUTOCOMMIT") as alone:
        alone.execute(text("vacuum (analyze)"))


def make_due(engine: Engine, orders: int, number: int) -> None:
    """500 orders spread over all of them, others in each round."""
    with db.transaction(engine) as tx:
        step = orders // DUE
        numbers = [f"B-{(each * step + number) % orders}" for each in range(DUE)]
        told = tx.execute(_DUE, {"numbers": numbers, "at": NOW - timedelta(minutes=1)}).rowcount
        assert told == DUE, told


def rounds(engines: dict[int, Engine]) -> dict[int, list[float]]:
    """Seconds of each round, by size. The first of each size, with whatever was not in memory, is left out."""
    took: dict[int, list[float]] = {orders: [] for orders in engines}
    for number in track(range(ROUNDS + 1), "rounds", console=err, transient=True):
        for orders, engine in engines.items():
            make_due(engine, orders, number)
            began = time.perf_counter()
            swept = sweep_orders(engine, SOLO, lambda: NOW, DUE)
            took[orders].append(time.perf_counter() - began)
            assert swept == DUE, f"{swept} were due"
    return {orders: times[1:] for orders, times in took.items()}


def measure(sizes: list[int], seconds: float) -> dict[str, Any]:
    alone = orders_per_s(seconds)
    with databases(sizes, fill, "orders") as engines:
        took = {orders: statistics.median(times) for orders, times in rounds(engines).items()}
    return {
        "orders_per_s": round(alone),
        "sweep_growth": round(took[sizes[-1]] / took[sizes[0]], 2),
        "round_s": {orders: round(each, 3) for orders, each in took.items()},
        "swept_per_s": {orders: round(DUE / each) for orders, each in took.items()},
        "due": DUE,
    }


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument(
        "--orders", type=int, nargs="+", default=[10_000, 1_000_000], help="open orders, two sizes or more"
    )
    parser.add_argument("--seconds", type=float, default=10.0, help="of processor time for the rules alone")
    asked = parser.parse_args()
    sizes = sorted(asked.orders)
    if sizes[0] < DUE:
        parser.error(f"at least {DUE} orders: so many are due in each round")
    print(json.dumps({"bench": "weigh", **measure(sizes, asked.seconds)}))


_HOUSE: Final = """
    with site as (
        insert into sites (site, name, zone, lat_e7, lon_e7, calendar)
        values ('wh', 'Warehouse', 'America/New_York', 422855000, -717990000,
            '{"pickups": [{"weekday": 0, "at": "17:00"}, {"weekday": 3, "at": "17:00"}]}')
        returning site
    ), gateway as (
        insert into gateways (gateway, gateway_class, owner, site, created_at)
        select 'bench', 0, 'us', site, :now from site returning no
    )
    insert into batches (gateway_no, outbox_id, sequence, body_sha256, received_at, sent_at, gateway_class, clock,
        lat_e7, lon_e7, accuracy_m, place_source, outcome, rows, unresolved)
    select no, '\\x00', 0, '\\x00', :now, :now, 0, 0, 422855000, -717990000, 10, 0, 0, 1, 0 from gateway
"""
# Ordered ten days ago, bound, labelled and said to be gone; heard on the shelf. The verdict of each is kept already.
_ORDERS: Final = (
    """
    insert into orders (number, email, customer_name, ship_to, placed_at, zone, site, profile, source, learnt_at)
    select 'B-' || n, n || '@example.org', 'A', '{"country": "US", "postcode": "32601"}', :now - interval '10 days',
        'America/New_York', 'wh', 'standard', 'shop', :now - interval '10 days'
    from generate_series(cast(:first as int), cast(:last as int)) as n
    """,
    """
    insert into slots (slot, order_number, line, unit, sku, title)
    select 'B-' || n || '/1/1', 'B-' || n, 1, 1, 'TAG-1', 'Tag'
    from generate_series(cast(:first as int), cast(:last as int)) as n
    """,
    """
    insert into statements (order_number, slots, kind, said_at, earliest, latest, zone, by, source, via, payload,
        natural_key, learnt_at)
    select 'B-' || n, array['B-' || n || '/1/1'], kind, at, at, at, 'UTC', 'packer', source, 'api', payload::jsonb,
        'B-' || n || '|' || kind, at
    from generate_series(cast(:first as int), cast(:last as int)) as n, lateral (values
        ('serial_bound', 'warehouse', :now - interval '9 days', '{"serial": ' || 1000000 + n || ', "how": "scan"}'),
        ('packed', 'warehouse', :now - interval '8 days 23 hours', '{}'),
        ('label_printed', 'warehouse', :now - interval '8 days', '{"carrier": "UPS", "number": "1Z' || n || '"}'),
        ('dispatched', 'staff', :now - interval '7 days', '{}')
    ) as said(kind, source, at, payload)
    """,
    """
    insert into sightings (serial, heard_at, batch_no, uptime_s, window_ms, boot, adverts, status, rssi_max_dbm,
        rssi_mean_dbm)
    select 1000000 + n, :now - hour * interval '1 hour', (select max(no) from batches), 864000 - hour * 3600, 0, 1, 3,
        0, -60, -63
    from generate_series(cast(:first as int), cast(:last as int)) as n, generate_series(1, 4) as hour
    """,
    """
    insert into weighings (order_number, as_of, policy, next_look_at, weighing)
    select 'B-' || n, :now - interval '1 hour', '2026.2/solo', :now + interval '1 day',
        jsonb_build_object('order', 'B-' || n, 'why', repeat('kept words of a verdict ', 40))
    from generate_series(cast(:first as int), cast(:last as int)) as n
    """,
)  # fmt: skip
_DUE: Final = text("update weighings set next_look_at = :at where order_number = any(:numbers)")


if __name__ == "__main__":
    main()
