"""Every table of the house. Three ledgers are append-only: sightings (with their batches), statements, acts.

A sighting's row is one authenticated frame and holds only what differs from frame to frame; what a whole batch
shares (gateway, class, place, clock, when it reached us) stands once in `batches`.
"""

from __future__ import annotations

from typing import Any, Final

from sqlalchemy import (
    ARRAY,
    BigInteger,
    Boolean,
    CheckConstraint,
    Column,
    Date,
    DateTime,
    Double,
    ForeignKey,
    Identity,
    Index,
    Integer,
    LargeBinary,
    MetaData,
    SmallInteger,
    Table,
    Text,
    UniqueConstraint,
    text,
)
from sqlalchemy.dialects.postgresql import JSONB

metadata: Final = MetaData(
    naming_convention={
        "ix": "ix_%(table_name)s_%(column_0_N_name)s",
        "uq": "uq_%(table_name)s_%(column_0_N_name)s",
        "ck": "ck_%(table_name)s_%(constraint_name)s",
        "fk": "fk_%(table_name)s_%(column_0_N_name)s",
        "pk": "pk_%(table_name)s",
    }
)


def _moment(name: str, *, null: bool = False) -> Column[Any]:
    return Column(name, DateTime(timezone=True), nullable=null)


def _text(name: str, *, null: bool = False, **more: Any) -> Column[Any]:
    return Column(name, Text, nullable=null, **more)


def _bytes(name: str, *, null: bool = False, **more: Any) -> Column[Any]:
    return Column(name, LargeBinary, nullable=null, **more)


def _json(name: str, *, null: bool = False) -> Column[Any]:
    return Column(name, JSONB(none_as_null=True), nullable=null)


def _number(name: str = "no") -> Column[Any]:
    return Column(name, Integer, Identity(always=True), primary_key=True)


def _big_number(name: str = "no") -> Column[Any]:
    return Column(name, BigInteger, Identity(always=True), primary_key=True)


def _ref(name: str, target: str, *, null: bool = False, **more: Any) -> Column[Any]:
    return Column(name, ForeignKey(target), nullable=null, **more)


# --- People ------------------------------------------------------------------------------------------------

accounts = Table(
    "accounts",
    metadata,
    _number(),
    _text("email", unique=True),  # always lower case
    _text("name"),
    _text("role"),
    _text("password_hash", null=True),  # argon2id; none until the first reset link was used
    _text("zone", server_default="UTC"),
    _bytes("custodial_key", null=True),  # Ed25519 for managed claims made without a client key; encrypted
    _moment("created_at"),
    _moment("disabled_at", null=True),
    CheckConstraint(
        "role in ('owner','agent','lead','supervisor','finance','operator')",
        name="role",
    ),
)

sessions = Table(
    "sessions",
    metadata,
    _bytes("token_hash", primary_key=True),
    _ref("account_no", "accounts.no", index=True),
    _text("csrf"),
    _moment("created_at"),
    _moment("expires_at"),
    _moment("revoked_at", null=True),
)

api_tokens = Table(
    "api_tokens",
    metadata,
    _number(),
    _ref("account_no", "accounts.no", index=True),
    _text("name"),
    _bytes("token_hash", unique=True),
    _moment("created_at"),
    _moment("expires_at", null=True),
    _moment("last_used_at", null=True),
    _moment("revoked_at", null=True),
)

password_resets = Table(
    "password_resets",
    metadata,
    _bytes("token_hash", primary_key=True),
    _ref("account_no", "accounts.no"),
    _moment("created_at"),
    _moment("expires_at"),
    _moment("used_at", null=True),
)

sign_in_failures = Table(
    "sign_in_failures",
    metadata,
    _text("who"),  # an e-mail address or a network address
    _moment("at"),
    Index(None, "who", "at"),
)

audit = Table(
    "audit",
    metadata,
    _big_number(),
    _moment("at"),
    _ref("account_no", "accounts.no", null=True),
    _text("actor"),  # account's e-mail, 'cli', 'gateway:ID', 'public'
    _text("action"),
    _text("subject"),
    _json("detail", null=True),
    Index(None, "at"),
    Index(None, "subject", "at"),
)

# --- Keys --------------------------------------------------------------------------------------------------

