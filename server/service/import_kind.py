"""What every kind of imported file has: its columns, how its rows belong together, and what is done with them."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from datetime import datetime

from sqlalchemy import Connection

from server.service.sheets import Column, Row
from server.store.crypto import Vault


@dataclass(frozen=True, slots=True)
class Importing:
    """Whose import it is, and the zone (or empty) of times that name none. `actor` as in the audit."""

    actor: str
    account_no: int | None
    zone: str
    vault: Vault


@dataclass(frozen=True, slots=True)
class ImportKind:
    """`groups` puts rows together that stand or fall together, each with its order's number; `take` does them and says
    whether anything was new, or refuses.
    """

    name: str
    columns: tuple[Column, ...]
    groups: Callable[[Sequence[Row]], list[tuple[str, list[Row]]]]
    take: Callable[[Connection, Sequence[Row], Importing, datetime], bool]
    does: str  # in the audit
