"""Whose being heard is news to anybody: tags that are missed, and tags that were ever bound to an order."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Final

from sqlalchemy import Connection, text

# Both halves are answered from an index; of five thousand tags heard in a moment most are news to nobody.
_INTERESTING: Final = text("""
    select serial from lost_marks where until is null and serial = any(cast(:serials as bigint[]))
    union
    select (payload->>'serial')::bigint from statements
    where kind = 'serial_bound' and (payload->>'serial')::bigint = any(cast(:serials as bigint[]))
""")


def interesting(tx: Connection, serials: Iterable[int]) -> frozenset[int]:
    """Those of these serials that somebody waits for."""
    array = "{" + ",".join(map(str, serials)) + "}"
    return frozenset(tx.execute(_INTERESTING, {"serials": array}).scalars())
