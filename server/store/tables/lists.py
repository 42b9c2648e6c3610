"""Lists of what is open, derived from weighings and written with them, so that a list costs the rows it shows."""

from __future__ import annotations

from sqlalchemy import BigInteger, Column, Index, SmallInteger, Table

from server.store.tables.columns import big_number, metadata, moment, ref, words

open_findings = Table(
    "open_findings",
    metadata,
    big_number(),
    ref("order_number", "orders.number", index=True),
    words("rule"),
    Column("slot", SmallInteger),  # none: the whole order
    words("subject"),
    Column("urgency", SmallInteger, nullable=False),  # 1 critical, 2 high, 3 warning: in this order they are read
    moment("since"),
    Index(None, "urgency", "since", "no"),
    Index(None, "rule", "urgency", "since", "no"),
)

open_promises = Table(
    "open_promises",
    metadata,
    big_number(),
    ref("order_number", "orders.number", index=True),
    Column("promise", BigInteger, nullable=False),  # the number of its statement
    Column("slot", SmallInteger),  # none: the whole order
    words("what"),
    moment("due"),
    words("by"),
    Index(None, "due", "no"),
)
