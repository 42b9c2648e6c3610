"""Accounts and what lets them in, what was looked at by whom, and the keys of the house."""

from __future__ import annotations

from sqlalchemy import CheckConstraint, Index, Table

from server.store.tables.columns import big_number, document, metadata, moment, number, raw, ref, words

accounts = Table(
    "accounts",
    metadata,
    number(),
    words("email", unique=True),  # always lower case
    words("name"),
    words("role"),
    words("password_hash", null=True),  # argon2id; none until the first reset link was used
    words("zone", server_default="UTC"),
    raw("custodial_key", null=True),  # Ed25519 for managed claims made without a client key; encrypted
    raw("household_key", null=True),  # X25519 public key of the person's own, to which co-owners seal a tag's secret
    moment("created_at"),
    moment("disabled_at", null=True),
    CheckConstraint(
        "role in ('owner','agent','lead','supervisor','finance','operator')",
        name="role",
    ),
)

sessions = Table(
    "sessions",
    metadata,
    raw("token_hash", primary_key=True),
    ref("account_no", "accounts.no", index=True),
    words("csrf"),
    moment("created_at"),
    moment("expires_at"),
    moment("revoked_at", null=True),
)

api_tokens = Table(
    "api_tokens",
    metadata,
    number(),
    ref("account_no", "accounts.no", index=True),
    words("name"),
    raw("token_hash", unique=True),
    moment("created_at"),
    moment("expires_at", null=True),
    moment("last_used_at", null=True),
    moment("revoked_at", null=True),
)

password_resets = Table(
    "password_resets",
    metadata,
    raw("token_hash", primary_key=True),
    ref("account_no", "accounts.no"),
    moment("created_at"),
    moment("expires_at"),
    moment("used_at", null=True),
)

sign_in_failures = Table(
    "sign_in_failures",
    metadata,
    words("who"),  # an e-mail address or a network address
    moment("at"),
    Index(None, "who", "at"),
)

audit = Table(
    "audit",
    metadata,
    big_number(),
    moment("at"),
    ref("account_no", "accounts.no", null=True),
    words("actor"),  # account's e-mail, 'cli', 'gateway:ID', 'public'
    words("action"),
    words("subject"),
    document("detail", null=True),
    Index(None, "at"),
    Index(None, "subject", "at"),
)


secrets = Table(
    "secrets",
    metadata,
    words("name", primary_key=True),  # 'server_key', 'k_factory'
    raw("value"),  # encrypted under HEARSIGHT_MASTER_KEY
    moment("made_at"),
)

factory_keys = Table(
    "factory_keys",
    metadata,
    raw("public_key", primary_key=True),  # may sign manifests; its private half is never on the server
    words("name"),
    moment("added_at"),
)
