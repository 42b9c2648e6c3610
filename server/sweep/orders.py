"""Looks again at orders whose moment has come, so that a broken promise is known before anybody asks."""

from __future__ import annotations

from collections.abc import Callable
from datetime import datetime

from sqlalchemy import Engine

from server.rules.policy import Policy
from server.service import answers
from server.store import weighings
from server.store.db import transaction


def sweep_orders(engine: Engine, policy: Policy, clock: Callable[[], datetime], limit: int) -> int:
    """Weighs up to `limit` due orders, each in its own transaction; returns how many.

    The cost is what is due, not what exists: a weighing names its next moment to look, and that is indexed.
    """
    with transaction(engine) as tx:
        due = weighings.due(tx, clock(), limit)
    for number in due:
        with transaction(engine) as tx:
            answers.weighing(tx, number, policy, clock())
    return len(due)
