"""What every command shares: the settings, one transaction on the database, tables for people, JSON for programs."""

from __future__ import annotations

import json
import os
import sys
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path
from typing import Annotated, Any

import msgspec
import typer
from rich.console import Console
from rich.table import Table
from sqlalchemy import Connection, Engine

from server import wiring
from server.refusal import invalid
from server.rules.policy import PROFILES, Policy
from server.service import accounts, people, viewing
from server.service.caller import Caller
from server.service.refusals import refuse
from server.settings import Settings, load
from server.store.db import transaction
from server.store.migrations import current, require_newest

# Who did it, in the audit: whoever sits at the machine needs no account.
ACTOR = "cli"
AsJson = Annotated[bool, typer.Option("--json", help="For programs: one JSON list.")]
err = Console(stderr=True, highlight=False, soft_wrap=True)


def settings() -> Settings:
    """Raises Refusal `setting_unknown`, `setting_invalid`."""
    return load(os.environ)


@dataclass(frozen=True, slots=True)
class Work:
    """One transaction with its moment; `engine` for what must not be part of it."""

    tx: Connection
    now: datetime
    settings: Settings
    engine: Engine

    @property
    def policy(self) -> Policy:
        """The thresholds and the profile that this house works by."""
        return PROFILES[self.settings.policy_profile]

    def caller(self, email: str) -> Caller:
        """The account that is named as the one who does it. Refusals: account_unknown, also if it is disabled."""
        account = people.existing(self.tx, email)
        if account.disabled_at is not None:
            raise refuse("account_unknown")
        return accounts.caller(account)

    def viewed(self, subject: str, who: Caller | None = None) -> None:
        """Write down a look at a customer's data, as pages and API do; without an account it is the machine's."""
        if who is None:
            viewing.note_by(self.tx, ACTOR, subject, self.now)
        else:
            viewing.note_by(self.tx, who.email, subject, self.now, who.account_no)


@contextmanager
def database() -> Iterator[tuple[Engine, Settings]]:
    """The database, with its tables: an empty one gets them, an old one is refused (`migrate` is a decision)."""
    told = settings()
    with wiring.database(told) as engine:
        with transaction(engine) as tx:
            empty = current(tx) is None
            if not empty:
                require_newest(tx)
        if empty:
            wiring.prepare(told, engine)
        yield engine, told


@contextmanager
def work() -> Iterator[Work]:
    """One transaction for one command."""
    with database() as (engine, told), transaction(engine) as tx:
        yield Work(tx, wiring.clock(), told, engine)


def show(columns: Sequence[str], rows: Sequence[Sequence[Any]], as_json: bool) -> None:
    """A table on a terminal, columns between tabs in a pipe, or a JSON list of objects."""
    if as_json:
        print(json.dumps([dict(zip(columns, map(_plain, row), strict=True)) for row in rows]))
        return
    if not sys.stdout.isatty():
        for row in (columns, *rows):
            print("\t".join(_text(value) for value in row))
        return
    table = Table(*columns, box=None, header_style="bold", pad_edge=False)
    for row in rows:
        table.add_row(*(_text(value) for value in row))
    Console(highlight=False).print(table)


def _plain(value: Any) -> Any:
    return value.isoformat() if isinstance(value, datetime) else value


def _text(value: Any) -> str:
    if value is None:
        return "–"
    return f"{value:%Y-%m-%d %H:%M:%SZ}" if isinstance(value, datetime) else str(value)


def answer(value: Any, as_json: bool, lines: Sequence[str]) -> None:
    """One whole answer: for programs as JSON, for people line by line."""
    print(msgspec.json.encode(value).decode() if as_json else "\n".join(lines))


def say(text: str) -> None:
    """A remark to the person at the terminal; what a program wants stands alone on standard output."""
    err.print(text, markup=False)


def read_file(path: Path, limit: int) -> bytes:
    """Raises Refusal `file_unreadable`, `file_too_large`."""
    try:
        with path.open("rb") as file:
            content = file.read(limit + 1)
    except OSError as error:
        raise invalid("file_unreadable", f"{path} cannot be read: {error.strerror}.", "Check the name.") from None
    if len(content) > limit:
        raise invalid("file_too_large", f"{path} is larger than {limit} bytes.", "Is it the right file?")
    return content


def ask_password(from_stdin: bool) -> str:
    """A password from a pipe's first line, or asked for twice. Raises Refusal `password_missing`."""
    if from_stdin:
        return sys.stdin.readline().rstrip("\r\n")
    if not sys.stdin.isatty():
        raise invalid("password_missing", "There is no terminal to ask for a password.", "Add --password-stdin.")
    return str(typer.prompt("Password (12 characters or more)", hide_input=True, confirmation_prompt=True))
