"""Private finding: the days of private tags, the sealed reports of their identifiers, and who shares a tag for good."""

from __future__ import annotations

from sqlalchemy import Column, Index, Integer, PrimaryKeyConstraint, Table

from server.store.tables.columns import metadata, moment, number, raw, ref

# One row for each UTC day of each private tag, uploaded by its owner. Nothing here opens or fetches a report.
day_keys = Table(
    "day_keys",
    metadata,
    raw("eid", primary_key=True),  # public: the hash of `public_key`
    ref("ownership_no", "ownership.no"),
    Column("day", Integer, nullable=False),  # days since 1970-01-01
    raw("public_key"),  # P_i: gateways seal to it
    raw("fetch_hash"),  # SHA-256 of f_i, which whoever fetches must show
    moment("first_report_at", null=True),
    moment("last_report_at", null=True),
    Column("reports", Integer, nullable=False, server_default="0"),
    Index(None, "ownership_no", "day", unique=True),
    Index(None, "day"),
)

# Which gateway brought a report stands nowhere: not here, and not in the order of the rows.
sealed_reports = Table(
    "sealed_reports",
    metadata,
    raw("eid"),
    raw("sealed"),  # 89 bytes; only the owner opens them
    moment("received_at"),  # cut to the hour
    PrimaryKeyConstraint("eid", "sealed"),
    Index(None, "received_at"),
)

# A household shares a tag for good: its secret, sealed to a member's own key by another member.
handovers = Table(
    "handovers",
    metadata,
    number(),
    ref("ownership_no", "ownership.no"),
    ref("to_account_no", "accounts.no", index=True),
    raw("sealed"),  # 90 bytes; only the member opens them
    moment("made_at"),
    Index(None, "ownership_no", "to_account_no", unique=True),
)
