"""The neighbour: `mq-bridge` 1.2 (Rust: rumqttc, sqlx) takes the same sightings from the same broker to the same table.

It is given what it needs to be fast. It checks no signature and opens no frame: its messages carry sightings that
are already resolved. It sends no receipts.

    insert            a message of 50 sightings as JSON, an `insert_query` with the payload as its parameter: a ledger
                      row by (gateway, sequence) with `on conflict do nothing`, and if that was new the rows by
                      `jsonb_to_recordset`. All messages of a batch in one transaction, one statement each.
    insert_trigger    the same JSON, but a whole batch as one multi-row `insert` (which mq-bridge makes of a plain
                      `values` query only) into a table whose trigger does the same in PL/pgSQL. The fastest way in
                      with de-duplication that we found.
    copy              `bulk_copy`: text COPY of single sightings, the number of the batch and the moment as text given,
                      without any de-duplication. Fifty come packed in one MQTT message (its middleware `unpack`);
                      one message a sighting was tried, too: 22,000 to 34,000 a second, 28 to 52 µs of processor each.
    …_default         `insert` and `copy` with mq-bridge's own defaults: batch_size 512, concurrency 1.

Tuned on two cores, out of batch_size 16 to 2,000 and concurrency 1 to 4, each with as many connections: batch_size
128 and concurrency 4 for `insert`, 128 and 3 for `insert_trigger`, 1,000 and 4 for `copy`; queue_capacity 2,000
everywhere (the default of 100 keeps its batches small). Also tried: moments as text instead of milliseconds in the
JSON, `json` instead of `jsonb` (the same or slower), and a trigger on the whole statement (as fast as one on each row).
With 10 and with 200 sightings a message other batch sizes gained nothing either.

    python -m bench.mqbridge ROUTE.json       runs one route until SIGTERM; says `ready`
"""

from __future__ import annotations

import argparse
import json
import logging
import signal
import struct
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Final

import msgspec
import numpy as np
from sqlalchemy import text

from bench.house import House
from bench.publisher import write_packets
from server.local import children
from server.store import db

# Its name among the processes.
PROCESS: Final = "mqbridge"
_QUERY: Final = {
    "table": "sightings",
    "insert_query": """
        with given as materialized (select convert_from($1, 'UTF8')::jsonb as message),
        new as (
            insert into mqbridge_ledger (gateway, sequence)
            select (message->>'gateway')::int, (message->>'sequence')::bigint from given
            on conflict do nothing returning no
        )
        insert into sightings (serial, heard_at, batch_no, uptime_s, window_ms, boot, adverts, status,
            rssi_max_dbm, rssi_mean_dbm)
        select serial, to_timestamp(heard_ms / 1000.0), new.no, uptime_s, window_ms, boot, adverts, status,
            rssi_max_dbm, rssi_mean_dbm
        from new, given, jsonb_to_recordset(message->'rows') as t(serial bigint, heard_ms bigint, uptime_s bigint,
            window_ms int, boot int, adverts smallint, status smallint, rssi_max_dbm smallint, rssi_mean_dbm smallint)
    """,
}
_TRIGGER: Final = {
    "table": "mqbridge_inbox",
    "insert_query": "insert into mqbridge_inbox (payload) values ($1)",
}
_COPY: Final = {
    "table": "sightings",
    "bulk_copy": True,
    "insert_query": """
        insert into sightings (serial, heard_at, batch_no, uptime_s, window_ms, boot, adverts, status,
            rssi_max_dbm, rssi_mean_dbm)
        values (${payload:serial}, ${payload:heard_at}, ${payload:batch_no}, ${payload:uptime_s}, ${payload:window_ms},
            ${payload:boot}, ${payload:adverts}, ${payload:status}, ${payload:rssi_max_dbm}, ${payload:rssi_mean_dbm})
    """,
}
_TABLES: Final = """
    create table mqbridge_ledger (
        no bigint generated always as identity primary key, gateway int not null, sequence bigint not null,
        received_at timestamptz not null default now(), unique (gateway, sequence)
    );
    create unlogged table mqbridge_inbox (payload bytea not null);
    create function mqbridge_take() returns trigger language plpgsql as $$
    declare
        message jsonb := convert_from(new.payload, 'UTF8')::jsonb;
        new_no bigint;
    begin
        insert into mqbridge_ledger (gateway, sequence)
        values ((message->>'gateway')::int, (message->>'sequence')::bigint)
        on conflict do nothing returning no into new_no;
        if new_no is not null then
            insert into sightings (serial, heard_at, batch_no, uptime_s, window_ms, boot, adverts, status,
                rssi_max_dbm, rssi_mean_dbm)
            select serial, to_timestamp(heard_ms / 1000.0), new_no, uptime_s, window_ms, boot, adverts, status,
                rssi_max_dbm, rssi_mean_dbm
            from jsonb_to_recordset(message->'rows') as t(serial bigint, heard_ms bigint, uptime_s bigint,
                window_ms int, boot int, adverts smallint, status smallint,
                rssi_max_dbm smallint, rssi_mean_dbm smallint);
        end if;
        return null;  -- nothing stays in the inbox
    end $$;
    create trigger take before insert on mqbridge_inbox for each row execute function mqbridge_take();
"""


