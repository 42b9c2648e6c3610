"""Remedies: asked for, granted, done exactly once; runs over many orders; and what the house's own ports did."""

from __future__ import annotations

from sqlalchemy import (
    BigInteger,
    CheckConstraint,
    Column,
    Index,
    SmallInteger,
    Table,
    Text,
    text,
)
from sqlalchemy.dialects.postgresql import ARRAY

from server.store.tables.columns import big_number, document, metadata, moment, number, ref, words

remedy_runs = Table(
    "remedy_runs",
    metadata,
    number(),
    words("key", unique=True),  # asked for twice, it is one run
    words("action"),  # rules.authority.Action
    words("cause"),  # in words: why these orders and no others
    words("customer_text"),  # the one notice that each customer gets
    words("state"),  # rules.remedy_runs.RunState
    words("made_by"),
    moment("made_at"),
    Column("looked_by", ARRAY(Text), nullable=False, server_default="{}"),
    moment("look_again_at", null=True),  # profile solo: the second look of the same person, not before this
    moment("approved_at", null=True),
    moment("not_before", null=True),  # until then the whole run can be taken back
    moment("ended_at", null=True),
    CheckConstraint("state in ('previewed','approved','done','withdrawn')", name="state"),
)

remedies = Table(
    "remedies",
    metadata,
    big_number(),
    ref("order_number", "orders.number", index=True),
    Column("slots", ARRAY(SmallInteger), nullable=False),  # empty: the whole order
    words("action"),  # rules.authority.Action
    Column("amount_minor", BigInteger, nullable=False),
    words("currency"),
    words("key", unique=True),  # asked for twice, it is one remedy; also the key at the payment and label ports
    Column("rules", ARRAY(Text), nullable=False),  # the findings that it answers
    words("reason"),
    document("plan", null=True),  # the label that was looked up, and why it is bought although it is no faster
    words("state"),  # rules.remedy_life.State
    words("asked_by"),
    moment("asked_at"),
    Column("granted_by", ARRAY(Text), nullable=False, server_default="{}"),
    moment("look_again_at", null=True),  # profile solo: the second look of the same person, not before this
    moment("due_at", null=True),  # the next try; before the first one it can be withdrawn
    Column("tries", SmallInteger, nullable=False, server_default="0"),
    words("error", null=True),
    document("outcome", null=True),
    moment("ended_at", null=True),
    ref("run_no", "remedy_runs.no", null=True, index=True),
    CheckConstraint("state in ('proposed','granted','booked','done','failed','withdrawn')", name="state"),
    CheckConstraint("amount_minor = 0 or action in ('full_refund','refund_service_fee')", name="invoice_is_zero"),
    Index("ix_remedies_due", "due_at", postgresql_where=text("state in ('granted','booked')")),
    Index("ix_remedies_open", "asked_at", postgresql_where=text("state not in ('done','withdrawn')")),
)

remedy_run_orders = Table(
    "remedy_run_orders",
    metadata,
    ref("run_no", "remedy_runs.no", primary_key=True),
    ref("order_number", "orders.number", primary_key=True),  # never twice for an order
    Column("amount_minor", BigInteger, nullable=False),
    words("currency"),
    words("state"),  # rules.remedy_runs.Member
    words("why"),
    CheckConstraint("state in ('waiting','taken','left_out')", name="state"),
    Index("ix_remedy_run_orders_waiting", "run_no", postgresql_where=text("state = 'waiting'")),
)

# --- The house's own ports: real where no provider is connected (demo, tests, a small shop) -----------------------

# A ledger that somebody pays from by hand; `paid_at` is when they said that they did.
house_payments = Table(
    "house_payments",
    metadata,
    words("key", primary_key=True),
    ref("order_number", "orders.number", index=True),
    Column("amount_minor", BigInteger, nullable=False),
    words("currency"),
    moment("booked_at"),
    moment("paid_at", null=True),
    words("paid_by", null=True),
    Index("ix_house_payments_unpaid", "booked_at", postgresql_where=text("paid_at is null")),
)

house_labels = Table(
    "house_labels",
    metadata,
    number(),  # of our own range: the label's number is made from it
    words("key", unique=True),
    ref("order_number", "orders.number", index=True),
    words("service"),
    moment("made_at"),
    moment("eta"),
)
