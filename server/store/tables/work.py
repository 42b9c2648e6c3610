"""What people and machines are busy with: remedies, imports, what carriers and customers sent us, channels, cohorts."""

from __future__ import annotations

from sqlalchemy import (
    ARRAY,
    BigInteger,
    Boolean,
    CheckConstraint,
    Column,
    Index,
    Integer,
    SmallInteger,
    Table,
    Text,
    UniqueConstraint,
    text,
)

from server.store.tables.columns import big_number, document, metadata, moment, number, raw, ref, words

# --- Remedies: asked for, granted, done exactly once ------------------------------------------------------------

remedy_runs = Table(
    "remedy_runs",
    metadata,
    number(),
    words("action"),  # rules.authority.Action
    words("cause"),  # in words: why these orders and no others
    words("customer_text"),  # the one notice that each customer gets
    words("state"),
    words("made_by"),
    moment("made_at"),
    words("approved_by", null=True),
    moment("approved_at", null=True),
    moment("finished_at", null=True),
    CheckConstraint("state in ('previewed','approved','running','done')", name="state"),
)

remedies = Table(
    "remedies",
    metadata,
    big_number(),
    ref("order_number", "orders.number", index=True),
    Column("slot", SmallInteger),
    words("action"),  # rules.authority.Action
    Column("amount_minor", BigInteger, nullable=False, server_default="0"),
    words("currency", server_default=""),
    words("key", unique=True),  # asked for twice, it is one remedy; also the key at the payment and label ports
    words("rule", null=True),  # the finding that it answers
    words("reason"),
    words("state"),
    words("asked_by"),
    moment("asked_at"),
    Column("granted_by", ARRAY(Text), nullable=False, server_default="{}"),
    moment("granted_at", null=True),
    moment("not_before", null=True),  # profile solo: one person grants, after a delay and a second look
    moment("done_at", null=True),
    document("outcome", null=True),
    Column("tries", SmallInteger, nullable=False, server_default="0"),
    words("error", null=True),
    ref("run_no", "remedy_runs.no", null=True, index=True),
    CheckConstraint("state in ('proposed','granted','done','failed','withdrawn')", name="state"),
    Index("ix_remedies_waiting", "not_before", postgresql_where=text("state = 'granted'")),
)

# What the house's own payment and label ports did: real where no provider is connected (demo, tests, a small shop that
# pays by hand from this list).
house_payments = Table(
    "house_payments",
    metadata,
    words("key", primary_key=True),
    ref("order_number", "orders.number", index=True),
    Column("amount_minor", BigInteger, nullable=False),
    words("currency"),
    moment("paid_at"),
)

house_labels = Table(
    "house_labels",
    metadata,
    words("key", primary_key=True),
    ref("order_number", "orders.number", index=True),
    words("carrier"),
    words("service"),
    words("number"),
    moment("made_at"),
    moment("eta"),
)

# --- Intake: imports, webhooks, what is asked again ----------------------------------------------------------------

imports = Table(
    "imports",
    metadata,
    words("import_id", primary_key=True),
    words("kind"),
    words("file_name"),
    raw("sha256"),
    Column("rows", Integer, nullable=False),
    words("made_by"),
    moment("made_at"),
    moment("finished_at", null=True),
)

import_rows = Table(
    "import_rows",
    metadata,
    ref("import_id", "imports.import_id", primary_key=True),
    Column("row", Integer, primary_key=True, autoincrement=False),
    words("outcome"),  # added, known, refused
    words("code", null=True),
    words("detail", null=True),
)

carrier_inbox = Table(
    "carrier_inbox",
    metadata,
    big_number(),
    words("vendor"),
    words("event"),  # the vendor's id of the event: a replay is one row
    moment("received_at"),
    raw("body"),  # as it came; encrypted
    words("state"),
    words("error", null=True),
    UniqueConstraint("vendor", "event"),
    CheckConstraint("state in ('taken','unmatched','refused')", name="state"),
)

trackers = Table(
    "trackers",
    metadata,
    words("carrier", primary_key=True),
    words("number", primary_key=True),
    ref("order_number", "orders.number", primary_key=True),
    words("vendor"),
    words("vendor_id", null=True),
    moment("made_at"),
    moment("next_poll_at"),
    moment("polled_at", null=True),
    Column("tries", SmallInteger, nullable=False, server_default="0"),
    words("error", null=True),
    moment("ended_at", null=True),
    Index("ix_trackers_due", "next_poll_at", postgresql_where=text("ended_at is null")),
)

# --- People: what reached us and is nobody's order yet, and whether they can reach us -----------------------------

mail_in = Table(
    "mail_in",
    metadata,
    big_number(),
    words("message_id", unique=True),
    moment("received_at"),
    raw("sender"),  # encrypted
    raw("subject"),  # encrypted
    raw("body"),  # encrypted
    ref("order_number", "orders.number", null=True, index=True),  # none: a person must say which
    moment("settled_at", null=True),
)

channel_reports = Table(
    "channel_reports",
    metadata,
    big_number(),
    words("channel"),
    Column("works", Boolean, nullable=False),
    words("why"),
    moment("at"),
    words("reported_by"),
    Index(None, "channel", "at"),
)

# --- Cohorts: one mistake, many orders (R-26) ----------------------------------------------------------------------

cohorts = Table(
    "cohorts",
    metadata,
    number(),
    words("rule"),
    words("cause_kind"),  # rules.cohorts.CauseKind
    words("cause"),
    Column("orders", ARRAY(Text), nullable=False),
    Column("share_percent", Integer, nullable=False),
    Column("usual_percent", Integer, nullable=False),
    moment("since"),
    moment("ended_at", null=True),
    Index("uq_cohorts_living", "rule", "cause_kind", "cause", unique=True, postgresql_where=text("ended_at is null")),
)
