"""Who somebody is: signing in and out, passwords, reset links, API tokens.

An answer never tells whether an address has an account: an unknown one costs the same time and gets the same
words. Passwords are hashed with argon2id outside of any transaction, because a hash takes as long as fifty queries.
"""

from __future__ import annotations

import base64
import hashlib
import ipaddress
from collections.abc import Callable
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from functools import cached_property
from typing import Final

from argon2 import PasswordHasher
from argon2.exceptions import InvalidHashError, VerificationError
from sqlalchemy import Connection, Engine

from server.service.caller import Caller
from server.service.refusals import refuse
from server.store import accounts, audit
from server.store.accounts import Account, ApiToken, Session
from server.store.audit import Entry
from server.store.db import transaction

Dice = Callable[[int], bytes]

API_TOKEN_PREFIX: Final = "hsp_"  # noqa: S105 - what leak scanners know our tokens by
SESSION_LIFETIME: Final = timedelta(days=14)
RESET_LIFETIME: Final = timedelta(hours=1)
# Shorter: online guessing at the rate that throttling allows becomes thinkable. Longer: hashing a novel is an attack.
PASSWORD_MIN, PASSWORD_MAX = 12, 1024
# Ten wrong passwords are a person with three keyboards; fifty from one address are a class room or a list.
_WINDOW: Final = timedelta(minutes=15)
_PER_ACCOUNT, _PER_ADDRESS = 10, 50
# More unused links at once would only fill somebody's mailbox.
_RESETS_AT_ONCE: Final = 3
_TOKENS_AT_ONCE: Final = 50


def token_hash(token: str) -> bytes:
    """What is kept of a token. 256 random bits need no slow hash."""
    return hashlib.sha256(b"hearsight token v1" + token.encode()).digest()


def _new_token(dice: Dice, prefix: str = "") -> str:
    return prefix + base64.urlsafe_b64encode(dice(32)).decode().rstrip("=")


def caller(account: Account) -> Caller:
    """The account as one who asks."""
    return Caller(account.no, account.email, account.role, account.name, account.zone)


class Passwords:
    """argon2id with RFC 9106's parameters for little memory; a test may pass a cheaper hasher."""

    def __init__(self, hasher: PasswordHasher | None = None) -> None:
        self._hasher = hasher or PasswordHasher()

    @cached_property
    def _nobodys(self) -> str:
        return self._hasher.hash("the password of nobody")

    def hash(self, password: str, email: str = "") -> str:
        """Refusals: password_weak."""
        # A text of few different characters, or the address itself, is the first thing that is tried.
        is_address = email != "" and email in password.lower()
        if not PASSWORD_MIN <= len(password) <= PASSWORD_MAX or len(set(password)) < 5 or is_address:
            raise refuse("password_weak")
        return self._hasher.hash(password)

    def fits(self, stored: str | None, password: str) -> bool:
        """Takes as long without an account as with one."""
        try:
            self._hasher.verify(stored or self._nobodys, password[:PASSWORD_MAX])
        except (VerificationError, InvalidHashError):
            return False
        return stored is not None

    def outdated(self, stored: str) -> bool:
        """Whether it was made with weaker parameters than today's."""
        return self._hasher.check_needs_rehash(stored)


# --- signing in and out


@dataclass(frozen=True, slots=True)
class SignedIn:
    """A new session; `token` is shown to the browser once and never again."""

    account: Account
    token: str = field(repr=False)
    csrf: str = field(repr=False)
    expires_at: datetime


def sign_in(
    engine: Engine, passwords: Passwords, dice: Dice, email: str, password: str, address: str, now: datetime
) -> SignedIn:
    """A session for who knows the password. `address` is where the request came from.

    An attempt is counted before it is known to be wrong, in a transaction of its own: a refusal must not undo the
    count. Refusals: sign_in_throttled, sign_in_failed.
    """
    email = email.strip().lower()[:254]
    limits = [(f"account {email}", _PER_ACCOUNT), (f"address {household(address)}", _PER_ADDRESS)]
    with transaction(engine) as tx:
        full = accounts.count_attempts(tx, limits, now - _WINDOW, now)
        account = accounts.by_email(tx, email)
    if full is not None:
        wait = full[1] + _WINDOW - now
        raise refuse("sign_in_throttled", wait_s=max(1, round(wait.total_seconds())))
    stored = account.password_hash if account and account.disabled_at is None else None
    if not passwords.fits(stored, password) or account is None or stored is None:
        raise refuse("sign_in_failed")
    better = passwords.hash(password, email) if passwords.outdated(stored) else None
    with transaction(engine) as tx:
        accounts.forget_attempts(tx, limits[0][0])
        if better:
            accounts.change(tx, account.no, password_hash=better)
        return _start_session(tx, dice, account, now)


def household(address: str) -> str:
    """One household: an IPv6 user has 2^64 addresses and would otherwise have as many tries. Twice is once.

    On a socket for both, an IPv4 caller stands behind `::ffff:`, and all of those are no household.
    """
    try:
        at = ipaddress.ip_network(address.partition("%")[0], strict=False)
    except ValueError:
        return "unknown"
    if isinstance(at, ipaddress.IPv4Network):
        return str(at.network_address)
    inner = at.network_address.ipv4_mapped
    return str(inner or ipaddress.ip_network((at.network_address, 64), strict=False))


