"""`why ORDER`: every verdict of an order in lines of text, for the command line and for support."""

from __future__ import annotations

from datetime import datetime

from sqlalchemy import Connection

from server.rules.authority import Role
from server.rules.explain import why as explain
from server.rules.policy import SOLO, Policy
from server.rules.privacy import Viewer
from server.service import answers

# Whoever sits at the machine reads what support reads: no place of an owner's tag.
AT_THE_MACHINE = Viewer(Role.OPERATOR)


def why(
    tx: Connection, number: str, now: datetime, policy: Policy = SOLO, viewer: Viewer = AT_THE_MACHINE
) -> tuple[str, ...]:
    """The explanation, line by line. Refusals: order_unknown."""
    return explain(*answers.weighing(tx, number, policy, now), viewer)
