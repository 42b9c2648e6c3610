"""People and how they show who they are: accounts, sessions, API tokens, reset links, failed sign-ins.

Of every token only the SHA-256 is kept: whoever reads the database cannot sign in with what stands there.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from typing import Any, Final

from sqlalchemy import Connection, Select, delete, func, or_, select, text, update
from sqlalchemy.dialects.postgresql import insert

from server.rules.authority import Role
from server.store.tables import accounts, api_tokens, password_resets, sessions, sign_in_failures

# `last used` need not be exact, and a write at every request would cost more than the request.
_LAST_USED_STEP: Final = timedelta(minutes=1)


@dataclass(frozen=True, slots=True)
class Account:
    """One person (or program) who can sign in."""

    no: int
    email: str
    name: str
    role: Role
    zone: str
    created_at: datetime
    disabled_at: datetime | None
    password_hash: str | None = field(repr=False)


@dataclass(frozen=True, slots=True)
class Session:
    """A signed-in browser; `csrf` must come back with every form."""

    account: Account
    csrf: str = field(repr=False)
    expires_at: datetime


@dataclass(frozen=True, slots=True)
class ApiToken:
    """A personal API token, without itself."""

    no: int
    name: str
    created_at: datetime
    expires_at: datetime | None
    last_used_at: datetime | None
    revoked_at: datetime | None


_ACCOUNT: Final = (
    accounts.c.no,
    accounts.c.email,
    accounts.c.name,
    accounts.c.role,
    accounts.c.zone,
    accounts.c.created_at,
    accounts.c.disabled_at,
    accounts.c.password_hash,
)


def _account(row: Any) -> Account:
    return Account(
        row.no, row.email, row.name, Role(row.role), row.zone, row.created_at, row.disabled_at, row.password_hash
    )


def _one(tx: Connection, query: Select[Any]) -> Account | None:
    row = tx.execute(query).one_or_none()
    return _account(row) if row else None


# --- accounts


def add(tx: Connection, email: str, name: str, role: Role, zone: str, now: datetime) -> Account | None:
    """A new account without a password; None if the address (small letters) has one."""
    row = {"email": email, "name": name, "role": str(role), "zone": zone, "created_at": now}
    made = insert(accounts).values(row).on_conflict_do_nothing(index_elements=["email"]).returning(*_ACCOUNT)
    found = tx.execute(made).one_or_none()
    return _account(found) if found else None


def by_email(tx: Connection, email: str) -> Account | None:
    return _one(tx, select(*_ACCOUNT).where(accounts.c.email == email))


def by_no(tx: Connection, no: int) -> Account | None:
    return _one(tx, select(*_ACCOUNT).where(accounts.c.no == no))


def everybody(tx: Connection) -> tuple[Account, ...]:
    """Every account, staff first, then by address."""
    staff_first = (accounts.c.role == str(Role.OWNER), accounts.c.email)
    return tuple(_account(row) for row in tx.execute(select(*_ACCOUNT).order_by(*staff_first)))


def living_operators(tx: Connection) -> int:
    """How many operators can sign in; locked until the end of the transaction, so that two cannot both be the last."""
    living = select(accounts.c.no).where(accounts.c.role == str(Role.OPERATOR), accounts.c.disabled_at.is_(None))
    return len(tx.execute(living.with_for_update()).all())


def change(tx: Connection, no: int, **values: Any) -> None:
    """Sets columns of one account: name, role, zone, password_hash, disabled_at."""
    tx.execute(update(accounts).where(accounts.c.no == no).values(values))


# --- sessions


def add_session(
    tx: Connection, token_hash: bytes, account_no: int, csrf: str, now: datetime, expires_at: datetime
) -> None:
    row = {
        "token_hash": token_hash,
        "account_no": account_no,
        "csrf": csrf,
        "created_at": now,
        "expires_at": expires_at,
    }
    tx.execute(insert(sessions).values(row))


def session(tx: Connection, token_hash: bytes, now: datetime) -> Session | None:
    """The living session of a token, whose account is not disabled."""
    query = (
        select(*_ACCOUNT, sessions.c.csrf, sessions.c.expires_at)
        .join_from(sessions, accounts, sessions.c.account_no == accounts.c.no)
        .where(sessions.c.token_hash == token_hash, sessions.c.expires_at > now)
        .where(sessions.c.revoked_at.is_(None), accounts.c.disabled_at.is_(None))
    )
    row = tx.execute(query).one_or_none()
    return Session(_account(row), row.csrf, row.expires_at) if row else None


def end_session(tx: Connection, token_hash: bytes, now: datetime) -> None:
    living = update(sessions).where(sessions.c.token_hash == token_hash, sessions.c.revoked_at.is_(None))
    tx.execute(living.values(revoked_at=now))


def end_sessions(tx: Connection, account_no: int, now: datetime) -> None:
    """Every session of an account."""
    living = update(sessions).where(sessions.c.account_no == account_no, sessions.c.revoked_at.is_(None))
    tx.execute(living.values(revoked_at=now))


# --- API tokens


def add_api_token(
    tx: Connection, account_no: int, name: str, token_hash: bytes, now: datetime, expires_at: datetime | None
) -> int:
    """Returns the token's number."""
    row = {
        "account_no": account_no,
        "name": name,
        "token_hash": token_hash,
        "created_at": now,
        "expires_at": expires_at,
    }
    return int(tx.execute(insert(api_tokens).values(row).returning(api_tokens.c.no)).scalar_one())


