"""What comes in from outside: webhooks as they came, numbers whose carriers are asked, imported files row by row."""

from __future__ import annotations

from sqlalchemy import CheckConstraint, Column, ForeignKey, Index, Integer, SmallInteger, Table, UniqueConstraint, text

from server.store.tables.columns import big_number, document, metadata, moment, raw, ref, words

webhook_inbox = Table(
    "webhook_inbox",
    metadata,
    big_number(),
    words("vendor"),  # easypost, shop
    words("event"),  # the sender's id of it: a replay is one row
    moment("received_at"),
    raw("body"),  # encrypted; as it came
    words("number", null=True),  # the carrier's number that it is about
    document("waiting", null=True),  # what it tells, as long as no order has this number
    UniqueConstraint("vendor", "event"),
    Index("ix_webhook_inbox_waiting", "number", postgresql_where=text("waiting is not null")),
)

# Which orders follow which carrier's number. Derived from labels and numbers given, and the queue of what is asked.
trackers = Table(
    "trackers",
    metadata,
    ref("order_number", "orders.number", primary_key=True),
    words("number", primary_key=True),  # without spaces, in capitals
    words("carrier", primary_key=True),  # as the label names it; empty: only a number was given
    Column("slot", SmallInteger, primary_key=True, autoincrement=False),  # 0: the whole order
    words("spelled"),  # the number as it was stated
    moment("labelled_at"),
    words("vendor_id", null=True),  # the vendor's own name of it
    moment("next_poll_at"),
    Column("tries", SmallInteger, nullable=False, server_default="0"),
    words("error", null=True),  # why the last answer failed
    moment("ended_at", null=True),  # nothing more is asked; what comes all the same is taken
    Index(None, "number"),
    Index("ix_trackers_due", "next_poll_at", postgresql_where=text("ended_at is null")),
)

imports = Table(
    "imports",
    metadata,
    words("import_id", primary_key=True),  # hash of kind, zone and file: the same file again is the same import
    words("kind"),  # orders, shipments
    words("file_name"),
    words("zone"),
    Column("rows", Integer, nullable=False),
    words("made_by"),
    moment("made_at"),
    moment("finished_at", null=True),
)

import_rows = Table(
    "import_rows",
    metadata,
    Column("import_id", ForeignKey("imports.import_id"), primary_key=True),
    Column("row", Integer, primary_key=True, autoincrement=False),  # line of the file; the header's is 1
    words("order_number"),
    words("outcome"),
    words("code"),
    words("sentence"),
    CheckConstraint("outcome in ('added','known','refused')", name="outcome"),
)
