"""Questions about orders at the command line."""

from __future__ import annotations

from typing import Annotated

import typer

from server.cli.common import work


def add_to(app: typer.Typer) -> None:
    app.command()(why)


def why(order: Annotated[str, typer.Argument(help="The order's number.")]) -> None:
    """Explain every verdict about an order from its facts. Shows no place of a claimed tag."""
    from server.rules.policy import PROFILES
    from server.service import explain

    with work() as at:
        for line in explain.why(at.tx, order, at.now, PROFILES[at.settings.policy_profile]):
            print(line)
