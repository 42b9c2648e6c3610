"""Accounts, for the operator: who there is, and inviting somebody with a role."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime

from fastapi import APIRouter

from server.rules.authority import Role
from server.service import accounts, letters, people
from server.store.accounts import Account
from server.web.api.models import Body, Email, Line, Zone, example, refusals
from server.web.auth import Operator
from server.web.deps import TheHouse

router = APIRouter(prefix="/accounts", tags=["accounts"])


class NewAccount(Body):
    """Somebody new and their role."""

    model_config = example(email="ash@example.com", role="agent", name="Ash", zone="America/New_York")

    email: Email
    role: Role
    name: Line = ""
    zone: Zone = "UTC"


@dataclass(frozen=True, slots=True)
class AccountView:
    """An account as the operator sees it."""

    email: str
    name: str
    role: Role
    zone: str
    created_at: datetime
    disabled_at: datetime | None


@dataclass(frozen=True, slots=True)
class Invited:
    """A new account and the link by which its person sets the first password; it was mailed as well."""

    account: AccountView
    link: str
    until: datetime


@router.get("", responses=refusals("sign_in_needed", "not_yours"))
def everybody(house: TheHouse, _: Operator) -> tuple[AccountView, ...]:
    """Every account, staff first."""
    with house.work() as (tx, _now):
        return tuple(_view(each) for each in people.everybody(tx))


@router.post("", status_code=201, responses=refusals("sign_in_needed", "not_yours", "email_taken", "email_invalid"))
def invite(body: NewAccount, house: TheHouse, who: Operator) -> Invited:
    """Make an account and its first link."""
    with house.work() as (tx, now):
        account = people.create(tx, body.email, body.name, body.role, now, actor=who.email, zone=body.zone)
        link = accounts.ask_reset(tx, house.dice, account.email, now, people.INVITATION_LIFETIME)
        assert link is not None, "a new account has no other link"
        letters.send_reset(tx, house, link, now)
        return Invited(_view(account), letters.reset_url(house, link), link.expires_at)


def _view(account: Account) -> AccountView:
    return AccountView(
        account.email, account.name, account.role, account.zone, account.created_at, account.disabled_at
    )  # fmt: skip
