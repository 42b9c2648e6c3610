"""What is counted over many orders and tags, once, so that no page and no rule counts it again."""

from __future__ import annotations

from sqlalchemy import BigInteger, Column, Date, Table
from sqlalchemy.dialects.postgresql import ARRAY

from server.store.tables.columns import document, metadata, moment, words

# Which tags that nobody owned were heard in a coarse cell on a day: how well that place is listened to.
listened_days = Table(
    "listened_days",
    metadata,
    words("cell", primary_key=True),
    Column("day", Date, primary_key=True),
    Column("serials", ARRAY(BigInteger), nullable=False),
)

# Our service in figures, as anybody may read them: one row, counted anew every hour.
service_records = Table(
    "service_records",
    metadata,
    words("name", primary_key=True),
    moment("as_of"),
    document("record"),
)