secrets = Table(
    "secrets",
    metadata,
    _text("name", primary_key=True),  # 'server_key', 'k_factory'
    _bytes("value"),  # encrypted under HEARSIGHT_MASTER_KEY
    _moment("made_at"),
)

factory_keys = Table(
    "factory_keys",
    metadata,
    _bytes("public_key", primary_key=True),  # may sign manifests; its private half is never on the server
    _text("name"),
    _moment("added_at"),
)

# --- Tags --------------------------------------------------------------------------------------------------

lots = Table(
    "lots",
    metadata,
    _number(),
    _text("lot", unique=True),
    _bytes("k_lot"),  # encrypted
    _moment("imported_at"),
    _moment("retired_at", null=True),
)

manifests = Table(
    "manifests",
    metadata,
    _text("manifest", primary_key=True),
    _bytes("sha256"),
    _text("lot"),
    _moment("made_at"),
    _moment("imported_at"),
)

units = Table(
    "units",
    metadata,
    Column("serial", BigInteger, primary_key=True, autoincrement=False),
    _text("lot"),
    _text("model"),
    _text("beacon_mode"),
    _bytes("public_key"),
    _bytes("claim_hash", unique=True),
    _text("found_code", unique=True),  # what is printed on the outside, for /f/{code}
    _ref("manifest", "manifests.manifest"),
    _moment("made_at"),
    CheckConstraint("beacon_mode in ('transit_beacon','silent')", name="beacon_mode"),
)

# --- Gateways and what they heard ---------------------------------------------------------------------------

sites = Table(
    "sites",
    metadata,
    _text("site", primary_key=True),
    _text("name"),
    _text("zone"),
    Column("lat_e7", Integer, nullable=False),
    Column("lon_e7", Integer, nullable=False),
    _json("calendar"),  # pickups, holidays, handling days: policy data, see server/rules/calendar.py
)

gateways = Table(
    "gateways",
    metadata,
    _number(),
    _text("gateway", unique=True),
    Column("gateway_class", SmallInteger, nullable=False),  # wire.batch.GatewayClass
    _text("owner"),  # who runs it: two gateways of one owner are not independent witnesses
    _ref("site", "sites.site", null=True),
    Column("lat_e7", Integer),  # where a fixed one stands; told at enrolment
    Column("lon_e7", Integer),
    Column("accuracy_m", Integer),
    _bytes("public_key", null=True),  # none until enrolled
    _text("mqtt_password_hash", null=True),  # in Mosquitto's own format
    _moment("created_at"),
    _moment("enrolled_at", null=True),
    _moment("revoked_at", null=True),
)

enrolment_tokens = Table(
    "enrolment_tokens",
    metadata,
    _bytes("secret_hash", primary_key=True),
    _ref("gateway_no", "gateways.no"),
    _moment("created_at"),
    _moment("expires_at"),
    _moment("used_at", null=True),
)

gateway_states = Table(
    "gateway_states",
    metadata,
    _ref("gateway_no", "gateways.no", primary_key=True),
    _moment("received_at"),
    _json("state"),  # the newest wire.state.GatewayState; health, not evidence
)

outboxes = Table(
    "outboxes",
    metadata,
    _ref("gateway_no", "gateways.no", primary_key=True),
    _bytes("outbox_id", primary_key=True),
    Column("settled_up_to", BigInteger, nullable=False),
)

batches = Table(
    "batches",
    metadata,
    _big_number(),
    _ref("gateway_no", "gateways.no"),
    _bytes("outbox_id"),
    Column("sequence", BigInteger, nullable=False),
    _bytes("body_sha256"),
    _moment("received_at"),
    _moment("sent_at"),
    Column("gateway_class", SmallInteger, nullable=False),  # as it was when the batch came
    Column("clock", SmallInteger, nullable=False),  # wire.batch.Clock
    Column("lat_e7", Integer),  # where the gateway stood, as it said: these four together or none of them
    Column("lon_e7", Integer),
    Column("accuracy_m", Integer),
    Column("place_source", SmallInteger),  # wire.batch.PlaceSource
    Column("outcome", SmallInteger, nullable=False),  # wire.receipt.OutcomeKind: STORED or REFUSED
    _text("reason", null=True),  # why refused; 'given_up' for a tombstone
    Column("rows", Integer, nullable=False),
    Column("unresolved", Integer, nullable=False),
    _json("dropped", null=True),
    UniqueConstraint("gateway_no", "outbox_id", "sequence"),
    Index(None, "gateway_no", "received_at"),
    CheckConstraint("num_nulls(lat_e7, lon_e7, accuracy_m, place_source) in (0, 4)", name="place"),
)

