"""Accounts and tokens at the command line: the first operator, everybody after, and who may no more."""

from __future__ import annotations

from datetime import timedelta
from typing import Annotated

import typer

from server import wiring
from server.cli.common import ACTOR, AsJson, Work, ask_password, say, show, work
from server.rules.authority import Role
from server.service import accounts, people
from server.service.accounts import Passwords
from server.service.refusals import refuse
from server.store.accounts import Account

Email = Annotated[str, typer.Argument(help="The account's e-mail address.")]
PasswordStdin = Annotated[bool, typer.Option("--password-stdin", help="Read the password from standard input.")]
Name = Annotated[str, typer.Option(help="How the person is called.")]
Zone = Annotated[str, typer.Option(help="Their time zone.")]


def add_to(app: typer.Typer) -> None:
    operator = typer.Typer(no_args_is_help=True, help="The first operator.")
    operator.command("create")(create_operator)
    app.add_typer(operator, name="operator")
    account = typer.Typer(no_args_is_help=True, help="Accounts: add, list, role, reset, disable, enable.")
    for name, command in (
        ("add", add), ("list", list_accounts), ("role", set_role), ("reset", reset), ("disable", disable),
        ("enable", enable),
    ):  # fmt: skip
        account.command(name)(command)
    app.add_typer(account, name="account")
    token = typer.Typer(no_args_is_help=True, help="Personal API tokens: make, list, revoke.")
    for name, token_command in (("make", make_token), ("list", list_tokens), ("revoke", revoke_token)):
        token.command(name)(token_command)
    app.add_typer(token, name="token")


def create_operator(email: Email, name: Name = "", zone: Zone = "UTC", password_stdin: PasswordStdin = False) -> None:
    """Make an account that keeps the house: gateways, people, keys. Asks for its password."""
    hashed = Passwords().hash(ask_password(password_stdin), email.strip().lower())
    with work() as at:
        account = people.create(at.tx, email, name, Role.OPERATOR, at.now, actor=ACTOR, zone=zone)
        accounts.set_password(at.tx, account, hashed, at.now, actor=ACTOR)
    say(f"{account.email} is an operator and signs in at {at.settings.base_url}")


def add(
    email: Email,
    role: Annotated[Role, typer.Option(help="What they may.")] = Role.OWNER,
    name: Name = "",
    zone: Zone = "UTC",
    password_stdin: PasswordStdin = False,
) -> None:
    """Make an account. Without a password, prints a one-time link by which the person sets one (7 days)."""
    hashed = Passwords().hash(ask_password(True), email.strip().lower()) if password_stdin else None
    with work() as at:
        account = people.create(at.tx, email, name, role, at.now, actor=ACTOR, zone=zone)
        if hashed:
            accounts.set_password(at.tx, account, hashed, at.now, actor=ACTOR)
        else:
            print(_link(at, account, people.INVITATION_LIFETIME))
    say(f"{account.email} is {role}.")


def _link(at: Work, account: Account, lifetime: timedelta) -> str:
    made = accounts.ask_reset(at.tx, wiring.dice, account.email, at.now, lifetime)
    if made is None:
        raise refuse("reset_limit", reference=account.email)
    return accounts.reset_url(at.settings.base_url, made)


def list_accounts(as_json: AsJson = False) -> None:
    """List every account, staff first."""
    with work() as at:
        rows = [
            (each.email, each.role.value, each.name, each.zone, each.created_at, each.disabled_at)
            for each in people.everybody(at.tx)
        ]
    show(("email", "role", "name", "zone", "made", "disabled"), rows, as_json)


def set_role(email: Email, role: Annotated[Role, typer.Argument(help="What they may from now on.")]) -> None:
    """Give an account another role."""
    with work() as at:
        account = people.set_role(at.tx, email, role, at.now, actor=ACTOR)
    say(f"{account.email} is {account.role} now.")


def reset(email: Email) -> None:
    """Print a one-time link for a new password (one hour), for somebody who cannot get mail."""
    with work() as at:
        print(_link(at, people.existing(at.tx, email), accounts.RESET_LIFETIME))


def disable(email: Email) -> None:
    """End an account's sessions and tokens; it cannot sign in. What it said and did stays."""
    with work() as at:
        people.disable(at.tx, email, at.now, actor=ACTOR)
    say(f"{email} is disabled.")


def enable(email: Email) -> None:
    """Let a disabled account sign in again."""
    with work() as at:
        people.enable(at.tx, email, at.now, actor=ACTOR)
    say(f"{email} may sign in again.")


def make_token(
    email: Email,
    name: Annotated[str, typer.Option(help="What it is for.")] = "command line",
    days: Annotated[int | None, typer.Option(min=1, max=3650, help="It ends after so many days.")] = None,
) -> None:
    """Make a personal API token and print it: it is shown this once."""
    with work() as at:
        who = accounts.caller(people.existing(at.tx, email))
        ends = at.now + timedelta(days=days) if days else None
        token, _ = accounts.new_api_token(at.tx, wiring.dice, who, name, at.now, ends)
    print(token)


def list_tokens(email: Email, as_json: AsJson = False) -> None:
    """List an account's tokens, ended ones too."""
    with work() as at:
        listed = accounts.api_tokens(at.tx, accounts.caller(people.existing(at.tx, email)))
    rows = [(t.no, t.name, t.created_at, t.expires_at, t.last_used_at, t.revoked_at) for t in listed]
    show(("no", "name", "made", "ends", "last used", "revoked"), rows, as_json)


def revoke_token(email: Email, no: Annotated[int, typer.Argument(help="Its number, from `token list`.")]) -> None:
    """End a token at once."""
    with work() as at:
        accounts.revoke_api_token(at.tx, accounts.caller(people.existing(at.tx, email)), no, at.now)
    say(f"Token {no} of {email} is revoked.")
