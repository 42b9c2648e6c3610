"""What the factory made: lots, manifests, units."""

from __future__ import annotations

from sqlalchemy import BigInteger, CheckConstraint, Column, Table

from server.store.tables.columns import metadata, moment, number, raw, ref, words

lots = Table(
    "lots",
    metadata,
    number(),
    words("lot", unique=True),
    raw("k_lot"),  # encrypted
    moment("imported_at"),
    moment("retired_at", null=True),
)

manifests = Table(
    "manifests",
    metadata,
    words("manifest", primary_key=True),
    raw("sha256"),
    words("lot"),
    moment("made_at"),
    moment("imported_at"),
)

units = Table(
    "units",
    metadata,
    Column("serial", BigInteger, primary_key=True, autoincrement=False),
    words("lot"),
    words("model"),
    words("beacon_mode"),
    raw("public_key"),
    raw("claim_hash", unique=True),
    words("found_code", unique=True),  # what is printed on the outside, for /f/{code}
    ref("manifest", "manifests.manifest"),
    moment("made_at"),
    CheckConstraint("beacon_mode in ('transit_beacon','silent')", name="beacon_mode"),
)
