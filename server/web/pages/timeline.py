"""The timeline for reading: runs of hearings between two statements become one row each."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, replace
from datetime import datetime, timedelta

from server.rules.timeline import Column, Row

# What reaches us this much later than it happened is said to be late: a gateway's window and a slow link are not.
LATE = timedelta(minutes=15)


@dataclass(frozen=True, slots=True)
class Item:
    """One line of the page's timeline."""

    at: datetime
    until: datetime | None
    reached_at: datetime
    column: str
    text: str
    agrees: str
    actor: str | None
    replay: bool
    corrected: bool
    units: tuple[int, ...]
    ref: str

    @property
    def late(self) -> bool:
        """Whether the second clock is worth saying."""
        return self.reached_at - (self.until or self.at) > LATE


def fold(rows: Iterable[Row]) -> list[Item]:
    """Rows in order of time; hearings alike that nothing interrupts are told once, from the first to the last."""
    items: list[Item] = []
    for row in rows:
        item = _item(row)
        known = _same(items, item) if row.column is Column.HEARD else None
        if known is None:
            items.append(item)
        else:
            items[known] = _joined(items[known], item)
    return items


def _item(row: Row) -> Item:
    # Of a hearing only who heard it: frames are counted row by row, and a run of rows has no one count.
    text = row.text.partition(": ")[0] if row.column is Column.HEARD else row.text
    return Item(
        at=row.at,
        until=row.until,
        reached_at=row.reached_at,
        column=str(row.column),
        text=text,
        agrees=row.agrees,
        actor=row.actor,
        replay=row.replay,
        corrected=row.corrected,
        units=() if row.slot is None else (row.slot,),
        ref=row.ref,
    )


def _same(items: list[Item], item: Item) -> int | None:
    for number in range(len(items) - 1, -1, -1):
        if items[number].column != Column.HEARD:
            return None
        if items[number].text == item.text:
            return number
    return None


def _joined(one: Item, other: Item) -> Item:
    return replace(
        one,
        until=max(one.until or one.at, other.until or other.at),
        reached_at=max(one.reached_at, other.reached_at),
        units=tuple(sorted({*one.units, *other.units})),
    )