@dataclass(frozen=True, slots=True, eq=False)
class Peer:
    """One way of mq-bridge: how its messages look, and what of its endpoint and its route is not the default."""

    name: str
    sql: dict[str, Any]
    route: dict[str, Any] = field(default_factory=dict)

    @property
    def topic(self) -> str:
        return f"mqbridge/{self.name}"

    @property
    def copies(self) -> bool:
        return bool(self.sql.get("bulk_copy"))


PEERS: Final = (
    Peer("insert", _QUERY | {"max_connections": 4}, {"batch_size": 128, "concurrency": 4}),
    Peer("insert_trigger", _TRIGGER | {"max_connections": 4}, {"batch_size": 128, "concurrency": 3}),
    Peer("copy", _COPY | {"max_connections": 4}, {"batch_size": 1_000, "concurrency": 4}),
    Peer("insert_default", _QUERY),
    Peer("copy_default", _COPY),
)


# --- its process ----------------------------------------------------------------------------------------------


def prepare(house: House) -> None:
    """Makes its tables."""
    with db.transaction(house.engine) as tx:
        tx.execute(text(_TABLES.replace(":", r"\:")))


@contextmanager
def running(house: House, peer: Peer) -> Iterator[None]:
    """The process of one route, subscribed; it is named in `house.processes` meanwhile."""
    path = house.folder / f"{PROCESS}.json"
    path.write_text(json.dumps(_route(peer, house)))
    log = path.with_suffix(".log")
    with log.open("wb") as output:
        process = children.start([sys.executable, "-m", "bench.mqbridge", str(path)], output=output)
    house.processes[PROCESS] = process.pid
    try:
        while b"ready\n" not in log.read_bytes():
            assert process.poll() is None, f"mq-bridge did not start:\n{log.read_text()[-2000:]}"
            time.sleep(0.05)
        yield
    finally:
        children.end(process, ((signal.SIGTERM, 10),))
        del house.processes[PROCESS]


def _route(peer: Peer, house: House) -> dict[str, Any]:
    mqtt = {
        "url": f"mqtt://127.0.0.1:{house.broker_port}", "topic": peer.topic, "qos": 1,
        "client_id": f"{PROCESS}-{peer.name}", "queue_capacity": 2_000,
    }  # fmt: skip
    entrance: dict[str, Any] = {"mqtt": mqtt}
    if peer.copies:
        entrance["middlewares"] = [{"unpack": {"format": "benthos_binary"}}]
    # Its reader of addresses wants a host, and takes the folder of the socket all the same.
    table = peer.sql | {"url": house.database_url.replace("@/", "@localhost/")}
    return {"input": entrance, "output": {"sqlx": table}} | peer.route


# --- its messages ---------------------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class Packets:
    """A file for the publisher; `last`: serial and moment of its last sighting."""

    path: Path
    last: dict[str, int]


def packets(house: House, peer: Peer, messages: int, each: int) -> Packets:
    """One turn for this peer: so many messages of so many sightings, like those of the load, resolved."""
    serials = np.resize(house.load.serials, messages * each).tolist()
    moment_ms = int(time.time() * 1000) - 3_600_000
    rows = [
        {
            "serial": serial, "heard_ms": moment_ms + at // each + at % each, "uptime_s": at,
            "window_ms": 0, "boot": 1, "adverts": 3, "status": 0, "rssi_max_dbm": -60, "rssi_mean_dbm": -63,
        }
        for at, serial in enumerate(serials)
    ]  # fmt: skip
    encode = _packed if peer.copies else _json
    made = ((peer.topic, encode(number, rows[number * each : (number + 1) * each])) for number in range(messages))
    path = house.folder / f"{peer.name}-{each}.packets"
    write_packets(path, made)
    return Packets(path, {"serial": rows[-1]["serial"], "heard_ms": rows[-1]["heard_ms"]})


def _json(number: int, rows: list[dict[str, int]]) -> bytes:
    return msgspec.json.encode({"gateway": number % 25, "sequence": number // 25, "rows": rows})


def _packed(number: int, rows: list[dict[str, int]]) -> bytes:
    """One message of single records, in the simpler of the two envelopes that `unpack` knows."""
    parts = [msgspec.json.encode(_for_copy(number, row)) for row in rows]
    return struct.pack(">I", len(parts)) + b"".join(struct.pack(">I", len(part)) + part for part in parts)


def _for_copy(number: int, row: dict[str, int]) -> dict[str, object]:
    rest = {name: value for name, value in row.items() if name != "heard_ms"}
    return rest | {"heard_at": f"{np.datetime64(row['heard_ms'], 'ms')}Z", "batch_no": number + 1}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("route", type=Path)
    asked = parser.parse_args()
    import mq_bridge  # a hundred megabytes: only for the process that needs it

    logging.basicConfig(level=logging.ERROR)
    mq_bridge.init_logging("error")
    route = mq_bridge.Route.from_config(json.loads(asked.route.read_text()))
    signal.signal(signal.SIGTERM, lambda *_: route.stop())
    route.start()
    time.sleep(0.5)  # for the broker to take its subscription
    print("ready", flush=True)
    route.join()


if __name__ == "__main__":
    main()