dead_letters = Table(
    "dead_letters",
    metadata,
    _ref("batch_no", "batches.no", primary_key=True),
    _bytes("payload"),
    _text("reason"),
    _text("detail"),
)

# Partitioned by the moment heard (`server.store.partitions`); the index is what every partition has.
sightings = Table(
    "sightings",
    metadata,
    # Wide columns first: no padding between them. 48 bytes, 72 with the header of the tuple.
    Column("serial", BigInteger, nullable=False),
    _moment("heard_at"),  # when this frame was last heard
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
    _moment("heard_at"),
    Column("window_ms", Integer, nullable=False),
    Column("adverts", SmallInteger, nullable=False),
    Column("rssi_max_dbm", SmallInteger, nullable=False),
    Column("rssi_mean_dbm", SmallInteger, nullable=False),
    _bytes("frame"),
    _text("reason"),  # 'no_lot', 'frame_mac', 'stale_key', …
    Index(None, "heard_at"),
)

# --- Of the moment: who is looking, who is working. Lost in a crash, and nobody minds ---------------------------

live_watches = Table(
    "live_watches",
    metadata,
    Column("serial", BigInteger, primary_key=True, autoincrement=False),
    _text("watcher", primary_key=True),  # one open stream of a web process
    _moment("until"),  # a lease: a process that was killed removes nothing
    Index(None, "until"),
    prefixes=["UNLOGGED"],
)

ingest_workers = Table(
    "ingest_workers",
    metadata,
    _text("worker", primary_key=True),
    _moment("started_at"),
    _moment("seen_at"),
    Column("lag_s", Double, nullable=False),
    Column("waiting", Integer, nullable=False),
    Column("connected", Boolean, nullable=False),
    Column("stored", BigInteger, nullable=False),
    prefixes=["UNLOGGED"],
)

# --- Orders: what was said ----------------------------------------------------------------------------------

orders = Table(
    "orders",
    metadata,
    _text("number", primary_key=True),
    _text("email"),
    _text("customer_name"),
    _text("phone", null=True),
    _json("ship_to"),
    _moment("placed_at"),
    _text("zone"),
    _ref("site", "sites.site", null=True),  # the warehouse whose calendar counts
    _text("profile"),
    _text("source"),
    _moment("learnt_at"),
    Index(None, "email"),
)

slots = Table(
    "slots",
    metadata,
    _text("slot", primary_key=True),  # '{order}/{line}/{unit}'
    _ref("order_number", "orders.number", index=True),
    Column("line", SmallInteger, nullable=False),
    Column("unit", SmallInteger, nullable=False),
    _text("sku"),
    _text("title"),
    _bytes("personalisation", null=True),  # encrypted
    Column("lead_time_bd", SmallInteger),  # only if it was shown before payment
    Column("ship_by", Date),  # if a date was stated at checkout, in the site's zone
)

order_links = Table(
    "order_links",
    metadata,
    _bytes("token_hash", primary_key=True),  # lets a customer, and whom they forward it to, read one order
    _ref("order_number", "orders.number", index=True),
    _moment("made_at"),
    _moment("expires_at"),
)

statements = Table(
    "statements",
    metadata,
    _big_number(),
    _ref("order_number", "orders.number", index=True),
    Column("slots", ARRAY(Text), nullable=False),  # empty: the whole order
    _text("kind"),
    _moment("said_at"),
    _moment("earliest", null=True),
    _moment("latest"),
    _text("zone"),
    _text("by"),
    _text("source"),  # shop, warehouse, carrier, staff, customer, system
    _text("via"),  # how it came: api, cli, page, import, replay
    _json("payload"),
    _ref("corrects", "statements.no", null=True),
    _text("correction", null=True),  # did_not_occur, incorrect_data
    _text("natural_key", unique=True),  # saying the same thing twice is one statement
    _moment("learnt_at"),
    # Which orders a serial was bound to, and which order a carrier's number belongs to: asked for every batch heard.
    Index("ix_statements_serial", text("((payload->>'serial')::bigint)"), postgresql_where=text("kind='serial_bound'")),
    Index("ix_statements_tracking", text("(payload->>'number')"), postgresql_where=text("payload ? 'number'")),
)

