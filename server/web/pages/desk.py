"""What stands around an order at support's: who else is looking, three records side by side, what may be written."""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping, Set
from dataclasses import dataclass
from datetime import datetime

from sqlalchemy import Connection

from server.rules.authority import Action, may
from server.rules.facts import Source, StatementKind
from server.rules.timeline import Column, Row
from server.service import desk
from server.service.answers import OrderAnswer
from server.service.caller import Caller
from server.service.desk import Looking
from server.service.messages import Offered
from server.web.pages.compose_form import CHOICES, Form

# What our own people and machines said: the record that a caller is read from.
_OURS = frozenset({Source.SHOP, Source.WAREHOUSE, Source.STAFF, Source.SYSTEM})
# Words about the unit or its shipment. That we talked, paid or promised is no record of where it is.
_OF_UNIT = frozenset(
    {
        StatementKind.ORDER_PLACED,
        StatementKind.SERIAL_BOUND,
        StatementKind.PACKED,
        StatementKind.LABEL_PRINTED,
        StatementKind.LEG_ENDED,
        StatementKind.NUMBER_GIVEN,
        StatementKind.SHIPPED_NOTICE,
        StatementKind.DISPATCHED,
        StatementKind.CARRIER_SCAN,
        StatementKind.DELIVERED,
        StatementKind.RETURNED,
        StatementKind.ASSERTION,
        StatementKind.ORDER_CANCELLED,
    }
)


@dataclass(frozen=True, slots=True)
class Beside:
    """One unit in three records: what ours says, what the carrier says, what the customer reads."""

    slot: int
    title: str
    ours: str
    ours_last: Row | None
    carrier_last: Row | None
    sentence: str
    word: str


@dataclass(frozen=True, slots=True)
class Desk:
    """Everything of the case page that is about working on it. `rows`: the timeline, of one source if one is named."""

    number: str
    looking: tuple[Looking, ...]
    beside: tuple[Beside, ...]
    form: Form | None
    offered: tuple[Offered, ...]
    sources: tuple[str, ...]
    source: str
    rows: tuple[Row, ...]
    raw: Mapping[str, str]
    choices: Mapping[str, tuple[str, ...]]


def around(
    tx: Connection, who: Caller, answer: OrderAnswer, offered: tuple[Offered, ...], source: str, key: str, now: datetime
) -> Desk:
    """The desk of an order that was just answered, with the promises that are `offered` to whoever may write."""
    number = answer.order.number
    writes = may(who.role, Action.SAY).allowed
    sources = tuple(dict.fromkeys(_named(row) for row in answer.timeline))
    chosen = source if source in sources else ""
    came = desk.raw(tx, number)
    return Desk(
        number=number,
        looking=desk.looking(tx, who, number, now),
        beside=tuple(_beside(answer, {each.id for each in came if each.kind in _OF_UNIT})),
        form=Form.empty(key, len(answer.order.slots)) if writes else None,
        offered=offered if writes else (),
        sources=sources,
        source=chosen,
        rows=tuple(row for row in answer.timeline if chosen in ("", _named(row))),
        raw={
            each.id: json.dumps({"key": each.key, "via": each.via, "payload": each.payload}, indent=1, default=str)
            for each in came
        },
        choices=CHOICES,
    )


def _named(row: Row) -> str:
    """Whose row it is: of a statement its source, of the radio *heard*, of an act *done*."""
    return row.source if row.column is Column.SAID else str(row.column)


def _beside(answer: OrderAnswer, of_unit: Set[str]) -> Iterable[Beside]:
    """Each unit in three records; `of_unit`: the statements that are about units and shipments."""
    said = [row for row in answer.timeline if row.column is Column.SAID and row.ref in of_unit]
    for slot in answer.shown.slots:
        mine = [row for row in said if row.slot in (None, slot.slot)]
        yield Beside(
            slot=slot.slot,
            title=slot.title,
            ours=slot.stated or "ordered",
            ours_last=next((row for row in reversed(mine) if row.source in _OURS), None),
            carrier_last=next((row for row in reversed(mine) if row.source == Source.CARRIER), None),
            sentence=slot.sentence,
            word=slot.word,
        )
