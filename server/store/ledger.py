"""The ledger of batches: which (gateway, outbox, sequence) came, what became of it, and how far an outbox is settled.

Whoever inserts the ledger row first stores the batch; everybody else finds it there. That, in one transaction with
the rows of the batch itself, is why a batch that is delivered twice is stored once. Several workers may do this at
the same time: rows are written and locked in the order of their keys, so that no two of them wait for each other.
"""

from __future__ import annotations

from collections.abc import Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any, Final, NamedTuple

import msgspec
from sqlalchemy import Connection, bindparam, text
from sqlalchemy.dialects.postgresql import ARRAY
from sqlalchemy.types import BigInteger, Integer, LargeBinary, TypeEngine

from wire.batch import Place
from wire.receipt import NOTHING_SETTLED, OutcomeKind

# More than one set can add to an outbox; a longer run takes another round.
RUN_MAX: Final = 1_000


class OutboxKey(NamedTuple):
    """One outbox file of one gateway."""

    gateway_no: int
    outbox_id: bytes


class BatchKey(NamedTuple):
    """What makes a batch itself and no other."""

    gateway_no: int
    outbox_id: bytes
    sequence: int

    @property
    def outbox(self) -> OutboxKey:
        return OutboxKey(self.gateway_no, self.outbox_id)


@dataclass(frozen=True, slots=True)
class NewBatch:
    """A row of the ledger. `outcome` is STORED or REFUSED, `reason` why refused, or `given_up` for a tombstone."""

    key: BatchKey
    body_sha256: bytes
    received_at: datetime
    sent_at_ms: int
    gateway_class: int
    clock: int
    place: Place | None
    outcome: OutcomeKind
    reason: str | None
    rows: int
    unresolved: int
    dropped: Mapping[str, int]


@dataclass(frozen=True, slots=True)
class LedgerRow:
    """What the ledger already knew of a key."""

    body_sha256: bytes
    outcome: OutcomeKind
    reason: str | None


@dataclass(frozen=True, slots=True)
class DeadLetter:
    """A refused batch, kept whole so that nothing a gateway signed is ever lost."""

    batch_no: int
    payload: bytes
    reason: str
    detail: str


def add(tx: Connection, batches: Iterable[NewBatch]) -> dict[BatchKey, int]:
    """Inserts those whose key is new; returns their numbers. A key must not come twice in one call."""
    rows = [
        {
            "gateway_no": row.key.gateway_no,
            "outbox_id": row.key.outbox_id.hex(),
            "sequence": row.key.sequence,
            "body_sha256": row.body_sha256.hex(),
            "received_at": row.received_at,
            "sent_at_ms": row.sent_at_ms,
            "gateway_class": row.gateway_class,
            "clock": row.clock,
            **_place(row.place),
            "outcome": row.outcome,
            "reason": row.reason,
            "rows": row.rows,
            "unresolved": row.unresolved,
            "dropped": row.dropped or None,
        }
        for row in batches
    ]
    if not rows:
        return {}
    # As one JSON value: a driver makes arrays value by value, and there are seventeen of them.
    added = tx.execute(_ADD, {"rows": msgspec.json.encode(rows).decode()}).all()
    return {BatchKey(gateway_no, outbox_id, sequence): no for no, gateway_no, outbox_id, sequence in added}


def known(tx: Connection, keys: Collection[BatchKey]) -> dict[BatchKey, LedgerRow]:
    """What the ledger holds of these keys."""
    if not keys:
        return {}
    rows = tx.execute(_KNOWN, _columns(keys) | {"sequence": [key.sequence for key in keys]})
    return {
        BatchKey(row.gateway_no, row.outbox_id, row.sequence): LedgerRow(
            row.body_sha256, OutcomeKind(row.outcome), row.reason
        )
        for row in rows
    }


def settle(tx: Connection, outboxes: Collection[OutboxKey]) -> dict[OutboxKey, int]:
    """Moves each outbox's mark to the end of its unbroken run of ledger rows; returns the marks.

    Locking is a statement of its own: after waiting for another worker, the next one sees what that worker stored.
    """
    keys = sorted(set(outboxes))
    if not keys:
        return {}
    asked = _columns(keys)
    tx.execute(_OPEN_OUTBOX, asked | {"nothing": NOTHING_SETTLED})
    tx.execute(_LOCK_OUTBOX, asked)
    while max(tx.execute(_SETTLE, asked | {"at_once": RUN_MAX}).scalars(), default=0) == RUN_MAX:
        pass  # the run may go on: an outbox that came in the wrong order, its beginning last
    rows = tx.execute(_MARKS, asked)
    return {OutboxKey(row.gateway_no, row.outbox_id): row.settled_up_to for row in rows}


def bury(tx: Connection, letters: Sequence[DeadLetter]) -> None:
    """Keeps refused batches whole."""
    for letter in letters:
        row = {"no": letter.batch_no, "payload": letter.payload, "reason": letter.reason, "detail": letter.detail}
        tx.execute(_BURY, row)


