"""Around an order's page at support: who else is looking at it, and the ledger's rows as they came in."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any, Final

from sqlalchemy import Connection

from server.rules.facts import Source
from server.service.caller import Caller
from server.service.refusals import refuse
from server.service.viewing import VIEWED
from server.store import audit, orders, statements

# Shorter, and somebody who reads slowly is alone; longer, and somebody who went home is still there.
LOOKING: Final = timedelta(minutes=10)


@dataclass(frozen=True, slots=True)
class Looking:
    """Somebody else who opened the order a moment ago."""

    email: str
    at: datetime


@dataclass(frozen=True, slots=True)
class RawStatement:
    """A statement as it stands in the ledger, with the payload that came with it."""

    id: str
    key: str
    kind: str
    source: str
    by: str
    via: str
    said_at: datetime
    learnt_at: datetime
    corrects: str | None
    payload: Mapping[str, Any]


def looking(tx: Connection, who: Caller, number: str, now: datetime) -> tuple[Looking, ...]:
    """Who else opened this order in the last minutes, the last one first."""
    seen = audit.done_by_others(tx, f"order:{number}", VIEWED, who.email, now - LOOKING)
    return tuple(Looking(email, at) for email, at in seen)


def raw(tx: Connection, number: str, source: Source | None = None) -> tuple[RawStatement, ...]:
    """Everything that was said about an order as it came in, the oldest first. Refusals: order_unknown."""
    if orders.order(tx, number) is None:
        raise refuse("order_unknown", number=number, reference=number)
    return tuple(
        RawStatement(
            id=str(each.no),
            key=each.key,
            kind=each.kind,
            source=each.source,
            by=each.by,
            via=each.via,
            said_at=each.said_at,
            learnt_at=each.learnt_at,
            corrects=None if each.corrects is None else str(each.corrects),
            payload=each.payload,
        )
        for each in statements.of_order(tx, number)
        if source is None or each.source == source
    )
