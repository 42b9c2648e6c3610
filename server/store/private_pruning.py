"""Sealed reports and days of private tags that are too old, removed for good and in portions.

Rows that somebody holds at this moment are left for the next round: nobody who brings reports waits for it, nor can the
two wait for each other.
"""

from __future__ import annotations

from datetime import datetime
from typing import Any, Final

from sqlalchemy import Connection, Engine, TextClause, text

from server.store.db import transaction

# Rows of one transaction: long enough to be quick, short enough to hold nobody up.
CHUNK: Final = 20_000

_REPORTS: Final = text(
    "delete from sealed_reports where ctid = any(array("
    "select ctid from sealed_reports where received_at < :before limit :chunk for update skip locked))"
)
_OLD_REPORTS: Final = text("select count(*) from sealed_reports where received_at < :before")
# Of a tag that is owned the day with its newest report stays, because "heard at" is read from it. Days to come have no
# reports and are many, so they are not asked.
_DAYS: Final = text("""
    delete from day_keys where ctid = any(array(
        select d.ctid
        from day_keys d join ownership o on o.no = d.ownership_no
        where d.day < :before and (
            o.until is null and d.last_report_at >= :heard_since and not exists (
                select 1 from day_keys n
                where n.ownership_no = d.ownership_no and n.day <= :newest
                    and (n.last_report_at, n.day) > (d.last_report_at, d.day)
            )
        ) is not true
        limit :chunk
        for update of d skip locked
    ))
""")


def prune_reports(engine: Engine, before: datetime) -> int:
    """Sealed reports that came before a moment; returns how many went."""
    return _in_chunks(engine, _REPORTS, {"before": before})


def old_reports(tx: Connection, before: datetime) -> int:
    """How many `prune_reports` would remove."""
    return int(tx.execute(_OLD_REPORTS, {"before": before}).scalar_one())


def prune_days(engine: Engine, before: int, newest: int, heard_since: datetime) -> int:
    """Days before one (days since 1970-01-01); returns how many went.

    Of each tag that is owned the day with its newest report stays, if that came since `heard_since`. `newest` is the
    last day that may have reports.
    """
    return _in_chunks(engine, _DAYS, {"before": before, "newest": newest, "heard_since": heard_since})


def _in_chunks(engine: Engine, statement: TextClause, asked: dict[str, Any]) -> int:
    removed = 0
    while True:
        with transaction(engine) as tx:
            count = tx.execute(statement, asked | {"chunk": CHUNK}).rowcount
        removed += count
        if count < CHUNK:
            return removed
