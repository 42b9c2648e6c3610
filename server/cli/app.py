"""The command line as a whole: which chapters it has, and how a refusal is told."""

from __future__ import annotations

import sys
from collections.abc import Sequence

import typer
from sqlalchemy.exc import OperationalError

from server.cli import (
    contacts,
    dead_letters,
    desk,
    factory,
    gateways,
    imports,
    keeping,
    orders,
    people,
    recompute,
    remedies,
    replay,
    retention,
    running,
    watching,
)
from server.refusal import Kind, Refusal

app = typer.Typer(
    help="Hearsight's back office. Settings are HEARSIGHT_* variables; `settings` prints them all.",
    no_args_is_help=True, add_completion=False, pretty_exceptions_enable=False, rich_markup_mode=None,
)  # fmt: skip
for chapter in (
    running,
    watching,
    people,
    gateways,
    factory,
    keeping,
    retention,
    dead_letters,
    orders,
    contacts,
    desk,
    remedies,
    imports,
    replay,
    recompute,
):
    chapter.add_to(app)

# What will not change by trying again: `up` does not start such a program a second time.
_FINAL = frozenset({Kind.INVALID, Kind.CONFLICT})


def main(argv: Sequence[str] | None = None) -> None:
    """Runs a command (that of the process, if none is given) and exits: with 1 for a refusal, with 2 for one that
    trying again would not change.
    """
    try:
        app(argv, prog_name="python -m server")
    except Refusal as refusal:
        tell(refusal)
        sys.exit(2 if refusal.kind in _FINAL else 1)
    except OperationalError as error:
        why = str(error.orig or error).strip().splitlines()[0]
        tell(Refusal(Kind.LATER, "database_unreachable", f"The database does not answer: {why}", "Is it running?"))
        sys.exit(1)
    except KeyboardInterrupt:
        sys.exit(130)


def tell(refusal: Refusal) -> None:
    """What happened, what to do, and the code to ask about."""
    print(f"{refusal.message}\n{refusal.do}".rstrip() + f"\n({refusal.code})", file=sys.stderr)
