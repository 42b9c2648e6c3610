"""What was said about orders, what was done with tags, and the verdicts kept beside the facts."""

from __future__ import annotations

from sqlalchemy import (
    BigInteger,
    Boolean,
    CheckConstraint,
    Column,
    Date,
    Index,
    Integer,
    SmallInteger,
    Table,
    Text,
    text,
)
from sqlalchemy.dialects.postgresql import ARRAY

from server.store.tables.columns import big_number, document, metadata, moment, number, raw, ref, words

orders = Table(
    "orders",
    metadata,
    words("number", primary_key=True),
    words("email"),
    words("customer_name"),
    words("phone", null=True),
    document("ship_to"),
    moment("placed_at"),
    words("zone"),
    ref("site", "sites.site", null=True),  # the warehouse whose calendar counts
    words("profile"),
    words("source"),
    moment("learnt_at"),
    Index(None, "email"),
    Index("ix_orders_phone_digits", text(r"regexp_replace(phone, '\D', '', 'g')")),
    Index("ix_orders_name", text("lower(customer_name)")),
)

slots = Table(
    "slots",
    metadata,
    words("slot", primary_key=True),  # '{order}/{line}/{unit}'
    ref("order_number", "orders.number", index=True),
    Column("line", SmallInteger, nullable=False),
    Column("unit", SmallInteger, nullable=False),
    words("sku"),
    words("title"),
    raw("personalisation", null=True),  # encrypted
    Column("lead_time_bd", SmallInteger),  # only if it was shown before payment
    Column("ship_by", Date),  # if a date was stated at checkout, in the site's zone
)

order_links = Table(
    "order_links",
    metadata,
    raw("token_hash", primary_key=True),  # lets a customer, and whom they forward it to, read one order
    ref("order_number", "orders.number", index=True),
    moment("made_at"),
    moment("expires_at"),
)

statements = Table(
    "statements",
    metadata,
    big_number(),
    ref("order_number", "orders.number", index=True),
    Column("slots", ARRAY(Text), nullable=False),  # empty: the whole order
    words("kind"),
    moment("said_at"),
    moment("earliest", null=True),
    moment("latest"),
    words("zone"),
    words("by"),
    words("source"),  # shop, warehouse, carrier, staff, customer, system
    words("via"),  # how it came: api, cli, page, mail, import, replay, webhook, poll
    document("payload"),
    ref("corrects", "statements.no", null=True),
    words("correction", null=True),  # did_not_occur, incorrect_data
    words("natural_key", unique=True),  # saying the same thing twice is one statement
    moment("learnt_at"),
    # Which orders a serial was bound to, and which order a carrier's number belongs to: asked for every batch heard.
    Index("ix_statements_serial", text("((payload->>'serial')::bigint)"), postgresql_where=text("kind='serial_bound'")),
    # Whom we promised something or talked to lately: our service in figures.
    Index("ix_statements_people", "said_at", postgresql_where=text("kind in ('promise', 'contact')")),
    Index("ix_statements_tracking", text("(payload->>'number')"), postgresql_where=text("payload ? 'number'")),
)

# --- Acts: what was done --------------------------------------------------------------------------------

acts = Table(
    "acts",
    metadata,
    big_number(),
    words("kind"),  # claim_started, activated, claimed, released, transferred, marked_lost, marked_found, …
    moment("at"),
    moment("learnt_at"),
    ref("account_no", "accounts.no", null=True),
    words("actor"),
    Column("serial", BigInteger, index=True),
    words("order_number", null=True, index=True),
    document("payload"),
    ref("corrects", "acts.no", null=True),
)

claims = Table(
    "claims",
    metadata,
    words("claim", primary_key=True),
    ref("account_no", "accounts.no", index=True),
    Column("serial", BigInteger, nullable=False, index=True),
    moment("made_at"),
    moment("expires_at"),
)

challenges = Table(
    "challenges",
    metadata,
    raw("challenge", primary_key=True),
    ref("claim", "claims.claim", index=True),
    raw("owner_hash"),
    raw("owner_public_key"),
    moment("made_at"),
    moment("expires_at"),
    raw("answer", null=True),
    moment("answered_at", null=True),
)

