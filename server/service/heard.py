"""What follows from sightings that were stored just now: news for owners of lost tags, and orders to look at again."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import datetime, timedelta
from typing import Final

from sqlalchemy import Connection

from server.service import lost
from server.store import orders, ownership, weighings

# An order's page is always weighed anew; lists and sweeps need it within this. Smaller: a warehouse with ten thousand
# packed tags is weighed all day. Larger: a refuted "dispatched" waits longer on the list.
REWEIGH_AFTER: Final = timedelta(minutes=10)


def stored(tx: Connection, heard: Mapping[int, datetime], now: datetime, base_url: str) -> None:
    """Called in the transaction that stores them. `heard` gives the newest moment of each serial.

    A claimed tag says nothing new of its order, so only tags without an owner make their orders due.
    """
    lost.raise_notices(tx, heard, now, base_url)
    unowned = sorted(set(heard) - ownership.owned_among(tx, heard))
    numbers = {number for bound in orders.numbers_of_serials(tx, unowned).values() for number in bound}
    weighings.mark_stale(tx, numbers, weighed_before=now - REWEIGH_AFTER)
