"""Sealed reports: 89 bytes each, filed under an EID, and nothing about who brought them.

Which gateway heard a tag stands in no column. Rows are written in the order of their bytes, and the moment is cut to
the hour, so that neither the order nor the time of a row says whose upload it was in. What PostgreSQL itself notes
beside a row until it is frozen (which transaction wrote it) is in docs/private-finding.md.
"""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from datetime import datetime
from typing import Final

from sqlalchemy import Connection, text

from wire.sealed import report_eid

_KNOWN: Final = text("""
    select r.sealed
    from unnest(cast(:eids as bytea[]), cast(:sealed as bytea[])) as told(eid, sealed)
    join sealed_reports r on r.eid = told.eid and r.sealed = told.sealed
""")
_ADD: Final = text("""
    insert into sealed_reports (eid, sealed, received_at)
    select told.eid, told.sealed, :hour
    from unnest(cast(:eids as bytea[]), cast(:sealed as bytea[])) as told(eid, sealed)
""")
# Of each EID one page, by its key; what other tags were told costs nothing and shows nowhere.
_PAGES: Final = text("""
    select asked.eid, page.sealed
    from unnest(cast(:eids as bytea[]), cast(:after as bytea[])) as asked(eid, after)
    cross join lateral (
        select r.sealed from sealed_reports r
        where r.eid = asked.eid and r.sealed > asked.after
        order by r.sealed limit :limit
    ) page
    order by asked.eid, page.sealed
""")


def known(tx: Connection, reports: Collection[bytes]) -> frozenset[bytes]:
    """Those of these reports that are stored already."""
    return frozenset(tx.execute(_KNOWN, _columns(sorted(reports))).scalars())


def add(tx: Connection, reports: Collection[bytes], now: datetime) -> None:
    """Store reports that are not known; the caller holds their EIDs (`day_keys.held_for_reports`)."""
    tx.execute(_ADD, _columns(sorted(reports)) | {"hour": now.replace(minute=0, second=0, microsecond=0)})


def pages(tx: Connection, after: Mapping[bytes, bytes], limit: int) -> dict[bytes, list[bytes]]:
    """Of each EID at most so many reports by their bytes, from the one behind `after` (empty: the first) on."""
    found: dict[bytes, list[bytes]] = {eid: [] for eid in after}
    asked = {"eids": list(after), "after": list(after.values()), "limit": limit}
    for eid, sealed in tx.execute(_PAGES, asked):
        found[eid].append(sealed)
    return found


def _columns(reports: Sequence[bytes]) -> dict[str, object]:
    return {"eids": [report_eid(report) for report in reports], "sealed": list(reports)}