# --- Acts: what was done -------------------------------------------------------------------------------------

acts = Table(
    "acts",
    metadata,
    _big_number(),
    _text("kind"),  # claim_started, activated, claimed, released, transferred, marked_lost, marked_found, …
    _moment("at"),
    _moment("learnt_at"),
    _ref("account_no", "accounts.no", null=True),
    _text("actor"),
    Column("serial", BigInteger, index=True),
    _text("order_number", null=True, index=True),
    _json("payload"),
    _ref("corrects", "acts.no", null=True),
)

claims = Table(
    "claims",
    metadata,
    _text("claim", primary_key=True),
    _ref("account_no", "accounts.no", index=True),
    Column("serial", BigInteger, nullable=False, index=True),
    _moment("made_at"),
    _moment("expires_at"),
)

challenges = Table(
    "challenges",
    metadata,
    _bytes("challenge", primary_key=True),
    _ref("claim", "claims.claim", index=True),
    _bytes("owner_hash"),
    _bytes("owner_public_key"),
    _moment("made_at"),
    _moment("expires_at"),
    _bytes("answer", null=True),
    _moment("answered_at", null=True),
)

ownership = Table(
    "ownership",
    metadata,
    _big_number(),
    Column("serial", BigInteger, nullable=False),
    _ref("account_no", "accounts.no", index=True),
    _text("name"),
    _bytes("owner_hash"),
    _moment("since"),
    _moment("until", null=True),
    _ref("by_act", "acts.no"),
    # The first valid receipt wins: one living owner a tag, whoever commits first.
    Index("uq_ownership_living", "serial", unique=True, postgresql_where=text("until is null")),
)

transfers = Table(
    "transfers",
    metadata,
    _text("transfer", primary_key=True),
    _ref("ownership_no", "ownership.no", index=True),  # what is handed over: it ends when the other accepts
    _ref("to_account_no", "accounts.no", index=True),
    _moment("made_at"),
    _moment("expires_at"),
    _moment("accepted_at", null=True),
)

lost_marks = Table(
    "lost_marks",
    metadata,
    _big_number(),
    Column("serial", BigInteger, nullable=False),
    _ref("account_no", "accounts.no"),
    _text("message"),
    _text("contact"),
    _moment("since"),
    _moment("until", null=True),
    Index("uq_lost_marks_living", "serial", unique=True, postgresql_where=text("until is null")),
)

channels = Table(
    "channels",
    metadata,
    _number(),
    _ref("account_no", "accounts.no", index=True),
    _text("kind"),
    _bytes("address"),  # encrypted: an e-mail address or a webhook's URL
    _bytes("secret", null=True),  # encrypted: signs a webhook
    _moment("made_at"),
    _moment("removed_at", null=True),
    CheckConstraint("kind in ('email','webhook')", name="kind"),
)

notices = Table(
    "notices",
    metadata,
    _big_number(),
    _ref("account_no", "accounts.no", null=True),
    _ref("channel_no", "channels.no", null=True),  # none: to the account's own e-mail address
    _text("kind"),
    _text("once", unique=True),  # the same news is told once
    _json("payload"),
    _moment("made_at"),
    _moment("due_at"),
    Column("tries", SmallInteger, nullable=False, server_default="0"),
    _text("last_error", null=True),
    _moment("sent_at", null=True),
    _moment("given_up_at", null=True),
    Index("ix_notices_due", "due_at", postgresql_where=text("sent_at is null and given_up_at is null")),
)

# --- Derived, and only so: a verdict computed at a moment, with the next moment to look -----------------------

weighings = Table(
    "weighings",
    metadata,
    _ref("order_number", "orders.number", primary_key=True),
    _moment("as_of"),
    _text("policy"),
    _moment("next_look_at", null=True),
    _json("weighing"),
    Column("stale", Boolean, nullable=False, server_default="false"),  # a fact came in since
    Index(None, "next_look_at"),
)