def account_of_api_token(tx: Connection, token_hash: bytes, now: datetime) -> Account | None:
    """Whose living token this is; notes that it was used."""
    query = (
        select(*_ACCOUNT, api_tokens.c.no.label("token_no"), api_tokens.c.last_used_at)
        .join_from(api_tokens, accounts, api_tokens.c.account_no == accounts.c.no)
        .where(api_tokens.c.token_hash == token_hash, api_tokens.c.revoked_at.is_(None))
        .where(or_(api_tokens.c.expires_at.is_(None), api_tokens.c.expires_at > now))
        .where(accounts.c.disabled_at.is_(None))
    )
    row = tx.execute(query).one_or_none()
    if row is None:
        return None
    if row.last_used_at is None or now - row.last_used_at > _LAST_USED_STEP:
        tx.execute(update(api_tokens).where(api_tokens.c.no == row.token_no).values(last_used_at=now))
    return _account(row)


def api_tokens_of(tx: Connection, account_no: int) -> tuple[ApiToken, ...]:
    """Living and ended ones, newest first."""
    query = select(api_tokens).where(api_tokens.c.account_no == account_no).order_by(api_tokens.c.no.desc())
    return tuple(
        ApiToken(row.no, row.name, row.created_at, row.expires_at, row.last_used_at, row.revoked_at)
        for row in tx.execute(query)
    )


def end_api_token(tx: Connection, account_no: int, no: int, now: datetime) -> bool:
    """False if the account has no such living token."""
    living = update(api_tokens).where(api_tokens.c.no == no, api_tokens.c.account_no == account_no)
    return tx.execute(living.where(api_tokens.c.revoked_at.is_(None)).values(revoked_at=now)).rowcount > 0


def end_api_tokens(tx: Connection, account_no: int, now: datetime) -> None:
    """Every token of an account."""
    living = update(api_tokens).where(api_tokens.c.account_no == account_no, api_tokens.c.revoked_at.is_(None))
    tx.execute(living.values(revoked_at=now))


# --- reset links


def add_reset(tx: Connection, token_hash: bytes, account_no: int, now: datetime, expires_at: datetime) -> None:
    row = {"token_hash": token_hash, "account_no": account_no, "created_at": now, "expires_at": expires_at}
    tx.execute(insert(password_resets).values(row))


def living_resets(tx: Connection, account_no: int, now: datetime) -> int:
    """How many unused reset links an account has."""
    living = select(func.count()).where(password_resets.c.account_no == account_no, password_resets.c.expires_at > now)
    return int(tx.execute(living.where(password_resets.c.used_at.is_(None))).scalar_one())


def use_reset(tx: Connection, token_hash: bytes, now: datetime) -> Account | None:
    """The account of a living reset link, which works no more from now on, and neither do its siblings."""
    living = update(password_resets).where(password_resets.c.token_hash == token_hash)
    living = living.where(password_resets.c.used_at.is_(None), password_resets.c.expires_at > now)
    no = tx.execute(living.values(used_at=now).returning(password_resets.c.account_no)).scalar_one_or_none()
    if no is None:
        return None
    others = update(password_resets).where(password_resets.c.account_no == no, password_resets.c.used_at.is_(None))
    tx.execute(others.values(used_at=now))
    return _one(tx, select(*_ACCOUNT).where(accounts.c.no == no, accounts.c.disabled_at.is_(None)))


# --- attempts to sign in


def count_attempts(
    tx: Connection, limits: Sequence[tuple[str, int]], since: datetime, now: datetime
) -> tuple[str, datetime] | None:
    """Notes one more attempt of each `who` (with its limit); or, if one has reached its limit since `since`, notes
    none and returns that one with the moment of its oldest attempt that still counts.

    Attempts of one `who` stand in line, so that a hundred at once are counted like a hundred in a row.
    """
    tx.execute(delete(sign_in_failures).where(sign_in_failures.c.at <= since))
    for who, limit in limits:
        tx.execute(text("select pg_advisory_xact_lock(hashtextextended(:who, 1))"), {"who": who})
        query = select(sign_in_failures.c.at).where(sign_in_failures.c.who == who).order_by(sign_in_failures.c.at)
        moments = tx.execute(query).scalars().all()
        if len(moments) >= limit:
            return who, moments[len(moments) - limit]
    tx.execute(insert(sign_in_failures).values([{"who": who, "at": now} for who, _ in limits]))
    return None


def forget_attempts(tx: Connection, who: str) -> None:
    """After a success."""
    tx.execute(delete(sign_in_failures).where(sign_in_failures.c.who == who))
