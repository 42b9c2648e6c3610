"""Our service in figures: counted in the background once an hour, read by anybody."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any, Final

import msgspec
from sqlalchemy import Connection

from server.rules.contacts import asks_of, waits_of
from server.rules.promises import PromiseState
from server.rules.service_record import PERIODS_D, Due, OrderRecord, Period, Reply, Trouble, period
from server.service.answers import statements_of
from server.store import service_record
from server.store.service_record import StoredRecord

# A promise falls due some weeks after it was made; longer ones are rare, and each day more is read every hour.
MADE_BEFORE: Final = timedelta(days=90)
# Findings that a message itself makes: what we found before it was not the waiting.
_BY_MESSAGES: Final = frozenset({"R-22", "R-23"})


@dataclass(frozen=True, slots=True)
class ServiceAnswer:
    """The figures of the last 30 and 90 days, as they were at `as_of`; None: they were not counted yet."""

    as_of: datetime | None
    periods: tuple[Period, ...]


def count(tx: Connection, numbers: Sequence[str]) -> list[OrderRecord]:
    """What these orders add to the figures, from their kept verdicts and from what was said."""
    kept = service_record.kept_weighings(tx, numbers)
    return [_order(tx, number, weighing) for number, weighing in kept.items()]


def keep(tx: Connection, orders: Sequence[OrderRecord], now: datetime) -> None:
    """Compute the figures and keep them as the ones to read."""
    answer = ServiceAnswer(now, tuple(period(orders, days, now) for days in PERIODS_D))
    service_record.put(tx, StoredRecord(now, msgspec.to_builtins(answer)))


def read(tx: Connection, now: datetime) -> ServiceAnswer:
    """The figures that were kept last; before the first count, figures of nothing."""
    kept = service_record.newest(tx)
    if kept is None:
        return ServiceAnswer(None, tuple(period((), days, now) for days in PERIODS_D))
    return msgspec.convert(kept.record, ServiceAnswer)


def _order(tx: Connection, number: str, weighing: Mapping[str, Any]) -> OrderRecord:
    said = statements_of(tx, number)
    found = [*weighing.get("findings", ()), *weighing.get("cleared", ())]
    return OrderRecord(
        promises=tuple(Due(_at(p["breaks_at"]), PromiseState(p["state"])) for p in weighing.get("promises", ())),
        replies=tuple(Reply(w.asked.said_at, w.answered.said_at if w.answered else None) for w in waits_of(said)),
        troubles=tuple(
            Trouble(_at(f["since"]), _at(f["cleared_at"]) if f["cleared_at"] else None)
            for f in found
            if f["rule"]["id"] not in _BY_MESSAGES
        ),
        messages=tuple(s.said_at for s in asks_of(said)),
    )


def _at(text: str) -> datetime:
    return datetime.fromisoformat(text)