ownership = Table(
    "ownership",
    metadata,
    big_number(),
    Column("serial", BigInteger, nullable=False),
    ref("account_no", "accounts.no", index=True),
    words("name"),
    raw("owner_hash"),
    moment("since"),
    moment("until", null=True),
    ref("by_act", "acts.no"),
    # Only the owner's keys read where it is; false: managed, the server can.
    Column("private", Boolean, nullable=False, server_default="false"),
    # The first valid receipt wins: one living owner a tag, whoever commits first.
    Index("uq_ownership_living", "serial", unique=True, postgresql_where=text("until is null")),
    # Asked by whoever stores sightings, and by every reading: of the time in which a tag was private there are none.
    Index("ix_ownership_private", "serial", postgresql_where=text("private")),
)

transfers = Table(
    "transfers",
    metadata,
    words("transfer", primary_key=True),
    ref("ownership_no", "ownership.no", index=True),  # what is handed over: it ends when the other accepts
    ref("to_account_no", "accounts.no", index=True),
    moment("made_at"),
    moment("expires_at"),
    moment("accepted_at", null=True),
)

lost_marks = Table(
    "lost_marks",
    metadata,
    big_number(),
    Column("serial", BigInteger, nullable=False),
    ref("account_no", "accounts.no"),
    words("message"),
    words("contact"),
    moment("since"),
    moment("until", null=True),
    Index("uq_lost_marks_living", "serial", unique=True, postgresql_where=text("until is null")),
)

channels = Table(
    "channels",
    metadata,
    number(),
    ref("account_no", "accounts.no", index=True),
    words("kind"),
    raw("address"),  # encrypted: an e-mail address, a webhook's or apprise's URL, a browser's endpoint
    raw("secret", null=True),  # encrypted: signs a webhook; a browser's public point ‖ its secret (65 ‖ 16 bytes)
    moment("made_at"),
    moment("removed_at", null=True),
    CheckConstraint("kind in ('email','webhook','apprise','webpush')", name="kind"),
)

notices = Table(
    "notices",
    metadata,
    big_number(),
    ref("account_no", "accounts.no", null=True),
    ref("order_number", "orders.number", null=True),  # to its customer, who may have no account
    ref("channel_no", "channels.no", null=True),  # none: to the account's or the order's own e-mail address
    words("kind"),
    words("once", unique=True),  # the same news is told once
    document("payload"),
    moment("made_at"),
    moment("due_at"),
    Column("tries", SmallInteger, nullable=False, server_default="0"),
    words("last_error", null=True),
    moment("sent_at", null=True),
    moment("given_up_at", null=True),
    CheckConstraint("num_nonnulls(account_no, order_number) = 1", name="reader"),
    Index("ix_notices_due", "due_at", postgresql_where=text("sent_at is null and given_up_at is null")),
)

# --- Derived, and only so: a verdict computed at a moment, with the next moment to look --------------------

weighings = Table(
    "weighings",
    metadata,
    ref("order_number", "orders.number", primary_key=True),
    moment("as_of"),
    words("policy"),
    moment("next_look_at", null=True),
    document("weighing"),
    Column("stale", Boolean, nullable=False, server_default="false"),  # a fact came in since
    moment("waits_since", null=True),  # since when its customer waits for a person's answer
    Index(None, "next_look_at"),
    Index("ix_weighings_stale", "next_look_at", postgresql_where=text("stale")),
    Index("ix_weighings_waits_since", "waits_since", postgresql_where=text("waits_since is not null")),
    Column("unasked", Boolean, nullable=False, server_default="false"),  # a remedy is to be made without being asked
    Index("ix_weighings_unasked", "order_number", postgresql_where=text("unasked")),
)

# One mistake, many orders, as `server.rules.cohorts` found them in the rows above.
cohorts = Table(
    "cohorts",
    metadata,
    number(),
    words("rule"),
    words("cause_kind"),  # rules.causes.CauseKind
    words("cause"),
    Column("orders", ARRAY(Text), nullable=False),
    Column("share_percent", Integer, nullable=False),
    Column("usual_percent", Integer, nullable=False),
    moment("since"),
    moment("ended_at", null=True),
    Index("uq_cohorts_living", "rule", "cause_kind", "cause", unique=True, postgresql_where=text("ended_at is null")),
    Index(None, "orders", postgresql_using="gin"),
)
