"""Whose being heard is news to anybody: tags that are missed, that were ever bound to an order, or that are watched."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from typing import Final

from sqlalchemy import Connection, text

# Every part is answered from an index; of five thousand tags heard in a moment most are news to nobody.
_INTEREST: Final = text("""
    select serial, false from lost_marks where until is null and serial = any(cast(:serials as bigint[]))
    union
    select (payload->>'serial')::bigint, false from statements
    where kind = 'serial_bound' and (payload->>'serial')::bigint = any(cast(:serials as bigint[]))
    union
    select serial, true from live_watches where until > now() and serial = any(cast(:serials as bigint[]))
""")


@dataclass(frozen=True, slots=True)
class Interest:
    """`awaited`: something follows from their being heard. `watched`: somebody looks at them at this moment."""

    awaited: frozenset[int]
    watched: frozenset[int]


def among(tx: Connection, serials: Iterable[int]) -> Interest:
    """Those of these serials that are news to somebody, by one query."""
    array = "{" + ",".join(map(str, serials)) + "}"
    found = tx.execute(_INTEREST, {"serials": array}).all()
    return Interest(
        frozenset(serial for serial, watched in found if not watched),
        frozenset(serial for serial, watched in found if watched),
    )
