"""What customers wrote, letters that wait for a person, and what was said of the house as a whole."""

from __future__ import annotations

from sqlalchemy import Boolean, CheckConstraint, Column, Index, SmallInteger, Table, Text, text
from sqlalchemy.dialects.postgresql import ARRAY

from server.store.tables.columns import big_number, document, metadata, moment, raw, ref, words

# Beside the statement, not in its payload: rules read kinds and moments, never a customer's words.
contact_words = Table(
    "contact_words",
    metadata,
    ref("statement_no", "statements.no", primary_key=True),
    raw("words"),  # encrypted: text, and for a call the number and the time that suits
    Column("own", Boolean, nullable=False),  # by somebody who showed that the order is theirs: they may read it again
)

mail_in = Table(
    "mail_in",
    metadata,
    big_number(),
    raw("message_hash", unique=True),  # of Message-ID and sender: a letter that comes twice is one
    moment("received_at"),
    words("outcome"),  # waits, contact, auto_reply, bounce, dropped
    ref("order_number", "orders.number", null=True, index=True),  # where it was put
    raw("letter", null=True),  # encrypted sender, subject and text; only while it waits for a person
    words("why", null=True),  # why it waits: no_order, several_orders, too_many
    Column("candidates", ARRAY(Text), nullable=False),  # the orders that it may be about
    Column("attachments", SmallInteger, nullable=False),  # counted, not kept
    moment("settled_at", null=True),
    CheckConstraint("(outcome = 'waits') = (letter is not null)", name="letter"),
    Index("ix_mail_in_waits", "received_at", postgresql_where=text("outcome='waits'")),
)

# Append-only, as statements are: the state of each way to reach us, and texts that everybody reads.
house_words = Table(
    "house_words",
    metadata,
    big_number(),
    words("kind"),  # channel_state, public_text
    words("subject"),  # the channel, or where the text stands
    moment("said_at"),
    words("by"),
    words("source"),  # staff, system
    document("payload"),
    CheckConstraint("kind in ('channel_state','public_text')", name="kind"),
    Index("ix_house_words_subject", "kind", "subject", "no"),
    Index("ix_house_words_said_at", "said_at"),
)
