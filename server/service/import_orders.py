"""Orders from a file: one row for each unit or line of an order; rows of one order stand anywhere in the file."""

from __future__ import annotations

import re
from collections.abc import Sequence
from datetime import date, datetime
from typing import Final

from sqlalchemy import Connection

from server.rules.payload_json import FIRST_YEAR, LAST_YEAR
from server.service import orders, sheets
from server.service.import_kind import Importing
from server.service.people import is_email
from server.service.refusals import refuse
from server.service.sheets import Column, Row
from server.service.zones import check_zone
from server.store import keys
from server.store.orders import StoredOrder, StoredSlot

NUMBER: Final = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]{0,63}")
SLOTS_MAX: Final = 500
COLUMNS: Final = (
    Column("order-id", "number of the order", required=True, limit=64),
    Column(
        "placed-at", "when it was placed: with an offset, or in the row's or the file's zone", required=True, limit=40
    ),
    Column("email", "the customer's address", required=True, limit=254),
    Column("customer-name", "the customer's name", required=True),
    Column("sku", "what was ordered", required=True),
    Column("title", "what it is called", required=True),
    Column("line", "rows of one order with the same word here are units of one line; each row is a line without it"),
    Column("quantity", "units of this row, 1 without it", limit=3),
    Column("personalisation", "lettering of this one unit; kept encrypted", limit=500),
    Column("ship-by", "day stated at checkout", limit=10),
    Column("lead-time-bd", "business days added by an option, only if they were shown before payment", limit=3),
    Column("zone", "zone in which it was placed, such as America/New_York", limit=64),
    Column("site", "our site that sends it", limit=32),
    Column("profile", "sale profile, `standard` without it", limit=32),
    Column("phone", "the customer's telephone", limit=40),
    Column("ship-name", "to whom"),
    Column("ship-street", "street and house number"),
    Column("ship-city", "place"),
    Column("ship-region", "state or region"),
    Column("ship-postcode", "ZIP or postcode", limit=16),
    Column("ship-country", "two letters", limit=2),
)
# What belongs to the order and not to one of its rows: said once, or the same in every row.
_OF_ORDER: Final = (
    "placed-at", "email", "customer-name", "zone", "site", "profile", "phone", "ship-name", "ship-street", "ship-city",
    "ship-region", "ship-postcode", "ship-country",
)  # fmt: skip


def groups(rows: Sequence[Row]) -> list[tuple[str, list[Row]]]:
    """The rows of each order, in order of its first row."""
    found: dict[str, list[Row]] = {}
    for row in rows:
        found.setdefault(row["order-id"], []).append(row)
    return list(found.items())


def take(tx: Connection, rows: Sequence[Row], of: Importing, now: datetime) -> bool:
    """Record an order; False if it is known. Refusals: row_invalid, zone_unknown, order_conflict, site_unknown."""
    for row in rows:
        sheets.check(row, [each for each in COLUMNS if each.name not in _OF_ORDER or not each.required])
    head = Row(rows[0].line, {name: _agreed(rows, name) for name in _OF_ORDER} | {"order-id": rows[0]["order-id"]})
    sheets.check(head, [each for each in COLUMNS if each.name in (*_OF_ORDER, "order-id")])
    return orders.record(tx, _order(head, rows, of, now))


def _agreed(rows: Sequence[Row], name: str) -> str:
    told = list(dict.fromkeys(row[name] for row in rows if row[name]))
    if len(told) > 1:
        raise refuse("row_invalid", detail=f"rows of one order differ in {name}")
    return told[0] if told else ""


def _order(head: Row, rows: Sequence[Row], of: Importing, now: datetime) -> StoredOrder:
    zone = head["zone"] or of.zone
    if zone:
        check_zone(zone)
    placed_at, latest = sheets.moment(head, "placed-at", zone)
    if placed_at > now:
        raise refuse("row_invalid", detail="placed-at lies in the future")
    if len(head["placed-at"]) <= len("2026-11-22"):
        # Deadlines are counted from the order: a day alone would make it up to a day late.
        raise refuse("row_invalid", detail="placed-at needs a time")
    if not NUMBER.fullmatch(head["order-id"]):
        raise refuse("row_invalid", detail="order-id has letters, digits, dots, hyphens and underscores only")
    if not is_email(head["email"]):
        raise refuse("row_invalid", detail="email is no e-mail address")
    ship_to = {
        name.removeprefix("ship-"): head[name] for name in _OF_ORDER if name.startswith("ship-") and head[name]
    } | {name: head[f"ship-{name}"] for name in ("country", "postcode")}
    return StoredOrder(
        number=head["order-id"],
        email=head["email"].lower(),
        customer_name=head["customer-name"],
        phone=head["phone"] or None,
        ship_to=ship_to,
        placed_at=min(placed_at, latest),
        zone=zone or "UTC",
        site=head["site"] or None,
        profile=head["profile"] or "standard",
        source="shop",
        learnt_at=now,
        slots=_slots(rows, of),
    )


def _slots(rows: Sequence[Row], of: Importing) -> tuple[StoredSlot, ...]:
    lines: dict[str, int] = {}
    units: dict[int, int] = {}
    found: list[StoredSlot] = []
    for row in rows:
        line = lines.setdefault(row["line"] or f"row {row.line}", len(lines) + 1)
        quantity = sheets.whole(row, "quantity", 1, 100, 1)
        if row["personalisation"] and quantity > 1:
            raise refuse("row_invalid", detail="a lettered unit has a row of its own (quantity 1)")
        for _ in range(quantity):
            units[line] = units.get(line, 0) + 1
            found.append(_slot(row, line, units[line], of))
        if len(found) > SLOTS_MAX:
            raise refuse("row_invalid", detail=f"an order has at most {SLOTS_MAX} units")
    return tuple(sorted(found, key=lambda slot: (slot.line, slot.unit)))


def _slot(row: Row, line: int, unit: int, of: Importing) -> StoredSlot:
    lead = sheets.whole(row, "lead-time-bd", 0, 365, -1)
    try:
        ship_by = date.fromisoformat(row["ship-by"]) if row["ship-by"] else None
    except ValueError:
        raise refuse("row_invalid", detail="ship-by is no day such as 2026-11-22") from None
    if ship_by and not FIRST_YEAR <= ship_by.year < LAST_YEAR:
        raise refuse("row_invalid", detail=f"ship-by is not of the years from {FIRST_YEAR} to {LAST_YEAR}")
    lettering = row["personalisation"]
    return StoredSlot(
        number=0,
        line=line,
        unit=unit,
        sku=row["sku"],
        title=row["title"],
        personalisation=of.vault.seal(keys.PERSONALISATION.what(), lettering.encode()) if lettering else None,
        lead_time_bd=None if lead < 0 else lead,
        ship_by=ship_by,
    )
