"""Who did what to the house itself: accounts, gateways, keys, imports. Rows are added, never changed."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any

from sqlalchemy import Connection, func, insert, select, tuple_

from server.store.tables import audit


@dataclass(frozen=True, slots=True)
class Entry:
    """`actor` is an e-mail address, `cli`, `gateway:ID` or `public`; `subject` the thing, such as `gateway:dock-1`."""

    at: datetime
    actor: str
    action: str
    subject: str
    detail: Mapping[str, Any] | None = None
    account_no: int | None = None
    no: int = 0  # given by the store


def add(tx: Connection, entry: Entry) -> None:
    """Writes it down. `detail` holds no secret."""
    row = {
        "at": entry.at,
        "account_no": entry.account_no,
        "actor": entry.actor,
        "action": entry.action,
        "subject": entry.subject,
        "detail": dict(entry.detail) if entry.detail else None,
    }
    tx.execute(insert(audit).values(row))


def of_subject(tx: Connection, subject: str, before: int | None = None, limit: int = 100) -> tuple[Entry, ...]:
    """What was done to one thing, newest first; `before` an entry's number, what came before it."""
    query = select(audit).where(audit.c.subject == subject)
    if before is not None:
        at = select(audit.c.at).where(audit.c.no == before).scalar_subquery()
        query = query.where(tuple_(audit.c.at, audit.c.no) < tuple_(at, before))
    query = query.order_by(audit.c.at.desc(), audit.c.no.desc()).limit(limit)
    return tuple(
        Entry(row.at, row.actor, row.action, row.subject, row.detail, row.account_no, row.no)
        for row in tx.execute(query)
    )


def done_by_others(
    tx: Connection, subject: str, action: str, actor: str, since: datetime
) -> tuple[tuple[str, datetime], ...]:
    """(actor, last time) of everybody but `actor` who did this with a thing since a moment, the last one first."""
    of = audit.c
    last = func.max(of.at)
    query = (
        select(of.actor, last)
        .where(of.subject == subject, of.at > since, of.action == action, of.actor != actor)
        .group_by(of.actor)
        .order_by(last.desc())
    )
    return tuple((who, at.astimezone(UTC)) for who, at in tx.execute(query))