def _start_session(tx: Connection, dice: Dice, account: Account, now: datetime) -> SignedIn:
    made = SignedIn(account, _new_token(dice), _new_token(dice), now + SESSION_LIFETIME)
    accounts.add_session(tx, token_hash(made.token), account.no, made.csrf, now, made.expires_at)
    return made


def session(tx: Connection, token: str, now: datetime) -> Session | None:
    """The living session of a browser's token."""
    return accounts.session(tx, token_hash(token), now)


def sign_out(tx: Connection, token: str, now: datetime) -> None:
    accounts.end_session(tx, token_hash(token), now)


# --- passwords


def change_password(
    engine: Engine, passwords: Passwords, dice: Dice, who: Caller, old: str, new: str, now: datetime
) -> SignedIn:
    """Ends every other session; API tokens stay. Refusals: sign_in_failed, password_weak."""
    with transaction(engine) as tx:
        account = accounts.by_no(tx, who.account_no)
    assert account is not None
    if not passwords.fits(account.password_hash, old):
        raise refuse("sign_in_failed")
    hashed = passwords.hash(new, account.email)
    with transaction(engine) as tx:
        set_password(tx, account, hashed, now, actor=who.email)
        return _start_session(tx, dice, account, now)


def set_password(tx: Connection, account: Account, hashed: str, now: datetime, *, actor: str) -> None:
    """Ends every session. `hashed` comes from `Passwords.hash`, made before the transaction began."""
    accounts.change(tx, account.no, password_hash=hashed)
    accounts.end_sessions(tx, account.no, now)
    accounts.forget_attempts(tx, f"account {account.email}")
    audit.add(tx, Entry(now, actor, "password_set", f"account:{account.email}", None, account.no))


@dataclass(frozen=True, slots=True)
class ResetLink:
    """A one-time way to a new password; the caller puts `token` into a link and sends it to the account's address."""

    account: Account
    token: str = field(repr=False)
    expires_at: datetime


def ask_reset(
    tx: Connection, dice: Dice, email: str, now: datetime, lifetime: timedelta = RESET_LIFETIME
) -> ResetLink | None:
    """A reset link for the account of this address; None without one. The asker gets the same answer either way."""
    token = _new_token(dice)
    account = accounts.by_email(tx, email.strip().lower())
    if account is None or account.disabled_at or accounts.living_resets(tx, account.no, now) >= _RESETS_AT_ONCE:
        return None
    accounts.add_reset(tx, token_hash(token), account.no, now, now + lifetime)
    return ResetLink(account, token, now + lifetime)


def reset_url(base_url: str, link: ResetLink) -> str:
    """The address behind which somebody sets a new password; the token stays in the fragment, out of every log."""
    return f"{base_url}/reset#{link.token}"


def reset_password(engine: Engine, passwords: Passwords, token: str, new: str, now: datetime) -> Account:
    """Sets a password by a reset link; ends every session and every API token, for whoever took an account over may
    have made some. A weak password does not use up the link.

    Refusals: password_weak, reset_invalid.
    """
    hashed = passwords.hash(new)
    with transaction(engine) as tx:
        account = accounts.use_reset(tx, token_hash(token), now)
        if account is None:
            raise refuse("reset_invalid")
        set_password(tx, account, hashed, now, actor=account.email)
        accounts.end_api_tokens(tx, account.no, now)
        return account


# --- API tokens


def new_api_token(
    tx: Connection, dice: Dice, who: Caller, name: str, now: datetime, expires_at: datetime | None = None
) -> tuple[str, ApiToken]:
    """The token, shown once, and how it is listed from now on. Refusals: token_limit, token_expiry."""
    if expires_at is not None and expires_at <= now:
        raise refuse("token_expiry")
    living = [token for token in accounts.api_tokens_of(tx, who.account_no) if token.revoked_at is None]
    if len(living) >= _TOKENS_AT_ONCE:
        raise refuse("token_limit", limit=_TOKENS_AT_ONCE)
    token, name = _new_token(dice, API_TOKEN_PREFIX), name.strip()[:100] or "token"
    no = accounts.add_api_token(tx, who.account_no, name, token_hash(token), now, expires_at)
    audit.add(tx, Entry(now, who.email, "token_made", f"account:{who.email}", {"token": no}, who.account_no))
    return token, ApiToken(no, name, now, expires_at, None, None)


def account_of_api_token(tx: Connection, token: str, now: datetime) -> Account | None:
    """Whose living API token this is."""
    return accounts.account_of_api_token(tx, token_hash(token), now) if token.startswith(API_TOKEN_PREFIX) else None


def api_tokens(tx: Connection, who: Caller) -> tuple[ApiToken, ...]:
    """Every token of the caller, newest first, ended ones too."""
    return accounts.api_tokens_of(tx, who.account_no)


def revoke_api_token(tx: Connection, who: Caller, no: int, now: datetime) -> None:
    """Refusals: token_unknown."""
    if not accounts.end_api_token(tx, who.account_no, no, now):
        raise refuse("token_unknown")
    audit.add(tx, Entry(now, who.email, "token_revoked", f"account:{who.email}", {"token": no}, who.account_no))
