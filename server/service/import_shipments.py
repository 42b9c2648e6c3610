"""Shipments from a file, with the field names of Amazon's confirm-shipment file, plus `leg` and `serials`.

A row says that the shop calls something dispatched, under which label, and which tags are in it. It is the warehouse's
word and no more: what it proves is for the carrier and the radio to show.
"""

from __future__ import annotations

import hashlib
import re
from collections.abc import Mapping, Sequence
from datetime import datetime
from typing import Any, Final

from sqlalchemy import Connection

from server.rules.authority import Role
from server.rules.facts import Source, StatementKind
from server.service import orders, sheets
from server.service.import_kind import Importing
from server.service.orders import Said
from server.service.refusals import refuse
from server.service.sheets import Column, Row
from server.store import coverage, statements
from server.store import orders as stored_orders
from server.store.orders import StoredOrder, StoredSlot
from wire.manifest import MAX_SERIAL

COLUMNS: Final = (
    Column("order-id", "number of the order", required=True, limit=64),
    Column("order-item-id", "which units: a line (`2`), one unit (`2/1`) or a sku; all of the order without it"),
    Column("quantity", "how many units; must be as many as are named", limit=3),
    Column(
        "ship-date",
        "the day, or a time; in the file's zone, else in that of the site or order",
        required=True,
        limit=40,
    ),
    Column("carrier-code", "the carrier; `Other`: its name stands in carrier-name", limit=60),
    Column("carrier-name", "the carrier, if its code is `Other` or missing", limit=60),
    Column("tracking-number", "the number on the label; without it there is no label", limit=60),
    Column("ship-method", "the service that was booked", limit=60),
    Column("leg", "1 for the first carrier of a chain, 2 for the next one", limit=1),
    Column("serials", "serials of the tags in it, one for each unit, with blanks between", limit=1_000),
)
_ROUNDED: Final = re.compile(r"\d(?:[.,]\d+)?E\+?\d+", re.IGNORECASE)
_NUMBER: Final = re.compile(r"[A-Za-z0-9][A-Za-z0-9 .-]*")


def groups(rows: Sequence[Row]) -> list[tuple[str, list[Row]]]:
    """Every row stands alone."""
    return [(row["order-id"], [row]) for row in rows]


def take(tx: Connection, rows: Sequence[Row], of: Importing, now: datetime) -> bool:
    """State what a row says; False if it was said before. Refusals: row_invalid and those of orders.state."""
    [row] = rows
    sheets.check(row, COLUMNS)
    number = row["order-id"]
    order = stored_orders.order(tx, number)
    if order is None:
        raise refuse("order_unknown", number=number, reference=number)
    said = _said(tx, row, order, of, now)
    # The key is made of the row's words: the same row in tomorrow's file is the same statement, however late it is.
    if all(statements.by_key(tx, number, each.key) is not None for each in said):
        return False
    given = orders.state(tx, number, said, Role.AGENT, now)
    return any(each.new for each in given)


def _said(tx: Connection, row: Row, order: StoredOrder, of: Importing, now: datetime) -> list[Said]:
    leg = sheets.whole(row, "leg", 1, 9, 1)
    serials = _serials(row)
    units = _units(row, order)
    if serials and len(serials) != len(units):
        raise refuse("row_invalid", detail=f"{len(serials)} serials for {len(units)} units")
    zone = of.zone or _zone(tx, order)
    since, until = sheets.moment(row, "ship-date", zone)
    if since > now:
        raise refuse("row_invalid", detail="ship-date lies in the future")
    words = "\x1f".join(row[each.name] for each in COLUMNS)
    name = hashlib.sha256(words.encode()).hexdigest()[:24]

    def one(kind: StatementKind, slot: int | None, payload: Mapping[str, Any]) -> Said:
        return Said(
            key=f"ship:{name}:{kind}:{slot or 0}",
            kind=kind,
            said_at=now,
            by=of.actor,
            source=Source.WAREHOUSE,
            slot=slot,
            since=since,
            at=min(until, now),
            zone=zone,
            via="import",
            payload=payload,
        )

    label = _label(row, leg)
    slots: list[int | None] = [None] if not row["order-item-id"] and not serials else [each.number for each in units]
    said = [
        one(StatementKind.SERIAL_BOUND, each.number, {"serial": serial, "how": "scan"})
        for each, serial in zip(units, serials, strict=False)
    ]
    said += [one(StatementKind.LABEL_PRINTED, slot, label) for slot in slots if label]
    said += [one(StatementKind.DISPATCHED, slot, {}) for slot in slots if leg == 1]
    if not said:
        raise refuse("row_invalid", detail="a further leg needs a tracking-number")
    return said


def _zone(tx: Connection, order: StoredOrder) -> str:
    site = next((each for each in coverage.all_sites(tx) if each.id == order.site), None)
    return site.zone if site else order.zone


def _units(row: Row, order: StoredOrder) -> list[StoredSlot]:
    """The units that a row names, exactly: which of two is in a parcel nobody guesses."""
    item = row["order-item-id"]
    line, _, unit = item.partition("/")
    if not item:
        units = list(order.slots)
    elif line.isascii() and line.isdecimal() and (not unit or (unit.isascii() and unit.isdecimal())):
        wanted = (line.lstrip("0"), unit.lstrip("0"))
        units = [each for each in order.slots if str(each.line) == wanted[0] and wanted[1] in ("", str(each.unit))]
    else:
        units = [each for each in order.slots if each.sku == item]
        if len({each.line for each in units}) > 1:
            raise refuse(
                "row_invalid", detail="several lines have this sku: name the line, such as 2, or the unit, 2/1"
            )
    if not units:
        raise refuse(
            "row_invalid", detail="the order has no such order-item-id: name a line (2), a unit (2/1) or a sku"
        )
    if sheets.whole(row, "quantity", 1, 500, len(units)) != len(units):
        raise refuse(
            "row_invalid", detail=f"quantity differs from the {len(units)} units named: name each, such as 2/1"
        )
    return units


def _serials(row: Row) -> list[int]:
    words = re.split(r"[\s,;|]+", row["serials"]) if row["serials"] else []
    if any(not (word.isascii() and word.isdecimal() and len(word) < 20 and int(word) <= MAX_SERIAL) for word in words):
        raise refuse("row_invalid", detail="serials are the whole numbers printed on the tags")
    serials = [int(word) for word in words]
    if len(set(serials)) != len(serials):
        raise refuse("row_invalid", detail="a serial stands there twice")
    return serials


def _label(row: Row, leg: int) -> dict[str, Any]:
    number = row["tracking-number"]
    if not number:
        return {}
    if _ROUNDED.fullmatch(number):
        raise refuse("row_invalid", detail="a spreadsheet has rounded the tracking-number: format the column as text")
    if not _NUMBER.fullmatch(number):
        raise refuse("row_invalid", detail="tracking-number has letters and digits only")
    code = row["carrier-code"]
    carrier = row["carrier-name"] if code.lower() in ("", "other") else code
    if not carrier:
        raise refuse("row_invalid", detail="a tracking-number needs its carrier-code or carrier-name")
    return {"carrier": carrier, "number": number, "service": row["ship-method"], "leg": leg}
