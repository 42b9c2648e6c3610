"""When tags were private: of that time no sighting is stored, whoever heard the tag and however late it is told.

A tag sends provenance frames until its list of identifiers is in it, and gateways go on telling what they heard.
Whoever stores sightings holds (`hold`), asks (`among`) and leaves out; whoever begins a private stretch waits until
everybody who asked before it has ended (`begin_alone`), keeps the next ones waiting until its commit, and removes what
those before it wrote (`erase`). So none is stored, whichever commits first. Both hold a lock, because asking alone is
not enough: what one has read as managed, another may make private before the first commits.
"""

from __future__ import annotations

from collections.abc import Iterable
from datetime import datetime
from typing import Final, NamedTuple

from sqlalchemy import Connection, text

# In queries: true of a row with `serial` and `heard_at` that was heard in a private stretch; `{0}` names the row.
HEARD_IN_PRIVATE: Final = """
    exists (
        select from ownership o
        where o.private and o.serial = {0}.serial and {0}.heard_at >= o.since
            and (o.until is null or {0}.heard_at < o.until)
    )
"""
# Any number that only we use.
_LOCK: Final = 0x4845_4150
_HOLD: Final = text("select pg_advisory_xact_lock_shared(:lock)")
_ALONE: Final = text("select pg_advisory_xact_lock(:lock)")
# In microseconds since 1970, exact: what is compared with them stands in arrays.
_AMONG: Final = text("""
    select serial, cast(extract(epoch from since) * 1000000 as bigint),
        cast(extract(epoch from coalesce(until, timestamptz '9999-01-01 00:00+00')) * 1000000 as bigint)
    from ownership
    where private and serial = any(cast(:serials as bigint[])) and (until is null or until > :after)
""")
_ERASE: Final = text("delete from sightings where serial = :serial and heard_at >= :since")


class Stretch(NamedTuple):
    """[since, until) in µs since 1970-01-01; one that goes on ends in the year 9999."""

    serial: int
    since_us: int
    until_us: int


def hold(tx: Connection) -> None:
    """Before `among`, and before anything that others may wait for: no private stretch begins until this transaction
    ends, or one that is just beginning is seen. Those who store do not wait for each other.
    """
    tx.execute(_HOLD, {"lock": _LOCK})


def among(tx: Connection, serials: Iterable[int], after: datetime) -> list[Stretch]:
    """The private stretches of these tags that go on or ended after a moment, by one query."""
    array = "{" + ",".join(map(str, serials)) + "}"
    return [Stretch(*row) for row in tx.execute(_AMONG, {"serials": array, "after": after})]


def begin_alone(tx: Connection) -> None:
    """Before a private stretch begins: waits for those who store at this moment, a fraction of a second; those who come
    after us wait for our commit. Not while holding what they wait for (orders to be weighed, notices).
    """
    tx.execute(_ALONE, {"lock": _LOCK})


def erase(tx: Connection, serial: int, since: datetime) -> int:
    """What was stored of this tag since then, gateways with fast clocks included; returns how many rows went."""
    return tx.execute(_ERASE, {"serial": serial, "since": since}).rowcount