def _place(place: Place | None) -> dict[str, int]:
    """The columns of a place; without one they are left out, and null."""
    if place is None:
        return {}
    return {
        "lat_e7": place.lat_e7,
        "lon_e7": place.lon_e7,
        "accuracy_m": place.accuracy_m,
        "place_source": int(place.source),
    }


def _columns(keys: Iterable[OutboxKey | BatchKey]) -> dict[str, list[Any]]:
    listed = list(keys)
    return {
        "gateway_no": [key.gateway_no for key in listed],
        "outbox_id": [key.outbox_id for key in listed],
    }


_TYPES: Final[Mapping[str, TypeEngine[Any]]] = {
    "gateway_no": Integer(),
    "outbox_id": LargeBinary(),
    "sequence": BigInteger(),
}


def _with_arrays(sql: str, *names: str) -> Any:
    return text(sql).bindparams(*(bindparam(name, type_=ARRAY(_TYPES[name])) for name in names))


_ADD: Final = text("""
    insert into batches (gateway_no, outbox_id, sequence, body_sha256, received_at, sent_at, gateway_class, clock,
        lat_e7, lon_e7, accuracy_m, place_source, outcome, reason, rows, unresolved, dropped)
    select gateway_no, decode(outbox_id, 'hex'), sequence, decode(body_sha256, 'hex'), received_at,
        to_timestamp(sent_at_ms / 1000.0), gateway_class, clock, lat_e7, lon_e7, accuracy_m, place_source,
        outcome, reason, rows, unresolved, dropped
    from jsonb_to_recordset(cast(:rows as jsonb)) as t(gateway_no int, outbox_id text, sequence bigint,
        body_sha256 text, received_at timestamptz, sent_at_ms bigint, gateway_class smallint, clock smallint,
        lat_e7 int, lon_e7 int, accuracy_m int, place_source smallint,
        outcome smallint, reason text, rows int, unresolved int, dropped jsonb)
    order by gateway_no, outbox_id, sequence
    on conflict (gateway_no, outbox_id, sequence) do nothing
    returning no, gateway_no, outbox_id, sequence
""")

_KNOWN: Final = _with_arrays(
    """
    select b.gateway_no, b.outbox_id, b.sequence, b.body_sha256, b.outcome, b.reason
    from unnest(:gateway_no, :outbox_id, :sequence) as k(gateway_no, outbox_id, sequence)
    join batches b using (gateway_no, outbox_id, sequence)
    """,
    "gateway_no", "outbox_id", "sequence",
)  # fmt: skip

_OPEN_OUTBOX: Final = _with_arrays(
    """
    insert into outboxes (gateway_no, outbox_id, settled_up_to)
    select k.gateway_no, k.outbox_id, :nothing from unnest(:gateway_no, :outbox_id) as k(gateway_no, outbox_id)
    on conflict do nothing
    """,
    "gateway_no", "outbox_id",
)  # fmt: skip

_LOCK_OUTBOX: Final = _with_arrays(
    """
    select 1 from outboxes o join unnest(:gateway_no, :outbox_id) as k(gateway_no, outbox_id)
        using (gateway_no, outbox_id)
    order by o.gateway_no, o.outbox_id for no key update of o
    """,
    "gateway_no", "outbox_id",
)  # fmt: skip

# Counting from the mark, the n-th row above it stands at mark + n for as long as the run is unbroken. Reads at most
# :at_once rows from the index, whatever statistics the planner has or lacks.
_SETTLE: Final = _with_arrays(
    """
    update outboxes o set settled_up_to = run.last
    from (
        select m.gateway_no, m.outbox_id, m.settled_up_to as before, (
            select max(above.sequence)
            from (
                select b.sequence, row_number() over (order by b.sequence) as place
                from (
                    select sequence from batches
                    where gateway_no = m.gateway_no and outbox_id = m.outbox_id and sequence > m.settled_up_to
                    order by sequence limit :at_once
                ) b
            ) above
            where above.sequence - above.place = m.settled_up_to
        ) as last
        from unnest(:gateway_no, :outbox_id) as k(gateway_no, outbox_id)
        join outboxes m using (gateway_no, outbox_id)
    ) run
    where o.gateway_no = run.gateway_no and o.outbox_id = run.outbox_id and run.last > run.before
    returning run.last - run.before as gained
    """,
    "gateway_no", "outbox_id",
)  # fmt: skip

_MARKS: Final = _with_arrays(
    """
    select o.gateway_no, o.outbox_id, o.settled_up_to
    from outboxes o join unnest(:gateway_no, :outbox_id) as k(gateway_no, outbox_id) using (gateway_no, outbox_id)
    """,
    "gateway_no", "outbox_id",
)  # fmt: skip

_BURY: Final = text(
    "insert into dead_letters (batch_no, payload, reason, detail) values (:no, :payload, :reason, :detail)"
)
