"""Gateways, what they delivered and what was heard; and of the moment: who is looking, who is working.

A sighting's row is one authenticated frame and holds only what differs from frame to frame; what a whole batch
shares (gateway, class, place, clock, when it reached us) stands once in `batches`.
"""

from __future__ import annotations

from sqlalchemy import (
    BigInteger,
    Boolean,
    CheckConstraint,
    Column,
    Double,
    Index,
    Integer,
    SmallInteger,
    Table,
    UniqueConstraint,
)

from server.store.tables.columns import big_number, document, metadata, moment, number, raw, ref, words

sites = Table(
    "sites",
    metadata,
    words("site", primary_key=True),
    words("name"),
    words("zone"),
    Column("lat_e7", Integer, nullable=False),
    Column("lon_e7", Integer, nullable=False),
    document("calendar"),  # pickups, holidays, handling days: policy data, see server/rules/calendar.py
)

gateways = Table(
    "gateways",
    metadata,
    number(),
    words("gateway", unique=True),
    Column("gateway_class", SmallInteger, nullable=False),  # wire.batch.GatewayClass
    words("owner"),  # who runs it: two gateways of one owner are not independent witnesses
    ref("site", "sites.site", null=True),
    Column("lat_e7", Integer),  # where a fixed one stands; told at enrolment
    Column("lon_e7", Integer),
    Column("accuracy_m", Integer),
    raw("public_key", null=True),  # none until enrolled
    words("mqtt_password_hash", null=True),  # in Mosquitto's own format
    moment("created_at"),
    moment("enrolled_at", null=True),
    moment("revoked_at", null=True),
)

enrolment_tokens = Table(
    "enrolment_tokens",
    metadata,
    raw("secret_hash", primary_key=True),
    ref("gateway_no", "gateways.no"),
    moment("created_at"),
    moment("expires_at"),
    moment("used_at", null=True),
)

gateway_states = Table(
    "gateway_states",
    metadata,
    ref("gateway_no", "gateways.no", primary_key=True),
    moment("received_at"),
    document("state"),  # the newest wire.state.GatewayState; health, not evidence
)

outboxes = Table(
    "outboxes",
    metadata,
    ref("gateway_no", "gateways.no", primary_key=True),
    raw("outbox_id", primary_key=True),
    Column("settled_up_to", BigInteger, nullable=False),
)

batches = Table(
    "batches",
    metadata,
    big_number(),
    ref("gateway_no", "gateways.no"),
    raw("outbox_id"),
    Column("sequence", BigInteger, nullable=False),
    raw("body_sha256"),
    moment("received_at"),
    moment("sent_at"),
    Column("gateway_class", SmallInteger, nullable=False),  # as it was when the batch came
    Column("clock", SmallInteger, nullable=False),  # wire.batch.Clock
    Column("lat_e7", Integer),  # where the gateway stood, as it said: these four together or none of them
    Column("lon_e7", Integer),
    Column("accuracy_m", Integer),
    Column("place_source", SmallInteger),  # wire.batch.PlaceSource
    Column("outcome", SmallInteger, nullable=False),  # wire.receipt.OutcomeKind: STORED or REFUSED
    words("reason", null=True),  # why refused; 'given_up' for a tombstone
    Column("rows", Integer, nullable=False),
    Column("unresolved", Integer, nullable=False),
    document("dropped", null=True),
    UniqueConstraint("gateway_no", "outbox_id", "sequence"),
    Index(None, "gateway_no", "received_at"),
    CheckConstraint("num_nulls(lat_e7, lon_e7, accuracy_m, place_source) in (0, 4)", name="place"),
)

dead_letters = Table(
    "dead_letters",
    metadata,
    ref("batch_no", "batches.no", primary_key=True),
    raw("payload"),
    words("reason"),
    words("detail"),
)

# Partitioned by the moment heard (`server.store.partitions`); the index is what every partition has.
sightings = Table(
    "sightings",
    metadata,
    # Wide columns first: no padding between them. 48 bytes, 72 with the header of the tuple.
    Column("serial", BigInteger, nullable=False),
    moment("heard_at"),  # when this frame was last heard
    Column("batch_no", BigInteger, nullable=False),
    Column("uptime_s", BigInteger, nullable=False),
    Column("window_ms", Integer, nullable=False),  # how long before `heard_at` its address was first heard
    Column("boot", Integer, nullable=False),
    Column("adverts", SmallInteger, nullable=False),  # of the whole window; 32,767 stands for that many or more
    Column("status", SmallInteger, nullable=False),
    Column("rssi_max_dbm", SmallInteger, nullable=False),
    Column("rssi_mean_dbm", SmallInteger, nullable=False),
    Index(None, "serial", "heard_at"),
    postgresql_partition_by="range (heard_at)",
)

unresolved_frames = Table(
    "unresolved_frames",
    metadata,
    Column("batch_no", BigInteger, nullable=False),
    moment("heard_at"),
    Column("window_ms", Integer, nullable=False),
    Column("adverts", SmallInteger, nullable=False),
    Column("rssi_max_dbm", SmallInteger, nullable=False),
    Column("rssi_mean_dbm", SmallInteger, nullable=False),
    raw("frame"),
    words("reason"),  # 'no_lot', 'frame_mac', 'stale_key', …
    Index(None, "heard_at"),
)

# --- Of the moment: lost in a crash, and nobody minds ------------------------------------------------------------

live_watches = Table(
    "live_watches",
    metadata,
    Column("serial", BigInteger, primary_key=True, autoincrement=False),
    words("watcher", primary_key=True),  # a web process, for all its open streams
    moment("until"),  # a lease: a process that was killed removes nothing
    Index(None, "until"),
    prefixes=["UNLOGGED"],
)

ingest_workers = Table(
    "ingest_workers",
    metadata,
    words("worker", primary_key=True),
    moment("started_at"),
    moment("seen_at"),
    Column("lag_s", Double, nullable=False),
    Column("waiting", Integer, nullable=False),
    Column("connected", Boolean, nullable=False),
    Column("stored", BigInteger, nullable=False),
    prefixes=["UNLOGGED"],
)
