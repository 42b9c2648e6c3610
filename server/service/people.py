"""Which accounts there are and what they may: made by an operator, given a role, disabled; never removed."""

from __future__ import annotations

import re
from datetime import datetime, timedelta
from typing import Final

from sqlalchemy import Connection

from server.rules.authority import Role
from server.service.caller import Caller
from server.service.refusals import refuse
from server.service.zones import check_zone
from server.store import accounts, audit
from server.store.accounts import Account
from server.store.audit import Entry

# How long the first link of a new account works; an invitation is read on Monday.
INVITATION_LIFETIME: Final = timedelta(days=7)
_PART: Final = r"[^@\s<>\"',;\x00-\x1f\x7f]"
_EMAIL: Final = re.compile(rf"{_PART}{{1,64}}@{_PART}{{1,189}}\Z")


def is_email(text: str) -> bool:
    """Whether mail can be sent there, as far as one can see; nothing in it can break out of a header."""
    return _EMAIL.match(text) is not None


def everybody(tx: Connection) -> tuple[Account, ...]:
    """Every account, staff first."""
    return accounts.everybody(tx)


def existing(tx: Connection, email: str) -> Account:
    """Refusals: account_unknown."""
    account = accounts.by_email(tx, email.strip().lower())
    if account is None:
        raise refuse("account_unknown")
    return account


def create(
    tx: Connection, email: str, name: str, role: Role, now: datetime, *, actor: str, zone: str = "UTC"
) -> Account:
    """An account without a password: `accounts.ask_reset` gives its first link.

    Refusals: email_invalid, email_taken, zone_unknown.
    """
    email = email.strip().lower()
    if not is_email(email):
        raise refuse("email_invalid")
    check_zone(zone)
    account = accounts.add(tx, email, name.strip()[:200] or email.partition("@")[0], role, zone, now)
    if account is None:
        raise refuse("email_taken")
    audit.add(tx, Entry(now, actor, "account_made", f"account:{email}", {"role": str(role)}))
    return account


def set_profile(tx: Connection, who: Caller, name: str, zone: str) -> None:
    """The caller's own name and time zone. Refusals: zone_unknown."""
    check_zone(zone)
    accounts.change(tx, who.account_no, name=name.strip()[:200] or who.name, zone=zone)


def set_role(tx: Connection, email: str, role: Role, now: datetime, *, actor: str) -> Account:
    """Refusals: account_unknown, last_operator."""
    account = existing(tx, email)
    if role is not Role.OPERATOR:
        _not_the_last_operator(tx, account)
    accounts.change(tx, account.no, role=str(role))
    detail = {"from": str(account.role), "to": str(role)}
    audit.add(tx, Entry(now, actor, "role_set", f"account:{account.email}", detail))
    return existing(tx, email)


def disable(tx: Connection, email: str, now: datetime, *, actor: str) -> None:
    """Ends its sessions and API tokens; nothing that it said or did is removed.

    Refusals: account_unknown, last_operator.
    """
    account = existing(tx, email)
    _not_the_last_operator(tx, account)
    accounts.change(tx, account.no, disabled_at=account.disabled_at or now)
    accounts.end_sessions(tx, account.no, now)
    accounts.end_api_tokens(tx, account.no, now)
    audit.add(tx, Entry(now, actor, "account_disabled", f"account:{account.email}"))


def enable(tx: Connection, email: str, now: datetime, *, actor: str) -> None:
    """It may sign in again with its old password. Refusals: account_unknown."""
    account = existing(tx, email)
    accounts.change(tx, account.no, disabled_at=None)
    audit.add(tx, Entry(now, actor, "account_enabled", f"account:{account.email}"))


def _not_the_last_operator(tx: Connection, account: Account) -> None:
    """Without an operator nobody could make one, except at the machine itself."""
    living = account.role is Role.OPERATOR and account.disabled_at is None
    if living and accounts.living_operators(tx) <= 1:
        raise refuse("last_operator")
